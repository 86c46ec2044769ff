"""Subscriptions that are interrupted and go on: from where, when, and what their users see of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.scripted import (
    UNKNOWN,
    Script,
    Scripted,
    Seen,
    caught_up,
    checkpoint,
    confirmed,
    event,
    fails,
    goes_on,
    last_position,
    linked,
    not_found,
    recorded,
    says,
    silence,
)
from trio_esdb import (
    AccessDeniedError,
    CaughtUp,
    Checkpoint,
    ConsumerTooSlowError,
    DeadlineExceededError,
    ESDBClient,
    InvalidPositionError,
    PositionLostError,
    RecordedEvent,
    Resumed,
    StreamDeletedError,
    UnavailableError,
)
from trio_esdb._wire import Outcome, Status
from trio_esdb_proto.event_store.client import streams as pb

TOMBSTONE = 2**63 - 1
LOST = fails(Status.UNAVAILABLE, "gone")
TOO_SLOW = "Operation timed out: Consumer too slow to handle event while live. Client resubscription required."
NO_POSITION = fails(Status.UNKNOWN, "Unexpected ReadAllResult: InvalidPosition")


def lost(*messages: bytes) -> Script:
    """A script that gives these messages, and then the call is lost."""
    return fails(Status.UNAVAILABLE, "gone", after=messages)


class Node:
    """What a server does with one subscription after the other; the last script is that of all further ones.

    ``before`` is what it does with the short reads that the client makes for itself.
    """

    def __init__(self, server: Scripted, *scripts: Script, before: Script | None = None) -> None:
        self.subscribed: list[Seen] = []
        self.looked: list[Seen] = []
        self.times: list[float] = []
        self.before = before or says(event(0), last_position(10**6))
        self._scripts = scripts
        server.read = self._read

    async def _read(self, seen: Seen) -> Any:
        if seen.read.subscription is None:
            self.looked.append(seen)
            return await self.before(seen)
        self.subscribed.append(seen)
        self.times.append(trio.current_time())
        return await self._scripts[min(len(self.subscribed), len(self._scripts)) - 1](seen)

    @property
    def starts(self) -> list[Any]:
        """Where the subscriptions began: a stream position, commit and prepare position, or ``"start"``, ``"end"``."""
        return [start_of(seen.read) for seen in self.subscribed]


def start_of(options: pb.ReadReqOptions) -> Any:
    if options.stream is not None:
        if options.stream.revision is not None:
            return options.stream.revision
        return "start" if options.stream.start is not None else "end"
    assert options.all is not None
    if options.all.position is not None:
        return options.all.position.commit_position, options.all.position.prepare_position
    return "start" if options.all.start is not None else "end"


async def numbers(events: Any, count: int) -> list[int]:
    return [(await events.receive()).stream_position for _ in range(count)]


async def nothing_more(events: Any) -> None:
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.WouldBlock):
        events.receive_nowait()


# -- from where -------------------------------------------------------------------------------------------------------


async def test_all_events_go_on_after_the_last_one(client: ESDBClient, server: Scripted) -> None:
    node = Node(
        server, lost(confirmed("a"), event(0), event(1, prepare=77)), goes_on(confirmed("b"), event(2), caught_up())
    )
    async with client.subscribe_all_events() as events:
        assert events.subscription_id == "a"
        assert await numbers(events, 3) == [0, 1, 2]
        assert events.subscription_id == "b"
        assert events.resumptions == 1
        await nothing_more(events)
    assert node.starts == ["start", (150, 77)]


async def test_a_stream_goes_on_after_the_last_event(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, lost(confirmed(), event(5)), lost(confirmed(), event(6)), goes_on(confirmed(), event(7)))
    async with client.subscribe_stream_events("s", 4) as events:
        assert await numbers(events, 3) == [5, 6, 7]
        assert events.resumptions == 2
    assert node.starts == [4, 5, 6]


async def test_links_go_on_after_the_link(client: ESDBClient, server: Scripted) -> None:
    """Also after one that leads nowhere."""
    resolved = linked(recorded(8, "links", type="$>"), recorded(99, "s"))
    dangling = linked(recorded(9, "links", type="$>"), None)
    node = Node(server, lost(confirmed(), resolved), lost(confirmed(), dangling), goes_on(confirmed()))
    async with client.subscribe_stream_events("links", resolve_links=True) as events:
        assert [(await events.receive()).original.stream_position for _ in range(2)] == [8, 9]
        with trio.move_on_after(1):
            await events.receive()
    assert node.starts == ["start", 8, 9]
    assert all(seen.read.resolve_links for seen in node.subscribed)
    everything = Node(server, lost(confirmed(), resolved), goes_on(confirmed()))
    async with client.subscribe_all_events(resolve_links=True) as events:
        await events.receive()
        with trio.move_on_after(1):
            await events.receive()
    assert everything.starts == ["start", (850, 850)]


@pytest.mark.parametrize("asked", [True, False])
async def test_checkpoints_count_whether_or_not_they_are_asked_for(
    client: ESDBClient, server: Scripted, asked: bool
) -> None:
    node = Node(
        server,
        lost(confirmed(), event(0), checkpoint(700, 0)),
        lost(confirmed(), checkpoint(700, 0), checkpoint(800, 0)),
        goes_on(confirmed(), event(9)),
    )
    got = []
    async with client.subscribe_all_events(filter_include=["Rare"], include_checkpoints=asked) as events:
        while not got or got[-1] != 9:
            message = await events.receive()
            got.append(message if isinstance(message, Checkpoint) else message.stream_position)
    assert got == ([0, Checkpoint(700, 0), Checkpoint(800, 0), 9] if asked else [0, 9])
    assert node.starts == ["start", (700, 0), (800, 0)]
    assert node.subscribed[0].read.filter == node.subscribed[-1].read.filter


async def test_checkpoints_that_are_no_places_do_not_count(client: ESDBClient, server: Scripted) -> None:
    """24.2 to 24.10 send one if they have looked at nothing, later versions may say 0."""
    node = Node(
        server,
        lost(confirmed(), event(3), checkpoint(UNKNOWN)),
        lost(confirmed(), checkpoint(0, 0), caught_up()),
        goes_on(confirmed(), event(4)),
    )
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 2) == [3, 4]
    assert node.starts == ["start", (350, 350), (350, 350)]
    at_first = Node(server, lost(confirmed(), checkpoint(UNKNOWN)), goes_on(confirmed(), event(0)))
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 1) == [0]
    assert at_first.starts == ["start", "start"]


async def test_what_comes_again_is_dropped(client: ESDBClient, server: Scripted) -> None:
    """A server that gives the event at the position again, and a follower that is behind."""
    node = Node(
        server,
        lost(confirmed(), event(0), event(1)),
        goes_on(confirmed(), event(0), checkpoint(60), event(1), caught_up(), checkpoint(150), event(2)),
    )
    async with client.subscribe_all_events(include_checkpoints=True, include_caught_up=True) as messages:
        assert await numbers(messages, 2) == [0, 1]
        assert await messages.receive() == CaughtUp()
        assert (await messages.receive()).stream_position == 2
    assert node.starts[-1] == (150, 150)
    Node(server, lost(confirmed(), event(5)), goes_on(confirmed(), event(4), event(5), event(6)))
    async with client.subscribe_stream_events("s") as events:
        assert await numbers(events, 2) == [5, 6]


async def test_what_was_not_received_before_is_asked_for_as_before(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, lost(confirmed()), lost(confirmed(), caught_up()), goes_on(confirmed(), event(0)))
    async with client.subscribe_stream_events("s") as events:
        assert await numbers(events, 1) == [0]
    assert node.starts == ["start"] * 3
    assert node.looked == []


async def test_a_position_of_the_users_own_need_not_be_there(client: ESDBClient, server: Scripted) -> None:
    """Beyond the end there are no events until the log has grown, before and after an interruption."""
    node = Node(server, lost(confirmed()), goes_on(confirmed()), before=NO_POSITION)
    async with client.subscribe_all_events(10**9) as events:
        with trio.move_on_after(1):
            await events.receive()
        assert events.resumptions == 1
    assert node.starts == [(10**9, 10**9)] * 2
    assert node.looked == []


async def test_the_end_is_looked_up_once(client: ESDBClient, server: Scripted) -> None:
    """So nothing is lost that was written while a subscription was interrupted that had received nothing."""
    node = Node(
        server,
        lost(confirmed()),
        goes_on(confirmed(), event(8)),
        before=says(event(7, prepare=33)),
    )
    async with client.subscribe_all_events(from_end=True) as events:
        assert await numbers(events, 1) == [8]
    assert node.starts == [(750, 33)] * 2
    look = node.looked[0].read
    assert look.read_direction is pb.ReadReqOptionsReadDirection.Backwards
    assert (look.count, look.filter) == (1, None)
    node = Node(server, lost(confirmed()), goes_on(confirmed(), event(8)), before=says(event(7, "s"), last_position(7)))
    async with client.subscribe_stream_events("s", from_end=True) as events:
        assert await numbers(events, 1) == [8]
    assert node.starts == [7, 7]


async def test_the_end_of_what_is_not_there_is_the_start(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, lost(confirmed()), goes_on(confirmed(), event(0)), before=says(not_found()))
    async with client.subscribe_stream_events("s", from_end=True) as events:
        assert await numbers(events, 1) == [0]
    assert node.starts == ["start", "start"]
    node = Node(server, goes_on(confirmed(), event(0)), before=says())
    async with client.subscribe_all_events(from_end=True) as events:
        assert await numbers(events, 1) == [0]
    assert node.starts == ["start"]


async def test_the_end_of_a_stream_whose_last_event_is_hidden(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, goes_on(confirmed()), before=says(last_position(41)))
    async with client.subscribe_stream_events("s", from_end=True):
        assert node.starts == [41]


# -- what ends it -----------------------------------------------------------------------------------------------------


async def test_a_tombstone_is_final(client: ESDBClient, server: Scripted) -> None:
    """However the call ends after it; and when the stream is tombstoned while the subscription is interrupted."""
    tombstone = event(TOMBSTONE, type="$streamDeleted", position=900)
    gone = fails(Status.FAILED_PRECONDITION, "is deleted", exception="stream-deleted", stream_name="s")
    for script in (
        lost(confirmed(), event(0), tombstone),
        fails(Status.FAILED_PRECONDITION, "d", after=(confirmed(), event(0), tombstone), exception="stream-deleted"),
        says(confirmed(), event(0), tombstone),
    ):
        node = Node(server, script)
        async with client.subscribe_stream_events("s") as events:
            assert await numbers(events, 2) == [0, TOMBSTONE]
            for _ in range(2):
                with pytest.raises(StreamDeletedError) as caught:
                    await events.receive()
        assert len(node.subscribed) == 1
    for later, before in ((gone, None), (goes_on(confirmed()), gone)):
        node = Node(server, lost(confirmed(), event(0)), later, before=before)
        async with client.subscribe_stream_events("s") as events:
            assert await numbers(events, 1) == [0]
            with pytest.raises(StreamDeletedError) as caught:
                await events.receive()
        assert caught.value.stream_name == "s"


async def test_a_position_that_is_lost(client: ESDBClient, server: Scripted) -> None:
    """The log is shorter, or there is no record at the position."""
    for refusal in (
        NO_POSITION,
        fails(Status.UNKNOWN, "Unexpected ReadAllResult: Error"),
        fails(Status.INVALID_ARGUMENT, "Trying to read from an invalid position."),
    ):
        node = Node(server, lost(confirmed(), event(3, prepare=300)), before=refusal)
        async with client.subscribe_all_events() as events:
            await events.receive()
            for _ in range(2):
                with pytest.raises(PositionLostError, match="position 350, 300 any more") as caught:
                    await events.receive()
        assert caught.value.position == Checkpoint(350, 300)
        assert isinstance(caught.value.__cause__, InvalidPositionError)
        look = node.looked[0].read
        assert start_of(look) == (350, 300)
        assert look.read_direction is pb.ReadReqOptionsReadDirection.Backwards
        assert len(node.subscribed) == 1


async def test_a_stream_that_is_shorter(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, lost(confirmed(), event(3)), before=says(event(2), last_position(2)))
    async with client.subscribe_stream_events("s") as events:
        await events.receive()
        with pytest.raises(PositionLostError, match="position 3 any more") as caught:
            await events.receive()
    assert caught.value.position == 3
    node.before = says(event(2))  # a server that does not tell the last position
    node = Node(server, lost(confirmed(), event(3)), before=node.before)
    async with client.subscribe_stream_events("s") as events:
        await events.receive()
        with pytest.raises(PositionLostError):
            await events.receive()


@pytest.mark.parametrize("metadata", ["there", "not there", "not allowed"])
async def test_a_stream_that_is_not_there(client: ESDBClient, server: Scripted, metadata: str) -> None:
    """One that was deleted has metadata and goes on; one of another database has none."""

    async def before(seen: Seen) -> None:
        assert seen.read.stream is not None
        assert seen.read.stream.stream_identifier is not None
        if seen.read.stream.stream_identifier.stream_name == b"s" or metadata == "not there":
            await seen.send(not_found())
        elif metadata == "not allowed":
            await fails(Status.PERMISSION_DENIED, "no", exception="access-denied")(seen)
        else:
            await seen.send(event(0, "$$s", type="$metadata"))

    Node(server, lost(confirmed(), event(3)), goes_on(confirmed(), event(4)), before=before)
    async with client.subscribe_stream_events("s") as events:
        await events.receive()
        if metadata == "not there":
            with pytest.raises(PositionLostError):
                await events.receive()
        else:
            assert await numbers(events, 1) == [4]


async def test_what_is_final_is_raised(client: ESDBClient, server: Scripted) -> None:
    denied = fails(Status.PERMISSION_DENIED, "no", exception="access-denied")
    for scripts, before in (
        ((fails(Status.PERMISSION_DENIED, "no", (confirmed(), event(0)), exception="access-denied"),), None),
        ((lost(confirmed(), event(0)), denied), None),
        ((lost(confirmed(), event(0)),), denied),
    ):
        Node(server, *scripts, before=before)
        async with client.subscribe_all_events() as events:
            await events.receive()
            for _ in range(2):
                with pytest.raises(AccessDeniedError):
                    await events.receive()
            with pytest.raises(AccessDeniedError):
                events.receive_nowait()


async def test_a_server_that_ends_it_again_and_again(client: ESDBClient, server: Scripted) -> None:
    """With events in between it goes on; five times without one is enough."""
    node = Node(server, *(says(confirmed(), event(n)) for n in range(10)), says(confirmed()))
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 10) == list(range(10))
        with pytest.raises(UnavailableError, match="the server ended the subscription"):
            await events.receive()
    assert 12 <= len(node.subscribed) <= 15


@pytest.mark.parametrize("arguments", [{"resume": False}, {"retry": False}])
async def test_without_resumption(client: ESDBClient, server: Scripted, arguments: dict[str, Any]) -> None:
    node = Node(server, lost(confirmed(), event(0)))
    async with client.subscribe_all_events(**arguments) as events:
        await events.receive()
        for _ in range(2):
            with pytest.raises(UnavailableError, match="gone"):
                await events.receive()
    async with client.subscribe_all_events(from_end=True, resume=False):
        pass
    assert node.starts == ["start", "end"]
    assert node.looked == []


# -- when -------------------------------------------------------------------------------------------------------------


async def test_a_consumer_that_was_too_slow(client: ESDBClient, server: Scripted) -> None:
    """There is no wait if there was progress."""
    node = Node(
        server,
        *(fails(Status.ABORTED, TOO_SLOW, after=(confirmed(), event(n))) for n in range(4)),
        goes_on(confirmed(), event(4)),
    )
    async with client.subscribe_all_events(include_resumed=True) as messages:
        got = [await messages.receive() for _ in range(9)]
    assert [m.stream_position for m in got[::2] if isinstance(m, RecordedEvent)] == [0, 1, 2, 3, 4]
    for number, message in enumerate(got[1::2]):
        assert isinstance(message, Resumed)
        assert message.position == Checkpoint(100 * number + 50, 100 * number + 50)
        assert isinstance(message.cause, ConsumerTooSlowError)
    assert max(node.times) == min(node.times)


async def test_an_outage_may_last(client: ESDBClient, server: Scripted) -> None:
    """Once begun, a subscription waits as long as it takes, and longer each time, up to a limit."""
    node = Node(server, lost(confirmed(), event(0)), *[LOST] * 60, goes_on(confirmed(), event(1)))
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 2) == [0, 1]
        assert events.resumptions == 1
    waits = [b - a for a, b in zip(node.times, node.times[1:], strict=False)]
    assert waits[0] == 0
    assert 1.5 < max(waits) < 2.5
    assert sum(waits) > 60


async def test_a_confirmation_has_five_seconds(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, lost(confirmed(), event(0)), silence, silence, goes_on(confirmed(), event(1)))
    began = trio.current_time()
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 2) == [0, 1]
    assert 10 <= trio.current_time() - began < 11
    assert all(seen.over.is_set() for seen in node.subscribed[1:3])


async def test_entering_has_the_patience_of_a_call(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, LOST)
    began = trio.current_time()
    with pytest.raises(UnavailableError, match="gone"):
        async with client.subscribe_all_events():
            pytest.fail("it was entered")
    assert 5 < trio.current_time() - began < 11
    assert len(node.subscribed) > 3
    Node(server, LOST, goes_on(confirmed(), event(0)))
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 1) == [0]
        assert events.resumptions == 0


async def test_one_receiver_goes_on_and_all_have_events(client: ESDBClient, server: Scripted) -> None:
    """If it is cancelled meanwhile, another one takes over."""
    node = Node(server, lost(confirmed()), silence, goes_on(confirmed(), *(event(n) for n in range(3))))
    got: list[int] = []

    async def work(channel: Any, patience: float) -> None:
        with trio.move_on_after(patience):
            got.append((await channel.receive()).stream_position)

    async with client.subscribe_all_events() as events, trio.open_nursery() as nursery:
        for patience in (1, 2, 100, 100, 100):
            nursery.start_soon(work, events.clone(), patience)
    assert sorted(got) == [0, 1, 2]
    assert len(node.subscribed) == 3


async def test_whoever_has_little_patience_gets_there_too(client: ESDBClient, server: Scripted) -> None:
    """The wait before an attempt and the attempt itself go on where they were, whoever waits for them."""

    async def slow(seen: Seen) -> None:
        await trio.sleep(3)
        await seen.give(confirmed(), event(1))

    node = Node(server, lost(confirmed(), event(0)), *[LOST] * 10, slow)
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 1) == [0]
        message = None
        while message is None:
            with trio.move_on_after(0.07):
                message = await events.receive()
    assert message.stream_position == 1
    assert len(node.subscribed) == 12


async def test_what_does_not_wait_does_not_go_on(client: ESDBClient, server: Scripted) -> None:
    node = Node(server, lost(confirmed(), event(0)), goes_on(confirmed(), event(1)))
    async with client.subscribe_all_events() as events:
        assert await numbers(events, 1) == [0]
        for _ in range(3):
            await nothing_more(events)
        assert len(node.subscribed) == 1
        assert await numbers(events, 1) == [1]


# -- limits and ends during an outage ---------------------------------------------------------------------------------

USES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "receive": lambda events: events.receive(),
    "anext": lambda events: anext(events),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("trouble", [LOST, silence], ids=["lost", "silent"])
async def test_the_timeout_holds(client: ESDBClient, server: Scripted, use: str, trouble: Script) -> None:
    Node(server, lost(confirmed(), event(0)), trouble)
    began = trio.current_time()
    async with client.subscribe_all_events(timeout=8) as events:
        await events.receive()
        for _ in range(2):
            with pytest.raises(DeadlineExceededError, match="the timeout passed"):
                await USES[use](events)
        with pytest.raises(DeadlineExceededError):
            events.receive_nowait()
    assert trio.current_time() - began == pytest.approx(8)
    await trio.testing.wait_all_tasks_blocked()
    assert server.open_calls == 0


@pytest.mark.parametrize("trouble", [LOST, silence], ids=["lost", "silent"])
async def test_the_timeout_holds_for_whoever_does_not_wait(
    client: ESDBClient, server: Scripted, trouble: Script
) -> None:
    Node(server, lost(confirmed(), event(0)), trouble)
    async with client.subscribe_all_events(timeout=8) as events:
        await events.receive()
        await trio.sleep(7.9)
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        await trio.sleep(0.2)
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                events.receive_nowait()


async def test_a_channel_that_is_closed_as_its_task_is_told(client: ESDBClient, server: Scripted) -> None:
    """Then another task goes on."""
    node = Node(server, goes_on(confirmed()), goes_on(confirmed(), event(0)))
    got: list[int] = []
    clones = []

    async def work(channel: Any) -> None:
        with contextlib.suppress(trio.ClosedResourceError):
            got.append((await channel.receive()).stream_position)

    async with client.subscribe_all_events() as events, trio.open_nursery() as nursery:
        for _ in range(2):
            clones.append(events.clone())
            nursery.start_soon(work, clones[-1])
            await trio.testing.wait_all_tasks_blocked()
        events._feed.call_ended(Outcome(Status.UNAVAILABLE, "lost", lost=True))
        clones[0].close()  # its task was given the news, and has not run since
        await trio.testing.wait_all_tasks_blocked()
        assert got == [0]
    assert len(node.subscribed) == 2


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("trouble", [LOST, silence], ids=["lost", "silent"])
async def test_the_scope_of_a_receiver_holds(client: ESDBClient, server: Scripted, use: str, trouble: Script) -> None:
    Node(server, lost(confirmed(), event(0)), trouble)
    async with client.subscribe_all_events() as events:
        await events.receive()
        began = trio.current_time()
        with trio.move_on_after(7):
            await USES[use](events)
        assert trio.current_time() - began == pytest.approx(7)
    await trio.testing.wait_all_tasks_blocked()
    assert server.open_calls == 0


@pytest.mark.parametrize("trouble", [LOST, silence], ids=["lost", "silent"])
@pytest.mark.parametrize("end", ["channel", "block", "client"])
async def test_closing_while_it_is_interrupted(client: ESDBClient, server: Scripted, trouble: Script, end: str) -> None:
    """Whoever waits learns of it at once."""
    Node(server, lost(confirmed(), event(0)), trouble)
    context = client.subscribe_all_events()
    events = await context.__aenter__()
    await events.receive()
    failures: list[type[BaseException]] = []

    async def wait(channel: Any) -> None:
        try:
            await channel.receive()
        except trio.ClosedResourceError as exc:
            failures.append(type(exc))

    async with trio.open_nursery() as nursery:
        clones = [events.clone() for _ in range(2)]
        for clone in clones:
            nursery.start_soon(wait, clone)
        await trio.sleep(3.123)
        began = trio.current_time()
        if end == "channel":
            for channel in (events, *clones):
                channel.close()
        elif end == "block":
            await context.__aexit__(None, None, None)
        else:
            await client.aclose()
    assert trio.current_time() - began < 0.01
    assert len(failures) == 2
    await context.__aexit__(None, None, None)
    await trio.testing.wait_all_tasks_blocked()
    assert server.open_calls == 0


# -- a node that shuts down -------------------------------------------------------------------------------------------


async def test_it_moves_before_the_connection_dies(client: ESDBClient, server: Scripted) -> None:
    """The new call is there before the old one is reset, and what both bring comes once."""
    order: list[str] = []

    async def first(seen: Seen) -> None:
        try:
            await seen.give(confirmed(), event(0))
        finally:
            order.append("first is over")

    async def second(seen: Seen) -> None:
        order.append("second has begun")
        await seen.give(confirmed(), event(1))

    node = Node(server, first, second)
    got: list[Any] = []

    async def consume(events: Any) -> None:
        while len(got) < 3:
            got.append(await events.receive())

    async with client.subscribe_all_events(include_resumed=True) as events, trio.open_nursery() as nursery:
        nursery.start_soon(consume, events)
        await trio.testing.wait_all_tasks_blocked()
        server.links[0].drain()
    assert [m.stream_position for m in got if isinstance(m, RecordedEvent)] == [0, 1]
    assert isinstance(got[1], Resumed)
    assert isinstance(got[1].cause, UnavailableError)
    await trio.testing.wait_all_tasks_blocked()
    assert order[:2] == ["second has begun", "first is over"]
    assert len(server.links) == 2
    assert node.starts == ["start", (50, 50)]


async def test_where_there_is_nothing_to_move_to_the_old_call_goes_on(client: ESDBClient, server: Scripted) -> None:
    """Up to its end; then it is resumed as after any loss."""
    sent = trio.Event()

    async def first(seen: Seen) -> None:
        await seen.send(confirmed(), event(0))
        await sent.wait()
        await seen.give(event(1))

    Node(server, first, LOST, goes_on(confirmed(), event(2)))
    got: list[int] = []

    async def consume(events: Any) -> None:
        got.extend(await numbers(events, 3))

    async with client.subscribe_all_events() as events, trio.open_nursery() as nursery:
        nursery.start_soon(consume, events)
        await trio.testing.wait_all_tasks_blocked()
        server.links[0].drain()
        await trio.testing.wait_all_tasks_blocked()
        sent.set()
        await trio.testing.wait_all_tasks_blocked()
        assert got == [0, 1] if got else True
        await server.streams[0].aclose()
    assert got == [0, 1, 2]


async def test_a_read_finishes_where_it_is(client: ESDBClient, server: Scripted) -> None:
    async def run(seen: Seen) -> None:
        await seen.send(event(0))
        seen.link.drain()
        await trio.sleep(1)
        await seen.send(event(1))

    server.read = run
    assert [e.stream_position for e in await client.get_stream_events("s")] == [0, 1]
    assert len(server.seen) == 1


# -- what can be seen -------------------------------------------------------------------------------------------------


async def test_caught_up_comes_again(client: ESDBClient, server: Scripted) -> None:
    Node(server, lost(confirmed(), event(0), caught_up()), goes_on(confirmed(), caught_up()))
    async with client.subscribe_all_events(include_caught_up=True) as messages:
        assert [type(await messages.receive()) for _ in range(3)] == [RecordedEvent, CaughtUp, CaughtUp]


async def test_messages_about_resumption(client: ESDBClient, server: Scripted) -> None:
    Node(server, lost(confirmed()), lost(confirmed(), event(0)), goes_on(confirmed(), event(1)))
    async with client.subscribe_stream_events("s", include_resumed=True) as messages:
        first, zero, second, one = [await messages.receive() for _ in range(4)]
    assert isinstance(first, Resumed)
    assert isinstance(second, Resumed)
    assert (first.position, second.position) == (None, 0)
    assert isinstance(first.cause, UnavailableError)
    assert isinstance(zero, RecordedEvent)
    assert isinstance(one, RecordedEvent)
