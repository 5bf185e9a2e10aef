"""What goes to another process comes out the same, and what comes back is what it should be or refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import Settings, wire
from pipeline.export import Material
from pipeline.rendering.order import Order
from pipeline.settings import Limits, Style
from pipeline.types import Caption, Clip, Glance, HeaderClaims, Interval, Placed, Reel, VideoInfo
from tests.test_plan import a_plan

VIDEO = VideoInfo(Path(os.fsdecode(b"/a/\xff.mp4")), "0" * 64, 1, "avi", 0, None, "h264", "yuv420p", -0.1, 0.0, 1 / 3,
                  29.97, 10, False, 64, 48, 64, 48, 90, True, 1.0, 8, "sdr", HeaderClaims(None, 25.0, 3))
CLIP = Clip(0.1 + 0.2, 1, None, "\ud800 ü", "why\n")
REEL = Reel(Path("reel.mp4"), 2.5, 64, 48, 25.0, "encode", None, (Placed(CLIP, 0, 2.5),), 1, 0, ("a",),
            {"tried": {"nvenc": None}})
SETTINGS = Settings(export=("srt", "gif"), pinned=((0, 1.5),), cache_dir=Path("c"), style=Style(title="T"),
                    limits=Limits(memory_mb=3000), crf=20.5)  # type: ignore[arg-type]


def over(value: Any, **how: bool) -> Any:
    """A value as another process gets it."""
    return wire.from_json(type(value), json.loads(json.dumps(wire.to_json(value))), **how)


@pytest.mark.parametrize("value", [
    VIDEO, REEL, a_plan(), Material(a_plan(), VIDEO, REEL, (Caption(0, 1, "x"),), Path("out")),
    Glance((0.0, 1.5), (b"", b"\xff\xd8"), (0.75,)),
    Order(VIDEO, replace(a_plan(), clips=(CLIP,)), (), Path("out/reel.mp4"), SETTINGS, Path("clips")),
], ids=lambda value: type(value).__name__)
def test_it_comes_out_the_same(value: Any) -> None:
    assert over(value, checked=False) == value


def test_a_glance_whose_parts_do_not_match_is_refused() -> None:
    for bad in ({"pictures": []}, {"times_s": [float("nan")]}, {"pictures": ["?"]}, {"marks_s": [float("inf")]}):
        with pytest.raises(ValueError, match=r"belong together|base64|padding|Incorrect"):
            wire.from_json(Glance, {"times_s": [1.0], "pictures": ["YQ=="], "marks_s": [], **bad})


def test_what_no_annotation_allows_goes_as_it_is() -> None:
    plan = a_plan()
    odd = replace(plan, video=replace(plan.video, fps="many", width=[1]))  # type: ignore[arg-type]
    assert over(odd, checked=False) == odd


def test_numbers_of_numpy_are_numbers() -> None:
    assert wire.to_json((np.float32(0.5), np.int64(3))) == [0.5, 3]


@pytest.mark.parametrize("change", [
    {"path": 5}, {"duration_s": "2"}, {"clips_encoded": True}, {"warnings": "text"}, {"warnings": [1]}, {"notes": []},
    {"placed": [{}]}, {"placed": [None]}, {"encoder": 1}, {"more": 1}])
def test_what_comes_back_wrong_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        wire.from_json(Reel, {**wire.to_json(REEL), **change})
    for torn in (None, [], "x", {}):
        with pytest.raises(ValueError):
            wire.from_json(Reel, torn)


def test_what_a_class_itself_refuses() -> None:
    with pytest.raises(ValueError, match="is no interval"):
        wire.from_json(Interval, {"start_s": 2, "end_s": 1})
