"""betterproto2 and Google's protobuf read each other's bytes, for every message that a method takes or gives."""

from __future__ import annotations

import betterproto2
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.random_messages import converted, counterpart, fill
from trio_esdb_proto.event_store.client.streams import AppendReq, BatchAppendReq, ReadReq, ReadResp, ReadRespCaughtUp

HOT = [
    "event_store.client.streams.ReadReq",
    "event_store.client.streams.ReadResp",
    "event_store.client.streams.AppendReq",
    "event_store.client.streams.AppendResp",
    "event_store.client.streams.BatchAppendReq",
    "event_store.client.streams.BatchAppendResp",
    "event_store.client.persistent_subscriptions.ReadReq",
    "event_store.client.persistent_subscriptions.ReadResp",
]
modest = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def methods_messages(compiled: list[FileDescriptorProto]) -> list[str]:
    """The full names of what methods take and give."""
    methods = [method for file in compiled for service in file.service for method in service.method]
    names = {name.lstrip(".") for method in methods for name in (method.input_type, method.output_type)}
    assert len(names) > 60
    return sorted(names)


def agree(message: Message) -> None:
    """Both read what the other writes, and see the same in it."""
    mine = converted(message)
    cls = counterpart(message)
    assert cls.parse(message.SerializeToString()) == mine
    assert type(message).FromString(bytes(mine)) == message


@pytest.mark.parametrize("name", HOT)
@given(data=st.data())
@modest
def test_hot_messages(pool: DescriptorPool, name: str, data: st.DataObject) -> None:
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    agree(fill(data.draw, cls()))


@given(data=st.data())
@settings(modest, max_examples=200)
def test_messages_of_all_methods(pool: DescriptorPool, methods_messages: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(methods_messages))
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    agree(fill(data.draw, cls()))


UNKNOWN = {
    "varint": b"\xf8\x3f\x96\x01",
    "64 bits": b"\xf9\x3f12345678",
    "length-delimited": b"\xfa\x3f\x03abc",
    "32 bits": b"\xfd\x3f1234",
}


@pytest.mark.parametrize("extra", UNKNOWN.values(), ids=UNKNOWN.keys())
@pytest.mark.parametrize("cls", [ReadReq, ReadResp, AppendReq, BatchAppendReq])
def test_unknown_fields_are_kept(cls: type[betterproto2.Message], extra: bytes) -> None:
    message = cls.parse(extra)
    assert message == cls()
    assert bytes(message) == extra


@pytest.mark.parametrize(
    "body",
    [b"\x08\x05", b"\x12\x04\x08\x09\x10\x09", b"\x1a\x00"],
    ids=["stream_position", "all_stream_position", "no_position"],
)
def test_fields_that_a_fork_numbers_otherwise_do_not_break_reading(body: bytes) -> None:
    """A fork gives other fields the numbers of CaughtUp: they are read wrong, the kind of message is clear."""
    message = ReadResp.parse(b"\x42" + bytes([len(body)]) + body)
    assert betterproto2.which_one_of(message, "content")[0] == "caught_up"
    assert isinstance(message.caught_up, ReadRespCaughtUp)
