"""What TLS may add to the cost of an event and of an append, counted. The figures in brackets are today's."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.guards.test_counts import EVENTS, appended, read_once, reading
from tests.support.canned import CannedServer, SecureCannedServer, packed
from tests.support.counting import counted_calls, counted_steps
from tests.support.tls import HOST, roots
from trio_esdb import ESDBClient, NewEvent, StreamState

NEW = NewEvent(type="Guarded", data=b"x" * 200)


def client_of(server: CannedServer) -> ESDBClient:
    async def connect(host: str, port: int) -> trio.abc.Stream:
        return server

    return ESDBClient(f"esdb://{HOST}", root_certificates=roots(), connect=connect)


async def test_a_handshake_takes_two_sends(autojump_clock: MockClock) -> None:
    server = SecureCannedServer(appended)
    async with client_of(server):
        assert server.sends <= 2 + 2  # and HTTP/2's greeting, and what acknowledges the server's
        assert server.receives <= 2 + 1


async def test_reading_a_thousand_events(autojump_clock: MockClock) -> None:
    """Protects the decryption of whole reads: no turn and no call more for a record."""
    server = SecureCannedServer(reading(packed))
    async with client_of(server) as client:
        await read_once(client)
        before = server.sends, server.receives
        with counted_steps() as steps:
            await read_once(client)
        assert steps.count < 50  # [30], as without TLS
        assert server.sends - before[0] <= 4
        assert server.receives - before[1] <= 10
        with counted_calls() as calls:
            await read_once(client)
    assert calls.total / EVENTS < 3.2, calls.worst(EVENTS)  # [2.7], as without TLS
    decrypting = sum(count for place, count in calls.by_place.items() if "_tls.py" in place)
    assert decrypting <= 8 * 10  # [7 reads]


async def test_an_append_after_another(autojump_clock: MockClock) -> None:
    """Protects the way of a small call: one send with one record, one read, no turn more."""
    server = SecureCannedServer(appended)
    async with client_of(server) as client:
        for _ in range(5):
            await client.append_events("guarded-stream", StreamState.ANY, [NEW])
        before = server.sends, server.receives, server.sent
        with counted_steps() as steps:
            for _ in range(100):
                await client.append_events("guarded-stream", StreamState.ANY, [NEW])
        after = server.sends, server.receives, server.sent
        with counted_calls() as calls:
            for _ in range(100):
                await client.append_events("guarded-stream", StreamState.ANY, [NEW])
    assert steps.count / 100 < 6  # [5], as without TLS
    assert after[0] - before[0] <= 101
    assert after[1] - before[1] <= 101
    assert (after[2] - before[2]) / 100 < 380 + 22  # [377]: a record is 22 bytes longer than what it holds
    added = sum(count for place, count in calls.by_place.items() if "_tls.py" in place)
    assert added / 100 <= 12, calls.worst(100)


async def test_appends_at_once_are_one_record(autojump_clock: MockClock) -> None:
    """Protects the writer's batches: what many tasks queue in one turn is encrypted and sent in one go."""
    server = SecureCannedServer(appended)
    async with client_of(server) as client:
        await wait_all_tasks_blocked()  # the greetings are over, in whatever order trio ran the tasks
        before = server.sends, server.receives, server.sent
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(client.append_events, "guarded-stream", StreamState.ANY, [NEW])
    assert server.requests == 40
    assert server.sends - before[0] <= 4
    assert server.receives - before[1] <= 4
