"""What the page draws itself, as HTML: progress, found moments, clips with their controls. All text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.thumbs import thumb_at
from app.timeline import short_clock
from pipeline import Clip
from pipeline.export.words import clock, one_line, shortened, title
from pipeline.types import Interval, SampledFrame, ScoredSegment

# The parts of a score as people would call them.
PARTS = {"vlm": "What is seen", "query": "What you asked for", "motion": "Motion", "loudness": "Loudness",
         "onset": "Sudden sounds", "speech": "Speech", "sharpness": "A crisp picture", "colour": "Colour",
         "novelty": "An unusual view"}
# Parts shorter than this make no clip.
STEP_S = 0.1


def text(words: str, most: int = 400) -> str:
    """Words from outside as they may stand in the page or between quotes in a tag."""
    return escape(shortened(one_line(words), most))


def dotted(facts: Sequence[str]) -> str:
    """Facts in one line."""
    return " \u00b7 ".join(text(fact) for fact in facts)


def progress(title_words: str, share: float | None, detail: str, left: str, stages: Sequence[tuple[str, str]]) -> str:
    """How far a run is.

    share: of the whole, 0 to 1; None where it can't be known
    left: how long it will take, in words
    stages: each stage's name and whether it is "done", "now" or "next"
    """
    percent = "" if share is None else f"{100 * share:.0f}"
    value = f'aria-valuenow="{percent}"' if percent else ""
    steps = "".join(f'<li class="{state}"{" aria-current=step" if state == "now" else ""}>{escape(name)}</li>'
                    for name, state in stages)
    return f"""<section class="sr-progress">
<div class="sr-progress-head"><h2>{text(title_words)}</h2><b>{percent and percent + " %"}</b></div>
<div class="sr-bar{"" if percent else " sr-bar-unknown"}" role="progressbar" aria-label="Progress" aria-valuemin="0" \
aria-valuemax="100" {value}><i style="width:{percent or 100}%"></i></div>
<div class="sr-progress-foot"><p>{text(detail)}</p><p>{text(left)}</p></div>
<ol class="sr-stages">{steps}</ol>
</section>"""


def found(moments: Sequence[ScoredSegment], total: int, frames: Sequence[SampledFrame]) -> str:
    """Moments that were scored so far, best first."""
    if not moments:
        return ""
    items = "".join(
        f"""<li class="sr-moment">{_picture(frames, moment.start_s, moment.end_s)}<div>
<p class="sr-when">{short_clock(moment.start_s)} {_score(moment.score)}</p>
<p class="sr-what">{text(moment.description, 140) or "No words for it yet"}</p></div></li>""" for moment in moments)
    return f"""<section class="sr-found"><h3>Best so far <span class="sr-quiet">of {total} scenes</span></h3>
<ol class="sr-moments">{items}</ol></section>"""


def strip(clips: Sequence[Clip], segments: Sequence[ScoredSegment], frames: Sequence[SampledFrame],
          length_s: float, least_s: float) -> str:
    """The reel's clips as cards, each with what can be done to it.

    length_s: of the video, beyond which nothing can be trimmed outward
    least_s: the shortest that a clip may be
    """
    if not clips:
        return """<section class="sr-empty"><h3>Nothing is left in the reel</h3><p>Take a moment in from the list
below, or undo.</p></section>"""
    cards = "".join(_clip(clip, i, len(clips), segments, frames, length_s, least_s) for i, clip in enumerate(clips))
    return f'<ol class="sr-clips" aria-label="Clips of the reel, in order">{cards}</ol>'


def _clip(clip: Clip, index: int, count: int, segments: Sequence[ScoredSegment], frames: Sequence[SampledFrame],
          length_s: float, least_s: float) -> str:
    number, name = index + 1, title(clip, index + 1, 90)
    about = escape(f"clip {number}")
    can_shorten = clip.interval.duration_s - STEP_S >= least_s - 1e-6
    return f"""<li class="sr-clip" data-index="{index}" data-start="{clip.start_s:.3f}" data-end="{clip.end_s:.3f}">
