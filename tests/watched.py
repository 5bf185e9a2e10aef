"""Stands in for the process that renders: as the real one, but it leaves a mark when a certain process is started.

SMOLREEL_WATCHED holds what must stand in that one's arguments, SMOLREEL_MARK the path of the mark.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline import sandboxed

create = subprocess.Popen.__init__


def remember(self: subprocess.Popen[bytes], *args: object, **kwargs: object) -> None:
    """Start a process, and leave the mark if it is the one."""
    create(self, *args, **kwargs)  # type: ignore[call-overload]
    if any(os.environ["SMOLREEL_WATCHED"] in str(argument) for argument in list(self.args)):  # type: ignore[call-overload]
        Path(os.environ["SMOLREEL_MARK"]).touch()


if __name__ == "__main__":
    # MoviePy starts processes, too.
    subprocess.Popen.__init__ = remember  # type: ignore[method-assign]
    sandboxed.main()
