"""The sound's pass of a scan: feeds its meters, in a process of its own where that is quicker, which leaves files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from pipeline.hearing import Ear
from pipeline.loudness import SAMPLE_RATE, SoundMeter
from pipeline.media.damage import Damage
from pipeline.media.files import disk_error
from pipeline.media.sound import Sound, decode_sound
from pipeline.progress import CancelToken
from pipeline.types import VideoInfo

_SOUNDS = ("power", "flux")


@dataclass(slots=True)
class Listener:
    """Shows the sound to its meters.

    anything: whether there was any that could be decoded
    """

    sounds: SoundMeter = field(default_factory=SoundMeter)
    ear: Ear = field(default_factory=Ear)
    anything: bool = False
    damage: list[Damage] = field(default_factory=list)

    def push(self, event: Sound | Damage) -> None:
        """Take what the decoder gives."""
        if isinstance(event, Sound):
            self.anything = True
            self.sounds.push(event.time_s, event.samples)
            self.ear.push(event.time_s, event.samples)
        else:
            self.damage.append(event)


def listen(video: VideoInfo, cancel: CancelToken) -> Listener:
    """Measure the sound."""
    found = Listener()
    for event in decode_sound(video, SAMPLE_RATE, cancel):
        found.push(event)
    found.ear.end()
    return found


def save_heard(heard: Listener, folder: Path) -> None:
    """Write what was heard. Raises OutputError."""
    facts = {"anything": heard.anything, "damage": [asdict(one) for one in heard.damage]}
    try:
        (folder / "heard.json").write_text(json.dumps(facts))
        np.savez(folder / "heard.npz", allow_pickle=False, **{**heard.sounds.kept(), **heard.ear.kept()})
    except OSError as error:
        raise disk_error(error, folder) from error


def load_heard(folder: Path) -> Listener:
    """Read what `save_heard` wrote."""
    facts = json.loads((folder / "heard.json").read_text())
    heard = Listener(anything=facts["anything"], damage=[Damage(**one) for one in facts["damage"]])
    with np.load(folder / "heard.npz", allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    heard.sounds.take({name: kept.pop(name) for name in _SOUNDS})
    heard.ear.take(kept)
    return heard
