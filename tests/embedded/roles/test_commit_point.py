"""What enough nodes do not have yet: readers do not see it, checks do, and its writers wait.

The situations and answers are those of a leader whose followers had just died, as recorded.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.support.peer import STREAMS, Call, Peer, connected, expectation, kinds, number_of, read_request, types
from trio_esdb._wire import Status
from trio_esdb.embedded._listening import ListeningNode
from trio_esdb.embedded._services import State

from .members import Cluster, member
from .test_batches import batch, identity

COMMIT_TIMEOUT = (Status.ABORTED, "Operation timed out: Commit phase timeout.")
CANCELED = (Status.ABORTED, "Operation timed out: Request canceled by server")


def appending(
    peer: Peer, stream: str, *events: dict[str, Any], expect: Any = "any", timeout: float | None = None
) -> Call:
    """An append whose answer is not waited for."""
    options = {"stream_identifier": {"stream_name": stream.encode()}, **expectation(expect)}
    call = peer.call(STREAMS + "Append") if timeout is None else peer.call(STREAMS + "Append", timeout=timeout)
    messages = [{"proposed_message": event} for event in events or (peer.event(),)]
    return call.send({"options": options}, *messages).half_close()


def removing(peer: Peer, stream: str, how: str) -> Call:
    options = {"stream_identifier": {"stream_name": stream.encode()}, "any": {}}
    return peer.call(STREAMS + how).send({"options": options}).half_close()


async def failure(call: Call) -> tuple[Status, str]:
    outcome = await call.end()
    assert not outcome.trailers.get("exception")
    return Status(outcome.status), outcome.message


async def settled(node: ListeningNode) -> None:
    await trio.testing.wait_all_tasks_blocked()


def confirm(cluster: Cluster) -> None:
    cluster.replica.confirm(cluster.replica.end)


async def told_in(call: Call) -> tuple[tuple[Status, str], float]:
    start = trio.current_time()
    return await failure(call), trio.current_time() - start


@pytest.mark.parametrize("how", ["append", "new stream", "metadata", "Delete", "Tombstone"])
async def test_without_a_quorum_a_write_times_out_and_comes_true_later(how: str) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        cluster.confirms = False
        if how in ("Delete", "Tombstone"):
            call = removing(peer, "s", how)
        elif how == "metadata":
            call = appending(peer, "$$s", peer.event(b'{"$maxCount":0}', type="$metadata"))
        else:
            call = appending(peer, "s" if how == "append" else "new", expect="any" if how == "append" else "no_stream")
        said, seconds = await told_in(call)
        assert said == COMMIT_TIMEOUT
        assert 2.086 <= seconds <= 2.519
        assert await peer.numbers("s") == [0]
        confirm(cluster)
        messages, outcome = await peer.ask(STREAMS + "Read", read_request("new" if how == "new stream" else "s"))
        seen = {"append": [0, 1], "new stream": [0], "metadata": [0], "Delete": ["stream_not_found"], "Tombstone": []}
        assert kinds(messages) == seen[how]
        assert outcome.ok == (how != "Tombstone")


async def test_batches_time_out_within_their_call() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        cluster.confirms = False
        call = peer.call(STREAMS + "BatchAppend")
        start = trio.current_time()
        call.send(*(batch(peer, number) for number in (1, 2, 3)))
        replies = await call.some(3)
        assert {reply["correlation_id"]["string"][-1] for reply in replies} == {"1", "2", "3"}
        for reply in replies:
            assert reply["error"] == {
                "code": "DEADLINE_EXCEEDED",
                "message": "Timeout",
                "details": {"type_url": "type.googleapis.com/event_store.client.Timeout", "value": {}},
            }
        assert 2.086 <= trio.current_time() - start <= 2.519
        confirm(cluster)
        cluster.confirms = True
        assert await peer.numbers("s") == [0, 1, 2, 3]
        reply = await call.send(batch(peer, 4)).receive()
        assert reply["correlation_id"] == identity(4)
        assert reply["success"]["current_revision"] == 4
        call.cancel()


async def test_checks_see_what_readers_do_not() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event(), peer.event())
        cluster.confirms = False
        calls = [appending(peer, "s") for _ in range(5)]
        await settled(node)
        response = await peer.append("s", peer.event(), expect=0)
        assert response["wrong_expected_version"]["current_revision"] == 6
        assert await peer.numbers("s") == [0, 1]
        confirm(cluster)
        assert await peer.numbers("s") == [0, 1, 2, 3, 4, 5, 6]
        for call in calls:
            assert (await call.end()).ok


@pytest.mark.parametrize("expect", ["any", "no_stream"])
async def test_the_same_ids_again_wait_for_the_first_time_and_get_its_place(expect: str) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        events = peer.event(), peer.event()
        first = appending(peer, "s", *events, expect=expect)
        await settled(node)
        again, other = appending(peer, "s", *events, expect=expect), appending(peer, "t")
        assert await failure(first) == await failure(again) == await failure(other) == COMMIT_TIMEOUT
        third = appending(peer, "s", *events, expect=expect)
        await settled(node)
        cluster.replica.confirm(cluster.replica.end - 1)  # all but the last entry, which is that of another stream
        response = await third.receive()
        assert response["success"]["current_revision"] == 1
        assert (await third.end()).ok
        assert await peer.numbers("s") == [0, 1]
        assert response == await peer.append("s", *events, expect=expect)


async def test_the_caller_gives_up_and_the_write_does_not() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        start = trio.current_time()
        call = appending(peer, "s", timeout=0.7)
        assert (await call.end()).status == Status.DEADLINE_EXCEEDED
        assert trio.current_time() - start == pytest.approx(0.7)
        cancelled = appending(peer, "s")
        await settled(node)
        cancelled.cancel()
        await settled(node)
        confirm(cluster)
        assert await peer.numbers("s") == [0, 1]


async def test_who_waits_is_told_when_the_node_leads_no_more() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        calls = [appending(peer, "s"), removing(peer, "t", "Tombstone"), appending(peer, "$$s")]
        batches = peer.call(STREAMS + "BatchAppend").send(batch(peer, 1))
        await settled(node)
        cluster.state = State.Unknown
        node._context.writes.cancel_all()
        start = trio.current_time()
        for call in calls:
            assert await failure(call) == CANCELED
        assert (await batches.receive())["error"]["message"] == "Timeout"
        assert trio.current_time() == start
        batches.cancel()
        assert await failure(appending(peer, "s")) == (Status.UNAVAILABLE, "Server Is Not Ready")


async def test_every_kind_of_reader_sees_what_is_confirmed() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        cluster.confirms = False
        calls = [appending(peer, "s"), appending(peer, "$$s", peer.event(b'{"a":1}', type="$metadata"))]
        await settled(node)

        async def look() -> list[list[Any]]:
            filter = types("T")
            reads = [
                read_request("s"),
                read_request("s", at="end", backwards=True, count=10),
                read_request(),
                read_request(at="end", backwards=True, count=10),
                read_request(filter=filter),
                read_request(at="end", backwards=True, count=10, filter=filter),
                read_request("$$s"),
            ]
            return [kinds((await peer.ask(STREAMS + "Read", read))[0]) for read in reads]

        metadata = [0]  # of $scavenges
        before = await look()
        assert before == [[0], [0], [*metadata, 0], [0, *metadata], [0], [0], ["stream_not_found"]]
        subscriptions = [
            peer.subscribe("s"),
            peer.subscribe("s", at="end"),
            peer.subscribe(),
            peer.subscribe(at="end"),
            peer.subscribe(filter=types("T")),
            peer.subscribe("$$s"),
        ]
        heads = [kinds(await call.some(count)) for call, count in zip(subscriptions, (3, 2, 4, 2, 4, 2), strict=True)]
        assert heads == [
            ["confirmation", 0, "caught_up"],
            ["confirmation", "caught_up"],
            ["confirmation", 0, 0, "caught_up"],
            ["confirmation", "caught_up"],
            ["confirmation", 0, "checkpoint", "caught_up"],
            ["confirmation", "caught_up"],
        ]
        for call in subscriptions:
            assert await call.silence(0.1)
        confirm(cluster)
        for call in calls:
            assert (await call.end()).ok
        assert [number_of(await call.receive()) for call in subscriptions] == [1, 1, 1, 1, 1, 0]
        after = await look()
        assert after == [[0, 1], [1, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 1], [1, 0], [0]]


async def test_statistics_and_rights_are_of_what_is_confirmed() -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        admin = peer.user("admin")
        await admin.append("s", admin.event())
        end = cluster.replica.confirmed_end
        cluster.confirms = False
        call = appending(admin, "$$s", admin.event(b'{"$acl":{"$r":"$admins"}}', type="$metadata"))
        await settled(node)
        stats = admin.call("/event_store.client.monitoring.Monitoring/Stats").send({}).half_close()
        assert (await stats.receive())["stats"]["es-checksum"] == str(end)
        stats.cancel()
        assert await peer.user("ops").numbers("s") == [0]
        confirm(cluster)
        assert (await call.end()).ok
        assert not (await peer.user("ops").ask(STREAMS + "Read", read_request("s")))[1].ok


async def test_a_large_append_is_there_as_a_whole_and_holds_nobody_up() -> None:
    async with member() as (node, cluster), connected(node) as peer, connected(node) as other:
        await peer.append("s", peer.event())
        followers = [peer.subscribe("large"), peer.subscribe(filter=types("T"), at="end")]
        heads = [await call.some(2) for call in followers]
        assert [kinds(head)[-1] for head in heads] == ["caught_up", "caught_up"]
        works = []
        cluster.replica.go_on = works.append
        call = appending(peer, "large", *(peer.event(b"") for _ in range(5000)))
        seen = []
        while cluster.replica.end == cluster.replica.confirmed_end and not works:
            seen.append(await other.numbers("s"))
            await trio.lowlevel.checkpoint()
        assert seen
        (work,) = works
        turns = sum(1 for _ in work)
        assert turns >= 5000 // 100 - 2
        assert (await call.receive())["success"]["current_revision"] == 4999
        numbers = kinds(await followers[0].some(5000))
        assert numbers == list(range(5000))
