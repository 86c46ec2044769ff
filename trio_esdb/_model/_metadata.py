"""Stream metadata: a JSON object of which a few keys have a meaning for the server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, final

from .._errors import InvalidArgumentError, InvalidMetadataError, InvalidTypeError

_MAX_INT64 = 2**63 - 1
_MAX_TIMEDELTA = timedelta.max // timedelta(seconds=1)
"""The largest number of seconds that a timedelta can hold."""
_MAX_AGE = (datetime(2025, 1, 1) - datetime.min) // timedelta(seconds=1)
"""The largest max age in seconds.

A server subtracts the max age from the present time. Where the result lies before the year 1, it fails on every read of
the stream, and on a repeated append it shuts itself down. From 2025 on this limit is safe for every server.
"""
_RANGES = {
    "$maxAge": (1, _MAX_AGE),
    "$maxCount": (1, _MAX_INT64),
    "$tb": (0, _MAX_INT64),
    "$cacheControl": (1, _MAX_INT64),
}
"""The smallest and the largest value of each number that has a meaning for the server."""


@final
class StreamMetadata(dict[str, Any]):
    """The metadata of a stream: a dict with properties for the keys that have a meaning for the server.

    The properties read and write the keys ``$maxAge``, ``$maxCount``, ``$tb``, ``$cacheControl`` and ``$acl``. Setting
    a property to None removes its key. A property is None if its key is missing, and also if its value is one that
    servers ignore, such as a count of 0. All other keys belong to the application and are kept.

    Setting a property raises ``InvalidTypeError`` for a wrong type, and ``InvalidArgumentError`` for a value that
    servers would ignore or could not handle.
    """

    @property
    def max_age(self) -> timedelta | None:
        """The age at which events become hidden, in whole seconds, from 1 to 63871286400 (2024 years)."""
        return _seconds(self.get("$maxAge"))

    @max_age.setter
    def max_age(self, value: timedelta | None) -> None:
        self._put("$maxAge", None if value is None else _whole_seconds("max_age", value, _MAX_AGE))

    @property
    def max_count(self) -> int | None:
        """The number of events that are visible, at least 1. Events before the last ones are hidden."""
        return _integer(self.get("$maxCount"), 1)

    @max_count.setter
    def max_count(self, value: int | None) -> None:
        self._put("$maxCount", _in_range("max_count", value, *_RANGES["$maxCount"]))

    @property
    def truncate_before(self) -> int | None:
        """The stream position of the first visible event, at least 0. Events before it are hidden."""
        return _integer(self.get("$tb"), 0)

    @truncate_before.setter
    def truncate_before(self, value: int | None) -> None:
        self._put("$tb", _in_range("truncate_before", value, *_RANGES["$tb"]))

    @property
    def cache_control(self) -> timedelta | None:
        """The time for which HTTP caches may keep the first page of the stream, in whole seconds, at least 1."""
        return _seconds(self.get("$cacheControl"))

    @cache_control.setter
    def cache_control(self, value: timedelta | None) -> None:
        self._put("$cacheControl", None if value is None else _whole_seconds("cache_control", value))

    @property
    def acl(self) -> dict[str, Any] | None:
        """The access control list, a dict with the names of users and groups.

        The keys are ``$r`` (read), ``$w`` (write), ``$d`` (delete), ``$mr`` (read the metadata) and ``$mw`` (write the
        metadata). Each value is a name or a list of names.
        """
        value = self.get("$acl")
        return value if isinstance(value, dict) else None

    @acl.setter
    def acl(self, value: Mapping[str, str | list[str]] | None) -> None:
        if value is not None:
            if not isinstance(value, Mapping):
                raise InvalidTypeError(f"acl must be a mapping, not {type(value).__name__}")
            for key, names in value.items():
                if key not in ("$r", "$w", "$d", "$mr", "$mw"):
                    raise InvalidArgumentError(f"acl: {key!r} is not one of $r, $w, $d, $mr, $mw")
                listed = [names] if isinstance(names, str) else names
                if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
                    raise InvalidTypeError(f"acl: {key} must be a name or a list of names, not {names!r}")
        self._put("$acl", None if value is None else dict(value))

    def _put(self, key: str, value: object) -> None:
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value


def metadata_from_json(data: bytes, stream_name: str) -> StreamMetadata:
    """Read metadata from the data of an event; InvalidMetadataError if it is not a JSON object."""
    import json  # imported here, because many programs never use metadata

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidMetadataError(f"the metadata of stream {stream_name!r} is not a JSON object", data=data)
    return StreamMetadata(value)


def metadata_to_json(metadata: Mapping[str, Any]) -> bytes:
    """Write metadata as JSON, and refuse the same values of the server's keys that StreamMetadata refuses."""
    if not isinstance(metadata, Mapping):
        raise InvalidTypeError(f"metadata must be a mapping, not {type(metadata).__name__}")
    for key in metadata:
        if not isinstance(key, str):
            raise InvalidTypeError(f"metadata: keys must be str, not {key!r}")
    for key, (least, most) in _RANGES.items():
        if key in metadata:
            _in_range(f"metadata[{key!r}]", metadata[key], least, most)
    if "$acl" in metadata:
        StreamMetadata().acl = metadata["$acl"]
    import json  # imported here, for the same reason

    try:
        return json.dumps(dict(metadata), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidArgumentError(f"metadata cannot be written as JSON: {exc}") from None


def _integer(value: object, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def _seconds(value: object) -> timedelta | None:
    seconds = _integer(value, 1)
    return None if seconds is None else timedelta(seconds=min(seconds, _MAX_TIMEDELTA))


def _whole_seconds(name: str, value: timedelta, most: int = _MAX_INT64) -> int:
    if not isinstance(value, timedelta):
        raise InvalidTypeError(f"{name} must be a datetime.timedelta, not {type(value).__name__}")
    seconds, rest = divmod(value, timedelta(seconds=1))
    if seconds < 1 or rest:
        raise InvalidArgumentError(f"{name} must be a whole number of seconds and at least 1, not {value}")
    if seconds > most:
        raise InvalidArgumentError(f"{name} must be at most {most} seconds, not {seconds}; servers fail on more")
    return seconds


def _in_range(name: str, value: int | None, least: int, most: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise InvalidArgumentError(f"{name} must be from {least} to {most}, not {value}")
    return value
