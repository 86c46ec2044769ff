"""`trio-esdb serve` and `trio-esdb demo` as processes: how they begin, what they print, how they end."""

from __future__ import annotations

import http.client
import re
import shlex
import signal
import socket
import sys
from contextlib import ExitStack

import grpc
import pytest
import trio

from tests.support.processes import COMMAND, Program, loopbacks, serving
from trio_esdb import CaughtUp, DeadlineExceededError, ESDBClient, NewEvent, StreamState, UnavailableError
from trio_esdb_proto.event_store.client.gossip import ClusterInfo

WITHOUT_RICH = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
sys.modules["rich"] = sys.modules["rich.live"] = sys.modules["rich.table"] = None
from trio_esdb.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
PLAIN = (sys.executable, "-W", "error", "-c", WITHOUT_RICH)
EVENT_LINE = re.compile(r"  [0-9a-f-]{36}  order-[0-9a-f]{8}-\d+/\d  Order(Placed|Paid|Shipped)  @ \d+")


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_a_server_that_is_told_to_stop_with_clients_connected(sign: signal.Signals) -> None:
    async with Program.running(serving("--port", "0", "--grace", "0.2")) as program:
        uri = await program.uri()
        assert re.fullmatch(r"esdb://127\.0\.0\.1:\d+\?Tls=false", uri)
        async with ESDBClient(uri) as client, ESDBClient(uri), ESDBClient(uri) as another:
            await client.append_events("s", None, [NewEvent("Big", b"x" * 50_000) for _ in range(20)])
            async with (
                client.subscribe_stream_events("s", include_caught_up=True, resume=False) as unread,
                another.subscribe_all_events(from_end=True, include_caught_up=True, resume=False) as live,
            ):
                assert await live.receive() == CaughtUp()
                program.send(sign)
                with pytest.raises(UnavailableError):
                    await live.receive()
                with pytest.raises(UnavailableError):
                    _ = [each async for each in unread]
            with pytest.raises(DeadlineExceededError, match="refused"):
                await client.append_event("s", StreamState.ANY, event(), timeout=0.1)
        assert await program.ended() == (0, "", "")


@pytest.mark.parametrize("host", [*loopbacks(), "localhost"])
async def test_where_a_server_says_it_is(host: str) -> None:
    async with Program.running(serving("--host", host, "--port", "0")) as program:
        uri = await program.uri()
        assert uri.startswith(f"esdb://[{host}]:" if ":" in host else f"esdb://{host}:")
        async with ESDBClient(uri) as client:
            assert await client.append_event("s", None, event()) >= 0
        program.send(signal.SIGTERM)
        assert await program.ended() == (0, "", "")


