"""`trio-esdb serve` and `trio-esdb demo` as processes: how they begin, what they print, how they end."""

from __future__ import annotations

import re
import signal
import sys

import grpc
import pytest
import trio

from tests.support.processes import COMMAND, Program, loopbacks, serving
from trio_esdb import CaughtUp, ESDBClient, NewEvent, StreamState, UnavailableError

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
    async with Program.running(serving("--port", "0")) as program:
        uri = await program.uri()
        assert re.fullmatch(r"esdb://127\.0\.0\.1:\d+\?Tls=false", uri)
        async with ESDBClient(uri) as client, ESDBClient(uri), ESDBClient(uri) as another:
            await client.append_events("s", None, [NewEvent("Big", b"x" * 50_000) for _ in range(20)])
            async with (
                client.subscribe_stream_events("s", include_caught_up=True) as unread,
                another.subscribe_all_events(from_end=True, include_caught_up=True) as live,
            ):
                assert await live.receive() == CaughtUp()
                program.send(sign)
                with pytest.raises(UnavailableError):
                    await live.receive()
                with pytest.raises(UnavailableError):
                    _ = [each async for each in unread]
            with pytest.raises(UnavailableError):
                await client.append_event("s", StreamState.ANY, event())
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
            async with client.subscribe_stream_events("s", include_caught_up=True) as events:
                assert (await events.receive()).stream_position == 0
                assert await events.receive() == CaughtUp()
                program.send(signal.SIGKILL)
                with pytest.raises(UnavailableError) as lost:
                    await events.receive()
                assert lost.value.address in uri
            await program.wait()
            with pytest.raises(UnavailableError, match="refused"):
                await client.append_event("s", None, event())
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
