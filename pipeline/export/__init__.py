"""Takes a reel to where people work: editors, players, spreadsheets, chats. One module a kind of file.

Whoever only asks for files is spared what writes them; that is in `kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import Cancelled
from pipeline.export.material import Material
from pipeline.progress import CancelToken, Progress, Report

__all__ = ["Material", "export"]


def export(names: Sequence[str], material: Material, report: Report, cancel: CancelToken,
           write: Callable[[str, Material, CancelToken], Sequence[Path]]) -> tuple[Path, ...]:
    """Write the files that `names` ask for (see `settings.EXPORTS`) beside the reel.

    write: writes one kind, as `kinds.EXPORTERS` do

    Each appears under its final name only when it is whole. Raises OutputError, FFmpegError, Cancelled; of the
    latter, no file that was written is left.
    """
    written: list[Path] = []
    try:
        for number, name in enumerate(names):
            cancel.check()
            report(Progress("export", number / len(names), f"writing {name}"))
            written += write(name, material, cancel)
    except Cancelled:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    if names:
        report(Progress("export", 1.0, "exported"))
    return tuple(written)
