"""What a node writes when it starts: `$all` of a fresh node is not empty."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import trio

from tests.support.peer import STREAMS, Peer, connected, read_request, types
from trio_esdb.embedded import EmbeddedNode


async def all_of(peer: Peer, **kw: object) -> list[dict[str, object]]:
    messages, outcome = await peer.ask(STREAMS + "Read", read_request(**kw))
    assert outcome.ok
    return [message["event"]["event"] for message in messages]


async def test_all_begins_with_the_metadata_of_scavenges() -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        await peer.append("s", peer.event())
        first, own = await all_of(peer)
        assert first["stream_identifier"] == {"stream_name": "$$$scavenges"}
        assert "stream_revision" not in first  # it is 0
        assert first["metadata"]["type"] == "$metadata"
        assert first["metadata"]["content-type"] == "application/json"
        assert first["data"] == '{"$maxAge":2592000,"$acl":{"$r":"$ops","$w":[],"$d":[],"$mr":[],"$mw":[]}}'
        assert (first["commit_position"], first["prepare_position"]) == (548, 548)
        assert (own["stream_identifier"], own["commit_position"]) == ({"stream_name": "s"}, 733)
        assert await all_of(peer, at="end", backwards=True) == [own, first]
        assert await all_of(peer, at=(733, 733), backwards=True) == [first]


async def test_the_epoch_is_an_event_that_all_does_not_show() -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    async with EmbeddedNode(clock=lambda: moment) as node, connected(node) as peer:
        (epoch,) = await all_of(peer, stream="$epoch-information")
        assert epoch["metadata"]["type"] == "$epoch-information"
        assert epoch["commit_position"] == 231
        told = json.loads(epoch["data"])
        assert told["timeStamp"] == "2031-02-03T04:05:06.0007890Z"
        (gossip,), _ = await peer.ask("/event_store.client.gossip.Gossip/Read", {})
        half = gossip["members"][0]["instance_id"]["structured"]["least_significant_bits"] & 2**64 - 1
        assert told["leaderInstanceId"].replace("-", "")[16:] == f"{half:016x}"
        # It counts among the records that a filtered subscription has considered: the second of two is the metadata.
        call = peer.subscribe(filter=types("nothing", window=1, interval=2))
        assert [next(iter(m)) for m in await call.some(3)] == ["confirmation", "checkpoint", "caught_up"]


async def test_an_empty_node() -> None:
    async with EmbeddedNode(empty=True) as node, connected(node) as peer:
        assert await all_of(peer) == []
        await peer.append("s", peer.event())
        (own,) = await all_of(peer)
        assert own["commit_position"] == 231


async def test_a_subscription_from_the_start_sees_them() -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        call = peer.subscribe()
        seen = await call.some(3)
        assert [next(iter(message)) for message in seen] == ["confirmation", "event", "caught_up"]
        with trio.fail_after(1):
            await peer.append("s", peer.event())
            assert (await call.receive())["event"]["event"]["stream_identifier"] == {"stream_name": "s"}
