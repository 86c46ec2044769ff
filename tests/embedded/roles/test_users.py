"""Users in a cluster: changes are forwarded, and some calls are never answered."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.peer import Peer, connected
from trio_esdb._wire import Outcome, Status
from trio_esdb.embedded._services import State

from .members import LEADERLESS, member

USERS = "/event_store.client.users.Users/"
METHODS = ("Create", "Update", "Delete", "Disable", "Enable", "Details", "ChangePassword", "ResetPassword")


async def ask(peer: Peer, method: str, **options: object) -> Outcome:
    return (await peer.call(USERS + method, timeout=3).send({"options": options}).half_close().rest())[1]


@pytest.mark.parametrize("state", [State.Leader, State.Follower, State.ReadOnlyReplica])
@pytest.mark.parametrize("header", ["true", "false"])
async def test_users_are_changed_on_every_node(state: State, header: str) -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        admin = peer.user("admin").with_headers(("requires-leader", header))
        cluster.state = state
        assert (await ask(admin, "Create", login_name="ann", password="old")).ok
        assert (await ask(admin, "Update", login_name="ann", full_name="Ann", groups=["team"])).ok
        assert (await ask(admin, "Disable", login_name="ann")).ok
        assert (await ask(admin, "Enable", login_name="ann")).ok
        assert (await ask(admin, "ResetPassword", login_name="ann", new_password="new")).ok
        assert (await ask(peer.user("ann", "new"), "Details", login_name="ann")).ok
        assert (await ask(admin, "Delete", login_name="ann")).ok
        assert (await ask(admin, "Details", login_name="ann")).status is Status.NOT_FOUND
        assert bool(cluster.forwarded) == (state is not State.Leader)


@pytest.mark.parametrize("state", [*LEADERLESS, State.PreLeader, State.ResigningLeader])
async def test_without_a_leader_changes_get_no_answer(state: State) -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        admin = peer.user("admin")
        cluster.state = state
        assert (await ask(admin, "Details", login_name="admin")).ok, "reading is local"
        start = trio.current_time()
        outcome = await ask(admin, "Create", login_name="ann", password="p")
        assert (outcome.status, trio.current_time() - start) == (Status.DEADLINE_EXCEEDED, pytest.approx(3))
        assert (await ask(peer, "Create", login_name="ann")).status is Status.PERMISSION_DENIED


@pytest.mark.parametrize("state", [State.Leader, State.Follower, State.Unknown, State.ReadOnlyReplica])
async def test_a_cluster_without_users_answers_none_of_these_calls(state: State) -> None:
    async with member() as (node, cluster), connected(node) as peer:
        cluster.state = state
        for method in METHODS:
            assert (await ask(peer, method, login_name="admin")).status is Status.DEADLINE_EXCEEDED


async def test_calls_without_an_answer_cost_no_tasks(nursery: trio.Nursery) -> None:
    async with member() as (node, _), connected(node) as peer:
        await peer.append("s", peer.event())
        before = trio.lowlevel.current_statistics().tasks_living
        calls = [peer.call(USERS + "Create").send({}).half_close() for _ in range(50)]
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
        (link,) = node._links
        assert len(link.core.streams) == 50
        for call in calls[1:]:
            call.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert len(link.core.streams) == 1
        node.kill()
        assert (await calls[0].end()).status is Status.UNAVAILABLE


async def test_a_change_that_is_not_confirmed() -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        cluster.confirms = False
        outcome = await ask(peer.user("admin"), "Create", login_name="ann", password="p")
        assert (outcome.status, outcome.message) == (Status.DEADLINE_EXCEEDED, "Try again.")
        assert dict(outcome.trailers) == {"exception": "user-conflict", "login-name": "ann"}


async def test_a_change_during_which_the_node_stops_leading() -> None:
    """Its first write is made, the second one gets no answer."""
    async with member(users=True) as (node, cluster), connected(node) as peer:
        before = cluster.replica.end

        def confirm() -> None:
            cluster.replica.confirm(cluster.replica.end)
            cluster.state = State.ResigningLeader

        cluster.replica.on_written = confirm
        outcome = await ask(peer.user("admin"), "Create", login_name="ann", password="p")
        assert (outcome.status, outcome.message) == (Status.DEADLINE_EXCEEDED, "Deadline Exceeded")
        assert cluster.replica.end > before


async def test_nobody_can_log_in_before_the_first_leader_has_written_the_users() -> None:
    async with member(users=True) as (node, cluster), connected(node) as peer:
        assert (await ask(peer.user("admin"), "Details", login_name="admin")).ok
    async with member(users=True, written=False) as (node, cluster), connected(node) as peer:
        cluster.state = State.Follower
        outcome = await ask(peer.user("admin"), "Details", login_name="admin")
        assert (outcome.status, outcome.message) == (Status.UNAUTHENTICATED, "Unauthenticated")
