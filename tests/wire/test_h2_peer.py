"""h2 at the other end: what it says we understand, what we say it accepts, and nothing is lost between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2
from tests.support.http2 import check_windows, message
from trio_esdb._wire import (
    CallEnded,
    CallReceived,
    CallReset,
    ClientConnection,
    Code,
    ConnectionEnded,
    Limits,
    MessagesReceived,
    Outcome,
    RequestsEnded,
    Status,
    Stream,
)
from trio_esdb._wire._server_connection import ServerConnection

CLIENT_LIMITS = Limits(receive_message=10**6, stream_window=2000, connection_window=http2.DEFAULT_WINDOW)
SERVER_LIMITS = Limits(10**6, http2.DEFAULT_WINDOW, http2.DEFAULT_WINDOW, concurrent_streams=30)

sizes = st.one_of(st.integers(0, 30), st.integers(0, 3000), st.integers(0, 20_000))
extra = st.lists(
    st.tuples(st.sampled_from(["a", "b-c", "date"]), st.sampled_from(["", "1", "x" * 40, "Mon, 23 Nov", "long"])),
    max_size=3,
    unique_by=lambda header: header[0],
).map(tuple)


def some_headers(source: st.DataObject) -> tuple[tuple[str, str], ...]:
    """Headers of no meaning; seldom more than a frame holds."""
    return tuple((name, "z" * 19_000 if value == "long" else value) for name, value in source.draw(extra))


padding = st.sampled_from([None, None, 0, 1, 200])
changes = st.dictionaries(
    st.sampled_from([SettingCodes.INITIAL_WINDOW_SIZE, SettingCodes.HEADER_TABLE_SIZE, SettingCodes.MAX_FRAME_SIZE]),
    st.integers(0, 30_000),
    min_size=1,
).map(
    lambda found: {
        code: max(value, 16_384) if code == SettingCodes.MAX_FRAME_SIZE else value for code, value in found.items()
    }
)


@dataclass
class Theirs:
    """A stream as the h2 peer sees it."""

    headers: dict[str, str] | None = None
    body: bytes = b""
    trailers: dict[str, str] | None = None
    ended: bool = False
    reset: int | None = None
    to_acknowledge: int = 0
    local_closed: bool = False
    pending: bytes = b""
    said: list[bytes] = field(default_factory=list)


class Pair:
    """One of our cores, an h2 connection, and the bytes between them."""

    def __init__(self, core: ClientConnection | ServerConnection) -> None:
        self.core = core
        self.h2 = H2Connection(H2Configuration(client_side=isinstance(core, ServerConnection), header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.to_h2 = b""
        self.to_core = b""
        self.rest = b""
        self.theirs: dict[int, Theirs] = {}
        self.ours: dict[int, Stream] = {}
        self.heard: dict[int, list[object]] = {}
        self.pongs = 0
        self.terminated: h2.events.ConnectionTerminated | None = None
        self.unacknowledged = 1
        while self.unacknowledged:  # h2 takes any ACK for one of all its SETTINGS, so there is only one at a time
            self.deliver(True, 10**6)
            self.deliver(False, 10**6)

    def collect(self) -> None:
        self.to_h2 += self.core.data_to_send()
        self.to_core += self.h2.data_to_send()

    def deliver(self, to_core: bool, size: int) -> None:
        self.collect()
        if to_core:
            raw, self.to_core = self.to_core[:size], self.to_core[size:]
            self.our_events(raw)
        else:
            raw, self.to_h2 = self.to_h2[:size], self.to_h2[size:]
            for frame in self.frames(raw):
                for event in self.h2.receive_data(frame):
                    self.their_event(event)
        self.collect()
        check_windows(self.core, self.ours.values())

    def frames(self, raw: bytes) -> Iterator[bytes]:
        """One frame at a time: h2 lets SETTINGS that were acknowledged hold only from its next portion on."""
        self.rest += raw
        if self.rest.startswith(b"PRI") and len(self.rest) >= len(http2.PREFACE):
            self.rest = self.rest.removeprefix(http2.PREFACE)
            yield http2.PREFACE
        while len(self.rest) >= 9 and len(self.rest) >= (size := 9 + int.from_bytes(self.rest[:3], "big")):
            frame, self.rest = self.rest[:size], self.rest[size:]
            yield frame

    def our_events(self, raw: bytes) -> None:
        for event in self.core.receive_data(raw):
            match event:
                case CallReceived(stream, path, metadata, timeout):
                    self.ours[stream.id] = stream
                    self.heard[stream.id] = [(path, dict(metadata), timeout)]
                case MessagesReceived(stream, messages):
                    self.heard[stream.id] += messages
                    stream.owner = (stream.owner or 0) + sum(len(m) + 5 for m in messages)
                case RequestsEnded(stream):
                    self.heard[stream.id].append("ended")
                case CallReset(stream, _):
                    self.heard[stream.id].append("reset")
                case CallEnded(stream, outcome):
                    self.heard[stream.id].append(outcome)
                case ConnectionEnded(reason):
                    raise AssertionError(reason)

    def their_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                assert event.stream_id is not None
                assert event.headers is not None
                self.theirs.setdefault(event.stream_id, Theirs()).headers = dict(event.headers)  # type: ignore[arg-type]
            case h2.events.DataReceived():
                assert event.stream_id is not None
                assert event.flow_controlled_length is not None
                stream = self.theirs[event.stream_id]
                stream.body += event.data or b""
                stream.to_acknowledge += event.flow_controlled_length
            case h2.events.TrailersReceived():
                assert event.stream_id is not None
                assert event.headers is not None
                self.theirs[event.stream_id].trailers = dict(event.headers)  # type: ignore[arg-type]
            case h2.events.StreamEnded():
                assert event.stream_id is not None
                self.theirs[event.stream_id].ended = True
            case h2.events.StreamReset():
                assert event.stream_id is not None
                assert event.remote_reset, "h2 found a fault in what we sent"
                self.theirs[event.stream_id].reset = event.error_code
            case h2.events.PingAckReceived():
                self.pongs += 1
            case h2.events.SettingsAcknowledged():
                self.unacknowledged -= 1
            case h2.events.ConnectionTerminated():
                self.terminated = event

    def acknowledge(self, stream_id: int) -> None:
        stream = self.theirs[stream_id]
        if stream.to_acknowledge:
            self.h2.acknowledge_received_data(stream.to_acknowledge, stream_id)
            stream.to_acknowledge = 0

    def take(self, stream_id: int) -> None:
        stream = self.ours[stream_id]
        if stream.owner:
            self.core.take(stream, stream.owner)
            stream.owner = 0

    def talks(self, stream_id: int) -> bool:
        """Whether h2's side may still send on a stream, as far as it knows."""
        stream = self.theirs[stream_id]
        return not stream.local_closed and stream.reset is None

    def speak(self, stream_id: int, size: int, pad: int | None) -> None:
        """Send of h2's pending bytes what the window admits; then the end of the stream, if it is due."""
        stream = self.theirs[stream_id]
        over = 0 if pad is None else pad + 1
        size = min(size, len(stream.pending), self.h2.local_flow_control_window(stream_id) - over)
        size = min(size, self.h2.max_outbound_frame_size - over)
        if size > 0:
            self.h2.send_data(stream_id, stream.pending[:size], pad_length=pad)
            stream.pending = stream.pending[size:]

    def open_up(self) -> None:
        """Let everything out: with small windows h2 may never give any room."""
        self.settle()
        self.unacknowledged += 1
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**20})
        self.settle()

    def settle(self) -> None:
        """Until all is said and nothing is on its way."""
        moved = True
        while moved:
            for stream_id in self.theirs:
                self.acknowledge(stream_id)
                if self.talks(stream_id):
                    self.speak(stream_id, 10**6, None)
            for stream_id in self.ours:
                self.take(stream_id)
            self.collect()
            moved = bool(self.to_core or self.to_h2)
            self.deliver(True, 10**6)
            self.deliver(False, 10**6)


