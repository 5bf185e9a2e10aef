"""Frozen dataclasses as JSON values and back, by their annotations: what goes to another process and comes from it.

What comes back may be anybody's: it is data, checked against the annotations, and never code. What goes there is ours,
and goes as it is.
"""

from __future__ import annotations

import base64
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# Whole numbers stand for others, too.
_PLAIN: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def to_json(value: Any) -> Any:
    """Dataclasses, mappings, sequences and plain values as JSON values."""
    if is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    # NumPy's numbers.
    return value.item() if hasattr(value, "item") else value


def from_json(kind: type[T], value: Any, *, checked: bool = True) -> T:
    """The `kind` that `to_json` wrote.

    checked: whether texts and numbers are looked at, too; some that a person gave are not what their annotation says

    Raises ValueError, or what `kind` itself raises, where it is none.
    """
    return typing.cast("T", _read(kind, value, checked))


def _read(kind: Any, value: Any, checked: bool) -> Any:
    """A value of an annotated kind."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if kind in _PLAIN:
        if checked and (not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind is not bool)):
            raise ValueError(f"{value!r:.60} is no {kind.__name__}")
        return value
    if kind is Path:
        return Path(_read(str, value, checked))
    if kind is bytes:
        return base64.b64decode(_read(str, value, checked), validate=True)
    if origin in (typing.Union, types.UnionType):
        part = next(part for part in arguments if part is not types.NoneType)
        return None if value is None else _read(part, value, checked)
    if origin is tuple:
        return _row(arguments, value, checked)
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r:.60} is no {kind}")
    if is_dataclass(kind):
        hints = _hints(typing.cast("Any", kind))
        if set(value) != set(hints):
            raise ValueError(f"{sorted(value)!r:.200} are not the fields of {kind}")
        return typing.cast("Any", kind)(**{name: _read(hints[name], part, checked) for name, part in value.items()})
    return {str(key): _read(arguments[1], part, checked) for key, part in value.items()}


def _row(arguments: tuple[Any, ...], value: Any, checked: bool) -> tuple[Any, ...]:
    """A tuple, of one kind throughout or of a kind for each place."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is no list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_read(arguments[0], part, checked) for part in value)
    return tuple(_read(kind, part, checked) for kind, part in zip(arguments, value, strict=True))


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    """Names and kinds of a dataclass's fields."""
    found = typing.get_type_hints(kind)
    return {f.name: found[f.name] for f in fields(typing.cast("Any", kind))}
