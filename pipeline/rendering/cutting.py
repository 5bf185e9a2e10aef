"""Where packets can be cut without being encoded again: pure arithmetic on what containers say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import median_low

import numpy as np
import numpy.typing as npt

from pipeline.media.packets import Stretch, Unit
from pipeline.plan import Plan
from pipeline.rendering.order import Unsuitable
from pipeline.types import Clip, Interval

# A bound that is off by less than this share of a frame is where it should be.
_EXACT = 0.25
# A clip that moved by less than this isn't worth a word.
MOVED_S = 0.1
_NEAREST = 0.6
# What a second of the clip as planned is worth whatever the curve says.
_WORTH_OF_A_SECOND = 0.1
# A copied clip is never shorter than this share of what was planned.
_LEAST_SHARE = 0.5
# So much of its best second must stay in it.
_BEST_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Room:
    """How far a clip's bounds may move.

    earliest_s: below which its start would show another scene, or what another clip shows
    tolerance_s: how far its start may move, and how much of its end may go
    worth: interest over time, one value every `step_s`; empty where unknown
    phrases: stretches of speech that its bounds must not come to lie in
    """

    earliest_s: float
    tolerance_s: float
    worth: Sequence[float]
    step_s: float
    phrases: Sequence[Interval] = ()

    def cuts_words(self, time_s: float) -> bool:
        """Whether a bound at this time would cut a phrase."""
        return any(phrase.start_s < time_s < phrase.end_s for phrase in self.phrases)


@dataclass(frozen=True, slots=True)
class Cut:
    """A run of packets that decodes by itself and shows each frame of [start, end), and no other.

    start, end: in ticks of the picture stream's time base, on the container's clock
    pictures: presentation times of its packets, in decoding order
    """

    start: int
    end: int
    pictures: tuple[int, ...]


def runs(pictures: Sequence[Unit]) -> list[list[Cut]]:
    """For every point where decoding can start, the runs from there, shortest first.

    A run may end where everything shown before the next packet's picture has been decoded: then no frame in it
    refers to what is left out. Pictures that are decoded after an entry but shown before it refer to what came
    before; they are left out.
    """
    found = []
    for at in [i for i, unit in enumerate(pictures) if unit.entry]:
        start = pictures[at].pts
        kept = [unit for unit in pictures[at:] if unit.pts >= start]
        times = np.array([unit.pts for unit in kept])
        # ahead[n]: the first frame shown among those after the first n + 1 packets.
        ahead = np.append(np.minimum.accumulate(times[::-1])[::-1][1:], times.max() + max(1, kept[-1].duration))
        closed = np.flatnonzero(np.maximum.accumulate(times) < ahead)
        shown = tuple(times.tolist())
        found.append([Cut(start, int(ahead[n]), shown[:n + 1]) for n in closed])
    return found


def room_of(clip: Clip, plan: Plan, tolerance_s: float) -> Room:
    """How far a clip may move in its plan: not over a cut that it doesn't cross already, nor into another clip, nor
    into a phrase that neither of its bounds cuts already.
    """
    bounds = [0.0]
    first_shown_s = clip.start_s + min(0.1, clip.interval.duration_s / 2)
    bounds += [scene.start_s for scene in plan.scenes if scene.start_s <= first_shown_s]
    bounds += [other.end_s for other in plan.clips if other.end_s <= clip.start_s + 1e-3]
    phrases = [phrase for phrase in plan.phrases if phrase.end_s > clip.start_s - tolerance_s
               and phrase.start_s < clip.end_s + tolerance_s
               and not any(phrase.start_s < bound < phrase.end_s for bound in (clip.start_s, clip.end_s))]
    return Room(max(bounds), tolerance_s, plan.curve, plan.step_s, phrases)


def best_cut(stretch: Stretch, clip: Clip, room: Room, base: Fraction, origin_s: float) -> Cut:
    """The run of packets that shows most of what a clip was chosen for; it is never longer than the clip.

    base: of the picture stream
    origin_s: of the video, on the container's clock

    Raises Unsuitable where no keyframe lies within the tolerance without crossing a cut, cutting a phrase or losing
    the clip's best second.
    """
    frame_s = _frame_s(stretch.pictures, base)
    best_s = _best_second(clip, room)
    options = []
    for run in runs(stretch.pictures):
        start_s = float(run[0].start * base) - origin_s
        moved_s = start_s - clip.start_s
        if (abs(moved_s) > room.tolerance_s or start_s < room.earliest_s - _EXACT * frame_s
                or room.cuts_words(start_s)):
            continue
        # A frame that starts before the clip's end belongs to it, and the selection's ends lie half a frame inside.
        latest_s = min(clip.end_s + _NEAREST * frame_s, start_s + clip.interval.duration_s + _EXACT * frame_s)
        fitting = [cut for cut in run if float(cut.end * base) - origin_s <= latest_s
                   and not room.cuts_words(float(cut.end * base) - origin_s)]
        if not fitting:
            continue
        end_s = float(fitting[-1].end * base) - origin_s
        if latest_s - end_s > room.tolerance_s or end_s - start_s < _LEAST_SHARE * clip.interval.duration_s:
            continue
        shown = Interval(max(0.0, start_s), end_s)
        if best_s is not None and shown.overlap_s(best_s) < _BEST_SHARE * best_s.duration_s:
            continue
        kept = _kept(shown, clip)
        options.append((_worth(kept, room) if kept else 0.0, -abs(moved_s), fitting[-1]))
    if not options:
        raise Unsuitable(f"no keyframe near {clip.start_s:.1f} s at which a clip could start")
    return max(options, key=lambda option: option[:2])[2]


def moved(clip: Clip, cut: Cut, base: Fraction, origin_s: float) -> Clip:
    """The clip as it is when copied; what it says of itself tells where it moved to. `base`, `origin_s`: as above."""
    start_s, end_s = (max(0.0, float(tick * base) - origin_s) for tick in (cut.start, cut.end))
    shift_s = start_s - clip.start_s
    said = ""
    if abs(shift_s) >= MOVED_S:
        said = f"starts {abs(shift_s):.1f} s {'later' if shift_s > 0 else 'earlier'}, at a keyframe"
    reason = "; ".join(filter(None, (clip.reason, said)))
    return replace(clip, start_s=start_s, end_s=end_s, reason=reason)


def onto_keyframe(stretch: Stretch, clip: Clip, room: Room, base: Fraction, origin_s: float) -> Clip:
    """The clip, moved whole to start at a keyframe where one lies just before it, else as it is.

    Arguments as for `best_cut`.
    """
    for unit in stretch.pictures:
        if unit.entry:
            start_s = float(unit.pts * base) - origin_s
            if room.earliest_s - 1e-3 <= start_s <= clip.start_s and clip.start_s - start_s <= room.tolerance_s:
                start_s = max(0.0, start_s)
                return replace(clip, start_s=start_s, end_s=clip.end_s - (clip.start_s - start_s))
    return clip


def _frame_s(pictures: Sequence[Unit], base: Fraction) -> float:
    """Seconds that a frame of a stretch typically stays."""
    if len(pictures) < 2:
        return float(max(1, pictures[0].duration) * base) if pictures else 0.04
    return float(np.median(np.diff(sorted(unit.pts for unit in pictures))) * base)


def _best_second(clip: Clip, room: Room) -> Interval | None:
    """The part of the clip in which the curve is highest: one step of it, or what of the step the clip shows."""
    first, last = int(clip.start_s / room.step_s), int(np.ceil(clip.end_s / room.step_s))
    values = np.asarray(room.worth[first:last], dtype=np.float64)
    if not len(values) or np.ptp(values) < 1e-9:
        return None
    at = (first + int(values.argmax())) * room.step_s
    return Interval(max(at, clip.start_s), min(at + room.step_s, clip.end_s))


def _kept(shown: Interval, clip: Clip) -> Interval | None:
    """What of a planned clip is still shown; None for nothing."""
    start_s, end_s = max(shown.start_s, clip.start_s), min(shown.end_s, clip.end_s)
    return Interval(start_s, end_s) if start_s < end_s else None


def _worth(interval: Interval, room: Room) -> float:
    """What an interval is worth: the curve's integral over it, and a little for its length."""
    total = _WORTH_OF_A_SECOND * interval.duration_s
    first, last = int(interval.start_s / room.step_s), int(np.ceil(interval.end_s / room.step_s))
    for i in range(first, min(last, len(room.worth))):
        total += room.worth[i] * Interval(i * room.step_s, (i + 1) * room.step_s).overlap_s(interval)
    return total


