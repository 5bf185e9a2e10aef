"""The page's look: one theme of our own on Gradio's variables, and the style sheet and script beside it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_STATIC = Path(__file__).with_name("static")
STYLE_SHEET = _STATIC / "page.css"
ICON = _STATIC / "icon.svg"
# System fonts: the page must look right without a network.
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
_ACCENT = gr.themes.Color("#eef2ff", "#dfe6ff", "#c3d0ff", "#a9bbff", "#8ea6ff", "#5874ea", "#3b5bdb", "#3049b4",
                          "#283d94", "#25356f", "#182247", name="accent")
_GREY = gr.themes.Color("#f6f7f9", "#eceef3", "#e1e4ea", "#c6ccd7", "#a2aab8", "#6b7383", "#515969", "#343a47",
                        "#20242d", "#181b22", "#101217", name="grey")


def theme() -> gr.themes.Base:
    """The theme, light and dark."""
    look = gr.themes.Base(primary_hue=_ACCENT, secondary_hue=_ACCENT, neutral_hue=_GREY, font=_FONTS, font_mono=_MONO,
                          radius_size=gr.themes.sizes.radius_lg, text_size=gr.themes.sizes.text_md)
    return look.set(
        body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900", body_text_color_dark="#eef0f4",
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white", background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50", background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200", border_color_primary_dark="#2a2f3a",
        block_background_fill="white", block_background_fill_dark="*neutral_900",
        block_border_width="1px", block_shadow="none", block_shadow_dark="none",
        block_label_background_fill="transparent", block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600", block_label_text_color_dark="*neutral_400",
        block_title_text_weight="600", block_title_text_color="*neutral_900", block_title_text_color_dark="#eef0f4",
        block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_400",
        input_background_fill="white", input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300", input_border_color_dark="#3a414f",
        input_border_color_focus="*primary_600", input_border_color_focus_dark="*primary_400",
        input_placeholder_color="*neutral_500", input_placeholder_color_dark="#858d9c",
        input_border_width="1px", input_border_width_dark="1px", input_radius="10px",
        input_shadow="none", input_shadow_focus="none",
        button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600", button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white", button_primary_text_color_dark="white",
        button_secondary_background_fill="white", button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300", button_secondary_border_color_dark="#3a414f",
        button_large_text_weight="600", button_medium_text_weight="500", button_border_width="1px",
        checkbox_label_background_fill="white", checkbox_label_background_fill_hover="*neutral_100",
        checkbox_label_background_fill_dark="*neutral_900", checkbox_label_background_fill_hover_dark="*neutral_800",
        checkbox_label_background_fill_selected="*primary_50", checkbox_label_background_fill_selected_dark="#202a4a",
        checkbox_label_border_color="*neutral_300", checkbox_label_border_color_dark="#3a414f",
        checkbox_label_border_color_selected="*primary_600", checkbox_label_border_color_selected_dark="*primary_400",
        checkbox_label_text_color_selected="*neutral_900", checkbox_label_text_color_selected_dark="#eef0f4",
        slider_color="*primary_600", slider_color_dark="*primary_400",
        link_text_color="*primary_600", link_text_color_dark="*primary_400",
        color_accent_soft="*primary_50", color_accent_soft_dark="#202a4a",
    )


def head() -> str:
    """What stands in the page's head: our script, in the page itself so that nothing more is fetched."""
    return f"<script>{(_STATIC / 'page.js').read_text(encoding='utf-8')}</script>"
