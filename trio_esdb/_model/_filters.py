"""Filters over all events, from the sequences of texts that users give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .._errors import InvalidArgumentError, InvalidTypeError

ESDB_SYSTEM_EVENTS_REGEX = r"\$.+"
"""Types of the events that a server writes for itself."""

ESDB_PERSISTENT_CONFIG_EVENTS_REGEX = r"PersistentConfig\d+"
"""Types of the events in which servers up to 22.10 keep the settings of persistent subscriptions."""

DEFAULT_EXCLUDE_FILTER = (ESDB_SYSTEM_EVENTS_REGEX,)
"""What ``filter_exclude`` is unless it is given: system events, and nothing that an application could have written."""

_SYSTEM_EVENTS_PREFIX = "$"


class Filter(NamedTuple):
    """A filter as the server takes it: a regular expression, or prefixes, over event types or stream names.

    ``window`` is how many records the server looks at before it considers sending a checkpoint, ``interval`` after how
    many such windows it sends one.
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
    """The filter that these arguments mean; None if they let everything pass.

    ``include`` wins over ``exclude``. Each text is a regular expression that must match the whole type (or stream
    name), or with ``by_prefix`` the beginning of it; there ``ESDB_SYSTEM_EVENTS_REGEX`` in ``exclude``, which is the
    default, stands for the prefix ``$``. The expressions are the server's (.NET's), which is why they are
    not compiled here: what the server cannot parse comes back as an InvalidRequestError.
    """
    included, excluded = _texts("filter_include", include), _texts("filter_exclude", exclude)
    if by_prefix:
        excluded = tuple(_SYSTEM_EVENTS_PREFIX if text == ESDB_SYSTEM_EVENTS_REGEX else text for text in excluded)
    if not included and not excluded:
        return None
    if included and by_prefix:
        return Filter(by_stream_name, prefixes=included, window=window, interval=interval)
    if included:
        regex = f"^(?:{_alternatives(included)})$"
    elif by_prefix:
        regex = f"^(?!{'|'.join(map(re.escape, excluded))})"
    else:
        regex = f"^(?!(?:{_alternatives(excluded)})$)"
    return Filter(by_stream_name, regex=regex, window=window, interval=interval)


def _alternatives(patterns: tuple[str, ...]) -> str:
    """One expression that matches what any of these does. Each is grouped: it may hold alternatives of its own."""
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


def _texts(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise InvalidTypeError(f"{name} must be a sequence of str, such as a tuple, not {type(values).__name__}")
    for value in values:
        if not isinstance(value, str):
            raise InvalidTypeError(f"{name} must hold str, not {type(value).__name__}")
        if not value:
            raise InvalidArgumentError(f"{name} must not hold an empty text")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentError(f"{name} must be encodable as UTF-8: {value!r}") from None
    return tuple(values)
