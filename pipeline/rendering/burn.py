"""Words in the picture: draws a reel's title, captions and closing card, and places them in time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from pipeline.media.files import working_folder
from pipeline.rendering.graph import ClipJob
from pipeline.rendering.overlays import Overlay, within
from pipeline.rendering.text import Drawn, Letterer
from pipeline.rendering.timeline import Timeline, caption_times, lay_out
from pipeline.settings import Style
from pipeline.types import Caption, Clip


class Burner:
    """Pictures of words for one render, in a folder that lives as long as the `with` block."""

    def __init__(self, width: int, height: int, style: Style) -> None:
        self._letterer = Letterer(width, height, style)
        self._style = style
        self._open = ExitStack()

    def __enter__(self) -> Burner:
        self._folder = self._open.enter_context(working_folder(Path(tempfile.gettempdir())))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._open.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What couldn't be drawn as it should, for people."""
        return self._letterer.warnings

    def captions(self, timeline: Timeline, clips: Sequence[Clip], captions: Sequence[Caption],
                 from_frame: int = 0) -> tuple[Overlay, ...]:
        """The captions of a reel, by its frames; none before `from_frame`."""
        fade = round(self._style.caption_fade_s * timeline.rate)
        drawn = ((self._letterer.caption(text), first, after)
                 for text, first, after in caption_times(timeline, clips, captions, from_frame))
        return tuple(self._overlay(picture, first, after, fade) for picture, first, after in drawn if picture)

    def title(self, timeline: Timeline) -> tuple[Overlay, ...]:
        """The opening title, by the reel's frames; it goes before the clips do."""
        if not (self._style.title or "").strip():
            return ()
        drawn = self._letterer.title(self._style.title or "")
        after = min(round(self._style.title_s * timeline.rate), timeline.clips_end - timeline.overlaps[-1])
        fade = round(self._style.title_fade_s * timeline.rate)
        return (self._overlay(drawn, 0, after, fade),) if drawn else ()

    def card(self) -> Drawn | None:
        """The closing card's words; None where there are none that can be drawn."""
        return self._letterer.card(self._style.closing or "")

    def _overlay(self, drawn: Drawn, first: int, after: int, fade: int) -> Overlay:
        picture = drawn.save(self._folder)
        return Overlay(picture, drawn.digest, drawn.x, drawn.y, first, after, fade)


def with_captions(jobs: Sequence[ClipJob], clips: Sequence[Clip], captions: Sequence[Caption],
                  burner: Burner) -> list[ClipJob]:
    """Jobs of clips that follow one another, with what of the captions falls into each."""
    timeline = lay_out([job.frames for job in jobs], jobs[0].rate)
    overlays = burner.captions(timeline, clips, captions)
    return [replace(job, overlays=within(overlays, start, job.frames))
            for job, start in zip(jobs, timeline.starts, strict=True)]
