"""What no record holds: older servers, a fork, and gRPC itself as grpcio's server speaks it."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
import trio

from tests.conformance import driver
from tests.conformance.records import schema
from tests.support.clock import PATIENCE
from tests.support.foreign import Foreign, Reply
from tests.support.recorded import NOWHERE, TICKS, WHEN, steps
from trio_esdb import (
    AppendResult,
    CaughtUp,
    DeadlineExceededError,
    ESDBClient,
    FellBehind,
    NewEvent,
    ProtocolError,
    ResourceExhaustedError,
    ServerError,
    StreamState,
    UnavailableError,
    UnimplementedError,
)

FORK = """
syntax = "proto3";
package fork;

message Empty {}
message Position { uint64 commit_position = 1; uint64 prepare_position = 2; }
message Where {
  oneof position { uint64 stream_position = 1; Position all_stream_position = 2; Empty no_position = 3; }
}
message ReadResp { oneof content { Where caught_up = 8; Where fell_behind = 9; } }
"""
WHERES: list[dict[str, Any]] = [
    {"stream_position": 0},
    {"stream_position": 7},
    {"all_stream_position": {"commit_position": 2**40, "prepare_position": 2**40}},
    {"no_position": {}},
    {},
]


def message(name: str, **values: Any) -> bytes:
    kind = schema().cls(f"event_store.client.streams.{name}")
    return driver.build(kind(), values).SerializeToString()


def record(number: int = 0, data: bytes = b"{}", **more: Any) -> dict[str, Any]:
    return {
        "id": {"string": str(uuid.UUID(int=number + 1))},
        "stream_identifier": {"stream_name": b"s"},
        "stream_revision": number,
        "metadata": {"type": "Happened", "created": str(TICKS), "content-type": "application/json"},
        "data": data,
        "commit_position": 100 * number,
        "prepare_position": 100 * number,
        **more,
    }


CONFIRMED = message("ReadResp", confirmation={"subscription_id": "sub-1"})


async def test_the_fork_says_otherwise_where_it_is(client: ESDBClient, server: Foreign, tmp_path: Path) -> None:
    (tmp_path / "fork.proto").write_text(FORK)
    kind = driver.Schema(tmp_path).cls("fork.ReadResp")
    said = [
        driver.build(kind(), {content: where}).SerializeToString()
        for where in WHERES
        for content in ("fell_behind", "caught_up")
    ]
    event = message("ReadResp", event={"event": record(3), "commit_position": 300})
    server.will(Reply([CONFIRMED, *said, event], None))
    async with client.subscribe_all_events(include_caught_up=True, include_fell_behind=True) as events:
        assert [await events.receive() for _ in said] == [FellBehind(), CaughtUp()] * len(WHERES)
        assert (await events.receive()).stream_position == 3


async def test_a_server_that_does_not_tell_positions(client: ESDBClient, server: Foreign) -> None:
    """21.10 does not when it reads a stream."""
    unknown = {"commit_position": NOWHERE, "prepare_position": NOWHERE}
    link = record(4, b"0@s", metadata={"type": "$>", "created": str(TICKS), "content-type": "x"}, **unknown)
    server.will(
        Reply(
            [
                message("ReadResp", event={"event": record(0, **unknown), "no_position": {}}),
                message("ReadResp", event={"event": record(1, **unknown), "link": link, "no_position": {}}),
            ]
        )
    )
    first, second = await client.get_stream_events("s", resolve_links=True)
    assert (first.commit_position, first.prepare_position, first.stream_position) == (None, None, 0)
    assert first.recorded_at == WHEN
    assert second.link is not None
    assert (second.link.commit_position, second.original.stream_position) == (None, 4)

    server.will(Reply([message("AppendResp", success={"current_revision": 5, "no_position": {}})]))
    result = await client.append_event("s", 4, NewEvent("A", b""))
    assert (result, result.commit_position, result.stream_position) == (-1, None, 5)
    assert type(result) is AppendResult
    server.will(Reply([message("AppendResp", success={"no_stream": {}, "no_position": {}})]))
    assert (await client.append_events("s", StreamState.ANY, [])).stream_position is None
    for delete in (client.delete_stream, client.tombstone_stream):
        server.will(Reply([message("DeleteResp", no_position={})]))
        assert await delete("s", StreamState.ANY) == -1


async def test_a_response_that_is_compressed_unasked() -> None:
    with trio.fail_after(PATIENCE), Foreign.running(compression=grpc.Compression.Gzip) as server:
        async with ESDBClient(server.uri) as client:
            large = message("ReadResp", event={"event": record(0, b" " * 10_000), "commit_position": 0})
            server.will(Reply([large], None))
            with pytest.raises(ProtocolError, match="compressed") as refused:
                await client.get_stream_events("s")
            assert refused.value.address == f"127.0.0.1:{server.port}"
            server.will(Reply([CONFIRMED, large], None))
            with pytest.raises(ProtocolError, match="compressed"):
                async with client.subscribe_all_events() as events:
                    await events.receive()
            answered = Reply()
            server.will(answered)
            assert await client.get_stream_events("s") == ()
            assert "grpc-accept-encoding" not in answered.metadata


async def test_much_to_read(client: ESDBClient, server: Foreign) -> None:
    """Messages larger than a frame and than a window, and many small ones in one frame."""
    sizes = [0, 1, 16_379, 16_384, 70_000, 1_000_000, 5_000_000] + [10] * 2_000
    server.will(Reply([message("ReadResp", event={"event": record(n, b"x" * size)}) for n, size in enumerate(sizes)]))
    events = await client.get_stream_events("s")
    assert [len(event.data) for event in events] == sizes
    assert [event.stream_position for event in events] == list(range(len(sizes)))


async def test_a_consumer_that_takes_its_time(client: ESDBClient, server: Foreign) -> None:
    """What is not taken stays with the server, and other calls of the connection go on."""
    many = [message("ReadResp", event={"event": record(n, b"x" * 60_000)}) for n in range(100)]
    stuck = Reply([CONFIRMED, *many], None)
    server.will(stuck)
    async with client.subscribe_stream_events("s") as events:
        assert (await events.receive()).stream_position == 0
        for _ in range(5):
            server.will(Reply(many))
            assert len(await client.get_stream_events("s")) == 100
        assert [(await events.receive()).stream_position for _ in range(99)] == list(range(1, 100))
    await stuck.over.wait()


async def test_a_response_that_is_too_large(server: Foreign) -> None:
    with trio.fail_after(PATIENCE):
        async with ESDBClient(server.uri, max_message_size=100_000) as client:
            server.will(Reply([message("ReadResp", event={"event": record(0, b"x" * 100_001)})], None))
            with pytest.raises(ResourceExhaustedError, match="100000"):
                await client.get_stream_events("s")
            server.will(Reply([message("ReadResp", event={"event": record(0, b"x" * 99_000)})]))
            assert len(await client.get_stream_events("s")) == 1


async def test_texts_and_trailers_beyond_ascii(client: ESDBClient, server: Foreign) -> None:
    text = "Größe: 100% „zu viel“\n\tand more 🙂"
    server.will(Reply([], grpc.StatusCode.DATA_LOSS, text, {"some-bin": b"\x00\xff\x80", "plain": "a b"}))  # type: ignore[dict-item]
    with pytest.raises(ServerError) as failed:
        await client.append_event("s", None, NewEvent("A", b""))
    assert (failed.value.status, failed.value.details) == ("DATA_LOSS", text)
    assert dict(failed.value.trailers) == {"some-bin": b"\x00\xff\x80", "plain": "a b"}


async def test_what_a_server_sees_of_a_call(client: ESDBClient, server: Foreign) -> None:
    asked = Reply([message("AppendResp", success={"current_revision": 0, "no_position": {}})])
    server.will(asked)
    with trio.fail_after(20_000):
        await client.append_event("s", None, NewEvent("Größe", b"\x00\xff", b"{}"), timeout=50_000)
    assert asked.timeout is not None
    assert 10_000 < asked.timeout <= 20_000, "the nearer of the two"
    assert asked.metadata["requires-leader"] == "true"
    assert "trio-esdb" in asked.metadata["user-agent"]
    options, event = map(schema().cls("event_store.client.streams.AppendReq").FromString, asked.requests)
    assert options.options.WhichOneof("expected_stream_revision") == "no_stream"
    assert dict(event.proposed_message.metadata) == {"type": "Größe", "content-type": "application/json"}
    endless = Reply()
    server.will(endless)
    await client.get_stream_events("s")
    assert endless.timeout is None or endless.timeout > 1e9, "none was sent"


async def test_a_deadline_that_passes(client: ESDBClient, server: Foreign) -> None:
    with pytest.raises(DeadlineExceededError):
        await client.append_event("s", None, NewEvent("A", b""), timeout=0.05)
    server.will(Reply(), Reply())  # one may go to the append, which a busy server begins to serve only now
    assert await client.get_stream_events("s") == ()


async def test_a_cancelled_call_is_given_up(client: ESDBClient, server: Foreign) -> None:
    calls = [Reply([], None) for _ in range(3)]
    server.will(*calls)
    async with trio.open_nursery() as nursery:
        for _ in calls:
            nursery.start_soon(client.append_event, "s", None, NewEvent("A", b""))
        for call in calls:
            await call.asked.wait()
        nursery.cancel_scope.cancel()
    for call in calls:
        await call.over.wait()
        assert call.given_up


async def test_a_server_that_goes_away(server: Foreign) -> None:
    with trio.fail_after(PATIENCE):
        async with ESDBClient(server.uri) as client:
            server.will(Reply([CONFIRMED], None))
            async with client.subscribe_all_events(resume=False) as events:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.to_thread.run_sync, server.stop)
                    with pytest.raises(ServerError) as ended:
                        await events.receive()
            assert type(ended.value) is UnavailableError
            with pytest.raises(DeadlineExceededError, match="cannot connect"):
                await client.get_stream_events("s", timeout=1)


async def test_a_service_that_is_not_there() -> None:
    """23.10 answers with HTTP's 404 and a page; later ones in gRPC's way."""
    ends = {step["call"]: step for step in steps("23.10.6", "unknown-method")}
    assert ends["/no.such.Service/Read"]["details"].endswith("status: 404")

    async def not_found(stream: trio.SocketStream) -> None:
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        async with stream:
            await stream.send_all(peer.data_to_send())
            async for data in stream:
                for event in peer.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded):
                        headers = [(":status", "404"), ("content-type", "text/html")]
                        peer.send_headers(event.stream_id, headers)
                        peer.send_data(event.stream_id, b"<h1>Not Found</h1>", end_stream=True)
                await stream.send_all(peer.data_to_send())

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, not_found, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            async with ESDBClient(f"esdb://127.0.0.1:{port}?Tls=false") as client:
                for _ in range(2):
                    with pytest.raises(UnimplementedError, match="404"):
                        await client.get_stream_events("s")
                with pytest.raises(UnimplementedError, match="404"):
                    await client.append_event("s", None, NewEvent("A", b""))
            nursery.cancel_scope.cancel()
