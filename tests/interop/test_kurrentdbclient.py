"""kurrentdbclient, whose gRPC is the C core's, does with our node what it does with a real one: both of its clients."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from kurrentdbclient import AsyncKurrentDBClient, KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidCommitPositionError,
    NotFoundError,
    StreamIsDeletedError,
    WrongCurrentVersionError,
)

from tests.support.bridge import Bridged


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """The one event loop of all asyncio clients."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["sync", "asyncio"])
def client(request: pytest.FixtureRequest, node: str, runner: asyncio.Runner) -> Iterator[Any]:
    if request.param == "sync":
        with KurrentDBClient(f"esdb://{node}?Tls=false") as sync_client:
            yield sync_client
    else:
        inner = AsyncKurrentDBClient(f"esdb://{node}?Tls=false")
        yield Bridged(runner.run, inner)
        # Its own close waits five seconds for each BatchAppend that failed, which it leaves open itself.
        runner.run(inner.connection._grpc_channel.close())


@pytest.fixture
def stream() -> str:
    """The name of a stream that nobody has written yet."""
    return f"interop-{uuid.uuid4()}"


def events(*types: str) -> list[NewEvent]:
    return [NewEvent(type=each, data=b'{"n":%d}' % number) for number, each in enumerate(types)]


def numbers(recorded: Any) -> list[int]:
    return [event.stream_position for event in recorded]


def types(recorded: Any) -> list[str]:
    return [event.type for event in recorded]


def test_one_event_comes_back_as_it_was_written(client: Any, stream: str) -> None:
    new = NewEvent(
        type="Größe",
        data=bytes(range(256)),
        metadata=b'{"who":"me"}',
        content_type="application/octet-stream",
    )
    position = client.append_to_stream(stream, events=new, current_version=StreamState.NO_STREAM, timeout=30)
    (recorded,) = client.get_stream(stream)
    assert (recorded.type, recorded.data, recorded.metadata) == (new.type, new.data, new.metadata)
    assert (recorded.content_type, recorded.id) == (new.content_type, new.id)
    assert (recorded.stream_name, recorded.stream_position) == (stream, 0)
    assert recorded.commit_position == recorded.prepare_position == position
    assert recorded.recorded_at >= datetime(2026, 1, 1, tzinfo=UTC)


def test_several_events_are_appended_at_once(client: Any, stream: str) -> None:
    new = events("A", "B", "C")
    position = client.append_to_stream(stream, events=new, current_version=StreamState.NO_STREAM, timeout=30)
    recorded = client.get_stream(stream)
    assert [event.id for event in recorded] == [event.id for event in new]
    assert (types(recorded), numbers(recorded)) == (["A", "B", "C"], [0, 1, 2])
    assert recorded[-1].commit_position == position
    position = client.append_to_stream(stream, events=events("D"), current_version=2)
    assert client.get_current_version(stream) == 3
    assert client.get_commit_position(filter_include=[f"{stream}"], filter_by_stream_name=True) == position


def test_an_append_that_was_done_before_changes_nothing(client: Any, stream: str) -> None:
    one, several = events("A")[0], events("B", "C")
    first = client.append_to_stream(stream, events=one, current_version=StreamState.NO_STREAM)
    second = client.append_to_stream(stream, events=several, current_version=0)
    assert client.append_to_stream(stream, events=one, current_version=StreamState.NO_STREAM) == first
    assert client.append_to_stream(stream, events=several, current_version=0) == second
    assert client.append_to_stream(stream, events=several, current_version=StreamState.ANY) == second
    assert types(client.get_stream(stream)) == ["A", "B", "C"]


@pytest.mark.parametrize("iterable", [False, True], ids=["Append", "BatchAppend"])
def test_wrong_versions(client: Any, stream: str, iterable: bool) -> None:
    def append(type: str, current_version: Any) -> None:
        new = events(type)
        client.append_to_stream(stream, events=new if iterable else new[0], current_version=current_version)

    with pytest.raises(WrongCurrentVersionError) as missing:
        append("X", 3)
    assert missing.value.actual_version is StreamState.NO_STREAM
    with pytest.raises(WrongCurrentVersionError):
        append("X", StreamState.EXISTS)
    append("A", StreamState.ANY)
    append("B", StreamState.EXISTS)
    with pytest.raises(WrongCurrentVersionError) as elsewhere:
        append("X", 0)
    assert elsewhere.value.actual_version == 1
    with pytest.raises(WrongCurrentVersionError):
        append("X", StreamState.NO_STREAM)
    assert types(client.get_stream(stream)) == ["A", "B"]


