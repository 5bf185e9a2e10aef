"""What is said of a run that failed: to its visitor by their name for the video, to the log without any name."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from app.presenters import discreet, one_line
from app.runs import Job
from pipeline import SmolReelError

OUR_FAULT = "Something went wrong on our side; it is in the log. Try again, or try other settings."
_log = logging.getLogger("smolreel")


def told(error: SmolReelError, job: Job, home: Path) -> str:
    """The error as the person may read it: by their name for the video, without this machine's folders.

    home: the page's folder
    """
    return one_line(discreet(str(error), job.source, job.folder, home, job.name))


def note(job: Job, home: Path, detail: str = "") -> None:
    """Write into the log what went wrong, which is nobody's business but where: no visitor's file is named."""
    said = discreet(f"{traceback.format_exc()}{detail}", job.source, job.folder, home, "VIDEO")
    _log.error("a run failed\n%s", said)