STUCK = """\
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from trio_esdb.embedded import _process
from trio_esdb.embedded._services import _unary
def stuck(_request, _caller):
    while True:
        time.sleep(0.01)
def handlers(*of):
    found = usual(*of)
    found["/event_store.client.gossip.Gossip/Read"] = _unary.answered_by(stuck)
    return found
usual, _process.methods_of = _process.methods_of, handlers
from trio_esdb._cli import _signals
_signals._MARGIN = 0.3
from trio_esdb.__main__ import main
sys.exit(main(["serve", "--port", "0"]))
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_a_server_whose_event_loop_stands_still_ends_too(sign: signal.Signals) -> None:
    async with Program.running((sys.executable, "-c", STUCK)) as program:
        target = (await program.uri()).removeprefix("esdb://").partition("?")[0]
        with grpc.insecure_channel(target) as channel:
            gossip = channel.unary_unary("/event_store.client.gossip.Gossip/Read").future(b"")
            while not is_stuck(target):
                await trio.sleep(0.05)
            program.send(sign)
            status, _, complaint = await program.ended()
            gossip.cancel()
    assert status == 1
    assert "Timeout" in complaint
    assert "in stuck" in complaint, "it says where it stood"


def is_stuck(target: str) -> bool:
    """Whether a node does not even answer a health check."""
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=0.2) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\n\r\n")
        try:
            return not connection.recv(100)
        except TimeoutError:
            return True


async def until_refused(uri: str) -> None:
    """Wait until a server does not listen any more."""
    host, _, port = uri.removeprefix("esdb://").partition("?")[0].rpartition(":")
    while True:
        try:
            stream = await trio.open_tcp_stream(host, int(port))
        except OSError:
            return
        await stream.aclose()


async def test_a_second_signal_ends_a_server_at_once() -> None:
    async with Program.running(serving("--port", "0", "--grace", "600")) as program:
        uri = await program.uri()
        async with ESDBClient(uri) as client, client.subscribe_all_events(include_caught_up=True) as events:
            while not isinstance(await events.receive(), CaughtUp):
                pass
            program.send(signal.SIGTERM)
            await until_refused(uri)
            program.send(signal.SIGTERM)
            status, printed, complaint = await program.ended()
    assert (status, printed, complaint) == (-signal.SIGTERM, "", "")


async def test_what_foreign_clients_see_of_a_server_that_ends() -> None:
    """GOAWAY lets them go on for a while; what is open then is cut off, which they report as UNAVAILABLE."""
    async with Program.running(serving("--port", "0", "--grace", "1")) as program:
        uri = await program.uri()
        target = uri.removeprefix("esdb://").partition("?")[0]
        async with ESDBClient(uri) as client:
            await client.append_events("s", None, [event()])
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_stream("/event_store.client.streams.Streams/Read")(SUBSCRIBE)
            await trio.to_thread.run_sync(lambda: [next(call) for _ in range(3)])
            program.send(signal.SIGTERM)

            def end() -> grpc.StatusCode:
                with pytest.raises(grpc.RpcError) as failed:
                    next(call)
                code: grpc.StatusCode = failed.value.code()
                return code

            assert await trio.to_thread.run_sync(end) is grpc.StatusCode.UNAVAILABLE
        assert await program.ended() == (0, "", "")


SUBSCRIBE = bytes.fromhex("0a130a070a031a01731a00320042004a0212005200")
"""A subscription to the stream ``s`` from its start."""


async def test_a_server_that_a_client_shuts_down() -> None:
    async with Program.running(serving("--port", "0")) as program:
        target = (await program.uri()).removeprefix("esdb://").partition("?")[0]

        def shut_down() -> None:
            with grpc.insecure_channel(target) as channel:
                channel.unary_unary("/event_store.client.operations.Operations/Shutdown")(b"")

        await trio.to_thread.run_sync(shut_down)
        assert await program.ended() == (0, "", "")


async def test_a_server_that_was_killed_and_is_back() -> None:
    async with Program.running(serving("--port", "0")) as program:
        uri = await program.uri()
        async with ESDBClient(uri) as client:
            await client.append_event("s", None, event())
            async with client.subscribe_stream_events("s", include_caught_up=True, resume=False) as events:
                assert (await events.receive()).stream_position == 0
                assert await events.receive() == CaughtUp()
                program.send(signal.SIGKILL)
                with pytest.raises(UnavailableError) as lost:
                    await events.receive()
                assert lost.value.address in uri
            await program.wait()
            with pytest.raises(DeadlineExceededError, match="refused"):
                await client.append_event("s", None, event(), timeout=0.1)
            port = uri.rpartition(":")[2].partition("?")[0]
            async with Program.running(serving("--port", port)) as again:
                assert await again.uri() == uri
                assert await client.get_stream_position("s") is None, "a node that is gone leaves nothing behind"
                await client.append_event("s", None, event())
                async with client.subscribe_stream_events("s") as events:
                    assert (await events.receive()).stream_position == 0
                again.send(signal.SIGTERM)
                assert await again.ended() == (0, "", "")


async def test_a_port_that_is_in_use() -> None:
    async with Program.running(serving("--port", "0")) as first:
        port = (await first.uri()).rpartition(":")[2].partition("?")[0]
        async with Program.running(serving("--port", port)) as second:
            status, printed, complaint = await second.ended()
    assert (status, printed) == (1, "")
    assert re.fullmatch(rf"trio-esdb: cannot listen on 127\.0\.0\.1:{port}: .*already in use\n", complaint)


async def test_a_host_that_is_not_this_machine() -> None:
    async with Program.running(serving("--host", "192.0.2.1", "--port", "0")) as program:
        status, printed, complaint = await program.ended()
    assert (status, printed) == (1, "")
    assert re.fullmatch(r"trio-esdb: cannot listen on 192\.0\.2\.1:0: [^\n]+\n", complaint)


def summary(printed: str) -> list[str]:
    """The lines of a demo's summary; checks that they are what they should be."""
    lines = printed.rstrip().splitlines()
    start = next(n for n, line in enumerate(lines) if "events received" in line)
    events, last = lines[start + 1 : -1], lines[-1]
    assert all(map(EVENT_LINE.fullmatch, events)), printed
    assert last == f"last commit position: {events[-1].rpartition(' ')[2]}"
    return events


@pytest.mark.parametrize("start", [COMMAND, PLAIN], ids=["rich", "plain"])
async def test_the_demo(start: tuple[str, ...]) -> None:
    async with Program.running((*start, "demo", "--orders", "3")) as program:
        status, printed, complaint = await program.ended()
    assert (status, complaint) == (0, "")
    assert "3 orders appended to esdb://embedded, 9 events received:" in printed
    assert len(summary(printed)) == 9
    assert printed.startswith("stream  appended") is (start is PLAIN), "a table or lines"


async def test_the_demo_against_a_server() -> None:
    async with Program.running(serving("--port", "0")) as server:
        uri = await server.uri()
        for _ in range(2):
            async with Program.running((*COMMAND, "demo", "--orders", "2", "--address", uri)) as program:
                status, printed, complaint = await program.ended()
            assert (status, complaint) == (0, "")
            assert len(summary(printed)) == 6
        async with ESDBClient(uri) as client, client.read_all_events() as events:
            types = [event.type async for event in events]
        assert types == ["OrderPlaced", "OrderPaid", "OrderShipped"] * 4
        server.send(signal.SIGTERM)
        assert await server.ended() == (0, "", "")