def test_reading_a_stream(client: Any, stream: str) -> None:
    client.append_to_stream(stream, events=events(*"ABCDEF"), current_version=StreamState.NO_STREAM)
    assert numbers(client.get_stream(stream)) == [0, 1, 2, 3, 4, 5]
    assert numbers(client.get_stream(stream, limit=2)) == [0, 1]
    assert numbers(client.get_stream(stream, stream_position=4)) == [4, 5]
    assert numbers(client.get_stream(stream, stream_position=2, limit=2)) == [2, 3]
    assert numbers(client.get_stream(stream, stream_position=6)) == []
    assert numbers(client.get_stream(stream, backwards=True)) == [5, 4, 3, 2, 1, 0]
    assert numbers(client.get_stream(stream, backwards=True, limit=2)) == [5, 4]
    assert numbers(client.get_stream(stream, stream_position=2, backwards=True)) == [2, 1, 0]
    assert numbers(client.get_stream(stream, stream_position=99, backwards=True, limit=1)) == [5]
    with pytest.raises(NotFoundError):
        client.get_stream(stream + "-none")
    assert client.get_current_version(stream + "-none") is StreamState.NO_STREAM


def test_reading_all(client: Any, stream: str) -> None:
    mine = f"{stream}-mine"
    for each in "ABCD":
        client.append_to_stream(mine, events=events(f"{each}-{stream}"), current_version=StreamState.ANY)
        client.append_to_stream(f"{stream}-other", events=events("Other"), current_version=StreamState.ANY)
    by_name = {"filter_include": [mine], "filter_by_stream_name": True}
    recorded = list(client.read_all(**by_name))
    assert types(recorded) == [f"{each}-{stream}" for each in "ABCD"]
    assert types(client.read_all(filter_include=[f"[AC]-{stream}"])) == [f"A-{stream}", f"C-{stream}"]
    assert types(client.read_all(filter_include=[f"B-{stream}"], filter_by_prefix=True)) == [f"B-{stream}"]
    assert numbers(client.read_all(**by_name, limit=2)) == [0, 1]
    assert numbers(client.read_all(**by_name, backwards=True, limit=3)) == [3, 2, 1]
    third = recorded[2].commit_position
    assert numbers(client.read_all(**by_name, commit_position=third)) == [2, 3], "included"
    assert numbers(client.read_all(**by_name, commit_position=third, backwards=True)) == [1, 0], "not included"
    left = list(client.read_all(commit_position=third, filter_exclude=[".*-mine"], filter_by_stream_name=True))
    assert {event.stream_name for event in left} == {f"{stream}-other"}
    everything = list(client.read_all(filter_exclude=[]))
    assert [event.commit_position for event in everything] == sorted({event.commit_position for event in everything})
    with pytest.raises(InvalidCommitPositionError):
        list(client.read_all(commit_position=third + 1))


def test_stream_metadata(client: Any, stream: str) -> None:
    assert client.get_stream_metadata(stream) == ({}, StreamState.NO_STREAM)
    client.set_stream_metadata(stream, metadata={"$maxCount": 2, "note": "ü"}, current_version=StreamState.NO_STREAM)
    assert client.get_stream_metadata(stream) == ({"$maxCount": 2, "note": "ü"}, 0)
    with pytest.raises(WrongCurrentVersionError):
        client.set_stream_metadata(stream, metadata={}, current_version=7)
    client.append_to_stream(stream, events=events(*"ABCD"), current_version=StreamState.ANY)
    assert numbers(client.get_stream(stream)) == [2, 3]
    client.set_stream_metadata(stream, metadata={"$tb": 3}, current_version=0)
    assert numbers(client.get_stream(stream)) == [3]


def test_deleting(client: Any, stream: str) -> None:
    with pytest.raises(NotFoundError):
        client.delete_stream(stream, current_version=StreamState.EXISTS)
    client.append_to_stream(stream, events=events("A", "B"), current_version=StreamState.ANY)
    with pytest.raises(WrongCurrentVersionError) as wrong:
        client.delete_stream(stream, current_version=0)
    assert wrong.value.actual_version == 1
    client.delete_stream(stream, current_version=1)
    with pytest.raises(NotFoundError):
        client.get_stream(stream)
    assert client.get_current_version(stream) is StreamState.NO_STREAM
    client.append_to_stream(stream, events=events("C"), current_version=StreamState.NO_STREAM)
    assert numbers(client.get_stream(stream)) == [2]
    client.delete_stream(stream, current_version=StreamState.ANY)


