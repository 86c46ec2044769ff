"""Filters of the events of all streams, made from the arguments of a read or subscription."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .._errors import InvalidArgumentError, InvalidTypeError

ESDB_SYSTEM_EVENTS_REGEX = r"\$.+"
"""A pattern for the event types of a server's own events."""

ESDB_PERSISTENT_CONFIG_EVENTS_REGEX = r"PersistentConfig\d+"
"""A pattern for the event type under which servers up to 22.10 keep the settings of persistent subscriptions."""

DEFAULT_EXCLUDE_FILTER = (ESDB_SYSTEM_EVENTS_REGEX,)
"""The default of ``filter_exclude``: it excludes system events, and no event that an application may have written."""

_SYSTEM_EVENTS_PREFIX = "$"
_END = r"\z"
"""The end of the text in .NET's patterns. ``$`` also matches in front of a line feed at the end."""


class Filter(NamedTuple):
    """A filter as it is sent to the server: a regular expression or prefixes, for event types or stream names.

    The server sends a checkpoint each time it has read ``interval`` windows of ``window`` records.
    """

    by_stream_name: bool
    regex: str = ""
    prefixes: tuple[str, ...] = ()
    window: int = 32
    interval: int = 1


def make_filter(
    *,
    exclude: Sequence[str],
    include: Sequence[str],
    by_stream_name: bool,
    by_prefix: bool,
    window: int = 32,
    interval: int = 1,
) -> Filter | None:
    """Make the filter for these arguments, or None if every event passes.

    If ``include`` has patterns, ``exclude`` is ignored. A pattern is a regular expression that must match the whole
    event type or stream name; ``.`` matches line feeds as well. With ``by_prefix`` it is a plain prefix instead; there
    ``ESDB_SYSTEM_EVENTS_REGEX`` in ``exclude``, which is the default, means the prefix ``$``. Regular expressions are
    not compiled here, because the server reads them by the rules of .NET. It answers a pattern that it cannot parse
    with an error.
    """
    included, excluded = _texts("filter_include", include), _texts("filter_exclude", exclude)
    if by_prefix:
        excluded = tuple(_SYSTEM_EVENTS_PREFIX if text == ESDB_SYSTEM_EVENTS_REGEX else text for text in excluded)
    if not included and not excluded:
        return None
    if included and by_prefix:
        return Filter(by_stream_name, prefixes=included, window=window, interval=interval)
    if included:
        regex = f"^(?s:{_alternatives(included)}){_END}"
    elif by_prefix:
        regex = f"^(?!{'|'.join(map(re.escape, excluded))})"
    else:
        regex = f"^(?!(?s:{_alternatives(excluded)}){_END})"
    return Filter(by_stream_name, regex=regex, window=window, interval=interval)


def _alternatives(patterns: tuple[str, ...]) -> str:
    """Join patterns to one. Each is put into a group, because it may contain alternatives itself."""
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


def _texts(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise InvalidTypeError(f"{name} must be a sequence of str, such as a tuple, not {type(values).__name__}")
    for value in values:
        if not isinstance(value, str):
            raise InvalidTypeError(f"{name} must contain str, not {type(value).__name__}")
        if not value:
            raise InvalidArgumentError(f"{name} must not contain an empty string")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(f"{name} must be encodable as UTF-8: {value!r}") from None
    return tuple(values)
