"""Foreign clients that compress their requests."""

from __future__ import annotations

import uuid

import grpc
import pytest
import trio

from trio_esdb import ESDBClient
from trio_esdb.embedded import EmbeddedNode
from trio_esdb_proto.event_store.client import Empty, StreamIdentifier, Uuid
from trio_esdb_proto.event_store.client.streams import AppendReq, AppendReqOptions, AppendReqProposedMessage

DATA = b'"' + b"x" * 10_000 + b'"'


@pytest.mark.parametrize("algorithm", list(grpc.Compression), ids=lambda algorithm: algorithm.name)
async def test_an_append_that_is_compressed(algorithm: grpc.Compression) -> None:
    def append(port: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}", compression=algorithm) as channel:
            call = channel.stream_unary("/event_store.client.streams.Streams/Append")
            options = AppendReqOptions(stream_identifier=StreamIdentifier(stream_name=b"s"), any=Empty())
            event = AppendReqProposedMessage(
                id=Uuid(string=str(uuid.uuid4())),
                metadata={"type": "T", "content-type": "application/json"},
                data=DATA,
            )
            call(map(bytes, [AppendReq(options=options), AppendReq(proposed_message=event)]))

    with trio.fail_after(60):
        async with EmbeddedNode() as node, trio.open_nursery() as nursery:
            port = await nursery.start(node.serve_tcp)
            await trio.to_thread.run_sync(append, port)
            async with ESDBClient(f"esdb://127.0.0.1:{port}?Tls=false") as client:
                (event,) = await client.get_stream_events("s")
            assert event.data == DATA
            nursery.cancel_scope.cancel()
