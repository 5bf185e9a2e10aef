"""Everything that SmolReel raises on purpose.

    SmolReelError
    ├── InputError             the video is at fault: missing, empty, encrypted, no picture in it …
    ├── PlanError              a plan.json is at fault
    ├── SettingsError          a setting lies outside its legal range
    ├── OutputError            the results can't be written: no space, no permission
    ├── ClusterError           machines that shall share the work can't be had
    ├── ModelError             a model can't be loaded or used
    ├── FFmpegError            ffmpeg failed on a file that could be decoded: a fault of ours
    └── Cancelled              the caller's token asked to stop

A third party's errors are mapped to these at one seam each (`media/`, `scorers/smolvlm2/model.py`, `speech/model.py`),
with `from`.
A shell shows `str(error)` as it is: one line, what is wrong and what to do. `subject` names what it is about.
"""

from __future__ import annotations

# What a message quotes can be of any length; it is cut in the middle, since what to do stands last.
_LONGEST = 600


class SmolReelError(Exception):
    """Base of the tree.

    message: one line, what is wrong and what to do, without the subject's name
    subject: the file (or option) that is at fault, as the user named it; None where there is none
    """

    def __init__(self, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.message = _bounded(message)
        self.subject = subject if subject is None else _bounded(subject)

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" if self.subject else self.message


def _bounded(text: str) -> str:
    """A text of some hundred characters at most, without its middle where it has more."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST // 2]} … {text[-_LONGEST // 2:]}"


class InputError(SmolReelError):
    """The video can't be used."""


class PlanError(SmolReelError):
    """The plan can't be used."""


class SettingsError(SmolReelError, ValueError):
    """A setting is outside its legal range."""


class OutputError(SmolReelError):
    """The results can't be written."""


class ClusterError(SmolReelError):
    """Machines that shall share the work can't be had."""


class ModelError(SmolReelError):
    """A model can't be loaded or used."""


class FFmpegError(SmolReelError):
    """ffmpeg failed although the input was sound; `detail` has the tail of what it said."""

    def __init__(self, message: str, subject: str | None = None, detail: str = "") -> None:
        super().__init__(message, subject)
        self.detail = detail


class Cancelled(SmolReelError):
    """The caller asked to stop; nothing partial is returned."""

    def __init__(self) -> None:
        super().__init__("cancelled")
