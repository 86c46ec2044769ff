"""Who may do what on a node with users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.support.peer import OPERATIONS, STREAMS, UNKNOWN, Call, Peer, connected, read_request
from trio_esdb._wire import Outcome, Status
from trio_esdb.embedded import EmbeddedNode

USERS = "/event_store.client.users.Users/"
CLIENT = "/event_store.client."


@pytest.fixture
async def node() -> AsyncIterator[EmbeddedNode]:
    async with EmbeddedNode(users={"ann": "x", "bob": "x"}) as node:
        yield node


@pytest.fixture
async def peer(node: EmbeddedNode) -> AsyncIterator[Peer]:
    async with connected(node) as peer:
        yield peer


@pytest.fixture
def admin(peer: Peer) -> Peer:
    return peer.user("admin")


@pytest.fixture
def ann(peer: Peer) -> Peer:
    return peer.user("ann", "x")


@pytest.fixture
def bob(peer: Peer) -> Peer:
    return peer.user("bob", "x")


def is_denied(outcome: Outcome) -> bool:
    denied = outcome.status is Status.PERMISSION_DENIED
    if denied:
        assert outcome.message == "Access Denied"
        assert dict(outcome.trailers) == {"exception": "access-denied"}
    return denied


def named(stream: str) -> dict[str, Any]:
    return {"stream_identifier": {"stream_name": stream.encode()}, "any": {}}


async def may_append(peer: Peer, stream: str) -> bool:
    call = peer.call(STREAMS + "Append").send({"options": named(stream)}, {"proposed_message": peer.event()})
    outcome = await call.half_close().end()
    assert outcome.ok or is_denied(outcome)
    return outcome.ok


async def may_batch(peer: Peer, stream: str) -> bool:
    call = peer.call(STREAMS + "BatchAppend")
    event = peer.event()
    call.send({"correlation_id": event["id"], "options": named(stream), "proposed_messages": [event], "is_final": True})
    reply = await call.receive()
    call.cancel()
    if "success" in reply:
        return True
    assert reply == {
        "correlation_id": event["id"],
        "stream_identifier": {"stream_name": stream},
        "error": {
            "code": "PERMISSION_DENIED",
            "message": "AccessDenied",
            "details": {"type_url": "type.googleapis.com/event_store.client.AccessDenied", "value": {}},
        },
    }
    return False


async def may_read(peer: Peer, stream: str | None, **kw: Any) -> bool:
    _, outcome = await peer.ask(STREAMS + "Read", read_request(stream, **kw))
    assert outcome.ok or is_denied(outcome)
    return outcome.ok


async def may_subscribe(peer: Peer, stream: str | None, **kw: Any) -> bool:
    call = peer.subscribe(stream, **kw)
    try:
        confirmed = "confirmation" in await call.receive()
    except trio.EndOfChannel:
        assert call.outcome is not None
        assert is_denied(call.outcome)
        return False
    call.cancel()
    return confirmed


async def may_delete(peer: Peer, stream: str, how: str = "Delete") -> bool:
    outcome = await peer.remove(stream, how=how)
    assert outcome.status in (Status.OK, Status.FAILED_PRECONDITION) or is_denied(outcome)
    return outcome.status is not Status.PERMISSION_DENIED


async def rights(peer: Peer, stream: str) -> str:
    """What a caller may do: read, write, read and write metadata, delete. The stream is tombstoned in the end."""
    can_read = await may_read(peer, stream)
    assert can_read == await may_subscribe(peer, stream) == await may_read(peer, stream, backwards=True, at="end")
    can_write = await may_append(peer, stream)
    assert can_write == await may_batch(peer, stream)
    can_write_metadata = await may_append(peer, "$$" + stream)
    assert can_write_metadata == await may_batch(peer, "$$" + stream)
    can_read_metadata = await may_read(peer, "$$" + stream)
    can_delete = await may_delete(peer, stream)
    assert can_delete == await may_delete(peer, stream, "Tombstone")
    found = {"r": can_read, "w": can_write, "d": can_delete, "mr": can_read_metadata, "mw": can_write_metadata}
    return " ".join(name for name, allowed in found.items() if allowed)


async def set_metadata(admin: Peer, stream: str, data: bytes) -> None:
    await admin.append("$$" + stream, admin.event(data, type="$metadata"))


ALL = "r w d mr mw"


@pytest.mark.parametrize(
    ("who", "stream", "allowed"),
    [
        ("nobody", "s", ""),
        ("ann", "s", ALL),
        ("ops", "s", ALL),
        ("admin", "s", ALL),
        ("nobody", "$s", ""),
        ("ann", "$s", ""),
        ("ops", "$s", ""),
        ("admin", "$s", ALL),
        ("ann", "$settings", ""),
        ("ann", "$users", ""),
        ("ann", "$user-ann", ""),
        ("admin", "$settings", ALL),
    ],
)
async def test_without_access_lists(peer: Peer, who: str, stream: str, allowed: str) -> None:
    passwords = {"ann": "x"}
    caller = peer if who == "nobody" else peer.user(who, passwords.get(who, "changeit"))
    assert await rights(caller, stream) == allowed


@pytest.mark.parametrize("right", ["r", "w", "d", "mr", "mw"])
async def test_each_right_is_named_by_itself(admin: Peer, ann: Peer, bob: Peer, peer: Peer, right: str) -> None:
    everything = set(ALL.split())
    for stream, roles in (
        ("s1", b'"ann"'),
        ("s2", b'["x","ann"]'),
        ("s3", b'["$admins"]'),
        ("s4", b"[]"),
        ("s5", b'""'),
    ):
        metadata = b'{"$acl":{"$%s":%s}}' % (right.encode(), roles)
        callers = {ann: b"ann" in roles, bob: False, admin: True}
        for caller, has_it in callers.items():
            await set_metadata(admin, stream, metadata)
            got = await self_repairing_rights(caller, admin, stream, metadata)
            assert got == (everything if has_it else everything - {right}), (stream, metadata)
        assert await self_repairing_rights(peer, admin, stream, metadata) == set()


async def self_repairing_rights(peer: Peer, admin: Peer, stream: str, metadata: bytes) -> set[str]:
    """As `rights`, without a tombstone, and with the metadata put back after each change of it."""
    found = set()
    if await may_read(peer, stream):
        found.add("r")
    if await may_append(peer, stream):
        found.add("w")
    if await may_read(peer, "$$" + stream):
        found.add("mr")
    if await may_append(peer, "$$" + stream):
        found.add("mw")
        await set_metadata(admin, stream, metadata)
    if await may_delete(peer, stream):
        found.add("d")
        await set_metadata(admin, stream, metadata)
    return found


async def test_groups_and_names(admin: Peer, ann: Peer, bob: Peer, peer: Peer) -> None:
    for name, groups in (("ann", ["readers"]), ("bob", ["Readers", " readers"])):
        assert (await admin.ask(USERS + "Update", {"options": {"login_name": name, "groups": groups}}))[1].ok
    for roles, allowed in (
        (b'"readers"', (True, False)),
        (b'["nobody","readers"]', (True, False)),
        (b'"ann"', (True, False)),
        (b'"ANN"', (False, False)),
        (b'"$ops"', (False, False)),
        (b'"$all"', (True, True)),
        (b'"$all "', (False, False)),
        (b'["bob","Readers"]', (False, True)),
    ):
        await set_metadata(admin, "s", b'{"$acl":{"$r":%s}}' % roles)
        assert (await may_read(ann, "s"), await may_read(bob, "s")) == allowed, roles
        assert not await may_read(peer, "s")


async def test_what_nobody_may(admin: Peer) -> None:
    for stream in ("$$s", "$$$s", "$$$$s"):
        assert not await may_delete(admin, stream)
        assert not await may_delete(admin, stream, "Tombstone")
    assert not await may_append(admin, "$all")
    assert not await may_batch(admin, "$all")
    assert not await may_delete(admin, "$all")
    assert await may_append(admin, "$$$all")
    assert (await admin.ask(STREAMS + "Read", read_request("$all")))[1].ok


async def test_all_streams(admin: Peer, ann: Peer, peer: Peer) -> None:
    types = {"event_type": {"prefix": ["T"]}, "max": 10, "checkpointIntervalMultiplier": 1}

    async def all_ways(caller: Peer) -> set[bool]:
        return {
            await may_read(caller, None),
            await may_read(caller, None, backwards=True, at="end", count=1),
            await may_read(caller, None, filter=types),
            await may_subscribe(caller, None),
            await may_subscribe(caller, None, filter=types),
        }

    assert (await all_ways(admin), await all_ways(ann), await all_ways(peer)) == ({True}, {False}, {False})
    await set_metadata(admin, "$all", b'{"$acl":{"$r":"ann"}}')
    assert await all_ways(ann) == {True}
    assert not await may_read(ann, "$users")
    await set_metadata(admin, "$all", b"{}")
    await admin.append("$settings", admin.event(b'{"$systemStreamAcl":{"$r":["$admins","ann"]}}'))
    assert await all_ways(ann) == {True}
    assert await may_read(ann, "$users")
    assert not await may_append(ann, "$s")
    await admin.append("$settings", admin.event(b"{}"))
    assert await all_ways(ann) == {False}


async def test_other_defaults(admin: Peer, ann: Peer, bob: Peer) -> None:
    settings = b'{"$userStreamAcl":{"$r":"$all","$w":"ann","$d":[],"$mr":"ann","$mw":"ann"}}'
    await admin.append("$settings", admin.event(settings, type="$settings"))
    assert (await may_append(ann, "s"), await may_append(bob, "s")) == (True, False)
    assert (await may_read(ann, "s"), await may_read(bob, "s")) == (True, True)
    assert (await may_read(ann, "$$s"), await may_read(bob, "$$s")) == (True, False)
    assert (await may_delete(ann, "s"), await may_delete(admin, "s")) == (False, True)
    await set_metadata(ann, "t", b'{"$acl":{"$w":"bob"}}')
    assert (await may_append(ann, "t"), await may_append(bob, "t")) == (False, True)


async def test_a_denied_append_is_told_before_the_events(peer: Peer) -> None:
    call = peer.call(STREAMS + "Append").send({"options": named("s")})
    assert is_denied(await call.end())


async def test_a_stream_without_a_name(admin: Peer, ann: Peer) -> None:
    for caller in (admin, ann):
        outcome = await caller.call(STREAMS + "Append").send({"options": named("")}).end()
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)
        for path in ("Delete", "Tombstone"):
            outcome = (await caller.ask(STREAMS + path, {"options": named("")}))[1]
            assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)
        outcome = (await caller.ask(STREAMS + "Read", read_request("")))[1]
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)


async def test_the_order_of_the_checks(peer: Peer) -> None:
    for broken, text in (
        ({}, UNKNOWN),
        ({"options": {**read_request("s")["options"], "count": 0}}, "Access Denied"),
        ({"options": {k: v for k, v in read_request("s")["options"].items() if k != "no_filter"}}, "Access Denied"),
    ):
        assert (await peer.ask(STREAMS + "Read", broken))[1].message == text
    options = {"stream_identifier": {"stream_name": b"s"}}
    for path in ("Delete", "Tombstone", "Append"):
        outcome = (await peer.ask(STREAMS + path, {"options": options}))[1]
        assert outcome.status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize("who", ["nobody", "ann", "ops", "admin"])
async def test_operations(peer: Peer, ann: Peer, who: str) -> None:
    caller = {"nobody": peer, "ann": ann}.get(who) or peer.user(who)
    for name in ("MergeIndexes", "ResignNode", "SetNodePriority", "RestartPersistentSubscriptions", "StartScavenge"):
        _, outcome = await caller.ask(OPERATIONS + name, {"options": {}} if name == "StartScavenge" else {})
        assert is_denied(outcome) if who in ("nobody", "ann") else outcome.ok
    _, outcome = await caller.ask(OPERATIONS + "StopScavenge", {"options": {"scavenge_id": "current"}})
    assert is_denied(outcome) if who in ("nobody", "ann") else outcome.status is Status.NOT_FOUND


async def test_who_may_shut_the_node_down(node: EmbeddedNode, peer: Peer, ann: Peer) -> None:
    for caller in (peer, ann):
        assert is_denied((await caller.ask(OPERATIONS + "Shutdown", {}))[1])
    assert (await peer.user("ops").ask(OPERATIONS + "Shutdown", {}))[1].ok
    await node.wait_stopped()


async def test_what_everybody_may(peer: Peer) -> None:
    for path in ("gossip.Gossip/Read", "server_features.ServerFeatures/GetSupportedMethods"):
        assert (await peer.ask(CLIENT + path, {}))[1].ok
    call = peer.call(CLIENT + "monitoring.Monitoring/Stats").send({"refresh_time_period_in_ms": 1000}).half_close()
    await call.receive()
    call.cancel()
    assert (await peer.ask("/no.such.Service/Method"))[1].status is Status.UNIMPLEMENTED


async def test_links_need_no_right_to_their_targets(admin: Peer, ann: Peer) -> None:
    await admin.append("secret", admin.event(b'"hidden"'))
    await admin.append("l", admin.event(b"0@secret", type="$>"))
    await set_metadata(admin, "secret", b'{"$acl":{"$r":[]}}')
    assert not await may_read(ann, "secret")
    messages, _ = await ann.ask(STREAMS + "Read", read_request("l", links=True))
    assert messages[0]["event"]["event"]["data"] == '"hidden"'


async def test_a_batch_append_keeps_its_caller_and_checks_each_batch(admin: Peer, ann: Peer) -> None:
    call = ann.call(STREAMS + "BatchAppend")

    async def batch(stream: str, **more: Any) -> dict[str, Any]:
        event = ann.event()
        request = {"correlation_id": event["id"], "options": named(stream), "proposed_messages": [event], **more}
        call.send(request)
        return await call.receive()

    assert "success" in await batch("s", is_final=True)
    await set_metadata(admin, "s", b'{"$acl":{"$w":"$admins"}}')
    assert (await batch("s", is_final=True))["error"]["message"] == "AccessDenied"
    assert (await batch("$s", is_final=False))["error"]["message"] == "AccessDenied"
    assert (await admin.ask(USERS + "Delete", {"options": {"login_name": "ann"}}))[1].ok
    assert "success" in await batch("t", is_final=True)
    call.cancel()


# -- subscriptions


async def live(call: Call) -> Call:
    while "caught_up" not in await call.receive():
        pass
    return call


async def rest_of(call: Call) -> tuple[list[str], Outcome]:
    """The data of the events that still come, and the end."""
    found = []
    try:
        while True:
            message = await call.receive()
            found.append(message["event"]["event"]["data"])
    except trio.EndOfChannel:
        assert call.outcome is not None
        return found, call.outcome


@pytest.mark.parametrize("how", ["metadata", "settings"])
async def test_a_subscriber_who_loses_the_right_is_told(admin: Peer, ann: Peer, how: str) -> None:
    await admin.append("s", admin.event(b"1"))
    call = await live(ann.subscribe("s"))
    own = await live(admin.subscribe("s"))
    await set_metadata(admin, "s", b'{"$acl":{"$r":"ann"}}')
    await set_metadata(admin, "s", b"{}")
    await admin.append("$settings", admin.event(b"{}"))
    await admin.append("s", admin.event(b"2"))
    if how == "metadata":
        await set_metadata(admin, "s", b'{"$acl":{"$r":"$admins"}}')
    else:
        await admin.append("$settings", admin.event(b'{"$userStreamAcl":{"$r":"bob"}}'))
    await admin.append("s", admin.event(b"3"))
    found, outcome = await rest_of(call)
    assert found == ["2"]
    assert is_denied(outcome)
    assert [(await own.receive())["event"]["event"]["data"] for _ in range(2)] == ["2", "3"]
    assert await own.silence()


@pytest.mark.parametrize("filtered", [False, True])
async def test_a_subscriber_to_all_streams_who_loses_the_right(admin: Peer, ann: Peer, filtered: bool) -> None:
    await set_metadata(admin, "$all", b'{"$acl":{"$r":"ann"}}')
    filter = {"event_type": {"prefix": ["T"]}, "max": 32, "checkpointIntervalMultiplier": 1} if filtered else None
    call = await live(ann.subscribe(at="end", filter=filter))
    await admin.append("s", admin.event(b"1"))
    await set_metadata(admin, "$all", b"{}")
    await admin.append("s", admin.event(b"2"))
    found, outcome = await rest_of(call)
    assert found == (["1"] if filtered else ["1", "{}"])  # the metadata is an event, too
    assert is_denied(outcome)


async def test_a_subscriber_to_the_settings(admin: Peer, ann: Peer) -> None:
    await set_metadata(admin, "$settings", b'{"$acl":{"$r":"ann"}}')
    call = await live(ann.subscribe("$settings"))
    await admin.append("$settings", admin.event(b"1"))
    await set_metadata(admin, "$settings", b"{}")
    found, outcome = await rest_of(call)
    assert found == ["1"]
    assert is_denied(outcome)


async def test_the_right_is_lost_while_catching_up(admin: Peer, ann: Peer) -> None:
    large = b'"%s"' % (b"x" * 60_000)
    for _ in range(40):
        await admin.append("s", admin.event(large))
    call = ann.subscribe("s")
    await call.receive()
    await trio.testing.wait_all_tasks_blocked()  # the client's window is full
    await set_metadata(admin, "s", b'{"$acl":{"$r":"$admins"}}')
    await admin.append("s", admin.event(b'"secret"'))
    messages, outcome = await call.rest()
    assert is_denied(outcome)
    assert sum("event" in message for message in messages) in (40, 41)


async def test_a_subscription_outlives_its_user(admin: Peer, ann: Peer) -> None:
    call = await live(ann.subscribe("s"))
    for method in ("ResetPassword", "Disable", "Delete"):
        assert (await admin.ask(USERS + method, {"options": {"login_name": "ann"}}))[1].ok
        await admin.append("s", admin.event(method.encode()))
        assert (await call.receive())["event"]["event"]["data"] == method
    call.cancel()


async def test_the_end_of_a_subscription_leaves_nothing_behind(node: EmbeddedNode, admin: Peer, ann: Peer) -> None:
    feed = node._context.feed
    calls = [await live(ann.subscribe("s")), await live(admin.subscribe("s"))]
    assert feed.followers == 4
    await set_metadata(admin, "s", b'{"$acl":{"$r":[]}}')
    assert is_denied(await calls[0].end())
    calls[1].cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert (feed.followers, feed._of_stream, feed._of_all) == (0, {}, {})