<div class="sr-frame"><button type="button" class="sr-view" data-play="{clip.start_s:.3f}" \
aria-label="Play {about} in the whole video">{_picture(frames, clip.start_s, clip.end_s)}</button>\
<span class="sr-number">{number}</span><span class="sr-length">{clip.interval.duration_s:.1f} s</span></div>
<div class="sr-words"><p class="sr-when">{clock(clip.start_s)} \u2013 {clock(clip.end_s)} {_score(clip.score)}</p>
<h3 class="sr-what">{text(name)}</h3>{_reason(clip)}{_parts(clip, segments)}</div>
<div class="sr-trims">
{_trim("start", "Start", about, clip.start_s, clip.start_s >= STEP_S - 1e-6, can_shorten)}
{_trim("end", "End", about, clip.end_s, can_shorten, clip.end_s + STEP_S <= length_s + 1e-6)}
</div>
<div class="sr-moves">
{_button("earlier", "Earlier", f"Move {about} earlier", index > 0, icon="&#8592;")}
{_button("later", "Later", f"Move {about} later", index < count - 1, icon="&#8594;")}
{_button("leave", "Leave out", f"Leave out {about}", True, icon="&#215;")}
</div>
</li>"""


def _trim(end: str, label: str, about: str, at_s: float, before: bool, after: bool) -> str:
    """One end of a clip: a field with its time, and a tenth of a second to either side."""
    return f"""<div class="sr-trim"><label><span>{label}</span><input data-act="{end}" value="{clock(at_s)}" \
inputmode="decimal" autocomplete="off" aria-label="{label} of {about}"></label>
{_button(f"{end}-by", "&#8722;", f"{label} of {about} a tenth of a second earlier", before, by=-STEP_S)}
{_button(f"{end}-by", "+", f"{label} of {about} a tenth of a second later", after, by=STEP_S)}</div>"""


def _button(act: str, words: str, label: str, enabled: bool, *, by: float | None = None, icon: str = "") -> str:
    """A button that stays reachable where it can do nothing, so that the keyboard isn't thrown off the clip."""
    shown = f'<span aria-hidden="true">{icon}</span> {words}' if icon else words
    if act == "later":
        shown = f'{words} <span aria-hidden="true">{icon}</span>'
    key = f' data-by="{by}"' if by is not None else ""
    off = "" if enabled else ' aria-disabled="true"'
    return f'<button type="button" data-act="{act}"{key} aria-label="{escape(label)}"{off}>{shown}</button>'


def _reason(clip: Clip) -> str:
    return f'<p class="sr-quiet sr-why">{text(clip.reason, 200)}</p>' if clip.reason.strip() else ""


def _score(score: float | None) -> str:
    """A score as a number out of 100; nothing where a person chose."""
    if score is None:
        return '<span class="sr-score sr-yours">yours</span>'
    return f'<span class="sr-score" title="Score, out of 100">{100 * min(1.0, max(0.0, score)):.0f}</span>'


def _parts(clip: Clip, segments: Sequence[ScoredSegment]) -> str:
    """What the score of the clip's segment is made of, behind a fold."""
    segment = segment_of(clip.interval, segments)
    if segment is None or not segment.parts:
        return ""
    return f"<details><summary>What the score is made of</summary>{_bars(segment.parts)}</details>"


def _bars(parts: Mapping[str, float]) -> str:
    rows = "".join(
        f'<dt>{escape(PARTS.get(name, name.capitalize()))}</dt><dd class="sr-part">'
        f'<i style="width:{100 * min(1.0, max(0.0, value)):.0f}%"></i></dd><dd>{100 * value:.0f}</dd>'
        for name, value in sorted(parts.items(), key=lambda part: -part[1]))
    return f"<dl>{rows}</dl>"


def segment_of(interval: Interval, segments: Sequence[ScoredSegment]) -> ScoredSegment | None:
    """The segment that an interval shares most time with; None where it shares none."""
    best = max(segments, key=lambda segment: segment.interval.overlap_s(interval), default=None)
    return best if best is not None and best.interval.overlap_s(interval) > 0 else None


