"""The whole scorer with the tiny model, which really sees: drawn videos in, scores, parts and descriptions out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import Cancelled, ModelError
from pipeline.progress import CancelToken, Progress, silent
from pipeline.scorers.smolvlm2 import loading, pixels, prompt, questions
from pipeline.scorers.smolvlm2.asking import Asked, Asker, Judged, Subject
from pipeline.scorers.smolvlm2.gallery import Gallery
from pipeline.scorers.smolvlm2.model import Session, SmolVLM, View
from pipeline.scorers.smolvlm2.questions import Context
from pipeline.scorers.smolvlm2.scorer import DETAILS, SmolVLM2Scorer
from pipeline.scorers.smolvlm2.store import Store
from pipeline.settings import FusionWeights, Settings
from pipeline.types import SampledFrame, Scan, Scored
from tests.smolvlm2_support import (
    BLUE,
    GREEN,
    RED,
    TINY,
    YELLOW,
    Measured,
    as_array,
    backdrop,
    draw,
    flat_signals,
    scan_of,
    tiles,
    tiny,
    tiny_vlm,
)

# What is seen in each of twelve scenes of four seconds.
SCENES = ["", "blue square", "red circle", "", "green triangle", "red square", "red circle", "yellow circle", "",
          "blue square", "red circle", "green circle"]
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE, "yellow": YELLOW}
CIRCLES = [index for index, seen in enumerate(SCENES) if seen == "red circle"]
SQUARES = [index for index, seen in enumerate(SCENES) if seen == "blue square"]


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every machine computes alike, whatever its processor is best at."""
    monkeypatch.setattr(loading, "choose_dtype", lambda _: "float32")


def images() -> list[Image.Image]:
    """Four frames of each scene; what is seen moves a little."""
    made = []
    for index, seen in enumerate(SCENES):
        for frame in range(4):
            image = backdrop(100 + index)
            if seen:
                colour, shape = seen.split()
                image = draw(image, shape, COLOURS[colour], 0.3 + 0.1 * frame, 0.5, 0.45)
            made.append(image)
    return made


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    return scan_of(images(), tmp_path / "frames")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(scorer="smolvlm2", model=str(TINY), device="cpu", cache_dir=tmp_path / "cache")


def run(scan: Scan, settings: Settings, signals: Measured | None = None) -> Scored:
    segments = tiles(scan.duration_s, 4)
    return SmolVLM2Scorer(signals or Measured()).score(scan, segments, settings, silent, CancelToken())


def best(scored: Scored, count: int) -> list[int]:
    """Numbers of the best segments, in time order."""
    scores = [segment.score for segment in scored.segments]
    return sorted(np.argsort(scores)[::-1][:count].tolist())


def values(scored: Scored) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([segment.score for segment in scored.segments])


def test_highlights_are_found_by_sight(scan: Scan, settings: Settings) -> None:
    scored = run(scan, settings)
    assert best(scored, 3) == CIRCLES
    assert values(scored)[CIRCLES].min() > np.delete(values(scored), CIRCLES).max() + 0.2
    assert all(0 <= segment.score <= 1 for segment in scored.segments)
    assert scored.notes["highlight"] == "A red circle."
    assert scored.notes["query"] is None


def test_a_query_moves_the_ranking(scan: Scan, settings: Settings) -> None:
    scored = run(scan, replace(settings, query="a blue square"))
    assert best(scored, 2) == SQUARES
    assert set(scored.segments[0].parts) == {"query", "motion"}
    assert scored.notes["query"] == "a blue square"
    assert scored.notes["highlight"] == "A blue square."


def test_the_highlight_that_the_model_wrote_is_what_it_looks_for(
        scan: Scan, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asker, "understand", lambda *_: Context("Shapes.", "A yellow circle."))
    assert best(run(scan, settings), 1) == [SCENES.index("yellow circle")]