@dataclass(frozen=True, slots=True)
class SoundRun:
    """The sound packets of a stretch, in little memory: a long reel has hundreds of thousands.

    usual: ticks that each lasts; 0 where there are none
    times: (n,) when each is heard, in ticks
    """

    usual: int
    times: npt.NDArray[np.int64]


def sound_run(stretch: Stretch) -> SoundRun:
    """The sound of a stretch. A track's last packet may be shorter than the others, and is left out."""
    usual = median_low([unit.duration for unit in stretch.sounds]) if stretch.sounds else 0
    return SoundRun(usual, np.array([unit.pts for unit in stretch.sounds if unit.duration == usual], dtype=np.int64))


def lay_sound(runs: Sequence[SoundRun], clips: Sequence[tuple[Fraction, Fraction]],
              base: Fraction) -> list[list[int]]:
    """Which sound packets go with each clip: presentation times, in ticks of the sound stream's time base.

    clips: when the pictures of each are on show in the source, from and to, in seconds on the container's clock
    base: of the sound stream

    Packets last about 20 ms and can't be divided, so each clip's first one is that which is nearest to where the
    clips before it end: the reel's sound has no gaps, no clip is off by more than half a packet, and errors don't add
    up. Raises Unsuitable where a clip isn't covered by sound without gaps.
    """
    laid: list[list[int]] = []
    shown, heard = Fraction(0), Fraction(0)
    for number, (run, (start_s, end_s)) in enumerate(zip(runs, clips, strict=True)):
        usual, times = run.usual, run.times
        if usual <= 0:
            raise Unsuitable("sound that is missing")
        step = usual * base
        begin = start_s + heard - shown
        shown += end_s - start_s
        count = round((shown - heard) / step)
        first = int(np.abs(times - float(begin / base)).argmin())
        taken = times[first:first + count]
        last = number == len(clips) - 1
        missing = count - len(taken)
        if (abs(float(times[first] * base - begin)) > float(step) * 0.51 + 1e-4 or missing > (1 if last else 0)
                or (np.abs(np.diff(taken) * float(base) - float(step)) > 0.5 * float(step)).any()):
            raise Unsuitable("sound with gaps")
        laid.append(taken.tolist())
        heard += len(taken) * step
    return laid


def clocked(shown: Sequence[int]) -> list[int]:
    """Decoding times for packets, given when each is shown, in decoding order.

    They are the presentation times in order, all moved back by as little as lets no packet be decoded after it is
    shown.
    """
    times = np.asarray(shown, dtype=np.int64)
    ordered = np.sort(times)
    decoded: list[int] = (ordered - (ordered - times).max()).tolist()
    return decoded


def durations(shown: Sequence[int], end: int) -> list[int]:
    """How long each picture is on show, in the order given: until the next one is shown, or the end."""
    times = np.asarray(shown, dtype=np.int64)
    order = np.argsort(times)
    lasting = np.empty_like(times)
    lasting[order] = np.diff(np.append(times[order], end))
    found: list[int] = lasting.tolist()
    return found
