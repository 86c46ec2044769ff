"""What a node answers by its state, by what a call asks for, and when the state changes under open calls."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.support.peer import OPERATIONS, STREAMS, Peer, connected, kinds, read_request, types
from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Outcome, Status
from trio_esdb.embedded._services import State
from trio_esdb.embedded._services._leadership import is_answered

from .members import HERE, LEADER, LEADERLESS, member

NOT_READY = (Status.UNAVAILABLE, "Server Is Not Ready")
OK = (Status.OK, "")
REPLICAS = (State.PreReplica, State.CatchingUp, State.Clone, State.Follower)
READ_ONLY = (State.PreReadOnlyReplica, State.ReadOnlyReplica)
ABOUT_TO_CHANGE = (State.PreLeader, State.ResigningLeader)
NOT_STARTED = (State.Initializing, State.Manager, State.ShuttingDown, State.Shutdown)


def told(outcome: Outcome) -> Any:
    """Status and text; for a not-leader answer the leader."""
    trailers = dict(outcome.trailers)
    if trailers.get("exception") == "not-leader":
        assert (outcome.status, outcome.message) == (Status.NOT_FOUND, "Leader info available")
        return trailers["leader-endpoint-host"], int(str(trailers["leader-endpoint-port"]))
    return outcome.status, outcome.message


async def append(peer: Peer, stream: str = "s") -> Any:
    options = {"stream_identifier": {"stream_name": stream.encode()}, "any": {}}
    call = peer.call(STREAMS + "Append").send({"options": options}, {"proposed_message": peer.event()})
    return told(await call.half_close().end())


async def read(peer: Peer) -> Any:
    return told((await peer.ask(STREAMS + "Read", read_request("s")))[1])


def asking(peer: Peer, value: str = "true") -> Peer:
    return peer.with_headers(("requires-leader", value))


def test_every_state_is_among_these() -> None:
    known = {*REPLICAS, *READ_ONLY, *ABOUT_TO_CHANGE, *NOT_STARTED, *LEADERLESS, State.Leader}
    assert known == set(State)


@pytest.mark.parametrize("state", list(State))
async def test_by_state(state: State) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        cluster.state = state
        expected: dict[str, Any] = {"read": OK, "read, asking": OK, "append": OK, "append, asking": OK}
        if state in REPLICAS or state in READ_ONLY:
            expected |= {"read, asking": LEADER, "append, asking": LEADER}
        elif state in LEADERLESS:
            expected |= {"read, asking": NOT_READY, "append": NOT_READY, "append, asking": NOT_READY}
        elif state in ABOUT_TO_CHANGE:
            expected |= {"append": NOT_READY, "append, asking": NOT_READY}
        elif state in NOT_STARTED:
            expected = dict.fromkeys(expected, NOT_READY)
        assert {
            "read": await read(peer),
            "read, asking": await read(asking(peer)),
            "append": await append(peer),
            "append, asking": await append(asking(peer)),
        } == expected
        assert len(cluster.forwarded) == (state in REPLICAS or state in READ_ONLY)


@pytest.mark.parametrize("state", list(State))
async def test_calls_for_the_leader_alone(state: State) -> None:
    """Those of persistent subscriptions."""
    async with member() as (_, cluster):
        cluster.state = state
        if state in (State.Leader, State.PreLeader):
            assert is_answered(cluster) is (state is State.Leader), "a node that is about to lead drops them"
            return
        with pytest.raises(Failure) as caught:
            is_answered(cluster)
        exc = caught.value
        knows = state in REPLICAS or state in READ_ONLY
        assert told(Outcome(exc.status, exc.message, exc.trailers)) == (LEADER if knows else NOT_READY)


@pytest.mark.parametrize(
    ("value", "asks"),
    [("true", True), ("True", True), ("TRUE", True), (" true\t", True)]
    + [(value, False) for value in ("false", "1", "yes", "t", "truetrue")],
)
async def test_the_header_is_a_boolean_of_dotnet(value: str, asks: bool) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        cluster.state = State.Follower
        assert await read(asking(peer, value)) == (LEADER if asks else OK)
        assert await append(asking(peer, value)) == (LEADER if asks else OK)


async def test_credentials_and_permission_come_before_leadership() -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        for state in (State.Follower, State.ReadOnlyReplica, State.Unknown):
            cluster.state = state
            for call in (append, read):
                denied = await call(asking(peer))
                assert denied == (Status.PERMISSION_DENIED, "Access Denied")
                assert (await call(asking(peer.user("admin", "guessed"))))[0] is Status.UNAUTHENTICATED
        for path in ("Delete", "Tombstone"):
            request = {"options": {"stream_identifier": {"stream_name": b"s"}, "any": {}}}
            assert (await asking(peer).ask(STREAMS + path, request))[1].status is Status.PERMISSION_DENIED


@pytest.mark.parametrize("state", [State.Follower, State.ReadOnlyReplica, State.Unknown])
async def test_who_subscribes_at_the_end_is_served_by_every_node(state: State) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        cluster.state = state
        elsewhere = NOT_READY if state is State.Unknown else LEADER
        for stream, filter in (("s", None), (None, None), (None, types("T"))):
            subscription = asking(peer).subscribe(stream, at="end", filter=filter)
            assert kinds(await subscription.some(2))[0] == "confirmation"
            subscription.cancel()
            starts: list[Any] = ["start", 0] if stream else ["start", (0, 0)]
            for start in starts:
                messages, outcome = await asking(peer).subscribe(stream, at=start, filter=filter).rest()
                assert (messages, told(outcome)) == ([], elsewhere)
        for backwards in (False, True):
            messages, outcome = await asking(peer).read(at="end", backwards=backwards).rest()
            assert (messages, told(outcome)) == ([], elsewhere), "a read is no subscription"


async def test_subscriptions_stay_when_their_node_leads_no_more() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        await peer.append("s", peer.event())
        subscriptions = [asking(peer).subscribe("s"), asking(peer).subscribe(), peer.subscribe("s", at="end")]
        for subscription, there in zip(subscriptions, (3, 4, 2), strict=True):
            assert len(await subscription.some(there)) == there
        cluster.state = State.Unknown
        cluster.confirms = False
        assert await subscriptions[0].silence(60)
        cluster.state = State.Follower
        await peer.append("s", peer.event())
        for subscription in subscriptions:
            assert kinds(await subscription.some(1)) == [1]
            subscription.cancel()


@pytest.mark.parametrize("stream", ["s", None])
async def test_a_long_read_that_asks_for_the_leader_ends_when_its_node_leads_no_more(stream: str | None) -> None:
    """A real node looks at it with each page; what was read before is sent."""
    async with member() as (node, cluster), connected(node) as peer:
        for _ in range(20):
            await peer.append("s", *(peer.event(bytes(10_000)) for _ in range(100)))
        begun, local = asking(peer).read(stream), peer.read(stream)
        for read in (begun, local):
            await read.some(10)
        cluster.state = State.Follower
        messages, outcome = await begun.rest()
        assert 0 < len(messages) < 1000
        assert told(outcome) == LEADER
        messages, outcome = await local.rest()
        assert len(messages) >= 1990
        assert outcome.ok


async def test_what_is_not_confirmed_is_not_delivered(nursery: trio.Nursery) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        subscription = peer.subscribe("s")
        await subscription.some(2)
        cluster.confirms = False
        nursery.start_soon(append, peer)
        assert await subscription.silence(60)
        cluster.replica.confirm(cluster.replica.end)
        assert kinds(await subscription.some(1)) == [0]
        subscription.cancel()


async def test_a_half_sent_append_is_judged_by_the_state_at_its_end() -> None:
    async with member() as (node, cluster), connected(node) as peer:
        options = {"options": {"stream_identifier": {"stream_name": b"s"}, "any": {}}}
        calls = [asking(peer).call(STREAMS + "Append").send(options) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked()
        for call, state, expected in zip(
            calls, (State.Follower, State.Unknown, State.Leader), (LEADER, NOT_READY, OK), strict=True
        ):
            cluster.state = state
            call.send({"proposed_message": peer.event()})
            assert told(await call.half_close().end()) == expected


async def test_an_append_that_is_not_confirmed(nursery: trio.Nursery) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        start = trio.current_time()
        assert await append(peer) == (Status.ABORTED, "Operation timed out: Commit phase timeout.")
        assert 2.086 <= trio.current_time() - start <= 2.519
        outcome = await peer.remove("s", how="Tombstone")
        assert told(outcome) == (Status.ABORTED, "Operation timed out: Commit phase timeout.")


async def test_operators_change_who_leads() -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        for caller, ok in ((peer, False), (peer.user("ops"), True)):
            for state in (State.Leader, State.Follower, State.Unknown):
                cluster.state = state
                assert (await caller.ask(OPERATIONS + "ResignNode", {}))[1].ok is ok
                assert (await caller.ask(OPERATIONS + "SetNodePriority", {"priority": -5}))[1].ok is ok
        assert cluster.asked == ["resign", -5] * 3


async def test_a_client_shuts_down_a_node_of_a_cluster() -> None:
    async with member(users=True) as (node, _), connected(node) as peer:
        assert (await peer.user("ops").ask(OPERATIONS + "Shutdown", {}))[1].ok
        await node.wait_stopped()


async def test_the_address_is_that_of_the_membership() -> None:
    async with member() as (node, _):
        assert node.address == HERE
