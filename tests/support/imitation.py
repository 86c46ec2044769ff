"""An embedded node that answers as another server version: its responses are changed on their way to the client.

This shows that the contract tests know the versions, without a server of each. The facts are in `versions`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache, partial

import trio
import trio.testing

from tests.conformance.records import schema
from tests.support.peer import STREAMS, UNKNOWN, Call, Peer, connected
from tests.support.versions import FEATURES, CaughtUpIs, Server, server_of
from trio_esdb._transport._handlers import AsyncHandler, Failure, ServerCall
from trio_esdb._transport._serving import serve_stream
from trio_esdb._wire import Outcome, Status
from trio_esdb.embedded import EmbeddedNode
from trio_esdb_proto.event_store.client import Empty
from trio_esdb_proto.event_store.client import streams as pb
from trio_esdb_proto.event_store.client.server_features import SupportedMethods

_NO_POSITION = 2**64 - 1
_EVENT = b"\x0a"
"""The first byte of a response that holds an event."""
_LIVE_BUFFER = 32
_TOO_SLOW = "Operation timed out: Consumer too slow to handle event while live. Client resubscription required."


class Imitation:
    """A node that answers as another version."""

    def __init__(self, nursery: trio.Nursery, node: EmbeddedNode, version: str) -> None:
        self.version = version
        self.server = server_of(version)
        self._nursery = nursery
        self._node = node

    async def connect(self, *_where: object) -> trio.abc.Stream:
        """A client's end of a new connection."""
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with connected(self._node) as peer:
            methods = {path: AsyncHandler(partial(self._forward, peer)) for path in schema().methods}
            methods[STREAMS + "Read"] = AsyncHandler(partial(self._read, peer))
            methods[FEATURES] = AsyncHandler(partial(self._tell_features, peer))
            await serve_stream(stream, methods, lambda path: Failure(Status.UNIMPLEMENTED, path))

    async def _forward(self, peer: Peer, call: ServerCall) -> None:
        """A call whose answer is the same in all versions."""
        inner = peer.call(call.path)
        try:
            await _pass_requests(call, inner)
            while (message := await _next(inner)) is not None:
                await call.send(message)
            _end_alike(await inner.end())
        finally:
            inner.cancel()

    async def _tell_features(self, peer: Peer, call: ServerCall) -> None:
        inner = peer.call(call.path)
        await _pass_requests(call, inner)
        answer = SupportedMethods.parse(await inner.raw())
        answer.event_store_server_version = self.version
        await call.send(bytes(answer))

    async def _read(self, peer: Peer, call: ServerCall) -> None:
        """A read or a subscription."""
        inner = peer.call(call.path)
        try:
            (request,) = await _pass_requests(call, inner)
            options = pb.ReadReq.parse(request).options
            assert options is not None
            translated = _Translation(self.server, options)
            async with trio.open_nursery() as nursery:
                buffer, buffered = trio.open_memory_channel[bytes](_LIVE_BUFFER)
                nursery.start_soon(_send_all, call, buffered)
                async with buffer:
                    while (response := await _next(inner)) is not None:
                        for message in translated(response):
                            try:
                                buffer.send_nowait(message)
                            except trio.WouldBlock:
                                if translated.is_live and self.server.drops_slow_consumers and call.behind:
                                    translated.has_overflown = True
                                    nursery.cancel_scope.cancel()
                                await buffer.send(message)
            if translated.has_overflown:
                raise Failure(Status.ABORTED, _TOO_SLOW)
            _end_alike(self._ended(await inner.end()))
        finally:
            inner.cancel()

    def _ended(self, outcome: Outcome) -> Outcome:
        """How a read ends in this version."""
        if "InvalidPosition" in outcome.message:
            return Outcome(outcome.status, self.server.invalid_position, outcome.trailers)
        if "invalid position" in outcome.message and self.server.invalid_position.endswith(": Error"):
            return Outcome(Status.UNKNOWN, UNKNOWN)
        return outcome


class _Translation:
    """The responses to one read."""

    def __init__(self, server: Server, options: pb.ReadReqOptions) -> None:
        self.is_live = False
        self.has_overflown = False
        self._server = server
        self._is_of_stream = options.stream is not None
        self._has_told_events = False

    def __call__(self, raw: bytes) -> list[bytes]:
        """The messages that this version sends instead."""
        if raw.startswith(_EVENT):
            self._has_told_events = True
            tells_position = self._server.stream_reads_tell_positions or self.is_live or not self._is_of_stream
            if tells_position and self._server.links_have_positions:
                return [raw]
            return [_event(raw, tells_position)]
        if pb.ReadResp.parse(raw).caught_up is not None:
            self.is_live = True
            told = self._server.caught_up
            is_told = told is CaughtUpIs.TOLD or (told is CaughtUpIs.TOLD_AFTER_AN_EVENT and self._has_told_events)
            return [raw] if is_told else []
        return [raw]


@lru_cache(maxsize=4096)  # many subscribers are told the same
def _event(raw: bytes, tells_position: bool) -> bytes:
    """An event as 21.10 sends it."""
    message = pb.ReadResp.parse(raw)
    assert message.event is not None
    event, link = message.event.event, message.event.link
    if not tells_position:
        message.event.commit_position, message.event.no_position = None, Empty()
        for record in (event, link):
            if record is not None:
                record.commit_position = record.prepare_position = _NO_POSITION
    elif event is not None and link is not None:
        event.commit_position, event.prepare_position = link.commit_position, link.prepare_position
    return bytes(message)


async def _pass_requests(call: ServerCall, inner: Call) -> list[bytes]:
    requests = []
    try:
        while True:
            requests.append(await call.receive())
            inner.send_raw(requests[-1])
    except trio.EndOfChannel:
        with suppress(trio.BrokenResourceError):  # it is refused already
            inner.half_close()
        return requests


async def _next(inner: Call) -> bytes | None:
    """The next response; None at the end of the call."""
    try:
        return await inner.raw()
    except trio.EndOfChannel:
        return None


async def _send_all(call: ServerCall, messages: trio.MemoryReceiveChannel[bytes]) -> None:
    async for message in messages:
        await call.send(message)


def _end_alike(outcome: Outcome) -> None:
    if not outcome.ok:
        raise Failure(outcome.status, outcome.message, outcome.trailers)
