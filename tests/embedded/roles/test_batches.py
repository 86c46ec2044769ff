"""Batch appends in a cluster: what is told in the call, and what ends it."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from tests.support.peer import STREAMS, Call, Peer, connected
from trio_esdb._wire import Status
from trio_esdb.embedded._services import State

from .members import LEADER, member
from .test_states import told


def identity(number: int) -> dict[str, Any]:
    return {"string": f"00000000-0000-4000-8000-{number:012d}"}


def batch(peer: Peer, number: int, stream: str = "s", expected: dict[str, Any] | None = None) -> dict[str, Any]:
    options = {"stream_identifier": {"stream_name": stream.encode()}, **(expected or {"any": {}})}
    return {
        "correlation_id": identity(number),
        "options": options,
        "proposed_messages": [peer.event()],
        "is_final": True,
    }


def opened(peer: Peer) -> Call:
    return peer.call(STREAMS + "BatchAppend")


async def test_without_a_leader_the_call_stays_open() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        call = opened(peer.with_headers(("requires-leader", "true")))
        for state in (State.Unknown, State.ResigningLeader, State.PreLeader):
            cluster.state = state
            assert await call.send(batch(peer, 1)).receive() == {
                "correlation_id": identity(1),
                "stream_identifier": {"stream_name": "s"},
                "error": {
                    "message": "Server Is Not Ready",
                    "details": {"type_url": "type.googleapis.com/google.protobuf.Empty", "value": {}},
                },
            }
        cluster.state = State.Leader
        assert "success" in await call.send(batch(peer, 2)).receive()
        call.cancel()


async def test_a_named_leader_ends_the_call() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        call = opened(peer.with_headers(("requires-leader", "true")))
        assert "success" in await call.send(batch(peer, 1)).receive()
        cluster.state = State.Follower
        messages, outcome = await call.send(batch(peer, 2)).rest()
        assert (messages, told(outcome)) == ([], LEADER)


async def test_what_was_refused_before_is_told_before_the_call_ends() -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        cluster.state = State.ReadOnlyReplica
        call = opened(peer.user("ops")).send(batch(peer, 1, "$s"), batch(peer, 2))
        messages, outcome = await call.rest()
        assert [message["error"]["message"] for message in messages] == ["AccessDenied"]
        assert told(outcome) == LEADER


async def test_batches_wait_for_their_confirmation_together() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        start = trio.current_time()
        call = opened(peer).send(*(batch(peer, number) for number in range(10)))
        assert await call.silence(1)
        cluster.replica.confirm(cluster.replica.end)
        replies = await call.some(10)
        assert [reply["success"].get("current_revision", 0) for reply in replies] == list(range(10))
        assert trio.current_time() - start == 1
        call.cancel()


async def test_batches_are_written_in_their_order() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.state = State.Follower
        call = opened(peer).send(
            batch(peer, 0, expected={"no_stream": {}}),
            *(batch(peer, number, expected={"stream_position": number - 1}) for number in range(1, 300)),
        )
        replies = await call.some(300)
        assert all("success" in reply for reply in replies)
        assert {reply["correlation_id"]["string"][-3:] for reply in replies} == {f"{n:03d}" for n in range(300)}
        assert await peer.numbers("s") == list(range(300))
        call.cancel()


async def test_a_batch_that_is_not_confirmed_is_told_so_and_may_be_applied() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        start = trio.current_time()
        call = opened(peer).send(*(batch(peer, number) for number in range(3)))
        for reply in await call.some(3):
            assert reply["error"]["message"] == "Timeout"
            assert reply["error"]["code"] == "DEADLINE_EXCEEDED"
            assert reply["error"]["details"]["type_url"] == "type.googleapis.com/event_store.client.Timeout"
        assert 2.086 <= trio.current_time() - start <= 2.519
        cluster.replica.confirm(cluster.replica.end)
        assert await peer.numbers("s") == [0, 1, 2]
        call.cancel()


async def test_more_batches_than_are_written_at_once() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        call = opened(peer).send(*(batch(peer, number) for number in range(200)))
        assert await call.silence(1)
        assert cluster.replica._store.last_number("s") == 63
        cluster.confirms = True
        cluster.replica.confirm(cluster.replica.end)
        assert len(await call.some(200)) == 200
        call.cancel()


async def test_a_half_closed_call_gets_one_reply_that_is_outstanding() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        call = opened(peer).send(batch(peer, 1), batch(peer, 2)).half_close()
        assert await call.silence(1)
        cluster.replica.confirm(cluster.replica.end)
        messages, outcome = await call.rest()
        assert ([message["correlation_id"] for message in messages], outcome.status) == ([identity(1)], Status.OK)


async def test_a_call_that_is_given_up_leaves_its_writes() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        call = opened(peer).send(batch(peer, 1))
        await trio.testing.wait_all_tasks_blocked()
        call.cancel()
        await trio.testing.wait_all_tasks_blocked()
        cluster.replica.confirm(cluster.replica.end)
        assert await peer.numbers("s") == [0]
