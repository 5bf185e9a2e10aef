"""reel.html: one page that shows what is in a reel and why, beside the reel and without it, and fetches nothing."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pipeline.export.document import STYLE, document, escaped
from pipeline.export.material import Material
from pipeline.export.pictures import Picture, jpeg, pictures_at
from pipeline.export.placing import Window, windows
from pipeline.export.words import clock, title
from pipeline.media.files import write_whole
from pipeline.plan import Plan
from pipeline.progress import CancelToken
from pipeline.types import Clip, ScoredSegment

FILE_NAME = "reel.html"
_THUMB_SIDE, _POSTER_SIDE = 320, 960
# Where in a clip its three pictures are taken, as shares of its length.
_MOMENTS = (0.08, 0.5, 0.92)
# The curve is drawn with at most this many points; a screen shows no more.
_MOST_POINTS = 1000
_WIDTH, _HEIGHT = 1000, 100
_TICKS = 5
# Numbers above the curve that are nearer than this share of its width would print over one another.
_NUMBER_GAP = 0.025
# Where scripts may not run, the links lead to the same moments of the reel.
_SCRIPT = """
const reel = document.querySelector("video");
for (const link of document.querySelectorAll("a[data-at]"))
  link.addEventListener("click", event => {
    if (reel.error || reel.networkState === 3) return;
    event.preventDefault();
    reel.currentTime = Number(link.dataset.at);
    reel.play();
    reel.scrollIntoView({ behavior: "smooth", block: "center" });
  });
"""
_PARTS = {"vlm": "what is seen", "query": "what was asked for", "onset": "sudden sounds", "colour": "colour"}


def export_page(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.html. Raises InputError, OutputError, Cancelled."""
    shown = windows(material.reel.placed)
    times = [window.start_s + share * (window.end_s - window.start_s) for window in shown for share in _MOMENTS]
    thumbs = pictures_at(material.reel.path, times, _THUMB_SIDE, cancel)
    best = max(shown, key=lambda window: window.clip.score or 0.0)
    poster = pictures_at(material.reel.path, [best.middle_s], _POSTER_SIDE, cancel)[0]
    path = material.folder / FILE_NAME
    write_whole(path, page(material, shown, thumbs, poster).encode())
    return [path]


def page(material: Material, shown: Sequence[Window], thumbs: Sequence[Picture], poster: Picture) -> str:
    """The page: everything that came from outside is escaped, whatever it holds.

    thumbs: three pictures a clip, in order
    poster: what stands in the player before it plays
    """
    name = escaped(material.video.path.name)
    reel = escaped(quote(material.reel.path.name))
    cards = "\n".join(_card(window, number, thumbs[3 * number - 3:3 * number], reel, material.plan)
                      for number, window in enumerate(shown, start=1))
    return document(f"{name}: highlights", STYLE.read_text(encoding="utf-8"), f"""<main>
<header>
<h1>{name}</h1>
<p class="facts quiet">{_facts(material)}</p>
</header>
<video src="{reel}" controls preload="metadata" playsinline poster="{_data_uri(poster)}"></video>
<h2>Interest over time</h2>
{_plot(material, shown)}
<h2>Clips</h2>
<ol>
{cards}
</ol>
{_notes(material.plan)}
<footer>Made with SmolReel from {name}. Times are those of that video.</footer>
</main>
<script>{_SCRIPT}</script>
""")


def _facts(material: Material) -> str:
    """What the reel is, in one line."""
    count, scorer = len(material.reel.placed), material.plan.scorer
    facts = [f"{count} {'clip' if count == 1 else 'clips'}",
             f"{clock(material.reel.duration_s)} of {clock(material.video.duration_s)}"]
    if scorer.name == "signals":
        facts.append("scored by picture and sound")
    elif scorer.model:
        facts.append(f"scored by {escaped(Path(scorer.model).name)}")
    query = material.plan.settings.get("query")
    if isinstance(query, str) and query.strip():
        facts.append(f"looking for \u201c{escaped(query)}\u201d")
    return " \u00b7 ".join(facts)


def _plot(material: Material, shown: Sequence[Window]) -> str:
    """The whole video from left to right: how interesting it is, where its scenes change, and what was chosen."""
    length_s = material.video.duration_s
    curve = _curve(material.plan, length_s)
    scenes = "".join(f"M{_x(scene.start_s, length_s)} 0V{_HEIGHT}" for scene in material.plan.scenes[1:])
    chosen = "".join(
        f'<g><title>{number}: {escaped(title(window.clip, number))}</title>{_band(window.clip, length_s)}</g>'
        for number, window in enumerate(shown, start=1))
    ticks = "".join(f"<span>{clock(length_s * i / (_TICKS - 1))}</span>" for i in range(_TICKS))
    return f"""<div class="panel">
<div class="plot">
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Interest over time">
{curve}<path class="scenes" d="{scenes}"/>{chosen}
</svg>
{_numbers(shown, length_s)}
</div>
<div class="axis">{ticks}</div>
<div class="legend"><span><i class="l-chosen"></i>in the reel</span><span><i class="l-curve"></i>interest</span>\
<span><i class="l-scene"></i>a new scene</span></div>
</div>"""


