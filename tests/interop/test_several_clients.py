"""Several foreign clients at once, their lives, and what only one of kurrentdbclient's clients can do."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from kurrentdbclient import AsyncKurrentDBClient, KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    CancelledByClientError,
    GrpcDeadlineExceededError,
    GrpcError,
    MaximumAppendSizeExceededError,
)


def event(number: int = 0, size: int = 0) -> NewEvent:
    return NewEvent(type="Happened", data=b'{"n":%d}' % number + b" " * size)


def test_gossip_says_where_the_node_is(node: str) -> None:
    host, _, port = node.partition(":")
    with KurrentDBClient(f"esdb://{node}?Tls=false") as client:
        (member,) = client.read_gossip()
        assert (member.state, member.address, member.port) == ("NODE_STATE_LEADER", host, int(port))


def test_a_node_that_is_found_by_gossip(node: str) -> None:
    stream = f"found-{uuid.uuid4()}"
    with KurrentDBClient(f"esdb://{node},{node}?Tls=false") as client:
        client.append_to_stream(stream, events=event(), current_version=StreamState.NO_STREAM)

    async def main() -> int:
        async with AsyncKurrentDBClient(f"esdb://{node},{node}?Tls=false") as client:
            return len(await client.get_stream(stream))

    assert asyncio.run(main()) == 1


def test_an_append_that_is_too_large(node: str) -> None:
    stream = f"large-{uuid.uuid4()}"
    with KurrentDBClient(f"esdb://{node}?Tls=false") as client:
        with pytest.raises(GrpcError, match=r"Maximum Append Size of 1048576 Exceeded\."):
            client.append_to_stream(stream, events=event(size=2**20), current_version=StreamState.ANY)
        halves = [event(size=2**19), event(size=2**19)]
        with pytest.raises(MaximumAppendSizeExceededError):
            client.append_to_stream(stream, events=halves, current_version=StreamState.ANY)
        assert client.get_current_version(stream) is StreamState.NO_STREAM


def test_a_deadline_that_passes(node: str) -> None:
    with KurrentDBClient(f"esdb://{node}?Tls=false") as client:
        with pytest.raises(GrpcDeadlineExceededError):
            list(client.subscribe_to_stream(f"quiet-{uuid.uuid4()}", timeout=0.05))
        assert client.read_gossip()


def test_clients_in_several_threads(node: str) -> None:
    stream = f"threads-{uuid.uuid4()}"

    def write(writer: int) -> None:
        with KurrentDBClient(f"esdb://{node}?Tls=false") as client:
            for number in range(20):
                new = event(100 * writer + number)
                client.append_to_stream(stream, events=[new] if number % 2 else new, current_version=StreamState.ANY)

    def read() -> list[bytes]:
        with KurrentDBClient(f"esdb://{node}?Tls=false") as client, client.subscribe_to_stream(stream) as events:
            return [event.data for event in islice(events, 80)]

    with ThreadPoolExecutor(7) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        for done in [threads.submit(write, writer) for writer in range(4)]:
            done.result()
        seen = [reader.result() for reader in readers]
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0]) == sorted(b'{"n":%d}' % (100 * w + n) for w in range(4) for n in range(20))


def test_several_tasks_with_one_asyncio_client(node: str) -> None:
    stream = f"tasks-{uuid.uuid4()}"

    async def main() -> list[bytes]:
        async with AsyncKurrentDBClient(f"esdb://{node}?Tls=false") as client:

            async def write(number: int) -> None:
                await client.append_to_stream(stream, events=[event(number)], current_version=StreamState.ANY)

            async with await client.subscribe_to_stream(stream) as subscription:
                await asyncio.gather(*(write(number) for number in range(50)))
                seen = []
                async for each in subscription:
                    seen.append(each.data)
                    if len(seen) == 50:
                        break
                return seen

    assert sorted(asyncio.run(main())) == sorted(b'{"n":%d}' % number for number in range(50))


def test_a_client_that_is_closed_with_subscriptions_open(node: str) -> None:
    stream = f"closed-{uuid.uuid4()}"
    client = KurrentDBClient(f"esdb://{node}?Tls=false")
    client.append_to_stream(stream, events=event(), current_version=StreamState.ANY)
    subscriptions = [client.subscribe_to_stream(stream) for _ in range(5)] + [client.subscribe_to_all()]
    assert next(subscriptions[0]).stream_position == 0
    client.close()
    with pytest.raises(CancelledByClientError):
        next(subscriptions[0])
    with KurrentDBClient(f"esdb://{node}?Tls=false") as another:
        assert another.get_current_version(stream) == 0


def test_a_connection_holds_a_hundred_subscriptions_and_the_next_waits(node: str) -> None:
    stream = f"many-{uuid.uuid4()}"
    with KurrentDBClient(f"esdb://{node}?Tls=false") as client:
        client.append_to_stream(stream, events=event(), current_version=StreamState.ANY)
        subscriptions = [client.subscribe_to_stream(stream) for _ in range(100)]
        assert {next(subscription).stream_position for subscription in subscriptions} == {0}
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(client.get_stream, stream)
            subscriptions[0].stop()
            assert len(waiting.result()) == 1
        for subscription in subscriptions:
            subscription.stop()
