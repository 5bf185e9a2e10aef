"""What is wrong with a file can often be told before any decoder sees it, or is imported."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import InputError
from pipeline.media.references import refuse_references

# What is wanted, with its article.
AN = {"video": "a video", "audio": "an audio"}


def check_readable(path: Path, subject: str, kind: str = "video") -> None:
    """Raise InputError where `path` is no file that can be read, before any decoder sees it."""
    try:
        if path.is_dir():
            raise InputError(f"is a directory; name {AN[kind]} file in it", subject)
        if not path.exists():
            raise InputError("no such file; check the name", subject)
        if not path.is_file():
            raise InputError("is no regular file; copy it to disk first", subject)
        if path.stat().st_size == 0:
            raise InputError("is empty (0 bytes); copy it again", subject)
        refuse_references(path, subject)
    except PermissionError as error:
        raise InputError("may not be read; change its permissions", subject) from error
    except (OSError, ValueError) as error:
        raise InputError(f"can't be read ({_reason(error)}); check the name and the disk", subject) from error


def _reason(error: Exception) -> str:
    """The short text of an OS error."""
    return getattr(error, "strerror", None) or str(error)
