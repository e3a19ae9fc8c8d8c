"""Records read back: the exact inverse of `record.encode`, typed by the annotations of what was written."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import msgspec
import numpy as np
from pydantic import BaseModel

from serin_operator.runtime.record import PAIRS_FIELD, TYPE_FIELD

Read = TypeVar("Read")


class RecordError(ValueError):
    """A document is no record of the type that was asked for; the text says where."""


def decode(document: Any, wanted: type[Read]) -> Read:
    """The value that was written.

    A field that the document lacks takes its default, so records of an older version can be read as far as that
    goes; one that the type does not know is left out.

    Raises:
        RecordError: the document does not fit the type.
    """
    value: Read = _decode(document, wanted, wanted.__name__)
    return value


def _decode(document: Any, wanted: Any, at: str) -> Any:
    try:
        return _read(document, wanted, at)
    except RecordError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RecordError(f"{at}: {reason}") from error


def _read(document: Any, wanted: Any, at: str) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any or origin is typing.Literal:
        return document
    if origin is typing.Annotated:
        return _decode(document, arguments[0], at)
    if origin in (typing.Union, types.UnionType):
        return _one_of(document, arguments, at)
    if origin is np.ndarray:
        return np.array(document, dtype=typing.get_args(arguments[1])[0])
    if origin is tuple:
        return _tuple(document, arguments, at)
    if origin in (list, frozenset, set):
        return origin(_decode(item, arguments[0], f"{at}[{place}]") for place, item in enumerate(document))
    if origin is not None and issubclass(origin, Mapping):
        key, item = arguments
        return _mapping(document, key, item, at)
    return _single(document, wanted, at)


def _single(document: Any, wanted: Any, at: str) -> Any:
    if wanted is None or wanted is types.NoneType:
        if document is not None:
            raise RecordError(f"{at} is not null")
        return None
    if issubclass(wanted, BaseModel):
        return wanted.model_validate(document)
    if issubclass(wanted, msgspec.Struct):
        return msgspec.convert(document, wanted, strict=False)
    if dataclasses.is_dataclass(wanted):
        return _dataclass(document, wanted, at)
    if wanted is float or issubclass(wanted, Enum):
        return wanted(document)
    if not isinstance(document, wanted):
        raise RecordError(f"{at} is a {type(document).__name__}, not a {wanted.__name__}")
    return document


def _one_of(document: Any, choices: tuple[Any, ...], at: str) -> Any:
    if document is None and types.NoneType in choices:
        return None
    named = document.get(TYPE_FIELD) if isinstance(document, Mapping) else None
    reasons: list[str] = []
    for choice in choices:
        if choice is types.NoneType or (named is not None and getattr(choice, "__name__", named) != named):
            continue
        try:
            return _decode(document, choice, at)
        except RecordError as error:
            reasons.append(str(error))
    raise RecordError("; ".join(reasons) or f"{at} is of the type {named!r}, which cannot stand there")


def _tuple(document: Any, arguments: tuple[Any, ...], at: str) -> tuple[Any, ...]:
    kinds = [arguments[0]] * len(document) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(document):
        raise RecordError(f"{at} has {len(document)} parts, not {len(kinds)}")
    return tuple(
        _decode(item, kind, f"{at}[{place}]") for place, (item, kind) in enumerate(zip(document, kinds, strict=True))
    )


def _mapping(document: Any, key: Any, value: Any, at: str) -> dict[Any, Any]:
    pairs = document[PAIRS_FIELD] if PAIRS_FIELD in document else document.items()
    return {_decode(name, key, at): _decode(item, value, f"{at}[{name!r}]") for name, item in pairs}


def _dataclass(document: Any, wanted: Any, at: str) -> Any:
    if document[TYPE_FIELD] != wanted.__name__:
        raise RecordError(f"{at} is of the type {document[TYPE_FIELD]!r}, not {wanted.__name__}")
    hints = _hints(wanted)
    known = {
        field.name: _decode(document[field.name], hints[field.name], f"{at}.{field.name}")
        for field in dataclasses.fields(wanted)
        if field.name in document
    }
    return wanted(**known)


@cache
def _hints(wanted: type) -> dict[str, Any]:
    return typing.get_type_hints(wanted, include_extras=True)
