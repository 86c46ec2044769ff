"""Decodes messages of the generated classes as protobuf's specification says.

``parse`` of betterproto2 is lenient where it should not be: it accepts a length that points beyond the end, keeps
several members of a oneof, replaces a sub-message where protobuf merges it, puts a value of an unexpected wire type
into a field, and collects unknown fields in quadratic time. Here the classes are filled by the rules instead. What a
class has is read from its public description: its dataclass fields and its type hints.
"""

from __future__ import annotations

import dataclasses
import struct
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import betterproto2

from ._protobuf import FIELD_LIMIT, FIXED32, FIXED64, LENGTH, VARINT, FieldReader, Malformed, read_varint

M = TypeVar("M", bound=betterproto2.Message)

_DEEPEST_MESSAGE = 100


def decode(kind: type[M], raw: bytes, *, limit: int = FIELD_LIMIT) -> M:
    """Decode a message.

    Args:
        kind: The generated class of the message.
        raw: The encoded message.
        limit: The number of fields that the message may have, with those of the messages inside it.

    Returns:
        The message. Unknown fields are not kept. A time that Python's types cannot represent is None.

    Raises:
        Malformed: The bytes are not a message of this kind, or have more fields than the limit.
    """
    message = kind()
    _Decoder(raw, limit).merge(message, 0, len(raw), 0)
    return message