def test_a_highlight_that_is_given_is_not_asked_for(scan: Scan, settings: Settings,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    given = replace(settings, highlight="A yellow circle.")
    assert best(run(scan, replace(given, query="a blue square")), 2) == SQUARES
    monkeypatch.setattr("pipeline.scorers.smolvlm2.questions.what_is_a_highlight", None)
    scored = run(scan, given)
    assert best(scored, 1) == [SCENES.index("yellow circle")]
    assert scored.notes["highlight"] == "A yellow circle."


def test_every_segment_is_described(scan: Scan, settings: Settings) -> None:
    said = [segment.description for segment in run(scan, settings).segments]
    expected = [f"A {seen}." if seen else "Nothing but background." for seen in SCENES]
    assert sum(one == other for one, other in zip(said, expected, strict=True)) >= 11


def test_words_fall_back_to_the_signals(scan: Scan, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.scorers.smolvlm2.questions.tidy", lambda _: "")
    assert [segment.description for segment in run(scan, settings).segments] == [f"moving {i}" for i in range(12)]


def test_the_plan_learns_who_spoke(scan: Scan, settings: Settings) -> None:
    scored = run(scan, settings)
    assert scored.scorer.name == "smolvlm2"
    assert scored.scorer.model == str(TINY)
    assert scored.scorer.revision == tiny().revision
    assert (scored.scorer.device, scored.scorer.dtype) == ("cpu", "float32")
    assert len(scored.curve) == 48
    assert scored.curve[8:12].mean() > scored.curve[0:4].mean() + 0.2


def test_signals_are_fused_by_their_weights(scan: Scan, settings: Settings) -> None:
    loud = [0.1] * 12
    loud[0] = 1.0
    only = replace(settings, fusion=FusionWeights(vlm=0.0, query=1.0, signals=1.0))
    assert best(run(scan, only, Measured(loud)), 1) == [0]
    assert best(run(scan, settings, Measured(loud)), 3) == CIRCLES


def test_a_second_run_looks_at_nothing_and_agrees(scan: Scan, settings: Settings, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = run(scan, replace(settings, cache=False))
    first = run(scan, settings)
    assert first.notes["frames_encoded"] == 30
    monkeypatch.setattr(SmolVLM, "features", None)
    monkeypatch.setattr(pixels, "read_picture", None)
    other = run(scan, replace(settings, query="a green triangle"))
    assert best(other, 1) == [4]
    assert other.notes["frames_encoded"] == 0
    monkeypatch.setattr(SmolVLM, "open", None)
    second = run(scan, settings)
    np.testing.assert_allclose(values(second), values(first), atol=1e-9)
    np.testing.assert_allclose(values(fresh), values(first), atol=1e-3)
    assert [s.description for s in second.segments] == [s.description for s in fresh.segments]


def test_batches_of_one_give_the_same_scores(scan: Scan, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    together = run(scan, replace(settings, cache=False))
    monkeypatch.setattr(SmolVLM, "room", lambda *_: 1)
    monkeypatch.setattr("pipeline.scorers.smolvlm2.gallery.BATCH", {"cpu": 1})
    alone = run(scan, replace(settings, cache=False))
    np.testing.assert_allclose(values(alone), values(together), atol=1e-3)
    assert [s.description for s in alone.segments] == [s.description for s in together.segments]


def test_too_little_memory_changes_nothing(scan: Scan, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(scan, replace(settings, cache=False))
    opened, featured = SmolVLM.open, SmolVLM.features

    def open_small(self, views):  # type: ignore[no-untyped-def]
        if len(views) > 3:
            raise MemoryError
        return opened(self, views)

    def feature_small(self, frames):  # type: ignore[no-untyped-def]
        if len(frames) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return featured(self, frames)

    monkeypatch.setattr(SmolVLM, "open", open_small)
    monkeypatch.setattr(SmolVLM, "features", feature_small)
    np.testing.assert_allclose(values(run(scan, replace(settings, cache=False))), values(expected), atol=1e-3)


def test_a_damaged_store_is_passed_over(scan: Scan, settings: Settings) -> None:
    first = run(scan, settings)
    for path in (settings.cache_dir / "smolvlm2").rglob("*.*"):
        path.write_bytes(b"x")
    np.testing.assert_allclose(values(run(scan, settings)), values(first), atol=1e-9)


def test_nothing_to_see_is_flat(tmp_path: Path, settings: Settings) -> None:
    scored = run(scan_of([backdrop(5)] * 24, tmp_path / "still"), settings)
    assert scored.flat
    assert scored.notes["frames_encoded"] == 1


def test_repeated_shots_look_alike_and_others_do_not(tmp_path: Path, settings: Settings) -> None:
    """Twenty seconds are shown again at the end, in a worse quality."""
    shown = images()
    for number, image in enumerate(shown[8:28]):
        image.save(tmp_path / f"{number}.jpg", quality=50)
        shown.append(Image.open(tmp_path / f"{number}.jpg"))
    scored = run(scan_of(shown, tmp_path / "repeated"), settings)
    assert scored.looks is not None and scored.looks.shape == (68, 96) and scored.looks.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(scored.looks, axis=1), 1, atol=1e-5)
    alike = scored.looks @ scored.looks.T
    scene = np.array([*range(12), *range(2, 7)]).repeat(4)
    same = scene[:, None] == scene[None, :]
    repeats = alike[np.arange(8, 28), np.arange(48, 68)]
    assert repeats.min() > settings.duplicate_similarity_seen > np.percentile(alike[~same], 99.9)
    assert np.median(alike[~same]) < 0.8


def test_a_look_is_of_the_second_in_its_own_segment(scan: Scan, settings: Settings) -> None:
    for frame in scan.frames[20:24]:
        frame.path.unlink()
    looks = run(scan, settings).looks
    assert looks is not None
    for cut in (4, 8, 12, 16):
        assert looks[cut - 1] @ looks[cut] < 0.98
    # Three frames of the four seconds are looked at; each second takes its own or its neighbour's.
    assert all(len(np.unique(looks[first:first + 4].round(5), axis=0)) == 3 for first in (4, 8, 16))
    # Of a segment without frames the nearest before or after is taken.
    np.testing.assert_array_equal(looks[20], looks[19])
    np.testing.assert_array_equal(looks[23], looks[24])


def test_frames_that_cannot_be_read_are_left_out(scan: Scan, settings: Settings) -> None:
    scan.frames[9].path.write_bytes(b"no picture")
    for frame in scan.frames[20:24]:
        frame.path.unlink()
    scored = run(scan, settings)
    assert best(scored, 3) == CIRCLES
    assert len(scored.warnings) == 4
    assert "9.5 s can't be read" in " ".join(scored.warnings)
    assert scored.segments[5].description == "moving 5"


@pytest.mark.parametrize("frames", [(), (SampledFrame(0.5, Path("/absent.jpg")),)])
def test_a_video_of_which_nothing_can_be_seen(settings: Settings, scan: Scan, frames: tuple[SampledFrame, ...]) -> None:
    blind = Scan(48.0, 48, scan.scenes, flat_signals(48), frames)
    scored = run(blind, settings, Measured([0.1] * 11 + [0.9]))
    assert [segment.score for segment in scored.segments] == [0.1] * 11 + [0.9]
    assert not scored.flat and scored.looks is None


def test_one_segment_only(tmp_path: Path, settings: Settings) -> None:
    scored = run(scan_of([draw(backdrop(1), "circle", RED)] * 4, tmp_path / "one"), settings)
    assert len(scored.segments) == 1
    assert scored.segments[0].description == "A red circle."


def test_several_queries_are_judged_each_on_its_own(scan: Scan, settings: Settings) -> None:
    alone = {query: run(scan, replace(settings, query=query)) for query in ("a blue square", "a green triangle")}
    both = run(scan, replace(settings, query="a blue square; a green triangle;"))
    assert best(both, 3) == sorted([*SQUARES, SCENES.index("green triangle")])
    assert [(wish.text, wish.found) for wish in both.wishes] == [(query, True) for query in alone]
    for wish, (query, scored) in zip(both.wishes, alone.items(), strict=True):
        np.testing.assert_allclose(wish.curve, scored.wishes[0].curve, atol=1e-3)
        assert wish.curve.shape == both.curve.shape and SCENES[int(np.argmax(wish.curve)) // 4] == query[2:]
    highest = np.max([[segment.parts["query"] for segment in scored.segments] for scored in alone.values()], axis=0)
    np.testing.assert_allclose([segment.parts["query"] for segment in both.segments], highest, atol=1e-3)
    assert [both.notes["answers"][number] for number in (1, 4)] == list(alone)
    assert both.warnings == ()


def test_further_queries_share_the_frames(scan: Scan, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    original = SmolVLM.open
    monkeypatch.setattr(SmolVLM, "open", lambda self, views: opened.append(len(views)) or original(self, views))
    counts = []
    for query in ("a blue square", "a blue square;a red circle;a green triangle;a yellow circle"):
        opened.clear()
        scored = run(scan, replace(settings, query=query, cache=False, fusion=FusionWeights(found_share=0)))
        assert scored.notes["frames_encoded"] == 30
        counts.append(sum(opened))
    # Of each further one only what makes a highlight by it needs the overview's frames once more.
    assert counts[1] <= counts[0] + 3


def test_nothing_is_described_twice(scan: Scan, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[int] = []
    original = Session.write

    def write(self: Session, text: str, most: int) -> list[str]:
        described.extend([1] * len(self._mask) if questions.DESCRIBE in text else [])
        return original(self, text, most)

    monkeypatch.setattr(Session, "write", write)
    scored = run(scan, replace(settings, query="a person who laughs", cache=False))
    assert not scored.wishes[0].found and len(described) == 12


@pytest.mark.parametrize("query", ["a red triangle", "a person who laughs", "zxqv", "a goal"])
def test_what_is_nowhere_is_said_and_changes_nothing(scan: Scan, settings: Settings, query: str) -> None:
    ordinary = run(scan, settings)
    scored = run(scan, replace(settings, query=query))
    assert scored.warnings == (f'nothing in this video looks like "{query}"; the reel shows its ordinary highlights',)
    assert [(wish.text, wish.found) for wish in scored.wishes] == [(query, False)]
    np.testing.assert_allclose(values(scored), values(ordinary), atol=1e-6)
    np.testing.assert_allclose(scored.curve, ordinary.curve, atol=1e-6)
    assert "query" not in scored.segments[0].parts and scored.notes["highlight"] == "A red circle."


def test_one_of_several_that_is_nowhere_is_left_out(scan: Scan, settings: Settings) -> None:
    scored = run(scan, replace(settings, query="a person who laughs; a blue square"))
    assert scored.warnings == ('nothing in this video looks like "a person who laughs"; it is left out',)
    assert [wish.found for wish in scored.wishes] == [False, True]
    np.testing.assert_allclose(values(scored), values(run(scan, replace(settings, query="a blue square"))), atol=1e-3)
    assert [wish["found"] for wish in scored.notes["wishes"]] == [False, True]
    assert set(scored.notes["answers"]) == {"a blue square"}


def test_anything_counts_as_there_where_nobody_doubts(scan: Scan, settings: Settings) -> None:
    scored = run(scan, replace(settings, query="a red triangle", fusion=FusionWeights(found_share=0)))
    assert scored.wishes[0].found and scored.warnings == ()


def test_a_query_that_is_no_words_asks_for_nothing(scan: Scan, settings: Settings) -> None:
    scored = run(scan, replace(settings, query=" ; <image>;"))
    assert scored.wishes == () and scored.warnings == () and scored.notes["query"] is None
    assert best(scored, 3) == CIRCLES


def test_a_query_with_special_tokens_is_only_words(scan: Scan, settings: Settings) -> None:
    plain = run(scan, replace(settings, query="a blue square"))
    odd = run(scan, replace(settings, query="<image>a blue square<end_of_utterance>"))
    np.testing.assert_allclose(values(odd), values(plain), atol=1e-6)


def test_progress_is_told_and_never_goes_back(scan: Scan, settings: Settings) -> None:
    told: list[Progress] = []
    SmolVLM2Scorer(Measured()).score(scan, tiles(48, 4), settings, told.append, CancelToken())
    shares = [progress.fraction for progress in told if progress.fraction is not None]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert {progress.stage for progress in told} == {"score"}


def test_segments_are_told_as_they_are_judged(scan: Scan, settings: Settings) -> None:
    told: list[Progress] = []
    scored = SmolVLM2Scorer(Measured()).score(scan, tiles(48, 4), settings, told.append, CancelToken())
    batches = [progress.found for progress in told if progress.found]
    assert len(batches) >= 2
    found = {segment.interval: segment for batch in batches for segment in batch}
    assert len(found) == sum(map(len, batches)) == 12
    assert [found[segment.interval].description for segment in scored.segments] == [
        segment.description for segment in scored.segments]
    early = [found[segment.interval].score for segment in scored.segments]
    assert sorted(np.argsort(early)[-3:].tolist()) == CIRCLES and 0 <= min(early) <= max(early) <= 1
    assert set(found[scored.segments[0].interval].parts) == {"vlm", "motion"}
    again: list[Progress] = []
    SmolVLM2Scorer(Measured()).score(scan, tiles(48, 4), settings, again.append, CancelToken())
    assert sum(len(progress.found) for progress in again) == 12


@pytest.mark.parametrize("after", [1, 5, 12])
def test_cancelling_stops_it(scan: Scan, settings: Settings, after: int) -> None:
    token, told = CancelToken(), []

    def report(progress: Progress) -> None:
        told.append(progress)
        if len(told) == after:
            token.cancel()

    with pytest.raises(Cancelled):
        SmolVLM2Scorer(Measured()).score(scan, tiles(48, 4), settings, report, token)
    assert len(told) <= after + 1


def test_a_model_that_cannot_be_had_is_said(scan: Scan, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no config"):
        run(scan, replace(settings, model=str(tmp_path)))


def test_detail_sets_frames_and_side(scan: Scan, settings: Settings) -> None:
    fast, full = (run(scan, replace(settings, detail=detail)) for detail in ("fast", "full"))
    assert (fast.notes["detail"], full.notes["detail"]) == ("fast", "full")
    assert run(scan, settings).notes["detail"] == "fast"
    assert full.notes["frames_encoded"] == 9
    assert DETAILS["balanced"].side == 384


def test_near_copies_are_encoded_once(tmp_path: Path) -> None:
    still, moved = backdrop(1), draw(backdrop(1), "circle", RED)
    scan = scan_of([still, still, moved, moved, still], tmp_path / "frames")
    gallery = Gallery(tiny_vlm(), Store(None), 64, scan.frames)
    assert list(gallery.fill(range(5), CancelToken()))[-1] == 1
    assert gallery.encoded == 3
    np.testing.assert_array_equal(gallery.of(1), gallery.of(0))
    assert not np.array_equal(gallery.of(2), gallery.of(0))


def test_features_are_kept_by_content_and_side(tmp_path: Path) -> None:
    scan = scan_of([backdrop(1)], tmp_path / "frames")
    sides = [Gallery(tiny_vlm(), Store(tmp_path), side, scan.frames) for side in (64, 32, 64)]
    for gallery in sides:
        list(gallery.fill([0], CancelToken()))
    assert [gallery.encoded for gallery in sides] == [1, 1, 0]
    assert sides[0].of(0).dtype == np.float16
    np.testing.assert_array_equal(sides[0].of(0), sides[2].of(0))
    straight = tiny_vlm().features([pixels.to_pixels(as_array(Image.open(scan.frames[0].path)), 64)])[0]
    np.testing.assert_array_equal(sides[2].of(0), straight)


def test_what_is_said_of_blank_frames_is_taken_off() -> None:
    gallery = Gallery(tiny_vlm(), Store(None), 64, ())
    seen = tuple(tiny_vlm().features([pixels.to_pixels(as_array(draw(backdrop(1), "circle", RED)), 64)]))
    texts = [prompt.prefix([1.0 + second for second in range(count)], 9.0, 4) for count in (1, 2)]
    blanks = [Subject(View(text, (gallery.blank(),) * count), f"{count} blank")
              for text, count in zip(texts, (1, 2), strict=True)]
    found: list[Judged] = []
    asker = Asker(tiny_vlm(), Store(None), 64)
    subjects = [*blanks, Subject(View(texts[0], seen), "red")]
    asked = [Asked(Context("", "A red circle."), None), Asked(Context("", ""), "a blue square")]
    steps = list(asker.judge(subjects, blanks, asked, CancelToken(), found))
    assert steps[-1][0] == 1
    assert sorted(answer.number for _, answers in steps for answer in answers) == [0, 1, 2]
    np.testing.assert_allclose(found[0].yes[:, :2], 0, atol=1e-4)
    np.testing.assert_allclose(found[0].rating[:, :2], 0, atol=1e-4)
    assert found[0].yes[0, 2] > 2 and found[0].yes[1, 2] < found[0].yes[0, 2] - 2
    assert found[0].rating[0, 2] > 1
