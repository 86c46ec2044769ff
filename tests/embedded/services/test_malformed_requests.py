"""Requests that are no protobuf, to every method: the node says what a real one says, and nothing more."""

from __future__ import annotations

import pytest

from tests.support.peer import UNKNOWN, Peer
from trio_esdb._wire import Status
from trio_esdb.embedded import EmbeddedNode

MALFORMED = {
    "a varint without end": b"\xff" * 20,
    "a cut varint": b"\xff",
    "a cut field": b"\x0a\x05ab",
    "a size beyond everything": b"\x0a\xff\xff\xff\xff\x0f",
    "a group without end": b"\x0b",
    "the end of no group": b"\x0c",
    "a wire type that does not exist": b"\x0e",
    "a cut fixed64": b"\x09\1\2\3",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_protobuf(
    node: EmbeddedNode, peer: Peer, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(node._methods) > 20
    for path in node._methods:
        outcome = await peer.call(path).send_raw(request_bytes).half_close().end()
        assert (path, outcome.status, outcome.message) == (path, Status.UNKNOWN, UNKNOWN)
    assert caplog.records == [], "a client's fault is none of the node's"


@pytest.mark.parametrize("request_bytes", [b"\x08\x01", b"\x0a\x02\x08\x01", b"\x0d\1\2\3\4", b"\x12\x02\x0a\x05"])
async def test_wrong_wire_types_in_reads_and_writes(
    peer: Peer, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("Read", "Append", "Delete", "Tombstone", "BatchAppend"):
        path = f"/event_store.client.streams.Streams/{name}"
        outcome = await peer.call(path).send_raw(request_bytes).half_close().end()
        assert outcome.status in (Status.UNKNOWN, Status.INVALID_ARGUMENT), (name, outcome)
        assert "Error" not in outcome.message.replace("ErrorDetails", "")
    assert caplog.records == []
