"""A client that speaks in raw messages, built and read by Google's protobuf; it shares nothing with our own client."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import trio

from tests.conformance import driver
from tests.conformance.records import schema
from tests.support import links
from trio_esdb._transport import ClientLink
from trio_esdb._wire import Limits, Outcome
from trio_esdb.embedded import EmbeddedNode

STREAMS = "/event_store.client.streams.Streams/"
OPERATIONS = "/event_store.client.operations.Operations/"
MAX = 2**64 - 1
UNKNOWN = "Exception was thrown by handler."


class Call:
    """One call, message by message."""

    def __init__(
        self, link: ClientLink, path: str, timeout: float = math.inf, more_headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._link = link
        self._asked, self._told = schema().methods.get(path, ("event_store.client.Empty",) * 2)
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "node"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more_headers,
        )
        self._call = links.Call(link, headers, [], deadline=trio.current_time() + timeout, end=False)
        stream = self._call._stream
        assert stream is not None
        self._stream = stream
        self._consumer = links.Consumer(self._call)

    def send(self, *bodies: dict[str, Any]) -> Call:
        """Send these messages."""
        return self.send_raw(
            *(driver.build(schema().cls(self._asked)(), body).SerializeToString(deterministic=True) for body in bodies)
        )

    def send_raw(self, *messages: bytes) -> Call:
        """Send these bytes as messages."""
        self._link.core.send_messages(self._stream, messages)
        self._link.wake()
        return self

    def half_close(self) -> Call:
        """Say that there are no more requests."""
        self._call.half_close()
        return self

    async def raw(self) -> bytes:
        """The next message; trio.EndOfChannel at the end of the call."""
        return await self._consumer.receive()

    async def receive(self) -> dict[str, Any]:
        """The next message as nested dicts."""
        return driver.plain(schema().cls(self._told).FromString(await self.raw()))

    async def some(self, number: int) -> list[dict[str, Any]]:
        """The next ``number`` messages."""
        return [await self.receive() for _ in range(number)]

    async def rest(self) -> tuple[list[dict[str, Any]], Outcome]:
        """All messages that still come, and how the call ended."""
        messages = []
        try:
            while True:
                messages.append(await self.receive())
        except trio.EndOfChannel:
            assert self.outcome is not None
            return messages, self.outcome

    async def silence(self, seconds: float = 60) -> bool:
        """True if no message comes within this time."""
        with trio.move_on_after(seconds):
            message = await self.receive()
            raise AssertionError(f"this came: {message}")
        return True

    async def end(self) -> Outcome:
        """How the call ends; whatever messages come before that are dropped."""
        try:
            while True:
                await self.raw()
        except trio.EndOfChannel:
            assert self.outcome is not None
            return self.outcome

    @property
    def outcome(self) -> Outcome | None:
        """How the call ended, if it has."""
        return self._call.outcome

    def cancel(self) -> None:
        """Give the call up."""
        self._call.close()


class Peer:
    """A connection, and the calls that most tests make."""

    def __init__(
        self, link: ClientLink, headers: tuple[tuple[str, str], ...] = (), ids: Iterator[int] | None = None
    ) -> None:
        self.link = link
        self._headers = headers
        self._ids = ids or count(1)

    def user(self, name: str, password: str = "changeit") -> Peer:
        """The same connection, for calls of this user."""
        return self.authorized(driver.basic(name, password))

    def authorized(self, *values: str) -> Peer:
        """The same connection, for calls with these ``authorization`` headers."""
        others = tuple(header for header in self._headers if header[0] != "authorization")
        return Peer(self.link, (*others, *(("authorization", value) for value in values)), self._ids)

    def with_headers(self, *headers: tuple[str, str]) -> Peer:
        """The same connection, for calls with these headers too."""
        return Peer(self.link, (*self._headers, *headers), self._ids)

    def call(self, path: str, *, timeout: float = math.inf) -> Call:
        """Open a call."""
        return Call(self.link, path, timeout, self._headers)

    async def ask(self, path: str, *bodies: dict[str, Any]) -> tuple[list[dict[str, Any]], Outcome]:
        """All messages of a call, and how it ended."""
        return await self.call(path).send(*bodies).half_close().rest()

    def event(self, data: bytes = b"{}", *, type: str = "T", id: str | None = None) -> dict[str, Any]:
        """A proposed event, with an id of its own unless it has one."""
        number = next(self._ids)
        return {
            "id": {"string": id or f"00000000-0000-4000-9000-{number:012x}"},
            "metadata": {"type": type, "content-type": "application/json"},
            "data": data,
        }

    async def append(self, stream: str, *events: dict[str, Any], expect: Any = "any") -> dict[str, Any]:
        """Append these events; the response."""
        options = {"stream_identifier": {"stream_name": stream.encode()}, **expectation(expect)}
        call = self.call(STREAMS + "Append").send({"options": options})
        got = call.send(*({"proposed_message": event} for event in events)).half_close()
        response = await got.receive()
        assert (await got.end()).ok
        return response

    async def remove(self, stream: str, *, how: str = "Delete") -> Outcome:
        """Delete or tombstone a stream."""
        options = {"stream_identifier": {"stream_name": stream.encode()}, "any": {}}
        return (await self.ask(STREAMS + how, {"options": options}))[1]

    def read(self, stream: str | None = None, **kw: Any) -> Call:
        """Open a read."""
        return self.call(STREAMS + "Read").send(read_request(stream, **kw)).half_close()

    def subscribe(self, stream: str | None = None, **kw: Any) -> Call:
        """Open a subscription."""
        return self.read(stream, subscribe=True, **kw)

    async def numbers(self, stream: str, **kw: Any) -> list[int]:
        """The numbers of a stream's events."""
        messages, outcome = await self.ask(STREAMS + "Read", read_request(stream, **kw))
        assert outcome.ok, outcome
        return [number_of(message) for message in messages]


