"""The whole video from left to right: a plot of how interesting it is, and what lies over it for mouse and keyboard."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from app.thumbs import PEEK_WIDTH, data_uri, thumb_at
from pipeline import Clip, Plan
from pipeline.export.words import clock, one_line, shortened, title
from pipeline.types import Glance, SampledFrame

# What page.css and page.js know as well: the plot's margins, over which the bands are laid.
SIDE_PX, TOP_PX, FOOT_PX, HEIGHT_PX = 18, 26, 24, 156
# A screen shows no more points, and a person no more pictures.
_MOST_POINTS = 600
_MOST_PEEKS = 72
_MOST_SCENES = 400
_TICKS = 7
_CELLS = 10
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_LEAST_BAND = 0.4  # percent: a clip of three seconds of two hours must still be seen and hit


def figure(plan: Plan, length_s: float) -> Any:
    """Interest over time and where scenes change, as a Plotly figure that suits light and dark pages."""
    import plotly.graph_objects as go

    times, values = curve_points(plan, length_s)
    marks = [scene.start_s for scene in plan.scenes[1:]]
    marks = marks[::max(1, math.ceil(len(marks) / _MOST_SCENES))]
    scenes = go.Scatter(x=[x for mark in marks for x in (mark, mark, None)], y=[y for _ in marks for y in (0, 1, None)],
                        mode="lines", line={"color": "rgba(125,135,152,.4)", "width": 1, "dash": "2px,3px"},
                        hoverinfo="skip", showlegend=False)
    interest = go.Scatter(x=times, y=values, mode="lines", fill="tozeroy", line={"color": "#7f95e6", "width": 2},
                          fillcolor="rgba(110,134,226,.22)", hoverinfo="skip", showlegend=False)
    ticks = tick_times(length_s)
    axis = {"fixedrange": True, "showgrid": False, "zeroline": False}
    return go.Figure([interest, scenes], {
        "template": "none", "height": HEIGHT_PX, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": SIDE_PX, "r": SIDE_PX, "t": TOP_PX, "b": FOOT_PX, "pad": 0},
        "dragmode": False, "hovermode": False, "font": {"family": "system-ui, sans-serif", "size": 12},
        "xaxis": {**axis, "range": [0, length_s], "tickvals": ticks, "ticktext": [short_clock(t) for t in ticks],
                  "ticks": ""},
        "yaxis": {**axis, "range": [0, 1.02], "visible": False},
    })


def curve_points(plan: Plan, length_s: float) -> tuple[list[float], list[float]]:
    """Times and values of the curve, from edge to edge, few enough to draw."""
    if not plan.curve:
        return [0.0, length_s], [0.0, 0.0]
    size = math.ceil(len(plan.curve) / _MOST_POINTS)
    pools = [plan.curve[i:i + size] for i in range(0, len(plan.curve), size)]
    values = [round(min(1.0, max(0.0, sum(pool) / len(pool))), 3) for pool in pools]
    times = [min(length_s, round((i + 0.5) * size * plan.step_s, 2)) for i in range(len(values))]
    return [0.0, *times, round(length_s, 2)], [values[0], *values, values[-1]]


def tick_times(length_s: float) -> list[float]:
    """Round times along the axis, a handful of them."""
    step_s = next((step for step in _STEPS_S if length_s / step <= _TICKS), 3600 * math.ceil(length_s / 3600 / _TICKS))
    # A number at the very edge would be cut off.
    return [float(t) for t in range(0, math.floor(length_s) + 1, step_s) if t == 0 or t < 0.97 * length_s]


def short_clock(seconds: float) -> str:
    """A whole second as people write it: 0:07, 12:31, 1:02:03."""
    return clock(round(seconds)).removesuffix(".0")


def bands(clips: Sequence[Clip], length_s: float) -> str:
    """The chosen clips over the plot: each a button that plays the video from there."""
    buttons = "".join(_band(clip, number, length_s) for number, clip in enumerate(clips, start=1))
    return f"""<div class="sr-line" tabindex="0" role="slider" aria-label="The whole video: arrow keys move, \
Enter plays from there" aria-valuemin="0" aria-valuemax="{length_s:.0f}" aria-valuenow="0" \
aria-valuetext="{clock(0)}" data-length="{length_s:.3f}"></div>{buttons}
<div class="sr-cursor" hidden></div>
<div class="sr-peek" hidden><img alt=""><p class="sr-peek-when"></p><p class="sr-peek-what"></p></div>"""


def _band(clip: Clip, number: int, length_s: float) -> str:
    start = min(100.0, 100 * clip.start_s / length_s)
    width = max(_LEAST_BAND, min(100.0, 100 * clip.end_s / length_s) - start)
    label = escape(f"Clip {number}, {clock(clip.start_s)} to {clock(clip.end_s)}: {title(clip, number)}. Play it")
    return (f'<button type="button" class="sr-band" style="left:{start:.3f}%;width:{width:.3f}%" '
            f'data-play="{clip.start_s:.3f}" aria-label="{label}"><span>{number}</span></button>')


def first_look(glance: Glance, length_s: float) -> str:
    """The whole video from left to right before it is scanned: pictures of it, and where scenes may begin."""
    cells_s = [(i + 0.5) * length_s / _CELLS for i in range(_CELLS)]
    nearest = [min(range(len(glance.times_s)), key=lambda i: abs(glance.times_s[i] - at_s)) for at_s in cells_s]
    film = "".join(f'<img src="{data_uri(glance.pictures[i])}" alt="" title="{short_clock(glance.times_s[i])}">'
                   for i in nearest)
    marks = "".join(f'<i style="left:{100 * mark_s / length_s:.2f}%"></i>' for mark_s in glance.marks_s)
    ticks = "".join(f'<span style="left:{100 * tick_s / length_s:.2f}%">{short_clock(tick_s)}</span>'
                    for tick_s in tick_times(length_s))
    told = f"{len(glance.pictures)} pictures of it" + ("; scenes may begin at the marks" if glance.marks_s else "")
    return f"""<section class="sr-first" aria-label="A first look at the video"><h3>A first look \
<span class="sr-quiet">{told}</span></h3>
<div class="sr-film">{film}</div><div class="sr-marks">{marks}</div><div class="sr-ticks">{ticks}</div></section>"""


def story(plan: Plan, frames: Sequence[SampledFrame], length_s: float) -> str:
    """What is shown when a person points at a moment: words of its segment, and small pictures along the video."""
    count = min(_MOST_PEEKS, len(frames))
    times = [frames[round(i * (len(frames) - 1) / max(1, count - 1))].time_s for i in range(count)]
    told = {
        "segments": [[round(s.start_s, 2), round(s.end_s, 2), round(s.score, 2),
                      shortened(one_line(s.description), 160)] for s in plan.segments],
        "peeks": [[round(t, 2), thumb_at(frames, t, PEEK_WIDTH)] for t in times],
        "length": round(length_s, 3),
    }
    return f'<div hidden class="sr-story" data-story="{escape(json.dumps(told, ensure_ascii=False))}"></div>'