async def test_the_demo_without_a_server() -> None:
    async with Program.running((*COMMAND, "demo", "--address", "esdb://127.0.0.1:1?Tls=false")) as program:
        status, _, complaint = await program.ended()
    assert status == 1
    assert re.fullmatch(r"trio-esdb: cannot connect to 127\.0\.0\.1:1: [^\n]+\n", complaint)


async def test_a_demo_whose_server_goes_away() -> None:
    async with Program.running(serving("--port", "0")) as server:
        address = await server.uri()
        async with Program.running((*PLAIN, "demo", "--orders", "100", "--address", address)) as program:
            assert (await program.line()).startswith("stream")
            server.send(signal.SIGKILL)
            status, _, complaint = await program.ended()
    assert status == 1
    assert re.fullmatch(r"trio-esdb: [^\n]+\n", complaint)


async def test_a_demo_that_is_interrupted() -> None:
    async with Program.running((*PLAIN, "demo", "--orders", "100")) as program:
        assert (await program.line()).startswith("stream")
        program.send(signal.SIGINT)
        status, printed, complaint = await program.ended()
    assert (status, complaint) == (130, "")
    assert "events received" not in printed


@pytest.mark.parametrize(
    "wrong", [("serve", "--port", "65536"), ("demo", "--orders", "0"), ("demo", "--orders", "101")]
)
async def test_numbers_that_are_none(wrong: tuple[str, ...]) -> None:
    async with Program.running((*COMMAND, *wrong)) as program:
        status, printed, complaint = await program.ended()
    assert (status, printed) == (2, "")
    assert f"argument {wrong[1]}: '{wrong[2]}' is not a number from " in complaint


async def test_health_checks_and_what_else_speaks_http1() -> None:
    async with Program.running(serving("--port", "0")) as program:
        address = (await program.uri()).removeprefix("esdb://").partition("?")[0]

        def ask(path: str) -> int:
            connection = http.client.HTTPConnection(address, timeout=10)
            connection.request("GET", path)
            return connection.getresponse().status

        for path, status in (("/health/live", 204), ("/health/live?liveCode=200", 200), ("/info", 400)):
            assert await trio.to_thread.run_sync(ask, path) == status
        program.send(signal.SIGTERM)
        assert await program.ended() == (0, "", "")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--advertise", "db.example"), ("db.example", None)),
        (("--advertise", "db.example:99"), ("db.example", 99)),
        (("--advertise", "[::1]:99"), ("::1", 99)),
        (("--host", "localhost"), ("localhost", None)),
        (("--host", "0.0.0.0"), ("127.0.0.1", None)),
    ],
)
async def test_what_a_server_tells_of_its_address(options: tuple[str, ...], told: tuple[str, int | None]) -> None:
    async with Program.running(serving("--port", "0", *options)) as program:
        port = int((await program.uri()).rpartition(":")[2].partition("?")[0])

        def gossip() -> tuple[str, int]:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                raw = channel.unary_unary("/event_store.client.gossip.Gossip/Read")(b"")
            (member,) = ClusterInfo.parse(raw).members
            assert member.http_end_point is not None
            return member.http_end_point.address, member.http_end_point.port

        assert await trio.to_thread.run_sync(gossip) == (told[0], told[1] or port)
        program.send(signal.SIGTERM)
        await program.wait()


async def test_silent_connections_do_not_lock_others_out() -> None:
    async with Program.running(serving("--port", "0", "--max-connections", "20")) as program:
        uri = await program.uri()
        host, _, port = uri.removeprefix("esdb://").partition("?")[0].rpartition(":")
        async with ESDBClient(uri) as old, old.subscribe_all_events(include_caught_up=True) as events:
            while not isinstance(await events.receive(), CaughtUp):
                pass
            with ExitStack() as silent:
                for _ in range(60):
                    silent.enter_context(socket.create_connection((host, int(port))))
                async with ESDBClient(uri) as new:
                    assert await new.append_event("s", None, event()) >= 0
                assert (await events.receive()).stream_name == "s", "an open call keeps its connection"
        program.send(signal.SIGTERM)
        assert await program.ended() == (0, "", "")


@pytest.mark.parametrize("start", [COMMAND, PLAIN], ids=["rich", "plain"])
async def test_a_demo_whose_output_nobody_reads_any_more(start: tuple[str, ...]) -> None:
    command = " ".join(map(shlex.quote, (*start, "demo", "--orders", "20")))
    program = ("bash", "-c", f"set -o pipefail; {command} | true")
    async with Program.running(program) as shell:
        status, printed, complaint = await shell.ended()
    assert (status, printed, complaint) == (141, "", "")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--advertise", "a b"),
        ("--advertise", "::1"),
        ("--advertise", "a:0"),
        ("--advertise", "a:b"),
        ("--grace", "-1"),
        ("--grace", "inf"),
        ("--idle-timeout", "0"),
        ("--max-connections", "0"),
    ],
)
async def test_options_of_a_server_that_make_no_sense(option: str, value: str) -> None:
    async with Program.running(serving(f"{option}={value}")) as program:
        status, printed, complaint = await program.ended()
    assert (status, printed) == (2, "")
    assert f"argument {option}: " in complaint
