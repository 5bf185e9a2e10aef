"""Where packets can be cut: arithmetic on made-up packets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.media.packets import Stretch, Unit
from pipeline.plan import Plan, PlanVideo
from pipeline.rendering.cutting import (
    Cut,
    Room,
    best_cut,
    clocked,
    durations,
    lay_sound,
    onto_keyframe,
    room_of,
    runs,
    sound_run,
)
from pipeline.rendering.order import Unsuitable
from pipeline.types import Clip, Interval, Scene

BASE = Fraction(1, 25)
SOUND = Fraction(1, 48_000)
ANYWHERE = Room(0.0, 1.0, (), 1.0)


def pictures(count: int, every: int) -> tuple[Unit, ...]:
    """Frames of 40 ms in groups of `every`, each a keyframe and then, as encoders do it, a P and the B before it."""
    shown: list[int] = []
    for group in range(0, count, every):
        shown.append(group)
        rest = list(range(group + 1, min(count, group + every)))
        for i in range(0, len(rest), 2):
            shown += reversed(rest[i:i + 2])
    return tuple(Unit(at, 1, at % every == 0) for at in shown)


def sounds(count: int, first: int = 0) -> tuple[Unit, ...]:
    """Packets of 1024 samples."""
    return tuple(Unit((first + i) * 1024, 1024, False) for i in range(count))


def clip(start_s: float, end_s: float) -> Clip:
    return Clip(start_s, end_s, None, "", "")


def cut_s(cut: Cut) -> tuple[float, float]:
    return float(cut.start * BASE), float(cut.end * BASE)


def test_runs_end_only_where_all_that_was_decoded_is_shown() -> None:
    first = runs(pictures(50, 25))[0]
    assert [cut.end for cut in first][:4] == [1, 3, 5, 7]
    assert all(set(cut.pictures) == set(range(cut.start, cut.end)) for run in runs(pictures(50, 25)) for cut in run)


def test_pictures_that_lead_into_an_entry_are_left_out() -> None:
    # An open group: after the keyframe at 10 come two pictures that are shown before it.
    units = (Unit(0, 1, True), Unit(10, 1, True), Unit(8, 1, False), Unit(9, 1, False), Unit(11, 1, False))
    assert runs(units)[1][-1].pictures == (10, 11)


def test_a_clip_is_taken_to_the_nearest_keyframe() -> None:
    stretch = Stretch(pictures(250, 25), ())
    assert cut_s(best_cut(stretch, clip(3.3, 6.3), ANYWHERE, BASE, 0.0)) == pytest.approx((3.0, 6.0), abs=0.05)
    assert cut_s(best_cut(stretch, clip(3.8, 6.3), ANYWHERE, BASE, 0.0)) == pytest.approx((4.0, 6.28), abs=0.05)
    assert cut_s(best_cut(stretch, clip(3.02, 6.02), ANYWHERE, BASE, 0.0)) == (3.0, 6.0)


def test_the_clock_of_the_container_is_taken_off() -> None:
    late = tuple(Unit(u.pts + 250, 1, u.entry) for u in pictures(250, 25))
    cut = best_cut(Stretch(late, ()), clip(3.02, 6.02), ANYWHERE, BASE, 10.0)
    assert cut_s(cut) == (13.0, 16.0)


def test_no_keyframe_within_the_tolerance() -> None:
    with pytest.raises(Unsuitable, match=r"near 5\.0 s"):
        best_cut(Stretch(pictures(250, 250), ()), clip(5.0, 8.0), ANYWHERE, BASE, 0.0)


def test_a_start_never_moves_over_a_cut() -> None:
    stretch = Stretch(pictures(250, 25), ())
    plan = Plan(PlanVideo("x"), (clip(3.3, 6.3),), scenes=(Scene(0, 3.2), Scene(3.2, 10)))
    assert cut_s(best_cut(stretch, plan.clips[0], room_of(plan.clips[0], plan, 1.0), BASE, 0.0))[0] == 4.0


def test_a_start_never_moves_into_another_clip() -> None:
    stretch = Stretch(pictures(250, 25), ())
    plan = Plan(PlanVideo("x"), (clip(3.3, 6.3), clip(1.0, 3.2)))
    assert cut_s(best_cut(stretch, plan.clips[0], room_of(plan.clips[0], plan, 1.0), BASE, 0.0))[0] == 4.0


def test_no_bound_moves_into_a_phrase() -> None:
    stretch = Stretch(pictures(250, 25), ())
    quiet = Plan(PlanVideo("x"), (clip(3.3, 6.3),))
    # At the keyframe at 3.0 somebody speaks, at the one at 4.0 nobody does; neither at 6.3, but right before.
    talk = replace(quiet, phrases=(Interval(2.5, 3.2), Interval(5.5, 6.1)))
    assert cut_s(best_cut(stretch, quiet.clips[0], room_of(quiet.clips[0], quiet, 1.0), BASE, 0.0))[0] == 3.0
    begin_s, end_s = cut_s(best_cut(stretch, talk.clips[0], room_of(talk.clips[0], talk, 1.0), BASE, 0.0))
    assert begin_s == 4.0 and end_s >= 6.1
    # A phrase that the plan cuts is no reason to refuse.
    torn = replace(talk, phrases=(Interval(2.5, 3.5),))
    assert cut_s(best_cut(stretch, torn.clips[0], room_of(torn.clips[0], torn, 1.0), BASE, 0.0))[0] == 3.0
    everywhere = replace(talk, phrases=(Interval(2.0, 3.2), Interval(3.6, 6.2)))
    with pytest.raises(Unsuitable, match="no keyframe"):
        best_cut(stretch, talk.clips[0], room_of(talk.clips[0], everywhere, 1.0), BASE, 0.0)


def test_the_best_second_is_kept() -> None:
    stretch = Stretch(pictures(250, 25), ())
    first_best = Room(0.0, 1.0, (0, 0, 0, 1, 0.2, 0.1, 0, 0, 0, 0), 1.0)
    last_best = Room(0.0, 1.0, (0, 0, 0, 0.1, 0.2, 0.9, 1, 0, 0, 0), 1.0)
    assert cut_s(best_cut(stretch, clip(3.4, 7.0), first_best, BASE, 0.0))[0] == 3.0
    assert cut_s(best_cut(stretch, clip(3.4, 7.0), last_best, BASE, 0.0)) == pytest.approx((4.0, 7.0), abs=0.05)


@given(st.floats(0, 8), st.floats(0.6, 4), st.sampled_from([5, 12, 25, 50]), st.floats(0, 2))
def test_copied_clips_keep_their_promises(start_s: float, length_s: float, every: int, tolerance_s: float) -> None:
    wanted = clip(start_s, start_s + length_s)
    room = Room(0.0, tolerance_s, (), 1.0)
    try:
        cut = best_cut(Stretch(pictures(350, every), ()), wanted, room, BASE, 0.0)
    except Unsuitable:
        return
    begin_s, end_s = cut_s(cut)
    assert abs(begin_s - start_s) <= tolerance_s + 1e-9
    assert end_s <= wanted.end_s + 0.025 and end_s - begin_s <= length_s + 0.011
    assert set(cut.pictures) == set(range(cut.start, cut.end))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(20, 120)), min_size=1, max_size=30))
def test_sound_never_drifts(clips: list[tuple[int, int]]) -> None:
    cuts = [Cut(start, start + length, ()) for start, length in clips]
    stretch = Stretch((), sounds(1000))
    laid = lay_sound([sound_run(stretch)] * len(cuts), [(cut.start * BASE, cut.end * BASE) for cut in cuts], SOUND)
    heard = shown = Fraction(0)
    half = Fraction(1024, 2) * SOUND
    for cut, times in zip(cuts, laid, strict=True):
        off = (times[0] * SOUND - cut.start * BASE) - (heard - shown)
        assert abs(off) <= half * Fraction(11, 10)
        assert all(b - a == 1024 for a, b in itertools.pairwise(times))
        heard += len(times) * 1024 * SOUND
        shown += (cut.end - cut.start) * BASE
        assert abs(heard - shown) <= half


@pytest.mark.parametrize("units", [
    sounds(40) + sounds(400, first=60), sounds(400, first=30), sounds(20), (),
    (*sounds(60), Unit(60 * 1024, 960, False), *(Unit(60 * 1024 + 960 + i * 1024, 1024, False) for i in range(90))),
], ids=["gap", "starts late", "ends early", "none", "uneven"])
def test_sound_with_gaps_is_not_copied(units: tuple[Unit, ...]) -> None:
    with pytest.raises(Unsuitable, match="sound"):
        lay_sound([sound_run(Stretch((), units))], [(10 * BASE, 60 * BASE)], SOUND)


@given(st.permutations(list(range(12))))
def test_decoding_times_rise_and_come_in_time(shown: list[int]) -> None:
    decoded = clocked(shown)
    assert decoded == sorted(set(decoded))
    assert all(dts <= pts for dts, pts in zip(decoded, shown, strict=True))
    assert any(dts == pts for dts, pts in zip(decoded, shown, strict=True))


def test_durations_fill_the_time_to_the_next_picture() -> None:
    assert durations([0, 7, 3, 4], 10) == [3, 3, 1, 3]


def test_a_keyframe_just_before_a_clip_is_taken_whole() -> None:
    stretch = Stretch(pictures(250, 25), ())
    room = Room(0.0, 0.06, (), 1.0)
    assert onto_keyframe(stretch, clip(3.02, 6.02), room, BASE, 0.0) == clip(3.0, 6.0)
    assert onto_keyframe(stretch, clip(3.2, 6.2), room, BASE, 0.0) == clip(3.2, 6.2)
    behind_a_cut = Room(3.01, 0.06, (), 1.0)
    assert onto_keyframe(stretch, clip(3.02, 6.02), behind_a_cut, BASE, 0.0) == clip(3.02, 6.02)
