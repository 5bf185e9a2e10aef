"""Settings and clips of the styled reels that tests render."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.settings import Settings, Style
from tests.numbered import QUICK, snapped

PLAIN = Style(crossfade_s=0.4)
STYLED = replace(QUICK, render="styled", encoder="x264", style=PLAIN)
CLIPS = [snapped(50, 110, 25), snapped(200, 275, 25), snapped(400, 450, 25)]


def styled(**style: object) -> Settings:
    """Quick settings in this style."""
    return replace(STYLED, style=replace(PLAIN, **style))  # type: ignore[arg-type]


def left_over(tmp_path: Path) -> list[str]:
    """Files and folders that a render shouldn't leave behind."""
    return [str(path) for path in tmp_path.rglob("*") if path.name.startswith(".") or path.suffix in (".part", ".png")]
