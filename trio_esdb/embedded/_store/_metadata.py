"""What a stream's metadata says, and how a node changes it when a deleted stream comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .._dotnet._json import BadJson, Kind, Token, tokens
from .._dotnet._json_values import dump, load_object, load_value
from .._dotnet._texts import INT64_MAX, INT64_MIN
from ._values import LAST_NUMBER, TICKS

DELETING = b'{"$tb":%d}' % LAST_NUMBER
"""The metadata that soft deletes a stream."""

_MAX_SECONDS = INT64_MAX // TICKS  # what a .NET TimeSpan holds
_MARKS = (  # the longer mark of UTF-32 begins with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Acl:
    """Who may do what with a stream: names of users and roles. None where nothing is said, () for nobody but admins."""

    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    delete: tuple[str, ...] | None = None
    meta_read: tuple[str, ...] | None = None
    meta_write: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """The keys of a stream's metadata that a node knows."""

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
"""Of every metastream: what is visible is its last event."""

_RIGHTS = {"$r": "read", "$w": "write", "$d": "delete", "$mr": "meta_read", "$mw": "meta_write"}


def parse_metadata(data: bytes) -> StreamMetadata:
    """What is written in the last event of a metastream. One mistake in what a node knows spoils all of it."""
    numbers: dict[str, int] = {}
    acl = None
    try:
        walk = _Walk(data)
        for name in walk.names():
            if name in ("$maxCount", "$tb"):
                numbers[name] = walk.integer()
            elif name in ("$maxAge", "$cacheControl"):
                numbers[name] = walk.seconds()
            elif name == "$tmp":
                walk.expect(Kind.BOOLEAN)
            elif name == "$acl":
                acl = walk.acl()
            else:
                walk.skip_value()
    except BadJson:
        return NO_METADATA
    max_age, max_count, truncate_before = numbers.get("$maxAge", 0), numbers.get("$maxCount", 0), numbers.get("$tb", -1)
    return StreamMetadata(
        max_age=max_age * TICKS if max_age > 0 else None,
        max_count=max_count if max_count > 0 else None,
        truncate_before=truncate_before if truncate_before >= 0 else None,
        acl=acl,
    )


def undeleted(data: bytes, first_visible: int) -> bytes | None:
    """The same metadata, except that the stream begins at this number; None for a text that cannot be changed.

    This reader is stricter than that of `parse_metadata`: no byte order mark, nothing after the end.
    """
    try:
        members = load_object(data.decode("utf-8", "replace"))
    except BadJson:
        return None
    members["$tb"] = first_visible
    return dump(members).encode()


class _Walk:
    """One way through a JSON object, from one expected token to the next."""

    __slots__ = ("_tokens",)

    def __init__(self, data: bytes) -> None:
        self._tokens: Iterator[Token] = tokens(_decode(data))

    def names(self) -> Iterator[str]:
        """The names in the object that begins here; each one's value must be taken before the next name."""
        self.expect(Kind.OPEN_OBJECT)
        while (token := self._take())[0] is not Kind.CLOSE_OBJECT:
            if token[0] is not Kind.NAME:
                raise BadJson("a value where a name should be")
            yield str(token[1])

    def _take(self) -> Token:
        token = next(self._tokens, None)
        if token is None:
            raise BadJson("the text ends too early")
        return token

    def expect(self, kind: Kind) -> Token:
        token = self._take()
        if token[0] is not kind:
            raise BadJson(f"{token[0]} instead of {kind}")
        return token

    def integer(self) -> int:
        number = self.expect(Kind.INTEGER)[1]
        assert isinstance(number, int)
        if not INT64_MIN <= number <= INT64_MAX:
            raise BadJson("a number beyond 64 bits")
        return number

    def seconds(self) -> int:
        number = self.integer()
        if abs(number) > _MAX_SECONDS:
            raise BadJson("too long a time")
        return number

    def skip_value(self) -> None:
        load_value(self._tokens, self._take())

    def acl(self) -> Acl:
        acl = Acl()
        for name in self.names():
            # After a name it does not know, a node meets a value where it wants a name.
            if name not in _RIGHTS:
                raise BadJson("not a right")
            acl = replace(acl, **{_RIGHTS[name]: self._roles()})
        return acl

    def _roles(self) -> tuple[str, ...]:
        token = self._take()
        if token[0] is Kind.STRING:
            return (str(token[1]),)
        if token[0] is not Kind.OPEN_ARRAY:
            raise BadJson("neither a role nor a list")
        roles = []
        while (token := self._take())[0] is not Kind.CLOSE_ARRAY:
            if token[0] is not Kind.STRING:
                raise BadJson("a role that is no text")
            roles.append(str(token[1]))
        return tuple(roles)


def _decode(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    return data.decode("utf-8", "replace")
