"""Stream metadata: a JSON object with a few keys that the server acts on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, final

from .._errors import InvalidArgumentError, InvalidMetadataError, InvalidTypeError

_MAX_INT64 = 2**63 - 1
_MOST_SECONDS = timedelta.max // timedelta(seconds=1)
"""As many as a timedelta holds, almost three million years."""


@final
class StreamMetadata(dict[str, Any]):
    """The metadata of a stream: a dict of what its JSON holds, with names for the keys that the server acts on.

    The properties read and write the keys ``$maxAge``, ``$maxCount``, ``$tb``, ``$cacheControl`` and ``$acl``; setting
    one to None removes its key. They are None for what a server does not act on, such as a count of 0. All other keys
    are the application's own, and are kept.
    """

    @property
    def max_age(self) -> timedelta | None:
        """Events older than this are hidden (whole seconds)."""
        return _seconds(self.get("$maxAge"))

    @max_age.setter
    def max_age(self, value: timedelta | None) -> None:
        self._put("$maxAge", None if value is None else _whole_seconds("max_age", value))

    @property
    def max_count(self) -> int | None:
        """Only this many events, the last ones, are shown."""
        return _integer(self.get("$maxCount"), 1)

    @max_count.setter
    def max_count(self, value: int | None) -> None:
        self._put("$maxCount", _at_least("max_count", value, 1))

    @property
    def truncate_before(self) -> int | None:
        """Events before this stream position are hidden."""
        return _integer(self.get("$tb"), 0)

    @truncate_before.setter
    def truncate_before(self, value: int | None) -> None:
        self._put("$tb", _at_least("truncate_before", value, 0))

    @property
    def cache_control(self) -> timedelta | None:
        """How long HTTP caches may keep the stream's head (whole seconds)."""
        return _seconds(self.get("$cacheControl"))

    @cache_control.setter
    def cache_control(self, value: timedelta | None) -> None:
        self._put("$cacheControl", None if value is None else _whole_seconds("cache_control", value))

    @property
    def acl(self) -> dict[str, Any] | None:
        """The access list: keys ``$r``, ``$w``, ``$d``, ``$mr``, ``$mw``, each a name or a list of names."""
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
    """The metadata in an event's data; InvalidMetadataError if that is not a JSON object."""
    import json  # loaded when it is needed: many programs never look at metadata

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidMetadataError(f"the metadata of stream {stream_name!r} is not a JSON object", data=data)
    return StreamMetadata(value)


def metadata_to_json(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as JSON; an error for what JSON cannot say and for values of the server's keys that it would ignore."""
    if not isinstance(metadata, Mapping):
        raise InvalidTypeError(f"metadata must be a mapping, not {type(metadata).__name__}")
    for key in metadata:
        if not isinstance(key, str):
            raise InvalidTypeError(f"metadata: keys must be str, not {key!r}")
    for key, least in (("$maxAge", 1), ("$maxCount", 1), ("$tb", 0), ("$cacheControl", 1)):
        if key in metadata:
            _at_least(f"metadata[{key!r}]", metadata[key], least)
    if "$acl" in metadata:
        StreamMetadata().acl = metadata["$acl"]
    import json  # as above

    try:
        return json.dumps(dict(metadata), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidArgumentError(f"metadata cannot be written as JSON: {exc}") from None


def _integer(value: object, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def _seconds(value: object) -> timedelta | None:
    seconds = _integer(value, 1)
    return None if seconds is None else timedelta(seconds=min(seconds, _MOST_SECONDS))


def _whole_seconds(name: str, value: timedelta) -> int:
    if not isinstance(value, timedelta):
        raise InvalidTypeError(f"{name} must be a datetime.timedelta, not {type(value).__name__}")
    seconds, rest = divmod(value, timedelta(seconds=1))
    if seconds < 1 or rest:
        raise InvalidArgumentError(f"{name} must be a whole number of seconds and at least 1, not {value}")
    return seconds


def _at_least(name: str, value: int | None, least: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be an int, not {type(value).__name__}")
    if not least <= value <= _MAX_INT64:
        raise InvalidArgumentError(f"{name} must be from {least} to {_MAX_INT64}, not {value}")
    return value
