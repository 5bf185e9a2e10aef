"""The scorer that looks: it learns what kind of video this is, then judges and describes every segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.scorers.base import Scorer
from pipeline.scorers.smolvlm2 import finding, fusion, pixels, prompt, questions
from pipeline.scorers.smolvlm2.ahead import PAYS_ON, AheadOfScan
from pipeline.scorers.smolvlm2.asking import Answer, Asked, Asker, Judged, Subject
from pipeline.scorers.smolvlm2.gallery import Gallery, Ready
from pipeline.scorers.smolvlm2.loading import Loaded, choose_device, load, locate
from pipeline.scorers.smolvlm2.model import SmolVLM, View
from pipeline.scorers.smolvlm2.questions import Context
from pipeline.scorers.smolvlm2.store import Store
from pipeline.settings import Settings
from pipeline.types import FloatTrack, Scan, Scored, ScoredSegment, ScorerInfo, Segment, Wish

OVERVIEW_FRAMES = 8
# Shares of the work that are done when frames are encoded, when the video is understood, and when segments are judged
# by what was asked for.
_ENCODED, _UNDERSTOOD, _ANSWERED = 0.6, 0.65, 0.95


@dataclass(frozen=True, slots=True)
class Detail:
    """How closely segments are looked at.

    side: pixels of a frame's side; None for the model's own
    frames: of a segment, at most
    """

    side: int | None
    frames: int


DETAILS = {"fast": Detail(256, 3), "balanced": Detail(384, 4), "full": Detail(None, 8)}
_DETAIL_OF = {"cpu": "fast", "mps": "balanced", "cuda": "full"}


class SmolVLM2Scorer:
    """Scores and describes segments by what a SmolVLM2 model sees in them, fused with the signals' scores.

    signals: the scorer that measures; its words stand in where the model finds none
    eager: whether frames are encoded while the scan goes on; None for where that pays
    """

    name = "smolvlm2"

    def __init__(self, signals: Scorer, eager: bool | None = None) -> None:
        self._signals, self._eager = signals, eager
        self._done_ahead: AheadOfScan | None = None

    def identity(self, settings: Settings, report: Report, cancel: CancelToken) -> str:
        """Name, revision and device of the model, found or fetched but not loaded; as `Scorer.identity`."""
        device, found = locate(settings.model, settings.device, report, cancel)
        return f"{found.name} {found.revision} {device}"

    def model(self, settings: Settings, report: Report, cancel: CancelToken) -> Loaded:
        """The model that scores, loaded; raises ModelError and Cancelled."""
        return load(settings.model, settings.device, report, cancel)

    @contextmanager
    def ahead(self, settings: Settings, cancel: CancelToken) -> Iterator[AheadOfScan | None]:
        """Encodes frames while the block runs; as `Eager.ahead`."""
        pays = choose_device(settings.device) in PAYS_ON if self._eager is None else self._eager
        if not pays:
            yield None
            return
        self._done_ahead = AheadOfScan(lambda token: self.model(settings, silent, token),
                                       lambda vlm: vlm.side(_detail(settings, vlm)[1].side), _store(settings), cancel)
        with self._done_ahead as ahead:
            yield ahead

    def score(self, scan: Scan, segments: Sequence[Segment], settings: Settings, report: Report,
              cancel: CancelToken) -> Scored:
        """Score and describe every segment; see `Scorer.score`.

        Segments are reported batch by batch as the model answers; their scores are provisional then, its own reading
        squashed to 0 to 1, since what counts is how they compare with all others. `notes` has what the model says of
        the whole video. Raises ModelError, Cancelled.
        """
        # What is asked for is looked for here; the signals need not say that they can't.
        measured = self._signals.score(scan, segments, replace(settings, query=None), silent, cancel)
        ahead, self._done_ahead = self._done_ahead, None
        if ahead is not None and ahead.error is not None:
            raise ahead.error
        vlm = SmolVLM(self.model(settings, report, cancel))
        with vlm.loaded.held(report, cancel), vlm.stopping(cancel):
            ready = ahead.ready if ahead is not None else {}
            return _Run(vlm, scan, measured, settings, report, cancel, ready).score(segments)


def _detail(settings: Settings, vlm: SmolVLM) -> tuple[str, Detail]:
    """How closely to look, and what that is called."""
    name = _DETAIL_OF[vlm.loaded.device] if settings.detail == "auto" else settings.detail
    return name, DETAILS[name]


def _store(settings: Settings) -> Store:
    """Where features and answers are kept."""
    return Store(settings.cache_dir / "smolvlm2" if settings.cache else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Opinion:
    """What the model thinks of all segments by one thing that it was asked.

    values: 0 to 1, one a segment
    same: whether it thinks the same of all
    texts: what it writes of each, whatever it was asked
    """

    asked: Asked
    values: FloatTrack
    same: bool
    texts: tuple[str, ...]


class _Run:
    """One video under one model's eyes."""

    def __init__(self, vlm: SmolVLM, scan: Scan, measured: Scored, settings: Settings, report: Report,
                 cancel: CancelToken, ready: MutableMapping[str, Ready]) -> None:
        self._vlm, self._scan, self._measured, self._fusion = vlm, scan, measured, settings.fusion
        self._report, self._cancel = report, cancel
        self._detail_name, self._detail = _detail(settings, vlm)
        store = _store(settings)
        self._gallery = Gallery(vlm, store, vlm.side(self._detail.side), scan.frames, ready)
        self._asker = Asker(vlm, store, self._gallery.side)
        plain = (vlm.plain(query) for query in settings.queries)
        self._queries = tuple(dict.fromkeys(query for query in plain if query))
        self._share = 0.0
        # What a person asks for goes before what makes a highlight in other videos of this kind.
        self._highlight = vlm.plain(settings.highlight or "") or None

    def score(self, segments: Sequence[Segment]) -> Scored:
        """Looks, understands, judges and fuses."""
        measured = self._measured
        shown = self._look(segments)
        asked = [Asked(self._understand(shown, query), query) for query in self._queries]
        wishes = self._judge(shown, asked, (_UNDERSTOOD, _ANSWERED)) if asked else []
        found = [wish for wish in wishes if self._is_found(wish, shown)]
        guiding = found or self._judge(shown, [Asked(self._understand(shown, None), None)],
                                       (_ANSWERED if asked else _UNDERSTOOD, 1.0))
        values, same = fusion.best_of([(opinion.values, opinion.same) for opinion in guiding])
        part, weight = ("query", self._fusion.query) if found else ("vlm", self._fusion.vlm)
        words = [questions.tidy(text) or old.description
                 for text, old in zip(guiding[0].texts, measured.segments, strict=True)]
        fused, curve, flat = fusion.fuse(part, values, same, measured, weight, self._fusion.signals, words)
        loaded = self._vlm.loaded
        # That the signals alone tell nothing is no news once the model does.
        heard = () if measured.flat and not flat else measured.warnings
        return Scored(
            fused, curve, ScorerInfo("smolvlm2", loaded.name, loaded.revision, loaded.device, loaded.dtype), flat,
            (*heard, *self._gallery.warnings, *_missed(wishes, found)),
            {**measured.notes, "summary": guiding[0].asked.context.summary,
             "highlight": " ".join(opinion.asked.context.highlight for opinion in guiding),
             "query": "; ".join(self._queries) or None, **_answers(wishes, found), "detail": self._detail_name,
             "image_side": self._gallery.side, "frames_encoded": self._gallery.encoded},
            tuple(Wish(str(wish.asked.query), fusion.per_second(segments, wish.values, len(curve)), wish in found)
                  for wish in wishes),
            self._looks(segments, shown, len(curve)))

    def _look(self, segments: Sequence[Segment]) -> list[tuple[int, ...]]:
        """Encodes what will be shown, and returns for each segment the numbers of its frames."""
        times = [frame.time_s for frame in self._scan.frames]
        chosen = [pixels.spread(times, segment.start_s, segment.end_s, self._detail.frames) if times else []
                  for segment in segments]
        for share in self._gallery.fill([index for indices in chosen for index in indices], self._cancel):
            self._tell(share * _ENCODED, "looking at frames")
        return [self._gallery.usable(indices) for indices in chosen]

    def _understand(self, shown: Sequence[tuple[int, ...]], query: str | None) -> Context:
        """What the whole video is, from a few of the frames that are encoded anyway."""
        seen = sorted({index for indices in shown for index in indices})
        if not seen:
            return Context("", "")
        self._tell(_ENCODED, "finding out what kind of video this is")
        times = [self._scan.frames[index].time_s for index in seen]
        places = pixels.spread(times, 0, self._scan.duration_s, OVERVIEW_FRAMES)
        context = self._asker.understand(self._subject([seen[place] for place in places]), query,
                                         None if query else self._highlight)
        self._cancel.check()
        return context

    def _judge(self, shown: Sequence[tuple[int, ...]], asked: Sequence[Asked],
               shares: tuple[float, float]) -> list[_Opinion]:
        """An opinion for each thing asked; a segment without frames gets the middle of the others' and no words.

        shares: of all the work, done before and after
        """
        visible = [number for number, indices in enumerate(shown) if indices]
        subjects = [self._subject(shown[number]) for number in visible]
        blanks = {len(subject.view.features): self._blank(subject) for subject in subjects}
        found: list[Judged] = []
        if subjects:
            judging = self._asker.judge(subjects, list(blanks.values()), asked, self._cancel, found)
            for share, answers in judging:
                self._tell(shares[0] + (shares[1] - shares[0]) * share, "judging segments",
                           [self._so_far(visible[answer.number], answer, asked[0].query) for answer in answers])
        yes, rating = np.zeros((len(asked), len(shown))), np.zeros((len(asked), len(shown)))
        texts = [""] * len(shown)
        for judged in found:
            yes[:], rating[:] = np.median(judged.yes, 1)[:, None], np.median(judged.rating, 1)[:, None]
            yes[:, visible], rating[:, visible] = judged.yes, judged.rating
            for number, text in zip(visible, judged.texts, strict=True):
                texts[number] = text
        return [_Opinion(one, *fusion.seen(yes[row], rating[row], self._fusion.yes_share), tuple(texts))
                for row, one in enumerate(asked)]

    def _is_found(self, wish: _Opinion, shown: Sequence[tuple[int, ...]]) -> bool:
        """Whether one of the segments that rank first shows what was asked for."""
        ranked = sorted((number for number, indices in enumerate(shown) if indices),
                        key=lambda number: float(-wish.values[number]))[:finding.CANDIDATES]
        if not self._fusion.found_share or not ranked:
            return bool(ranked)
        self._tell(_ANSWERED, "making sure that it is there")
        query = str(wish.asked.query)
        own = [self._vlm.plain(questions.tidy(wish.texts[number])) for number in ranked]
        things = list(dict.fromkeys([query, *finding.ABSENT, *filter(None, own)]))
        odds = self._asker.odds([self._subject(shown[number]) for number in ranked], things, self._cancel)
        said = [dict(zip(things, row, strict=True)) for row in odds.tolist()]
        evidence = [finding.Evidence(row[query], tuple(row[thing] for thing in finding.ABSENT), row.get(text))
                    for row, text in zip(said, own, strict=True)]
        return finding.is_found(evidence, self._fusion.found_share)

    def _so_far(self, number: int, answer: Answer, query: str | None) -> ScoredSegment:
        """What is known of a segment when the model has just answered: its own reading for a score."""
        old = self._measured.segments[number]
        score = fusion.provisional(answer.readings, self._fusion.yes_share)
        return ScoredSegment(old.start_s, old.end_s, score, {"query" if query else "vlm": score, **old.parts},
                             questions.tidy(answer.text) or old.description)

    def _tell(self, share: float, doing: str, found: Sequence[ScoredSegment] = ()) -> None:
        """Report how far it is; never less far than before."""
        self._share = max(self._share, share)
        self._report(Progress("score", self._share, doing, tuple(found)))

    def _looks(self, segments: Sequence[Segment], shown: Sequence[tuple[int, ...]],
               seconds: int) -> npt.NDArray[np.float32] | None:
        """What is seen in each second, (seconds, hidden): the frame nearest to its middle, of the same segment where
        that has one; None where no frame could be seen.
        """
        anywhere = [index for indices in shown for index in indices]
        if not anywhere:
            return None
        known = {index: self._gallery.look(index) for index in set(anywhere)}
        starts = [segment.start_s for segment in segments]
        rows = []
        for second in range(seconds):
            middle = second + 0.5
            of = min(max(int(np.searchsorted(starts, middle, "right")) - 1, 0), len(shown) - 1)
            rows.append(known[min(shown[of] or anywhere,
                                  key=lambda index: abs(self._scan.frames[index].time_s - middle))])
        return np.stack(rows)

    def _subject(self, indices: Iterable[int]) -> Subject:
        picked = list(indices)
        times = [self._scan.frames[index].time_s for index in picked]
        text = prompt.prefix(times, self._scan.duration_s, self._vlm.image_tokens(self._gallery.side))
        return Subject(View(text, tuple(self._gallery.of(index) for index in picked)),
                       " ".join(str(self._gallery.key(index)) for index in picked))

    def _blank(self, like: Subject) -> Subject:
        count = len(like.view.features)
        return Subject(View(like.view.text, (self._gallery.blank(),) * count), f"{count} blank")


def _missed(wishes: Sequence[_Opinion], found: Sequence[_Opinion]) -> list[str]:
    """What to say of each wish that nothing answers."""
    instead = "it is left out" if found else "the reel shows its ordinary highlights"
    return [f'nothing in this video looks like "{wish.asked.query}"; {instead}' for wish in wishes
            if wish not in found]


def _answers(wishes: Sequence[_Opinion], found: Sequence[_Opinion]) -> dict[str, Any]:
    """Notes on several wishes: what became of each, and which of them each segment answers best."""
    if len(wishes) < 2:
        return {}
    best = np.argmax([wish.values for wish in found], axis=0).tolist() if found else []
    return {"wishes": [{"text": wish.asked.query, "highlight": wish.asked.context.highlight, "found": wish in found}
                       for wish in wishes],
            "answers": [found[number].asked.query for number in best]}
