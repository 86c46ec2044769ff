"""The metadata of a stream: how a node reads it, and how it changes it when a deleted stream comes back.

Whatever its size, metadata is read in bounded time: plain JSON by the standard library, other texts that Json.NET takes
up to a number of tokens (see `_dotnet._json`). What goes beyond that counts as malformed.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._dotnet._json import BadJson
from .._dotnet._json_values import Value, read_members, read_object, write_object
from .._dotnet._texts import INT64_MAX, INT64_MIN
from ._access import Acl, read_acl
from ._values import LAST_NUMBER, TICKS, HarmfulMetadata

DELETING = b'{"$tb":%d}' % LAST_NUMBER
"""The metadata that soft deletes a stream."""

_KNOWN = frozenset(("$maxCount", "$maxAge", "$tb", "$cacheControl", "$tmp", "$acl"))
_BEGIN_OF_TIME = -62_135_596_800 * TICKS  # the year 1, the smallest DateTime of .NET
_MAX_SECONDS = INT64_MAX // TICKS  # what a TimeSpan of .NET can hold
_BYTE_ORDER_MARKS = (  # that of UTF-32 comes first, since it begins with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """What a node obeys of a stream's metadata."""

    max_age: int | None = None
    """In ticks."""
    max_count: int | None = None
    truncate_before: int | None = None
    acl: Acl | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether the stream is soft deleted."""
        return self.truncate_before == LAST_NUMBER


NO_METADATA = StreamMetadata()
METASTREAM_METADATA = StreamMetadata(max_count=1)
"""Of every metastream: only its last event is visible."""


def parse_metadata(data: bytes) -> StreamMetadata:
    """What the last event of a metastream says. A mistake in one of the keys that a node knows spoils all of it."""
    numbers: dict[str, int] = {}
    acl = None
    try:
        for name, value in read_members(decode_text(data), _KNOWN):
            if name in ("$maxCount", "$tb"):
                numbers[name] = _integer(value)
            elif name in ("$maxAge", "$cacheControl"):
                numbers[name] = _seconds(value)
            elif name == "$tmp":
                _check(isinstance(value, bool))
            elif name == "$acl":
                acl = read_acl(value)
    except BadJson:
        return NO_METADATA
    max_age, max_count, truncate_before = numbers.get("$maxAge", 0), numbers.get("$maxCount", 0), numbers.get("$tb", -1)
    return StreamMetadata(
        max_age=max_age * TICKS if max_age > 0 else None,
        max_count=max_count if max_count > 0 else None,
        truncate_before=truncate_before if truncate_before >= 0 else None,
        acl=acl,
    )


def check_max_age(data: bytes, now: int) -> None:
    """Whether a node that obeys this metadata can still read the stream. Raises HarmfulMetadata if not."""
    max_age = parse_metadata(data).max_age
    if max_age is not None and now - max_age < _BEGIN_OF_TIME:
        raise HarmfulMetadata(
            f"$maxAge is {max_age // TICKS} seconds, which goes back to before the year 1. A real node takes it. Its "
            "reads of the stream then fail, and an append that is repeated shuts it down."
        )


def undeleted(data: bytes, first_visible: int) -> bytes | None:
    """The same metadata with `$tb` set to this number. None for a text that cannot be changed.

    This reader is stricter than that of `parse_metadata`: no byte order mark, nothing after the end.
    """
    try:
        members = read_object(data.decode("utf-8", "replace"))
        members["$tb"] = first_visible
        return write_object(members).encode()
    except BadJson:
        return None


def _check(is_right: bool) -> None:
    if not is_right:
        raise BadJson("a value of the wrong type")


def _integer(value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not INT64_MIN <= value <= INT64_MAX:
        raise BadJson("no integer of 64 bits")
    return value


def _seconds(value: Value) -> int:
    number = _integer(value)
    _check(abs(number) <= _MAX_SECONDS)
    return number


def decode_text(data: bytes) -> str:
    """The text of JSON data as a node decodes it: by its byte order mark, or as UTF-8."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    return data.decode("utf-8", "replace")