def alternatives(moments: Sequence[tuple[int, ScoredSegment]], frames: Sequence[SampledFrame]) -> str:
    """Moments that could be taken in, best first, each with its place among the plan's segments."""
    if not moments:
        return '<p class="sr-quiet">Everything that was found is in the reel already.</p>'
    cards = "".join(
        f"""<li class="sr-moment" data-index="{i}" data-start="{s.start_s:.3f}" data-end="{s.end_s:.3f}">
<button type="button" class="sr-view" data-play="{s.start_s:.3f}" \
aria-label="Play the moment at {clock(s.start_s)}">{_picture(frames, s.start_s, s.end_s)}</button>
<div><p class="sr-when">{clock(s.start_s)} \u2013 {clock(s.end_s)} {_score(s.score)}</p>
<p class="sr-what">{text(s.description, 110)}</p></div>
{_button("take", "Take in", f"Take in the moment at {clock(s.start_s)}: {one_line(s.description)}", True, icon="+")}
</li>""" for i, s in moments)
    return f'<ol class="sr-moments sr-shelf" aria-label="Other moments, best first">{cards}</ol>'


def _picture(frames: Sequence[SampledFrame], start_s: float, end_s: float) -> str:
    """The picture halfway through a stretch."""
    picture = thumb_at(frames, (start_s + end_s) / 2)
    return f'<img src="{picture}" alt="">' if picture else '<span class="sr-noimage"></span>'


def trouble(heading: str, words: str, advice: str = "") -> str:
    """What went wrong and what to do."""
    more = f"<p>{text(advice)}</p>" if advice else ""
    return f"""<section class="sr-trouble" role="alert"><h2>{text(heading)}</h2><p>{text(words, 600)}</p>{more}
</section>"""


def earlier(runs: Sequence[tuple[str, str, str]]) -> str:
    """A visitor's other reels: the run's id, the video's name, and how it stands."""
    links = "".join(f'<li><a href="?run={escape(run_id)}">{text(name, 60)} '
                    f'<span class="sr-quiet">{text(standing)}</span></a></li>' for run_id, name, standing in runs)
    return f'<section class="sr-earlier"><h3>Your other reels</h3><ul>{links}</ul></section>' if links else ""


def notes(told: Sequence[tuple[str, str]]) -> str:
    """What a person should know of a run: each note, and what stands behind it, which may be nothing."""
    return "".join(
        f'<details class="sr-note"><summary>{text(note)}</summary><p class="sr-quiet">{text(more, 600)}</p></details>'
        if more else f'<p class="sr-note">{text(note)}</p>' for note, more in told)


def length(reel_s: float, clips: int, target_s: float, changed: bool) -> str:
    """How long the reel is as it stands."""
    over = reel_s > target_s + 0.05
    count = f"{clips} clip{'' if clips == 1 else 's'}"
    limit = f"over the {target_s:g} s you asked for" if over else f"of at most {target_s:g} s"
    state = '<span class="sr-changed">Changes are not in the reel yet</span>' if changed else ""
    tone = "sr-over" if over else "sr-quiet"
    return f"""<div class="sr-total" role="status"><b>{clock(reel_s)}</b>
<span class="{tone}">{dotted([limit, count])}</span>{state}</div>"""


def said(words: str, *, trouble: bool = False) -> str:
    """What the last correction has to say; read out where a screen is read."""
    return f'<p class="{"sr-over" if trouble else "sr-quiet"}" role="status">{text(words, 240)}</p>' if words else ""


def video_facts(name: str, picture: str, facts: Sequence[str]) -> str:
    """The chosen video: its picture, name and measures."""
    image = f'<img src="{picture}" alt="">' if picture else '<span class="sr-noimage"></span>'
    return f"""<section class="sr-video">{image}<div><h3>{text(name, 120)}</h3>
<p class="sr-quiet">{dotted(facts)}</p></div></section>"""


def original(path: str, name: str) -> str:
    """The whole video, which shows when a moment of it is asked for."""
    return f"""<section class="sr-original" hidden>
<video controls preload="none" playsinline data-path="{escape(path)}" aria-label="{text(name)}"></video>
<p class="sr-quiet sr-unplayable" hidden>Your browser can't play this kind of file itself. The reel is made to play
everywhere.</p></section>"""


def shareable(clips: Sequence[Clip], name: str) -> str:
    """The moments as plain text, for a message."""
    lines = [f"{clock(clip.start_s)} - {clock(clip.end_s)}  {title(clip, number, 120)}"
             for number, clip in enumerate(clips, start=1)]
    return "\n".join([f"Highlights of {one_line(name)}", *lines])
