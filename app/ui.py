"""Layout and wiring of the page; nothing else."""

from __future__ import annotations

import os
import sys

import gradio as gr

from app.forms import DEFAULT_TARGET_S, SHAPES, STYLES, TARGET_BOUNDS_S
from app.handlers import make, sample_path
from pipeline import SettingsError
from pipeline.settings import EXPORTS

_TITLE = "SmolReel"
_INTRO = "# SmolReel\nDrop in a long video and get its best moments as a short reel. Everything stays on this machine."
_CLIP_HEADERS = ["From", "To", "Score", "What is in it", "Why it was chosen"]
# System fonts: the page must look right without a network.
_FONTS = ["system-ui", "sans-serif"]
_KEEP_S = 3600


def build() -> gr.Blocks:
    """The page: a video and a length go in, a reel comes out."""
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(_KEEP_S, _KEEP_S)) as page:
        gr.Markdown(_INTRO)
        with gr.Row():
            with gr.Column():
                video = gr.Video(label="Your video", sources=["upload"], elem_id="source")
                target = gr.Slider(*TARGET_BOUNDS_S, value=DEFAULT_TARGET_S, step=1,
                                   label="Length of the reel at most, in seconds")
                with gr.Accordion("More", open=False):
                    style = gr.Radio(STYLES, value=STYLES[0][1], label="Style")
                    shape = gr.Dropdown(SHAPES, value=SHAPES[0][1], label="Shape")
                    exports = gr.CheckboxGroup(EXPORTS, label="Also make", elem_id="exports")
                with gr.Row():
                    run = gr.Button("Make the reel", variant="primary", elem_id="run")
                    sample = gr.Button("Try the sample", elem_id="sample")
            with gr.Column():
                reel = gr.Video(label="The reel", interactive=False, elem_id="reel")
                status = gr.Markdown(elem_id="status")
        clips = gr.Dataframe(headers=_CLIP_HEADERS, label="Clips", interactive=False, wrap=True, visible=False,
                             column_widths=["9%", "9%", "8%", "42%", "32%"])
        files = gr.File(label="Take it home: the reel, its plan and what else you chose", interactive=False,
                        visible=False, file_count="multiple")
        # One run at a time: a second one would only make both slower.
        run.click(make, [video, target, style, shape, exports], [reel, status, clips, files], concurrency_limit=1,
                  concurrency_id="run", show_progress_on=reel)
        sample.click(sample_path, None, video, api_visibility="private")
    return page


def launch(host: str | None = None, port: int | None = None, browser: bool = False) -> None:
    """Serve the page until it is stopped.

    host, port: where to listen; None leaves it to Gradio's own environment variables and defaults, as a Space needs
    browser: whether to open it in the user's browser, where this machine has a screen

    Raises SettingsError where the port is taken.
    """
    theme = gr.themes.Soft(font=_FONTS, font_mono=["monospace"])
    try:
        build().queue(max_size=20).launch(server_name=host, server_port=port, theme=theme, show_error=True,
                                          inbrowser=browser and _has_screen())
    except OSError as error:
        raise SettingsError("is taken by another program; choose another with --port", f"port {port}") from error


def _has_screen() -> bool:
    """Whether a browser would open in a window; without a screen, a text browser would take over the terminal."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
