"""What parts of a scan leave to whoever joins them, as files: numbers and pictures, never code. Part of the scan."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.division import Part
from pipeline.media.files import disk_error
from pipeline.parts import Look
from pipeline.types import SampledFrame

_MEASURED = ("seconds", "looks", "beats", "focus")


def save_look(look: Look, folder: Path) -> None:
    """Write what was seen of a part, whose frames already lie in `folder`/frames. Raises OutputError."""
    facts = {"part": asdict(look.part), "whole": look.whole, "cuts": list(look.cuts),
             "frames": [[frame.time_s, frame.path.name] for frame in look.frames]}
    try:
        (folder / "look.json").write_text(json.dumps(facts))
        np.savez(folder / "look.npz", allow_pickle=False, trace=look.trace, **look.measured)
    except OSError as error:
        raise disk_error(error, folder) from error


def load_look(folder: Path) -> Look:
    """Read what `save_look` wrote."""
    facts = json.loads((folder / "look.json").read_text())
    with np.load(folder / "look.npz", allow_pickle=False) as arrays:
        trace, measured = arrays["trace"], {name: arrays[name] for name in _MEASURED}
    frames = tuple(SampledFrame(time_s, folder / "frames" / name) for time_s, name in facts["frames"])
    return Look(Part(**facts["part"]), facts["whole"], trace, tuple(facts["cuts"]), measured, frames)


def gather(frames: Sequence[SampledFrame], folder: Path) -> tuple[SampledFrame, ...]:
    """Copies of frames, in an existing folder. Raises OutputError."""
    try:
        return tuple(SampledFrame(frame.time_s, Path(shutil.copyfile(frame.path, folder / frame.path.name)))
                     for frame in frames)
    except OSError as error:
        raise disk_error(error, folder) from error
