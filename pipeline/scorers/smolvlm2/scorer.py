"""The scorer that looks: it learns what kind of video this is, then judges and describes every segment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.scorers.base import Scorer
from pipeline.scorers.smolvlm2 import fusion, pixels, prompt, questions
from pipeline.scorers.smolvlm2.asking import Asker, Judged, Subject
from pipeline.scorers.smolvlm2.gallery import Gallery
from pipeline.scorers.smolvlm2.loading import Loaded, load, locate
from pipeline.scorers.smolvlm2.model import SmolVLM, View
from pipeline.scorers.smolvlm2.questions import Context
from pipeline.scorers.smolvlm2.store import Store
from pipeline.settings import Settings
from pipeline.types import Scan, Scored, ScorerInfo, Segment

OVERVIEW_FRAMES = 8
# Shares of the work that are done when frames are encoded, and when the video is understood.
_ENCODED, _UNDERSTOOD = 0.6, 0.65


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
    """

    name = "smolvlm2"

    def __init__(self, signals: Scorer) -> None:
        self._signals = signals

    def identity(self, settings: Settings, report: Report, cancel: CancelToken) -> str:
        """Name, revision and device of the model, found or fetched but not loaded; as `Scorer.identity`."""
        device, found = locate(settings.model, settings.device, report, cancel)
        return f"{found.name} {found.revision} {device}"

    def model(self, settings: Settings, report: Report, cancel: CancelToken) -> Loaded:
        """The model that scores, loaded; raises ModelError and Cancelled."""
        return load(settings.model, settings.device, report, cancel)

    def score(self, scan: Scan, segments: Sequence[Segment], settings: Settings, report: Report,
              cancel: CancelToken) -> Scored:
        """Score and describe every segment; see `Scorer.score`.

        `notes` has what the model says of the whole video. Raises ModelError, Cancelled.
        """
        measured = self._signals.score(scan, segments, settings, silent, cancel)
        vlm = SmolVLM(self.model(settings, report, cancel))
        with vlm.stopping(cancel):
            return _Run(vlm, scan, settings, report, cancel).score(segments, measured)


class _Run:
    """One video under one model's eyes."""

    def __init__(self, vlm: SmolVLM, scan: Scan, settings: Settings, report: Report, cancel: CancelToken) -> None:
        self._vlm, self._scan, self._fusion = vlm, scan, settings.fusion
        self._report, self._cancel = report, cancel
        self._detail_name = _DETAIL_OF[vlm.loaded.device] if settings.detail == "auto" else settings.detail
        self._detail = DETAILS[self._detail_name]
        store = Store(settings.cache_dir / "smolvlm2" if settings.cache else None)
        self._gallery = Gallery(vlm, store, vlm.side(self._detail.side), scan.frames)
        self._asker = Asker(vlm, store, self._gallery.side)
        self._query = vlm.plain(settings.query or "") or None

    def score(self, segments: Sequence[Segment], measured: Scored) -> Scored:
        """Looks, understands, judges and fuses."""
        shown = self._look(segments)
        context = self._understand(shown)
        judged = self._judge(shown, context)
        values, same = fusion.seen(judged.yes, judged.rating, self._fusion.yes_share)
        part, weight = ("query", self._fusion.query) if self._query else ("vlm", self._fusion.vlm)
        words = [questions.tidy(text) or old.description
                 for text, old in zip(judged.texts, measured.segments, strict=True)]
        fused, curve, flat = fusion.fuse(part, values, same, measured, weight, self._fusion.signals, words)
        loaded = self._vlm.loaded
        # That the signals alone tell nothing is no news once the model does.
        heard = () if measured.flat and not flat else measured.warnings
        return Scored(fused, curve, ScorerInfo("smolvlm2", loaded.name, loaded.revision, loaded.device, loaded.dtype),
                      flat, (*heard, *self._gallery.warnings),
                      {**measured.notes, "summary": context.summary, "highlight": context.highlight,
                       "query": self._query, "detail": self._detail_name, "image_side": self._gallery.side,
                       "frames_encoded": self._gallery.encoded})

    def _look(self, segments: Sequence[Segment]) -> list[tuple[int, ...]]:
        """Encodes what will be shown, and returns for each segment the numbers of its frames."""
        times = [frame.time_s for frame in self._scan.frames]
        chosen = [pixels.spread(times, segment.start_s, segment.end_s, self._detail.frames) if times else []
                  for segment in segments]
        for share in self._gallery.fill([index for indices in chosen for index in indices], self._cancel):
            self._report(Progress("score", share * _ENCODED, "looking at frames"))
        return [self._gallery.usable(indices) for indices in chosen]

    def _understand(self, shown: Sequence[tuple[int, ...]]) -> Context:
        """What the whole video is, from a few of the frames that are encoded anyway."""
        seen = sorted({index for indices in shown for index in indices})
        if not seen:
            return Context("", "")
        self._report(Progress("score", _ENCODED, "finding out what kind of video this is"))
        times = [self._scan.frames[index].time_s for index in seen]
        places = pixels.spread(times, 0, self._scan.duration_s, OVERVIEW_FRAMES)
        context = self._asker.understand(self._subject([seen[place] for place in places]), self._query)
        self._cancel.check()
        return context

    def _judge(self, shown: Sequence[tuple[int, ...]], context: Context) -> Judged:
        """The model's judgement of each segment; one without frames gets the middle of the others' and no words."""
        visible = [number for number, indices in enumerate(shown) if indices]
        subjects = [self._subject(shown[number]) for number in visible]
        blanks = {len(subject.view.features): self._blank(subject) for subject in subjects}
        found: list[Judged] = []
        if subjects:
            asking = self._asker.judge(subjects, list(blanks.values()), context, self._query, self._cancel, found)
            for share in asking:
                self._report(Progress("score", _UNDERSTOOD + (1 - _UNDERSTOOD) * share, "judging segments"))
        yes, rating = np.zeros(len(shown)), np.zeros(len(shown))
        texts = [""] * len(shown)
        for judged in found:
            yes[:], rating[:] = np.median(judged.yes), np.median(judged.rating)
            yes[visible], rating[visible] = judged.yes, judged.rating
            for number, text in zip(visible, judged.texts, strict=True):
                texts[number] = text
        return Judged(yes, rating, tuple(texts))

    def _subject(self, indices: Iterable[int]) -> Subject:
        picked = list(indices)
        times = [self._scan.frames[index].time_s for index in picked]
        text = prompt.prefix(times, self._scan.duration_s, self._vlm.image_tokens(self._gallery.side))
        return Subject(View(text, tuple(self._gallery.of(index) for index in picked)),
                       " ".join(str(self._gallery.key(index)) for index in picked))

    def _blank(self, like: Subject) -> Subject:
        count = len(like.view.features)
        return Subject(View(like.view.text, (self._gallery.blank(),) * count), f"{count} blank")