def play(source: st.DataObject, pair: Pair, moves: dict[str, Callable[[], None]], weights: list[str]) -> None:
    for _ in range(source.draw(st.integers(1, 40))):
        match source.draw(st.sampled_from(weights)):
            case "to core":
                pair.deliver(True, source.draw(st.integers(1, 9000)))
            case "to h2":
                pair.deliver(False, source.draw(st.integers(1, 9000)))
            case "settings":
                if pair.unacknowledged:
                    continue
                pair.unacknowledged += 1
                pair.h2.update_settings(source.draw(changes))  # type: ignore[arg-type]
            case "ping":
                pair.h2.ping(b"8 bytes!")
            case "acknowledge":
                for stream_id in pair.theirs:
                    pair.acknowledge(stream_id)
            case "take":
                for stream_id in pair.ours:
                    pair.take(stream_id)
            case "speak":
                talking = [s for s in pair.theirs if pair.talks(s) and pair.theirs[s].pending]
                if talking:
                    pair.speak(source.draw(st.sampled_from(talking)), source.draw(sizes), source.draw(padding))
            case move:
                moves[move]()
        pair.collect()


COMMON = ["to core", "to h2", "to core", "to h2", "settings", "ping", "acknowledge", "take", "speak", "speak"]


@given(st.data())
@settings(max_examples=60)
def test_an_h2_client_and_our_server(source: st.DataObject) -> None:
    server = ServerConnection(SERVER_LIMITS)
    pair = Pair(server)
    sent: dict[int, tuple[tuple[str, str], ...]] = {}
    ending: dict[int, tuple[tuple[str, str], ...] | None] = {}
    said: dict[int, list[bytes]] = {}
    finished: dict[int, tuple[Status, str, dict[str, str | bytes]]] = {}
    pings = 0

    def open_() -> None:
        stream_id = pair.h2.get_next_available_stream_id()
        headers = (*http2.REQUEST, *some_headers(source))
        sent[stream_id] = headers
        weight = source.draw(st.sampled_from([None, 7]))
        if any(len(value) > 16_000 for _, value in headers):
            weight = None  # h2 would make a frame that is too large by it
        pair.h2.send_headers(stream_id, list(headers), priority_weight=weight)
        requests = [b"q" * n for n in source.draw(st.lists(sizes, max_size=3))]
        pair.theirs[stream_id] = Theirs(pending=b"".join(map(message, requests)), said=requests)
        ending[stream_id] = source.draw(st.sampled_from([None, (), (("checksum", "1"),)]))

    def hang_up() -> None:
        for stream_id, trailers in ending.items():
            if trailers is not None and pair.talks(stream_id) and not pair.theirs[stream_id].pending:
                if trailers:
                    pair.h2.send_headers(stream_id, list(trailers), end_stream=True)
                else:
                    pair.h2.send_data(stream_id, b"", end_stream=True, pad_length=source.draw(st.sampled_from([None])))
                pair.theirs[stream_id].local_closed = True

    def give_up() -> None:
        open_ones = [s for s in pair.theirs if pair.theirs[s].reset is None and not pair.theirs[s].ended]
        if open_ones:
            stream_id = source.draw(st.sampled_from(open_ones))
            pair.h2.reset_stream(stream_id, Code.CANCEL)
            pair.theirs[stream_id].reset = -1

    def respond() -> None:
        open_ones = [s for s in pair.ours if s in server.streams and s not in finished]
        if open_ones:
            stream_id = source.draw(st.sampled_from(open_ones))
            messages = [b"r" * n for n in source.draw(st.lists(sizes, min_size=1, max_size=3))]
            said.setdefault(stream_id, []).extend(messages)
            server.respond(pair.ours[stream_id], messages)

    def finish() -> None:
        open_ones = [s for s in pair.ours if s in server.streams and s not in finished]
        if open_ones:
            stream_id = source.draw(st.sampled_from(open_ones))
            trailers: dict[str, str | bytes] = source.draw(
                st.sampled_from([{}, {"reason": "x y"}, {"id-bin": b"\0\1"}, {"long": "l" * 20_000}])
            )
            finished[stream_id] = (source.draw(st.sampled_from(list(Status))), "why\u20ac", trailers)
            server.finish(pair.ours[stream_id], *finished[stream_id])

    moves = {"open": open_, "hang up": hang_up, "give up": give_up, "respond": respond, "finish": finish}
    weights = [*COMMON, "open", "open", "hang up", "hang up", "give up", "respond", "respond", "respond", "finish"]
    play(source, pair, moves, weights)
    pair.open_up()
    for stream_id in pair.ours:
        if stream_id in server.streams and stream_id not in finished:
            finished[stream_id] = (Status.OK, "why\u20ac", {})
            server.finish(pair.ours[stream_id], *finished[stream_id])
    pair.settle()
    pair.h2.ping(b"8 bytes!")
    pings = pair.pongs
    pair.settle()
    assert pair.pongs == pings + 1
    assert not server.streams
    for stream_id, headers in sent.items():
        theirs = pair.theirs[stream_id]
        heard = pair.heard[stream_id]
        metadata = {k: v for k, v in headers[len(http2.REQUEST) :] if k != "date"}
        assert heard[0] == ("/shop.Orders/Place", metadata, float("inf"))
        received = [item for item in heard[1:] if isinstance(item, bytes)]
        assert received == theirs.said[: len(received)]
        if theirs.reset == -1:
            assert heard.count("reset") <= 1
            continue
        if theirs.local_closed and "ended" in heard:
            assert received == theirs.said
        status, _, trailers = finished[stream_id]
        told = theirs.trailers if said.get(stream_id) else theirs.headers
        assert theirs.ended
        assert theirs.body == b"".join(map(message, said.get(stream_id, [])))
        assert told is not None
        assert told["grpc-status"] == str(status.value)
        assert set(trailers) <= set(told)
        assert theirs.reset in (None, Code.NO_ERROR)


