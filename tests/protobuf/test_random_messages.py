"""Messages of every kind, encoded in every way that protobuf allows, are decoded as Google's protobuf decodes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.records import PROTOS, schema
from tests.support.makers import BROKEN, UNKNOWN, damaged, varint
from tests.support.random_messages import converted, counterpart, fill, is_map
from trio_esdb._protobuf import FIXED32, FIXED64, LENGTH, VARINT, FieldReader, Malformed
from trio_esdb._protobuf_messages import decode

many = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
CHANCE = st.integers(0, 99)


def kinds() -> list[Descriptor]:
    """Every message in `protos/`, those inside of others too."""
    files = [schema().pool.FindFileByName(path.name) for path in PROTOS.glob("*.proto")]
    left = [message for file in files for message in file.message_types_by_name.values()]
    found = []
    while left:
        message = left.pop()
        left += message.nested_types
        if not message.GetOptions().map_entry:
            found.append(message)
    return sorted(found, key=lambda kind: kind.full_name)


def encoded_oddly(draw: Callable[[Any], Any], kind: Descriptor, raw: bytes) -> bytes:
    """The same message with longer varints, fields in another order, doubled, split, and with unknown ones among them.

    Which value counts may change. Nothing is added to entries of maps: Python's protobuf drops those with unknown
    fields, where others drop the field.
    """
    fields = []
    by_number = {field.number: field for field in kind.fields}
    for number, wire, start, end in FieldReader(raw, 10_000).fields(0, len(raw)):
        field = by_number[number]
        tag = varint(number << 3 | wire, draw(st.sampled_from([0, 0, 0, 1])) if number < 2**15 else 0)
        if wire == VARINT:
            value = varint(start)
            fields.append(tag + varint(start, draw(st.integers(0, 10 - len(value))) if draw(CHANCE) < 20 else 0))
            continue
        payload = raw[start:end]
        if wire in (FIXED32, FIXED64):
            fields.append(tag + payload)
            continue
        parts = [payload]
        if field.message_type is not None and not is_map(field):
            parts = [encoded_oddly(draw, field.message_type, payload)]
            if draw(CHANCE) < 20:
                parts.append(b"")
        for part in parts:
            size = varint(len(part))
            padding = draw(st.integers(0, 5 - len(size))) if draw(CHANCE) < 10 else 0
            fields.append(tag + varint(len(part), padding) + part)
    if not is_entry(kind):
        if fields and draw(CHANCE) < 30:
            fields.append(draw(st.sampled_from(fields)))
        if draw(CHANCE) < 30:
            fields = draw(st.permutations(fields))
        if draw(CHANCE) < 20:
            fields.insert(draw(st.integers(0, len(fields))), draw(UNKNOWN))
    return b"".join(fields)


def is_entry(kind: Descriptor) -> bool:
    return bool(kind.GetOptions().map_entry)


@given(data=st.data())
@many
def test_messages_of_all_kinds(data: st.DataObject) -> None:
    cls = message_factory.GetMessageClass(data.draw(st.sampled_from(KINDS)))
    raw = encoded_oddly(data.draw, cls.DESCRIPTOR, fill(data.draw, cls()).SerializeToString(deterministic=True))
    message = cls.FromString(raw)
    message.DiscardUnknownFields()
    assert decode(counterpart(message), raw, limit=10_000) == converted(message)


@given(data=st.data())
@many
def test_damaged_messages_of_all_kinds(data: st.DataObject) -> None:
    """What Google's protobuf refuses is refused. (Values of damaged messages are compared for the hot ones alone.)"""
    cls = message_factory.GetMessageClass(data.draw(st.sampled_from(KINDS)))
    raw = fill(data.draw, cls()).SerializeToString(deterministic=True)
    raw = data.draw(damaged(st.just(raw)) | BROKEN.map(lambda broken: raw + broken))
    try:
        cls.FromString(raw)
    except DecodeError:
        with pytest.raises(Malformed):
            decode(counterpart(cls()), raw, limit=10_000)
        return
    decode(counterpart(cls()), raw, limit=10_000)


KINDS = kinds()


def test_all_kinds_are_tried() -> None:
    assert len(KINDS) > 150
    assert {kind.name for kind in KINDS} > {"ReadResp", "AppendReq", "MemberInfo", "StatsResp"}
    assert LENGTH == 2
