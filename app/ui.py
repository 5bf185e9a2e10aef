"""Layout and wiring of the page; nothing else. What happens is in `handlers.py`, what is shown in `cards.py`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app import forms, programs, telling, words
from app.forms import DEFAULT_TARGET_S, FIELDS, TARGET_BOUNDS_S
from app.handlers import Handlers
from app.serving import serve
from pipeline.settings import bounds

Parts = dict[str, Any]

# Seconds between two looks at a run; an update of a second shall not feel longer for it.
_LOOK_EVERY_S = 0.4
_TRIGGERS = "smolreel.actions(element, (name, data) => trigger('act', data))"
_QUIET = {"show_progress": "hidden", "api_visibility": "private"}
_QUICK = {**_QUIET, "queue": False}


def build(handlers: Handlers) -> gr.Blocks:
    """The page: a video goes in, a reel comes out and can be corrected."""
    # Old files are `serving.py`'s to delete: Gradio's own way stops for good where a visitor sends one meanwhile.
    with gr.Blocks(title=words.TITLE, analytics_enabled=False) as page:
        parts: Parts = {
            "visitor": gr.BrowserState("", storage_key="smolreel-visitor"), "run_id": gr.State(""), "told": gr.State(),
            "video": gr.State(), "timer": gr.Timer(_LOOK_EVERY_S, active=False)}
        _drawn(words.HEADER)
        parts["address"] = _drawn("", js="smolreel.follow(element, watch)")
        parts["trouble"] = _drawn("", "trouble", js="smolreel.call(element, watch)")
        with gr.Column(elem_id="setup") as parts["setup"]:
            _setup(parts, handlers)
        with gr.Column(elem_id="running", elem_classes="sr-panel", visible=False) as parts["running"]:
            parts["at_work"] = _drawn("", "at-work")
            parts["progress"] = _drawn("", "progress", js="smolreel.title(element, watch)")
            parts["look"] = _drawn("", "look")
            parts["cancel"] = gr.Button("Cancel", elem_id="cancel")
            parts["found"] = _drawn("", "found")
        with gr.Column(elem_id="result", visible=False) as parts["result"]:
            _result(parts)
        _wire(page, parts, handlers)
        programs.offer(handlers.jobs)
    return page


launch = functools.partial(serve, build)


def _drawn(value: str, elem_id: str | None = None, js: str | None = None, **more: Any) -> gr.HTML:
    """A part that we draw ourselves."""
    return gr.HTML(value, elem_id=elem_id, elem_classes="sr", apply_default_css=False, js_on_load=js, **more)


# ---- layout ----

def _setup(parts: Parts, handlers: Handlers) -> None:
    """A video, and what to make of it."""
    limits = handlers.jobs.limits
    with gr.Column(elem_classes="sr-panel"):
        parts["source"] = gr.File(label="Your video", elem_id="source", file_count="single", interactive=True,
                                  height=220)
        _drawn(telling.limits(limits), "limits")
        parts["facts"] = _drawn("", "facts")
        parts["sample"] = gr.Button("Try it with our sample", elem_id="sample")
    with gr.Column(elem_classes="sr-panel"):
        parts["target_s"] = _target(DEFAULT_TARGET_S)
        parts["preset"] = gr.Radio(forms.preset_choices(), value=forms.ANYTHING, label="What kind of video is it?",
                                   elem_id="preset", interactive=True)
        parts["hint"] = _drawn("", "hint")
        parts["query"] = gr.Textbox(label="What to look for", placeholder=words.QUERY_EXAMPLE, max_lines=3,
                                    elem_id="query", info=words.QUERY_INFO, interactive=True)
        with gr.Row():
            parts["style"] = gr.Radio(forms.STYLES, value=forms.STYLES[0][1], label="Style", interactive=True)
            parts["shape"] = gr.Radio(forms.SHAPES, value=forms.SHAPES[0][1], label="Shape", interactive=True,
                                      elem_id="shape")
        with gr.Accordion("More", open=False, elem_id="more"):
            _more(parts)
        parts["run"] = gr.Button("Make the reel", variant="primary", elem_id="run", size="lg")
        parts["estimate"] = _drawn("", "estimate")
    parts["earlier"] = _drawn("", "earlier")


def _more(parts: Parts) -> None:
    """What most people never need."""
    parts["scorer"] = gr.Radio(forms.SCORERS, value="auto", label="How moments are found", interactive=True)
    parts["speed"] = _drawn(telling.speed(None, None, ""), "speed")
    with gr.Row():
        parts["model"] = gr.Dropdown(forms.MODELS, value="", label="Model that looks", allow_custom_value=True,
                                     interactive=True, elem_id="model")
        parts["detail"] = gr.Dropdown(forms.DETAILS, value="auto", label="How closely it looks", interactive=True)
    with gr.Row():
        parts["framing"] = gr.Dropdown(forms.FRAMINGS, value="auto", label="How another shape is filled",
                                       interactive=True)
        parts["captions"] = gr.Dropdown(forms.CAPTIONS, value="auto", label="Words in the picture", interactive=True)
    with gr.Row():
        parts["title"] = gr.Textbox(label="Opening title", placeholder="Styled reels only", max_length=80,
                                    interactive=True)
        parts["closing"] = gr.Textbox(label="Closing words", placeholder="Styled reels only", max_length=80,
                                      interactive=True)
    parts["exports"] = gr.CheckboxGroup(forms.EXPORT_CHOICES, label="Also make", elem_id="exports", interactive=True)


def _target(value: float, elem_id: str = "target") -> gr.Slider:
    low, high = bounds("target_s")
    assert low <= TARGET_BOUNDS_S[0] and TARGET_BOUNDS_S[1] <= high
    return gr.Slider(*TARGET_BOUNDS_S, value=value, step=1, label="Length of the reel at most, in seconds",
                     elem_id=elem_id, interactive=True)


def _result(parts: Parts) -> None:
    """The reel, the video that it is from, and its clips."""
    parts["notice"] = _drawn("", "notice", js="smolreel.call(element, watch)")
    with gr.Row(elem_id="watch", equal_height=True):
        with gr.Column(scale=3, min_width=320, elem_classes="sr-panel sr-bare"):
            parts["reel"] = gr.Video(label="The reel", interactive=False, autoplay=True, elem_id="reel", buttons=[],
                                     show_label=False)
        with gr.Column(scale=2, min_width=260, elem_classes="sr-panel"):
            _take_home(parts)
    with gr.Column(elem_classes="sr-panel"):
        _drawn(words.TIMELINE)
        with gr.Column(elem_id="timeline"):
            parts["plot"] = gr.Plot(show_label=False, elem_id="plot", container=False, label="Interest over time")
            parts["bands"] = _drawn("", "bands", js="smolreel.timeline(element)")
        parts["story"] = _drawn("", "story")
        parts["original"] = _drawn("", "original")
    with gr.Column(elem_classes="sr-panel"):
        _drawn(words.CLIPS)
        parts["strip"] = _drawn("", "strip", js=_TRIGGERS)
        _drawn(words.OTHERS)
        parts["shelf"] = _drawn("", "shelf", js=_TRIGGERS)
    with gr.Accordion("Change the length, what to look for, or the files you get", open=False, elem_id="change"):
        parts["new_target"] = _target(DEFAULT_TARGET_S, "new-target")
        parts["new_query"] = gr.Textbox(label="What to look for", placeholder=words.QUERY_EXAMPLE, max_lines=3,
                                        elem_id="new-query", interactive=True, info=words.NEW_QUERY_INFO)
        parts["new_exports"] = gr.CheckboxGroup(forms.EXPORT_CHOICES, label="Also make", elem_id="new-exports",
                                                interactive=True)
    with gr.Column(elem_id="bar"):
        parts["updating"] = _drawn("", "updating", visible=False)
        parts["said"] = _drawn("", "said")
        with gr.Row(elem_id="buttons"):
            parts["total"] = _drawn("", "total", min_width=240, scale=3)
            parts["undo"] = gr.Button("Undo", elem_id="undo", size="md", min_width=80, scale=1)
            parts["redo"] = gr.Button("Redo", elem_id="redo", size="md", min_width=80, scale=1)
            parts["stop"] = gr.Button("Cancel", elem_id="stop", size="md", min_width=80, scale=1, visible=False)
            parts["update"] = gr.Button("Update the reel", elem_id="update", size="md", min_width=150, scale=2)


def _take_home(parts: Parts) -> None:
    """What a person leaves with."""
    parts["summary"] = _drawn("", "summary", js="smolreel.ready(element, watch)")
    parts["download"] = gr.DownloadButton("Download the reel", variant="primary", elem_id="download")
    with gr.Row():
        parts["download_plan"] = gr.DownloadButton("The plan", elem_id="download-plan", min_width=120, size="md")
        parts["copy"] = gr.Button("Copy moments", elem_id="copy", min_width=120, size="md")
    _drawn('<p id="copied" role="status" hidden></p>')
    parts["moments"] = gr.Textbox(visible=False)
    parts["files"] = gr.File(label="More files", interactive=False, visible=False, file_count="multiple",
                             elem_id="files")
    parts["again"] = gr.Button("Make another reel", elem_id="again", size="md")
    parts["notes"] = _drawn("", "notes")


# ---- wiring ----

def _wire(page: gr.Blocks, parts: Parts, handlers: Handlers) -> None:
    """Connect what a person does with what happens then."""
    def on(event: Callable[..., Any], handler: Callable[..., Any], inputs: Sequence[str] = (), **how: Any) -> Any:
        return event(_by_part(handler, parts), [parts[name] for name in inputs], list(parts.values()), **how)

    def in_turn(event: Callable[..., Any], handler: Callable[..., Any], *inputs: str, **how: Any) -> None:
        on(event, handler, ("run_id", *inputs), js="(...values) => smolreel.turn(values)", **_QUICK, **how).then(
            None, js="() => smolreel.answered()", **_QUICK)

    run, asked = ("run_id",), FIELDS
    on(page.load, handlers.opened, ("visitor",), **_QUIET)
    page.unload(handlers.left)
    on(parts["source"].upload, handlers.chosen, ("source",), concurrency_limit=4,
       api_visibility="private", show_progress_on=parts["facts"])
    on(parts["source"].clear, handlers.chosen, ("source",), **_QUIET)
    on(parts["sample"].click, handlers.sample, **_QUIET)
    changes = [parts[name].change for name in (*asked, "video")]
    gr.on([*changes, page.load], _by_part(handlers.foreseen, parts), [parts[name] for name in ("video", *asked)],
          list(parts.values()), trigger_mode="always_last", **_QUICK)
    for event in (parts["run"].click, parts["query"].submit):
        on(event, handlers.start, ("source", "video", "visitor", *asked), concurrency_limit=4, **_QUIET)
    on(parts["timer"].tick, handlers.tick, ("run_id", "told"), **_QUICK)
    on(parts["cancel"].click, handlers.cancel, run, **_QUICK)
    on(parts["stop"].click, handlers.cancel, run, **_QUICK)
    on(parts["again"].click, handlers.again, ("visitor",), **_QUICK)
    for shelf in ("strip", "shelf"):
        in_turn(parts[shelf].act, handlers.act, trigger_mode="multiple")
    in_turn(parts["undo"].click, handlers.undo, trigger_mode="multiple")
    in_turn(parts["redo"].click, handlers.redo, trigger_mode="multiple")
    in_turn(parts["new_target"].release, handlers.aim, "new_target")
    for event in (parts["update"].click, parts["new_query"].submit):
        in_turn(event, handlers.update, "new_query", "new_exports")
    parts["copy"].click(None, parts["moments"], None, js="text => smolreel.copy(text)", api_visibility="private")
    most = handlers.jobs.limits.max_upload_mb * 1e6
    page.load(None, None, None, api_visibility="private",
              js=f"() => smolreel.guard({most:.0f}, {json.dumps(telling.too_large(handlers.jobs.limits))})")


def _by_part(handler: Callable[..., dict[str, Any]], parts: Parts) -> Callable[..., dict[Any, Any]]:
    """The handler, with its values by part instead of by name."""
    @functools.wraps(handler)
    def wired(*args: Any, **kwargs: Any) -> dict[Any, Any]:
        shown = {parts[name]: value for name, value in handler(*args, **kwargs).items()}
        return shown or {parts["told"]: gr.skip()}

    return wired


