"""A person's corrections: what each does, what it refuses, and that no row of them gives a plan that can't be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app import edits
from app.edits import Draft, EditError, History
from pipeline import Analysis, Clip, Plan, Settings, SmolReelError
from pipeline.media.probe import probe
from pipeline.plan import PlanVideo
from pipeline.types import Scan, Scene, Scored, ScoredSegment, ScorerInfo, Signals
from tests.making import textured, write_video

# A minute with a cut every 10 s; its segments are 5 s long.
LENGTH_S, FPS = 60.0, 25.0
SCENES = tuple(Scene(a, a + 10.0) for a in range(0, 60, 10))
SEGMENTS = tuple(ScoredSegment(a, a + 5.0, round((a * 7 % 60) / 60, 3), {"motion": 0.5}, f"seen at {a}")
                 for a in range(0, 60, 5))


def clip(start_s: float, end_s: float) -> Clip:
    """A clip as the selection would give it."""
    return Clip(start_s, end_s, 0.5, f"seen at {start_s:g}", "the best of its part")


def draft(*bounds: tuple[float, float], **more: object) -> Draft:
    """A draft of the minute, with these clips; three of them where none are given."""
    clips = tuple(clip(*each) for each in bounds or ((2.0, 6.0), (12.0, 16.0), (31.0, 35.0)))
    plan = Plan(PlanVideo("minute.mp4", None, LENGTH_S, FPS), clips, Settings().to_json(), ScorerInfo("signals"),
                SCENES, SEGMENTS, tuple([0.5] * 60))
    return edits.begin(plan, **more)  # type: ignore[arg-type]


def shown(made: Draft) -> list[tuple[float, float]]:
    """Bounds of the clips, to the millisecond."""
    return [(round(c.start_s, 3), round(c.end_s, 3)) for c in made.clips]


def test_a_draft_is_the_plan_as_it_is() -> None:
    made = draft()
    assert made.clips == made.plan.clips and made.duration_s == 12.0 and made.settings == Settings()
    assert edits.plan_of(made) == made.plan and not edits.is_exact(made) and edits.problems(made) == ()


def test_leaving_out() -> None:
    made = edits.leave_out(draft(), 1)
    assert shown(made) == [(2, 6), (31, 35)] and made.left_out == ((12.0, 16.0),) and made.duration_s == 8
    # What was left out is offered last, however good it was.
    assert edits.alternatives(made)[-1].start_s == 10


def test_leaving_all_out_says_what_to_do() -> None:
    made = edits.leave_out(draft((2.0, 6.0)), 0)
    assert made.duration_s == 0 and "take one in" in edits.problems(made)[0]
    with pytest.raises(EditError, match="take one in, or undo"):
        edits.plan_of(made)


def test_taking_in_goes_by_time() -> None:
    made = edits.take_in(draft(), 4)
    # Half a frame is kept away from the cut at 20 s.
    assert shown(made) == [(2, 6), (12, 16), (20.02, 25), (31, 35)]
    assert made.clips[2].reason == edits.TOOK_IN and made.clips[2].description == "seen at 20"
    assert made.taken_in == ((20.02, 25.0),) and edits.is_exact(made)
    assert edits.render_settings(made).copy_tolerance_s < 0.1


def test_taking_in_what_is_partly_shown_takes_the_rest() -> None:
    made = edits.take_in(draft(), 1)
    assert shown(made)[:2] == [(2, 6), (6, 9.98)]
    with pytest.raises(EditError, match="clip 3 shows it already"):
        edits.take_in(draft(), 6)
    with pytest.raises(EditError, match="no scene number 13"):
        edits.take_in(draft(), 12)


def test_taking_in_again_what_was_left_out() -> None:
    made = edits.take_in(edits.leave_out(draft(), 1), 2)
    assert shown(made)[1] == (10.02, 15) and made.left_out == ((15.0, 16.0),)


def test_taking_in_among_clips_that_were_moved() -> None:
    turned = edits.move(draft(), 0, 2)
    assert shown(edits.take_in(turned, 4)) == [(12, 16), (20.02, 25), (31, 35), (2, 6)]


def test_holes_are_not_on_offer() -> None:
    made = draft(holes=(Scene(40.0, 60.0),))
    assert max(segment.end_s for segment in edits.alternatives(made)) <= 40
    with pytest.raises(EditError, match="the file shows nothing there"):
        edits.take_in(made, 9)


def test_alternatives_are_those_that_can_be_taken_in_best_first() -> None:
    made = draft()
    offered = edits.alternatives(made)
    assert [s.score for s in offered] == sorted((s.score for s in offered), reverse=True)
    for segment in offered:
        assert edits.take_in(made, edits.index_of(made, segment)).duration_s > made.duration_s
    for segment in (segment for segment in SEGMENTS if segment not in offered):
        with pytest.raises(EditError):
            edits.take_in(made, SEGMENTS.index(segment))


@pytest.mark.parametrize(("start_by", "end_by", "bounds"), [
    (-0.5, 0.0, (11.5, 16.0)), (0.3, 0.0, (12.3, 16.0)), (0.0, 0.7, (12.0, 16.7)), (0.0, -1.2, (12.0, 14.8)),
    (-0.1, 0.1, (11.9, 16.1)), (0.26, 0.0, (12.3, 16.0)),
])
def test_trimming_in_tenths_both_ways(start_by: float, end_by: float, bounds: tuple[float, float]) -> None:
    made = edits.trim(draft(), 1, start_by, end_by)
    assert shown(made)[1] == bounds and made.clips[1].reason == edits.TRIMMED and made.note == ""
    assert len(made.trimmed) == 1 and edits.is_exact(made)


def test_trimming_twice_remembers_the_last() -> None:
    made = edits.trim(edits.trim(edits.take_in(draft(), 4), 2, 0.5), 2, 0.0, -0.5)
    assert made.taken_in == () and made.trimmed == ((made.clips[2].start_s, made.clips[2].end_s),)


def test_a_trim_may_cross_a_cut_and_says_so() -> None:
    made = edits.trim(draft(), 1, -3.0)
    assert shown(made)[1] == (9, 16) and made.note == "clip 2 crosses the cut at 0:10.0"


@pytest.mark.parametrize(("number", "start_by", "end_by", "bounds", "said"), [
    (0, -5.0, 0.0, (0, 6), "clip 1 starts at the beginning of the video"),
    (2, 0.0, 99.0, (31, 60), "clip 3 ends at the end of the video"),
    (1, -9.0, 0.0, (6, 16), "clip 2 starts where clip 1 ends"),
    (1, 0.0, 20.0, (12, 31), "clip 2 ends where clip 3 starts"),
])
def test_a_trim_stops_and_says_where(number: int, start_by: float, end_by: float, bounds: tuple[float, float],
                                     said: str) -> None:
    made = edits.trim(draft(), number, start_by, end_by)
    assert shown(made)[number] == bounds and made.note.startswith(said)


def test_a_neighbour_in_the_source_need_not_be_one_in_the_reel() -> None:
    turned = edits.move(draft(), 2, -2)
    made = edits.trim(turned, 1, 0.0, 20.0)
    assert shown(made)[1] == (2, 12) and "clip 1 ends" not in made.note and "where clip 3 starts" in made.note


@pytest.mark.parametrize(("change", "said"), [
    (lambda d: edits.trim(d, 1, 3.7), "at least 0.5 s long"),
    (lambda d: edits.trim(d, 1, 5.0), "at least 0.5 s long"),
    (lambda d: edits.trim(d, 1, 0.04), "like that already"),
    (lambda d: edits.trim(edits.trim(d, 0, -9.0), 0, -1.0), "starts at the beginning"),
    (lambda d: edits.trim(d, 1, float("nan")), "a number of seconds"),
    (lambda d: edits.trim(d, 3, 0.1), "no clip 4"),
    (lambda d: edits.trim(d, -1, 0.1), "no clip 0"),
    (lambda d: edits.trim_to(d, 1, 70, 80), "goes from 0 to 1:00.0"),
    (lambda d: edits.trim_to(d, 1, -9, -1), "goes from 0 to 1:00.0"),
    (lambda d: edits.trim_to(d, 1, 15, 13), "at least 0.5 s long"),
    (lambda d: edits.move(d, 0, -1), "clip 1 is the first already"),
    (lambda d: edits.move(d, 2, 4), "clip 3 is the last already"),
    (lambda d: edits.leave_out(d, 7), "no clip 8; the reel has 3"),
])
def test_what_is_refused(change: Callable[[Draft], Draft], said: str) -> None:
    with pytest.raises(EditError, match=said) as caught:
        change(draft())
    assert "\n" not in str(caught.value)


def test_moving() -> None:
    assert shown(edits.move(draft(), 0, 1)) == [(12, 16), (2, 6), (31, 35)]
    assert shown(edits.move(draft(), 2, -9)) == [(31, 35), (2, 6), (12, 16)]


# Retargeting, around what a person did.


def analysis(tmp_path: Path) -> Analysis:
    """Of a video of a minute in which every scene looks different and the fourth is the best."""
    pictures = [textured(seed) for seed in range(6)]
    video = probe(write_video(tmp_path / "minute.mp4", lambda i: pictures[i // 50], 300, fps=5))
    still = np.zeros(60)
    looks = np.eye(6, dtype=np.float32)[np.arange(60) // 10]
    signals = Signals(still, still, still + 0.5, still, still, still, None, None, looks)
    curve = np.where((np.arange(60) >= 30) & (np.arange(60) < 40), 0.9, 0.3)
    curve[2:6] += 0.2
    scored = Scored(SEGMENTS, curve, ScorerInfo("signals"))
    return Analysis(video, Scan(60.0, 300, SCENES, signals, ()), scored)


def test_another_length_keeps_what_a_person_did(tmp_path: Path) -> None:
    known = analysis(tmp_path)
    settings = Settings(target_s=12)
    first = edits.retarget(draft((31.0, 35.0)), known, settings)
    assert first.duration_s == pytest.approx(12, abs=1.2)
    best = next(i for i, c in enumerate(first.clips) if 30 <= c.start_s < 40)
    wanted = edits.take_in(edits.leave_out(first, best), 10)
    wanted = edits.trim(wanted, len(wanted.clips) - 1, 0.3)
    longer = edits.retarget(wanted, known, replace(settings, target_s=24))
    gone, kept = wanted.left_out[0], wanted.trimmed[0]
    assert all(c.end_s <= gone[0] + 1e-6 or c.start_s >= gone[1] - 1e-6 for c in longer.clips)
    mine = [c for c in longer.clips if (c.start_s, c.end_s) == kept]
    assert len(mine) == 1 and mine[0].reason == edits.TRIMMED
    assert 20 < longer.duration_s <= 24.01 and longer.settings.target_s == 24
    assert longer.plan.settings["pinned"] == [] == longer.plan.settings["banned"]
    assert (longer.left_out, longer.trimmed) == (wanted.left_out, wanted.trimmed)


def test_a_persons_order_stays(tmp_path: Path) -> None:
    known = analysis(tmp_path)
    first = edits.retarget(draft(), known, Settings(target_s=15))
    assert len(first.clips) > 2
    turned = edits.move(first, len(first.clips) - 1, -len(first.clips))
    again = edits.retarget(turned, known, Settings(target_s=15))
    assert shown(again) == shown(turned) != shown(first)


def test_leaving_out_a_clip_that_grew_around_a_choice(tmp_path: Path) -> None:
    known = analysis(tmp_path)
    made = edits.take_in(draft((12.0, 16.0)), 4)
    grown = replace(made, clips=(*made.clips[:1], clip(20.5, 28.0)))
    left = edits.leave_out(grown, 1)
    assert left.taken_in == ()
    assert all(c.end_s <= 20.5 or c.start_s >= 28 for c in edits.retarget(left, known, Settings(target_s=12)).clips)


def test_everything_left_out_has_no_other_length(tmp_path: Path) -> None:
    made = edits.leave_out(draft((0.0, 60.0)), 0)
    with pytest.raises(EditError, match="take a moment in, or undo"):
        edits.retarget(made, analysis(tmp_path), Settings(target_s=9))


# Whatever a person does, in whatever order.

Step = Callable[[Draft], Draft]
NUMBERS = st.integers(-1, 8)
SECONDS = st.floats(-70, 70) | st.sampled_from([0.0, 0.1, -0.1, float("inf"), float("nan")])
STEPS = st.lists(st.one_of(
    NUMBERS.map(lambda i: lambda d: edits.leave_out(d, i)),
    st.integers(-1, 12).map(lambda i: lambda d: edits.take_in(d, i)),
    st.tuples(NUMBERS, SECONDS, SECONDS).map(lambda a: lambda d: edits.trim(d, *a)),
    st.tuples(NUMBERS, SECONDS, SECONDS).map(lambda a: lambda d: edits.trim_to(d, *a)),
    st.tuples(NUMBERS, st.integers(-9, 9)).map(lambda a: lambda d: edits.move(d, *a)),
), max_size=25)


def attempt(step: Step, before: Draft) -> Draft | None:
    """What the step gives; None where it is refused, in one line that a person can read."""
    try:
        return step(before)
    except SmolReelError as error:
        assert str(error) and "\n" not in str(error)
        return None


def assert_legal(made: Draft) -> None:
    """The clips lie in the video and show nothing twice, and so does what is remembered of them."""
    bounds = sorted((c.start_s, c.end_s) for c in made.clips)
    for start_s, end_s in bounds:
        assert 0 <= start_s < end_s <= LENGTH_S and end_s - start_s >= edits.SHORTEST_S - 1e-6
    for (_, end_s), (start_s, _) in pairwise(bounds):
        assert end_s <= start_s + 2e-5
    # What is both wanted and unwanted would be refused.
    Settings(pinned=made.chosen, banned=made.left_out)
    if made.clips:
        assert edits.plan_of(made).clips == made.clips
    else:
        with pytest.raises(EditError):
            edits.plan_of(made)


@examples(max_examples=150, deadline=None)
@given(STEPS)
def test_no_row_of_corrections_gives_an_illegal_plan(steps: list[Step]) -> None:
    made = draft()
    for step in steps:
        made = attempt(step, made) or made
        assert_legal(made)


@examples(max_examples=80, deadline=None)
@given(STEPS, st.lists(st.booleans(), max_size=30))
def test_going_back_and_forth(steps: list[Step], ways: list[bool]) -> None:
    history = History(draft())
    first, seen = history.present, [history.present]
    for step in steps:
        after = attempt(step, history.present)
        if after is not None:
            history = history.do(after)
            seen.append(after)
    at = len(seen) - 1
    for back in ways:
        if back and history.can_undo:
            assert history.undo().redo() == history
        if not back and history.can_redo:
            assert history.redo().undo() == history
        history = history.undo() if back else history.redo()
        at = max(0, at - 1) if back else min(len(seen) - 1, at + 1)
        assert history.present is seen[at]
    for _ in seen:
        history = history.undo()
    assert history.present is first and not history.can_undo and history.undo() is history


def test_history_is_bounded_and_a_new_step_forgets_what_was_undone() -> None:
    history = History(draft())
    for n in range(edits.MOST_UNDONE + 50):
        history = history.do(edits.move(history.present, 0, 1 + n % 2))
    assert len(history.past) == edits.MOST_UNDONE
    back = history.undo().undo()
    assert back.can_redo and not back.do(draft()).can_redo