class _Decoder:
    def __init__(self, raw: bytes, limit: int) -> None:
        self._raw = raw
        self._reader = FieldReader(raw, limit)

    def merge(self, message: Any, at: int, stop: int, depth: int) -> None:
        """Add the fields in ``raw[at:stop]``: later values replace earlier ones, messages merge, lists grow."""
        if depth > _DEEPEST_MESSAGE:
            raise Malformed(f"messages are nested more than {_DEEPEST_MESSAGE} deep")
        known = _fields_of(message.__class__)
        for number, wire_type, start, end in self._reader.fields(at, stop, any_number=not known):
            field = known.get(number)
            if field is None:
                continue
            if wire_type != field.wire_type:
                if wire_type == LENGTH and field.repeated and field.convert is not None:
                    getattr(message, field.name).extend(self._packed(field, start, end))
                continue
            if field.convert is not None:
                value = field.convert(start if wire_type == VARINT else self._raw[start:end])
            elif field.is_map:
                entry = field.cls()
                self.merge(entry, start, end, depth + 1)
                value = entry.value_class() if entry.value is None else entry.value
                getattr(message, field.name)[entry.key] = value
                continue
            else:
                before = None if field.repeated else getattr(message, field.name)
                value = self._message(field, before, start, end, depth + 1)
            if field.repeated:
                getattr(message, field.name).append(value)
                continue
            for other in field.others_of_oneof:
                setattr(message, other, None)
            setattr(message, field.name, value)

    def _message(self, field: _Field, before: Any, at: int, stop: int, depth: int) -> Any:
        """Decode a sub-message and merge it with the parts that came before."""
        if field.unwrap is None:
            message = field.cls() if before is None else before
            self.merge(message, at, stop, depth)
            return message
        # A well-known type, which the generated classes represent by a value of Python's own.
        wrapper: Any = field.unwrap()
        message = wrapper() if before is None else wrapper.from_wrapped(before)
        self.merge(message, at, stop, depth)
        try:
            return message.to_wrapped()
        except OverflowError:
            return None

    def _packed(self, field: _Field, at: int, stop: int) -> list[Any]:
        """Decode a list of numbers that came in one field."""
        assert field.convert is not None
        values: list[Any] = []
        if field.wire_type == VARINT:
            while at < stop:
                self._reader.count(1)
                value, at = read_varint(self._raw, at, stop)
                values.append(field.convert(value))
            return values
        size = 8 if field.wire_type == FIXED64 else 4
        if (stop - at) % size:
            raise Malformed(f"the numbers of {size} bytes in field {field.number} take {stop - at} bytes")
        self._reader.count((stop - at) // size)
        return [field.convert(self._raw[place : place + size]) for place in range(at, stop, size)]


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """What decoding must know of a field."""

    number: int
    name: str
    wire_type: int
    convert: Callable[[Any], Any] | None
    """From the number or bytes in a message to the value of a scalar field; None for messages and maps."""
    cls: Any
    """The class of a message or of the entries of a map."""
    unwrap: Callable[[], type] | None
    repeated: bool
    is_map: bool
    others_of_oneof: tuple[str, ...]


@cache  # of generated classes, which are limited in number
def _fields_of(kind: type) -> dict[int, _Field]:
    """The fields of a class by their numbers."""
    found = dataclasses.fields(kind)
    hints = typing.get_type_hints(kind) if found else {}
    metas = {field.name: betterproto2.FieldMetadata.get(field) for field in found}
    fields = {}
    for name, meta in metas.items():
        cls = _class_in(hints[name])
        is_map = meta.proto_type == betterproto2.TYPE_MAP
        if is_map:
            cls = _entry_class(meta, hints[name])
        others = [other for other, its in metas.items() if meta.group and its.group == meta.group and other != name]
        fields[meta.number] = _Field(
            meta.number,
            name,
            _wire_type(meta.proto_type),
            _conversion(meta.proto_type, cls),
            cls,
            meta.unwrap,
            bool(meta.repeated),
            is_map,
            tuple(others),
        )
    return fields


def _class_in(hint: Any) -> Any:
    """The class in a field's type hint, such as ``X``, ``X | None`` or ``list[X]``."""
    arguments = typing.get_args(hint)
    return arguments[0] if arguments else hint


def _entry_class(meta: betterproto2.FieldMetadata, hint: Any) -> type:
    """A class for the entries of a map, which protobuf encodes as messages with the fields key=1 and value=2."""
    assert meta.map_meta is not None
    key, value = meta.map_meta
    key_class, value_class = typing.get_args(hint)
    unwrapped = betterproto2.field(2, value.proto_type, unwrap=value.unwrap, default_factory=lambda: value_class(0))
    return dataclasses.make_dataclass(
        "Entry",
        [("key", key_class, betterproto2.field(1, key.proto_type)), ("value", value_class, unwrapped)],
        namespace={"value_class": value_class},
    )


def _wire_type(proto_type: str) -> int:
    if proto_type in betterproto2.WIRE_VARINT_TYPES:
        return VARINT
    if proto_type in betterproto2.WIRE_FIXED_64_TYPES:
        return FIXED64
    return FIXED32 if proto_type in betterproto2.WIRE_FIXED_32_TYPES else LENGTH


def _conversion(proto_type: str, cls: Any) -> Callable[[Any], Any] | None:
    """What makes a value of the number or bytes in a message; None for messages and maps."""
    if proto_type in (betterproto2.TYPE_MESSAGE, betterproto2.TYPE_MAP):
        return None
    if proto_type == betterproto2.TYPE_ENUM:
        return lambda number: cls(_signed(number, 32))
    return _CONVERSIONS[proto_type]


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (number >> bits - 1 << bits)


def _zigzag(number: int) -> int:
    return number >> 1 ^ -(number & 1)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise Malformed(f"a text is not UTF-8: {exc.reason} at byte {exc.start}") from None


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    betterproto2.TYPE_BOOL: bool,
    betterproto2.TYPE_INT32: lambda number: _signed(number, 32),
    betterproto2.TYPE_INT64: lambda number: _signed(number, 64),
    betterproto2.TYPE_UINT32: lambda number: number & 0xFFFF_FFFF,
    betterproto2.TYPE_UINT64: lambda number: number,
    betterproto2.TYPE_SINT32: lambda number: _zigzag(number & 0xFFFF_FFFF),
    betterproto2.TYPE_SINT64: _zigzag,
    betterproto2.TYPE_FLOAT: lambda raw: struct.unpack("<f", raw)[0],
    betterproto2.TYPE_DOUBLE: lambda raw: struct.unpack("<d", raw)[0],
    betterproto2.TYPE_FIXED32: lambda raw: int.from_bytes(raw, "little"),
    betterproto2.TYPE_FIXED64: lambda raw: int.from_bytes(raw, "little"),
    betterproto2.TYPE_SFIXED32: lambda raw: int.from_bytes(raw, "little", signed=True),
    betterproto2.TYPE_SFIXED64: lambda raw: int.from_bytes(raw, "little", signed=True),
    betterproto2.TYPE_STRING: _text,
    betterproto2.TYPE_BYTES: lambda raw: raw,
}