def test_tombstoning(client: Any, stream: str) -> None:
    client.append_to_stream(stream, events=events("A"), current_version=StreamState.ANY)
    with pytest.raises(WrongCurrentVersionError):
        client.tombstone_stream(stream, current_version=5)
    client.tombstone_stream(stream, current_version=0)
    for attempt in (
        lambda: client.get_stream(stream),
        lambda: client.append_to_stream(stream, events=events("B")[0], current_version=StreamState.ANY),
        lambda: client.append_to_stream(stream, events=events("B", "C"), current_version=StreamState.ANY),
        lambda: client.delete_stream(stream, current_version=StreamState.ANY),
        lambda: client.tombstone_stream(stream, current_version=StreamState.ANY),
        lambda: client.subscribe_to_stream(stream),
    ):
        with pytest.raises((StreamIsDeletedError, FailedPreconditionError), match="is deleted"):
            attempt()


def test_links_are_resolved(client: Any, stream: str) -> None:
    client.append_to_stream(stream, events=events("A", "B"), current_version=StreamState.ANY)
    link = NewEvent(type="$>", data=f"1@{stream}".encode(), content_type="application/octet-stream")
    client.append_to_stream(stream + "-links", events=link, current_version=StreamState.ANY)
    (plain,) = client.get_stream(stream + "-links")
    assert (plain.id, plain.type, plain.is_link_event) == (link.id, "$>", True)
    (resolved,) = client.get_stream(stream + "-links", resolve_links=True)
    assert (resolved.type, resolved.stream_name, resolved.stream_position) == ("B", stream, 1)
    assert (resolved.link.id, resolved.ack_id) == (link.id, link.id)


def test_subscribing_to_a_stream(client: Any, stream: str) -> None:
    client.append_to_stream(stream, events=events("A", "B"), current_version=StreamState.ANY)
    with client.subscribe_to_stream(stream, include_caught_up=True) as subscription:
        assert uuid.UUID(subscription.subscription_id)
        assert types(islice(subscription, 2)) == ["A", "B"]
        assert next(subscription).is_caught_up
        client.append_to_stream(stream, events=events("C", "D"), current_version=StreamState.ANY)
        assert types(islice(subscription, 2)) == ["C", "D"]
    with client.subscribe_to_stream(stream, stream_position=1) as subscription:
        assert types(islice(subscription, 2)) == ["C", "D"]
    with client.subscribe_to_stream(stream, from_end=True) as subscription:
        client.append_to_stream(stream, events=events("E"), current_version=StreamState.ANY)
        assert types(islice(subscription, 1)) == ["E"]


def test_subscribing_to_a_stream_that_is_not_there_yet(client: Any, stream: str) -> None:
    subscription = client.subscribe_to_stream(stream, include_caught_up=True)
    assert next(subscription).is_caught_up
    client.append_to_stream(stream, events=events("A"), current_version=StreamState.NO_STREAM)
    assert types(islice(subscription, 1)) == ["A"]
    client.tombstone_stream(stream, current_version=StreamState.ANY)
    with pytest.raises(StreamIsDeletedError):  # its asyncio client drops what came just before an error
        assert types(subscription) == ["$streamDeleted"]


def test_subscribing_to_all(client: Any, stream: str) -> None:
    by_name = {"filter_include": [stream], "filter_by_stream_name": True}
    before = client.append_to_stream(stream, events=events("A"), current_version=StreamState.ANY)
    client.append_to_stream(stream, events=events("B"), current_version=StreamState.ANY)
    with client.subscribe_to_all(commit_position=before, **by_name, include_caught_up=True) as subscription:
        assert next(subscription).type == "B", "the event at the position is not included"
        assert next(subscription).is_caught_up
        live = client.append_to_stream(stream, events=events("C"), current_version=StreamState.ANY)
        assert next(subscription).commit_position == live
    with client.subscribe_to_all(from_end=True, filter_exclude=[]) as subscription:
        client.append_to_stream(stream + "-2", events=events("D"), current_version=StreamState.ANY)
        assert next(subscription).stream_name == stream + "-2"


