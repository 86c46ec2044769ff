"""Messages from bytes, read as protobuf says they must be.

betterproto2's own reading is lenient where it should not be: it takes a length that points beyond the end, keeps
several members of a oneof, takes the last of a sub-message's parts where protobuf merges them, and puts a value of an
unexpected wire type into a field. Here its classes are filled by the rules instead, so that a message means to us what
it means to everybody: what is broken is refused, what is unknown is skipped. (There is no list of numbers in the
protocol, so the packed form of such lists is not known here.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import betterproto2
from betterproto2 import WIRE_FIXED_32, WIRE_FIXED_64, WIRE_LEN_DELIM, WIRE_VARINT

M = TypeVar("M", bound=betterproto2.Message)

_GROUP, _END_OF_GROUP = 3, 4
_DEEPEST_GROUP = 100
_MAX_NUMBER = 2**29 - 1
_WIRE_TYPES: dict[str, int] = {
    **dict.fromkeys(betterproto2.WIRE_VARINT_TYPES, WIRE_VARINT),
    **dict.fromkeys(betterproto2.WIRE_FIXED_64_TYPES, WIRE_FIXED_64),
    **dict.fromkeys(betterproto2.WIRE_FIXED_32_TYPES, WIRE_FIXED_32),
    **dict.fromkeys(betterproto2.WIRE_LEN_DELIM_TYPES, WIRE_LEN_DELIM),
}


def decode(kind: type[M], raw: bytes) -> M:
    """The message of this class in these bytes; ValueError if there is none."""
    message = kind()
    _merge(message, raw)
    return message


def _merge(message: Any, raw: bytes) -> None:
    """Add to a message what bytes say: later values replace earlier ones, sub-messages are merged, lists go on."""
    about: betterproto2.ProtoClassMetadata = message._betterproto
    for number, wire_type, value in _fields(raw, all_skipped=not about.field_name_by_number):
        name = about.field_name_by_number.get(number)
        if name is None:
            continue
        field = about.meta_by_field_name[name]
        if wire_type != _WIRE_TYPES[field.proto_type]:
            continue
        if field.proto_type == betterproto2.TYPE_MAP:
            entry: Any = decode(about.cls_by_field[name], value)
            getattr(message, name)[entry.key] = entry.value
            continue
        before = getattr(message, name)
        if field.proto_type == betterproto2.TYPE_MESSAGE:
            value = _merged(about.cls_by_field[name], field, None if field.repeated else before, value)
        else:
            value = message._postprocess_single(wire_type, field, name, value)
        if field.repeated:
            before.append(value)
            continue
        if field.group is not None:
            for other in about.oneof_field_by_group[field.group]:
                setattr(message, other.name, None)
        setattr(message, name, value)


def _merged(kind: type[betterproto2.Message], field: betterproto2.FieldMetadata, before: Any, raw: bytes) -> Any:
    """A sub-message with what these bytes add to it.

    A well-known one as the Python value that stands for it; None for a time that Python cannot say.
    """
    if field.unwrap is None:
        if before is None:
            return decode(kind, raw)
        _merge(before, raw)
        return before
    wrapper: Any = field.unwrap()
    message = wrapper() if before is None else wrapper.from_wrapped(before)
    _merge(message, raw)
    try:
        return message.to_wrapped()
    except OverflowError:
        return None


def _fields(raw: bytes, *, all_skipped: bool) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field, groups left out; ValueError unless all of it is well-formed."""
    at, end = 0, len(raw)
    groups: list[int] = []
    while at < end:
        tag, at = _varint(raw, at, 5)
        number, wire_type = tag >> 3, tag & 7
        value: Any = None
        if number > _MAX_NUMBER or not (number or groups or all_skipped):  # nobody looks at numbers in what is skipped
            raise ValueError(f"a field has the number {number}")
        if wire_type == WIRE_VARINT:
            value, at = _varint(raw, at, 10)
            value &= 2**64 - 1
        elif wire_type == WIRE_LEN_DELIM:
            size, at = _varint(raw, at, 5)
            value, at = raw[at : at + size], at + size
        elif wire_type == WIRE_FIXED_64:
            value, at = raw[at : at + 8], at + 8
        elif wire_type == WIRE_FIXED_32:
            value, at = raw[at : at + 4], at + 4
        elif wire_type == _GROUP and len(groups) < _DEEPEST_GROUP:
            groups.append(number)
            continue
        elif wire_type == _END_OF_GROUP and groups and groups[-1] == number:
            groups.pop()
            continue
        else:
            raise ValueError(f"field {number} has the wire type {wire_type}, which has no meaning there")
        if at > end:
            raise ValueError(f"field {number} goes on beyond the end")
        if not groups:
            yield number, wire_type, value
    if groups:
        raise ValueError(f"the group {groups[-1]} has no end")


def _varint(raw: bytes, at: int, longest: int) -> tuple[int, int]:
    """A varint at ``at``, and the place after it."""
    value = 0
    for place, byte in enumerate(raw[at : at + longest]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a varint has no end")