def expectation(expect: Any, field: str = "revision") -> dict[str, Any]:
    return {field: expect} if isinstance(expect, int) else {expect: {}}


def read_request(
    stream: str | None = None,
    *,
    at: Any = "start",
    backwards: bool = False,
    count: int = MAX,
    subscribe: bool = False,
    links: bool = False,
    filter: dict[str, Any] | None = None,
    uuid: str = "string",
    compatibility: int = 0,
) -> dict[str, Any]:
    source: dict[str, Any]
    if stream is None:
        where = (
            {"position": {"commit_position": at[0], "prepare_position": at[1]}} if isinstance(at, tuple) else {at: {}}
        )
        source = {"all": where}
    else:
        source = {"stream": {"stream_identifier": {"stream_name": stream.encode()}, **expectation(at)}}
    return {
        "options": {
            **source,
            "read_direction": int(backwards),
            "resolve_links": links,
            **({"subscription": {}} if subscribe else {"count": count}),
            **({"filter": filter} if filter else {"no_filter": {}}),
            "uuid_option": {uuid: {}},
            "control_option": {"compatibility": compatibility},
        }
    }


def types(*prefixes: str, window: int = 32, interval: int = 1) -> dict[str, Any]:
    """A filter on event types."""
    return {"event_type": {"prefix": list(prefixes)}, "max": window, "checkpointIntervalMultiplier": interval}


def number_of(message: dict[str, Any]) -> int:
    """The number of the event in a response."""
    number: int = message["event"]["event"].get("stream_revision", 0)
    return number


def kinds(messages: list[dict[str, Any]]) -> list[Any]:
    """Event numbers, and the names of all other messages."""
    return [number_of(m) if "event" in m else next(iter(m)) for m in messages]


@asynccontextmanager
async def connected(node: EmbeddedNode, limits: Limits | None = None) -> AsyncIterator[Peer]:
    """A connection to the node."""
    link = ClientLink(await node.connect(), "node", limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await link.ready()
        yield Peer(link)
        link.close()