@given(st.data())
@settings(max_examples=60)
def test_our_client_and_an_h2_server(source: st.DataObject) -> None:
    client = ClientConnection(CLIENT_LIMITS)
    pair = Pair(client)
    requests: dict[int, list[bytes]] = {}
    half_closed: set[int] = set()
    begun: set[int] = set()
    given_up: set[int] = set()
    reset: dict[int, int] = {}
    wanted: dict[int, tuple[Status, dict[str, str]]] = {}
    sent: dict[int, tuple[tuple[str, str], ...]] = {}

    def open_() -> None:
        if client.room > 0:
            headers = (*http2.REQUEST, *some_headers(source))
            stream = client.start_call(headers, source.draw(st.sampled_from([None, "1500m"])), None)
            sent[stream.id] = headers
            pair.ours[stream.id] = stream
            pair.heard[stream.id] = []
            requests[stream.id] = []
            ask(stream.id)

    def ask(stream_id: int | None = None) -> None:
        open_ones = [s for s in client.streams if s not in half_closed] if stream_id is None else [stream_id]
        if open_ones:
            stream_id = source.draw(st.sampled_from(open_ones))
            messages = [b"q" * n for n in source.draw(st.lists(sizes, min_size=1, max_size=3))]
            end = source.draw(st.booleans())
            requests[stream_id] += messages
            client.send_messages(client.streams[stream_id], messages, end=end)
            if end:
                half_closed.add(stream_id)

    def give_up() -> None:
        if client.streams:
            stream_id = source.draw(st.sampled_from(sorted(client.streams)))
            client.reset(client.streams[stream_id])
            given_up.add(stream_id)

    def known() -> list[int]:
        return [s for s in pair.theirs if pair.talks(s)]

    def begin() -> None:
        fresh = [s for s in known() if s not in begun]
        if fresh:
            stream_id = source.draw(st.sampled_from(fresh))
            begun.add(stream_id)
            if source.draw(st.booleans()):
                pair.h2.send_headers(stream_id, [(":status", "100")])
            pair.h2.send_headers(stream_id, [*http2.RESPONSE, *some_headers(source)])
            answers = [b"r" * n for n in source.draw(st.lists(sizes, max_size=3))]
            pair.theirs[stream_id].pending = b"".join(map(message, answers))
            pair.theirs[stream_id].said = answers

    def finish() -> None:
        ready = [s for s in known() if not pair.theirs[s].pending]
        if ready:
            end(source.draw(st.sampled_from(ready)), source.draw(st.sampled_from(list(Status))), some_headers(source))

    def end(stream_id: int, status: Status, more: tuple[tuple[str, str], ...]) -> None:
        start = () if stream_id in begun else http2.RESPONSE
        wanted[stream_id] = (status, {k: v for k, v in more if k != "date"})
        headers = [*start, ("grpc-status", "77"), *more, ("grpc-status", str(status.value))]
        pair.h2.send_headers(stream_id, headers, end_stream=True)
        pair.theirs[stream_id].local_closed = True

    def kill() -> None:
        talking = known()
        if talking:
            stream_id = source.draw(st.sampled_from(talking))
            reset[stream_id] = source.draw(st.sampled_from([Code.REFUSED_STREAM, Code.CANCEL, Code.NO_ERROR]))
            pair.h2.reset_stream(stream_id, reset[stream_id])
            pair.theirs[stream_id].local_closed = True

    moves = {"open": open_, "ask": ask, "give up": give_up, "begin": begin, "finish": finish, "kill": kill}
    weights = [*COMMON, "open", "open", "ask", "give up", "begin", "begin", "begin", "finish", "finish", "kill"]
    play(source, pair, moves, weights)
    pair.open_up()
    for stream_id in known():
        end(stream_id, Status.OK, ())
    pair.settle()
    assert not client.streams
    for stream_id, headers in sent.items():
        theirs = pair.theirs[stream_id]
        heard = pair.heard[stream_id]
        assert theirs.headers is not None
        assert theirs.headers | dict(headers) == theirs.headers
        received = [item for item in heard if isinstance(item, bytes)]
        assert received == theirs.said[: len(received)]
        asked = b"".join(map(message, requests[stream_id]))
        assert theirs.body == asked[: len(theirs.body)]
        if stream_id in given_up:
            continue
        assert len([item for item in heard if isinstance(item, Outcome)]) == 1
        outcome = heard[-1]
        assert isinstance(outcome, Outcome)
        if stream_id in reset and stream_id not in wanted:
            assert outcome.refused == (reset[stream_id] == Code.REFUSED_STREAM)
            assert outcome.local
            continue
        status, metadata = wanted[stream_id]
        assert received == theirs.said
        assert (outcome.status, outcome.trailers) == (status, metadata)
        assert (theirs.reset is None) or stream_id not in half_closed or theirs.reset == Code.CANCEL
        if theirs.ended:
            assert theirs.body == asked


@given(st.integers(0, 3), st.booleans())
def test_goodbyes(calls: int, ours: bool) -> None:
    server = ServerConnection()
    pair = Pair(server)
    for _ in range(calls):
        pair.h2.send_headers(pair.h2.get_next_available_stream_id(), list(http2.REQUEST))
        pair.theirs[2 * len(pair.theirs) + 1] = Theirs()
    pair.settle()
    if ours:
        server.goodbye(Code.ENHANCE_YOUR_CALM, "enough")
        pair.settle()
        assert pair.terminated is not None
        assert pair.terminated.error_code == Code.ENHANCE_YOUR_CALM
        assert pair.terminated.last_stream_id == max(0, 2 * calls - 1)
        assert pair.terminated.additional_data == b"enough"
    else:
        pair.h2.close_connection(Code.NO_ERROR)
        pair.settle()
        assert list(server.streams) == list(pair.theirs), "calls go on"
