"""Handling the events of a group with workers: what becomes of each event, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_esdb import (
    ESDBClient,
    GroupChannel,
    GroupEvent,
    InvalidArgumentError,
    InvalidTypeError,
    NewEvent,
    Retry,
    StreamState,
    SubscriptionInfo,
    SubscriptionNotFoundError,
)
from trio_esdb.embedded import EmbeddedNode


class Group:
    """A group of the stream ``s`` on a node, and what its handlers did."""

    def __init__(self, client: ESDBClient) -> None:
        self.client = client
        self.handled: list[int] = []
        self.running = self.most_running = 0

    async def append(self, *numbers: int, stream: str = "s") -> None:
        await self.client.append_events(stream, StreamState.ANY, [NewEvent("A", b"%d" % n) for n in numbers])

    async def info(self) -> SubscriptionInfo:
        return await self.client.get_subscription_info("g", "s")

    def handler(
        self, *, until: int, events: GroupChannel, seconds: float = 0, fails: Callable[[GroupEvent], bool] | None = None
    ) -> Callable[[GroupEvent], Any]:
        """A handler that stops the consumer when so many events were handled."""

        async def handle(event: GroupEvent) -> None:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await trio.sleep(seconds)
            finally:
                self.running -= 1
            if fails is not None and fails(event):
                raise ValueError("not this one")
            self.handled.append(int(event.data))
            if len(self.handled) == until:
                events.stop()

        return handle


@pytest.fixture
async def group() -> AsyncIterator[Group]:
    async with EmbeddedNode() as node, ESDBClient("esdb://node?tls=false", connect=node.connect) as client:
        group = Group(client)
        await group.append(*range(6))
        await client.create_stream_subscription("g", "s", max_retry_count=3, max_checkpoint_count=10)
        yield group


async def test_handlers_that_return_have_their_events_acked(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        await events.process(group.handler(until=6, events=events))
    assert group.handled == list(range(6))
    info = await group.info()
    assert (info.outstanding_messages_count, info.retry_buffer_count) == (0, 0)


async def test_no_more_handlers_than_workers(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        start = trio.current_time()
        await events.process(group.handler(until=6, events=events, seconds=1), workers=3)
        assert trio.current_time() - start == pytest.approx(2)
    assert group.most_running == 3


async def test_events_with_the_same_key_are_handled_one_after_the_other(group: Group) -> None:
    order: dict[bool, list[int]] = {True: [], False: []}
    together: set[bool] = set()

    def even(event: GroupEvent) -> bool:
        return int(event.data) % 2 == 0

    async with group.client.read_stream_subscription("g", "s") as events:

        async def handle(event: GroupEvent) -> None:
            key = even(event)
            assert key not in together
            together.add(key)
            await trio.sleep(3 - int(event.data) / 2)  # later ones are faster
            together.discard(key)
            order[key].append(int(event.data))
            if sum(map(len, order.values())) == 6:
                events.stop()

        await events.process(handle, workers=6, key=even)
    assert order == {True: [0, 2, 4], False: [1, 3, 5]}


async def test_stop_leaves_events_that_wait_for_their_key(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        await events.process(group.handler(until=2, events=events), workers=2, key=lambda event: "same")
    assert group.handled == [0, 1]
    async with group.client.read_stream_subscription("g", "s") as events:
        again = await events.receive()
        assert (again.data, again.retry_count) == (b"2", 1)


async def test_handlers_that_raise_have_theirs_retried_until_the_server_parks_them(group: Group) -> None:
    tries: list[int] = []

    def fails(event: GroupEvent) -> bool:
        if event.data == b"3":
            tries.append(event.retry_count)
        return event.data == b"3"

    async with group.client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:
        nursery.start_soon(events.process, group.handler(until=100, events=events, fails=fails, seconds=1))
        await trio.sleep(30)
        events.stop()
    assert tries == [0, 1, 2, 3]
    assert (await group.info()).parked_message_count == 1


@pytest.mark.parametrize(
    ("on_error", "parked"),
    [("park", 2), ("skip", 0), (lambda event, exc: "park" if event.data == b"3" else "skip", 1)],
)
async def test_what_is_done_with_the_event_of_a_handler_that_raised(group: Group, on_error: Any, parked: int) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        handler = group.handler(until=4, events=events, fails=lambda event: event.data in (b"2", b"3"))
        await events.process(handler, on_error=on_error)
    info = await group.info()
    assert (info.parked_message_count, info.outstanding_messages_count) == (parked, 0)
    events_parked = await group.client.get_stream_events("$persistentsubscription-s::g-parked") if parked else []
    assert all(b"ValueError: not this one" in event.metadata for event in events_parked)


async def test_retries_with_a_delay(group: Group) -> None:
    times: list[float] = []

    def fails(event: GroupEvent) -> bool:
        if event.data == b"0":
            times.append(trio.current_time())
        return event.data == b"0"

    async with group.client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:
        handler = group.handler(until=100, events=events, fails=fails)
        nursery.start_soon(lambda: events.process(handler, workers=2, on_error=Retry(delay=5, times=2)))
        await trio.sleep(60)
        events.stop()
    assert [after - times[0] for after in times] == pytest.approx([0, 5, 10])
    assert (await group.info()).parked_message_count == 1


async def test_a_retry_that_skips_in_the_end(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        handler = group.handler(until=5, events=events, fails=lambda event: event.data == b"0")
        await events.process(handler, on_error=Retry(times=0, then="skip"))
    assert (await group.info()).parked_message_count == 0


async def test_an_error_that_stops(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        handler = group.handler(until=6, events=events, fails=lambda event: event.data == b"2")
        with pytest.raises(ValueError, match="not this one"):
            await events.process(handler, on_error="stop")
    assert group.handled == [0, 1]
    async with group.client.read_stream_subscription("g", "s") as events:
        first = await events.receive()
        assert first.data == b"2"


async def test_an_on_error_that_raises_or_decides_nothing(group: Group) -> None:
    def broken(event: GroupEvent, exc: Exception) -> Any:
        raise KeyError("broken")

    for on_error, kind in ((broken, KeyError), (lambda event, exc: "drop", InvalidArgumentError)):
        async with group.client.read_stream_subscription("g", "s") as events:
            with pytest.raises(kind):
                await events.process(group.handler(until=6, events=events, fails=lambda event: True), on_error=on_error)


async def test_an_event_that_kills_its_consumer_is_parked_in_the_end(group: Group) -> None:
    """A server counts how often, and never parks for that."""
    lives = 0
    while not (await group.info()).parked_message_count:
        lives += 1
        with trio.move_on_after(1):
            async with group.client.read_stream_subscription("g", "s") as events:

                async def die(event: GroupEvent) -> None:
                    await trio.sleep_forever()

                await events.process(die, park_after=5)
    assert lives == 7  # it is parked when it comes for the seventh time
    (parked, *_) = await group.client.get_stream_events("$persistentsubscription-s::g-parked")
    assert b"delivered 7 times" in parked.metadata


async def test_a_cancelled_handler_has_its_event_neither_acked_nor_refused(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        with trio.move_on_after(2):
            await events.process(group.handler(until=6, events=events, seconds=1.5))
    assert group.handled == [0]
    async with group.client.read_stream_subscription("g", "s") as events:
        again = await events.receive()
        assert (again.data, again.retry_count) == (b"1", 1)


async def test_handlers_finish_after_stop_within_the_grace(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:
        start = trio.current_time()

        async def handle(event: GroupEvent) -> None:
            await trio.sleep(2 if event.data == b"0" else 20)
            group.handled.append(int(event.data))

        async def process() -> None:
            await events.process(handle, workers=2, grace=5)

        nursery.start_soon(process)
        await trio.sleep(1)
        events.stop()
    assert trio.current_time() - start == pytest.approx(6)
    assert group.handled == [0]
    async with group.client.read_stream_subscription("g", "s") as events:
        assert (await events.receive()).data == b"1"


async def test_a_group_that_is_deleted_ends_the_processing_after_its_handlers(group: Group) -> None:
    async with group.client.read_stream_subscription("g", "s") as events, trio.open_nursery() as nursery:

        async def process() -> None:
            with pytest.raises(SubscriptionNotFoundError):
                await events.process(group.handler(until=100, events=events, seconds=5), workers=10)

        nursery.start_soon(process)
        await trio.sleep(1)
        await group.client.delete_subscription("g", "s")
    assert sorted(group.handled) == list(range(6))


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"handler": None}, InvalidTypeError, "handler must be an async function of an event, not NoneType"),
    ({"workers": 0}, InvalidArgumentError, "workers must be at least 1, not 0"),
    ({"workers": 1.5}, InvalidTypeError, "workers must be an int, not float"),
    ({"key": "stream_name"}, InvalidTypeError, "key must be a function of an event or None, not str"),
    (
        {"on_error": "drop"},
        InvalidArgumentError,
        "on_error must be one of retry, park, skip, stop, a Retry or a function",
    ),
    ({"park_after": -1}, InvalidArgumentError, "park_after must be a number from 0 or None, not -1"),
    ({"grace": -1}, InvalidArgumentError, "grace must be a number of seconds or None, not -1"),
]


@pytest.mark.parametrize(("arguments", "kind", "text"), WRONG)
async def test_wrong_arguments(group: Group, arguments: dict[str, Any], kind: type[Exception], text: str) -> None:
    async with group.client.read_stream_subscription("g", "s") as events:
        with pytest.raises(kind, match=text):
            await events.process(**{"handler": print, **arguments})
