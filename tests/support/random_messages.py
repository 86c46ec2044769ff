"""Random messages of any kind, made with Google's protobuf, and the same as the generated classes show them."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable
from typing import Any

import betterproto2
from betterproto2.casing import safe_snake_case
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

import trio_esdb_proto
from trio_esdb_proto.message_pool import default_message_pool

NOTHING, DECADES = datetime.timedelta(0), datetime.timedelta(days=36525)
DEPTH = 6
F = FieldDescriptor
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    F.TYPE_BOOL: st.booleans(),
    F.TYPE_BYTES: st.binary(max_size=40),
    F.TYPE_DOUBLE: st.floats(allow_nan=False).map(lambda number: number + 0.0),  # no -0.0
    F.TYPE_FLOAT: st.floats(allow_nan=False, width=32).map(lambda number: number + 0.0),
    F.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    F.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    F.TYPE_SINT64: st.integers(-(2**63), 2**63 - 1),
    F.TYPE_STRING: st.text(max_size=20),
    F.TYPE_UINT32: st.integers(0, 2**32 - 1),
    F.TYPE_UINT64: st.integers(0, 2**64 - 1),
}


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a field that is not a message; of an enum also numbers without a name."""
    return st.integers(0, 20) if field.enum_type is not None else SCALARS[field.type]


def fill(draw: Callable[[Any], Any], message: Message, depth: int = 0) -> Message:
    """Set fields of a message at random: one member of each oneof or none, any other field or not."""
    kind = message.DESCRIPTOR
    if kind.full_name == "google.protobuf.Timestamp":
        message.FromDatetime(draw(st.datetimes()))  # type: ignore[attr-defined]
        return message
    if kind.full_name == "google.protobuf.Duration":
        # betterproto2 counts in floats: microseconds are lost after 285 years.
        message.FromTimedelta(draw(st.timedeltas(NOTHING, DECADES)))  # type: ignore[attr-defined]
        return message
    chosen = [draw(st.sampled_from([None, *oneof.fields])) for oneof in kind.oneofs]
    chosen += [field for field in kind.fields if field.containing_oneof is None and draw(st.booleans())]
    for field in chosen:
        if field is None or (field.message_type is not None and depth == DEPTH):
            continue
        target = getattr(message, field.name)
        if is_map(field):
            key, value = field.message_type.fields
            for name in draw(st.lists(scalar(key), max_size=3)):
                if value.message_type is None:
                    target[name] = draw(scalar(value))
                else:
                    fill(draw, target[name], depth + 1)
        elif field.is_repeated:
            for _ in range(draw(st.integers(1, 3))):
                if field.message_type is None:
                    target.append(draw(scalar(field)))
                else:
                    fill(draw, target.add(), depth + 1)
        elif field.message_type is not None:
            target.SetInParent()
            fill(draw, target, depth + 1)
        else:
            setattr(message, field.name, draw(scalar(field)))
    return message


def counterpart(message: Message) -> type[betterproto2.Message]:
    """The class of betterproto2 for the same message; it is known once the package that has it is imported."""
    importlib.import_module(f"{trio_esdb_proto.__name__}.{message.DESCRIPTOR.file.package}")
    return default_message_pool.url_to_type[f"type.googleapis.com/{message.DESCRIPTOR.full_name}"]


def converted(value: Any) -> Any:
    """A value of protobuf as betterproto2 shows it, made from its fields by their names."""
    if not isinstance(value, Message):
        return value
    kind = value.DESCRIPTOR
    if kind.full_name == "google.protobuf.Timestamp":
        return value.ToDatetime(datetime.UTC)  # type: ignore[attr-defined]
    if kind.full_name == "google.protobuf.Duration":
        return value.ToTimedelta()  # type: ignore[attr-defined]
    fields: dict[str, Any] = {}
    for field, content in value.ListFields():
        if is_map(field):
            fields[safe_snake_case(field.name)] = {name: converted(content[name]) for name in content}
        elif field.is_repeated:
            fields[safe_snake_case(field.name)] = [converted(item) for item in content]
        else:
            fields[safe_snake_case(field.name)] = converted(content)
    return counterpart(value)(**fields)