def test_checkpoints_tell_how_far_a_filtered_subscription_is(client: Any, stream: str) -> None:
    first = client.append_to_stream(stream, events=events("A"), current_version=StreamState.ANY)
    client.append_to_stream(stream + "-other", events=events(*["Other"] * 40), current_version=StreamState.ANY)
    with client.subscribe_to_all(
        commit_position=first,
        filter_include=[stream],
        filter_by_stream_name=True,
        include_checkpoints=True,
        include_caught_up=True,
        window_size=10,
        checkpoint_interval_multiplier=1,
    ) as subscription:
        checkpoints = []
        for message in subscription:
            if message.is_caught_up:
                break
            assert message.is_checkpoint
            checkpoints.append(message.commit_position)
        assert len(checkpoints) >= 4
        assert checkpoints == sorted(set(checkpoints))
        client.append_to_stream(stream + "-other", events=events(*["Other"] * 20), current_version=StreamState.ANY)
        live = next(subscription)
        assert live.is_checkpoint
        assert live.commit_position > checkpoints[-1]
    client.append_to_stream(stream, events=events("B"), current_version=StreamState.ANY)
    with client.subscribe_to_all(
        commit_position=live.commit_position, filter_include=[stream], filter_by_stream_name=True
    ) as subscription:
        assert next(subscription).type == "B"


def test_a_subscriber_that_stops_half_way(client: Any, stream: str) -> None:
    big = [NewEvent(type="Big", data=json.dumps("x" * 20_000).encode()) for _ in range(40)]
    client.append_to_stream(stream, events=big, current_version=StreamState.ANY)
    for _ in range(110):  # a connection has room for 100 calls at once
        subscription = client.subscribe_to_stream(stream)
        assert next(subscription).stream_position == 0
        subscription.stop()
    assert len(client.get_stream(stream)) == 40


def test_a_read_that_stops_half_way(client: Any, stream: str) -> None:
    big = [NewEvent(type="Big", data=json.dumps("x" * 20_000).encode()) for _ in range(40)]
    client.append_to_stream(stream, events=big, current_version=StreamState.ANY)
    with client.read_stream(stream) as response:
        assert next(response).stream_position == 0
    assert client.get_current_version(stream) == 39


def test_much_to_read(client: Any, stream: str) -> None:
    for _ in range(6):
        new = [NewEvent(type="Big", data=b"y" * 10_000) for _ in range(100)]
        client.append_to_stream(stream, events=new, current_version=StreamState.ANY)
    assert sum(len(event.data) for event in client.get_stream(stream)) == 6_000_000
    with client.subscribe_to_stream(stream) as subscription:
        assert numbers(islice(subscription, 600)) == list(range(600))


def test_the_life_of_a_group(client: Any, stream: str) -> None:
    client.append_to_stream(stream, events=events("A", "B", "C", "D"), current_version=StreamState.NO_STREAM)
    client.create_subscription_to_stream("g", stream, max_retry_count=1, message_timeout=30)
    with pytest.raises(AlreadyExistsError):
        client.create_subscription_to_stream("g", stream)
    consumer = client.read_subscription_to_stream("g", stream)
    handled = []
    for event in consumer:
        handled.append((event.type, event.retry_count))
        match event.type:
            case "A":
                consumer.ack(event)
            case "B":
                consumer.nack(event, "park")
            case "C":
                consumer.nack(event, "retry" if not event.retry_count else "skip")
            case _:
                consumer.ack(event)
        if len(handled) == 5:
            break
    assert sorted(handled) == [("A", 0), ("B", 0), ("C", 0), ("C", 1), ("D", 0)]
    consumer.stop()
    info = client.get_subscription_info("g", stream)
    assert (info.group_name, info.event_source, info.parked_message_count) == ("g", stream, 1)
    assert [each.group_name for each in client.list_subscriptions_to_stream(stream)] == ["g"]

    client.replay_parked_events("g", stream)
    consumer = client.read_subscription_to_stream("g", stream)
    for event in consumer:
        consumer.ack(event)
        if event.type == "B":
            break
    assert event.link is not None
    consumer.stop()
    client.update_subscription_to_stream("g", stream, max_retry_count=7)
    assert client.get_subscription_info("g", stream).max_retry_count == 7
    client.delete_subscription("g", stream)
    with pytest.raises(NotFoundError):
        client.read_subscription_to_stream("g", stream)


def test_a_group_of_all_streams(client: Any, stream: str) -> None:
    group = f"all-{stream}"
    client.create_subscription_to_all(group, from_end=True, filter_include=[f"{stream}.*"], filter_by_stream_name=True)
    client.append_to_stream(stream, events=events("A", "B"), current_version=StreamState.NO_STREAM)
    consumer = client.read_subscription_to_all(group)
    found = []
    for event in islice(consumer, 2):
        found.append(event.type)
        consumer.ack(event)
    assert found == ["A", "B"]
    consumer.stop()
    client.delete_subscription(group)