def _curve(plan: Plan, length_s: float) -> str:
    """The curve as two SVG paths; nothing where the plan has none."""
    if not plan.curve:
        return ""
    size = math.ceil(len(plan.curve) / _MOST_POINTS)
    pools = [plan.curve[i:i + size] for i in range(0, len(plan.curve), size)]
    values = [min(1.0, max(0.0, sum(pool) / len(pool))) for pool in pools]
    points = [f"{_x((i + 0.5) * size * plan.step_s, length_s)} {(1 - value) * _HEIGHT:.1f}"
              for i, value in enumerate(values)]
    points = [f"0 {points[0].split()[1]}", *points, f"{_WIDTH} {points[-1].split()[1]}"]
    line = "L".join(points)
    return f'<path class="area" d="M0 {_HEIGHT}L{line}L{_WIDTH} {_HEIGHT}Z"/><path class="curve" d="M{line}"/>'


def _band(clip: Clip, length_s: float) -> str:
    """A clip over the curve; short ones of a long video stay visible."""
    start = float(_x(clip.start_s, length_s))
    width = max(2.0, float(_x(clip.end_s, length_s)) - start)
    return (f'<rect class="chosen" x="{start:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}"/>'
            f'<rect class="chosen-edge" x="{start:.1f}" y="-3" width="{width:.1f}" height="3"/>')


def _numbers(shown: Sequence[Window], length_s: float) -> str:
    """The clips' numbers above the curve, as many as there is room for."""
    placed: list[float] = []
    spans = []
    for number, window in enumerate(shown, start=1):
        share = min(1.0, window.clip.interval.middle_s / length_s)
        if all(abs(share - other) >= _NUMBER_GAP for other in placed):
            placed.append(share)
            spans.append(f'<span class="number" style="left:{100 * share:.2f}%">{number}</span>')
    return "".join(spans)


def _x(seconds: float, length_s: float) -> str:
    """A time's place on the plot."""
    return f"{_WIDTH * min(1.0, max(0.0, seconds / length_s)):.1f}"


def _card(window: Window, number: int, thumbs: Sequence[Picture], reel: str, plan: Plan) -> str:
    """A clip in the list."""
    clip = window.clip
    pictures = "".join(f'<img src="{_data_uri(thumb)}" alt="" width="{thumb.shape[1]}" height="{thumb.shape[0]}">'
                       for thumb in thumbs)
    # The first frame's own time, rounded down, would show the last one of the clip before.
    at = f"{window.start_s + 0.0005:.3f}"
    score = "" if clip.score is None else f'<span class="score">{clip.score:.2f}</span>'
    why = f'<p class="why quiet">{escaped(clip.reason)}</p>' if clip.reason.strip() else ""
    return f"""<li class="clip">
<a class="strip" href="{reel}#t={at}" data-at="{at}" aria-label="Play clip {number}">{pictures}</a>
<div class="words">
<div class="when"><b>{number}</b><a href="{reel}#t={at}" data-at="{at}">{clock(clip.start_s)} \u2013 \
{clock(clip.end_s)}</a>{score}</div>
<p class="what">{escaped(title(clip, number, 400))}</p>
{why}{_parts(clip, plan)}
</div>
</li>"""


def _parts(clip: Clip, plan: Plan) -> str:
    """What the score of the clip's segment is made of, behind a fold."""
    segment = _segment_of(clip, plan.segments)
    if segment is None or not segment.parts:
        return ""
    rows = "".join(
        f'<dt>{escaped(_PARTS.get(name, name))}</dt><dd class="bar">'
        f'<i style="width:{100 * min(1, max(0, value)):.0f}%"></i></dd><dd>{value:.2f}</dd>'
        for name, value in sorted(segment.parts.items(), key=lambda part: -part[1]))
    return f"<details><summary>What the score is made of</summary><dl>{rows}</dl></details>"


def _segment_of(clip: Clip, segments: Sequence[ScoredSegment]) -> ScoredSegment | None:
    """The segment that a clip shares most time with; None where it shares none."""
    best = max(segments, key=lambda segment: segment.interval.overlap_s(clip.interval), default=None)
    return best if best is not None and best.interval.overlap_s(clip.interval) > 0 else None


def _notes(plan: Plan) -> str:
    """The run's warnings."""
    if not plan.warnings:
        return ""
    return '<ul class="notes">' + "".join(f"<li>{escaped(warning)}</li>" for warning in plan.warnings) + "</ul>"


def _data_uri(picture: Picture) -> str:
    """A picture that stands in the page itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(picture)).decode()}"
