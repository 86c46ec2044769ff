"""What a user sees of the differences between versions, each from the records of the versions that differ."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import trio

from tests.conformance.records import schema
from tests.support.foreign import Foreign, Reply
from tests.support.recorded import Said, said
from trio_esdb import (
    AbortedError,
    CaughtUp,
    Checkpoint,
    ConsumerTooSlowError,
    ESDBClient,
    InvalidPositionError,
    InvalidRequestError,
    NewEvent,
    ServerTooLargeError,
    StreamDeletedError,
    StreamState,
)

OLD, IMITATED, NEW = "23.10.6", "24.10.4", "26.1.0"
EVERYTHING: dict[str, Any] = {"include_caught_up": True, "include_fell_behind": True}


def reply_of(call: Said) -> Reply:
    if call.end is None:
        return Reply(call.messages(), None)
    return Reply(call.messages(), grpc.StatusCode[call.end["code"]], call.end["details"], call.end["trailers"])


def kinds(messages: list[Any]) -> list[str]:
    return [type(message).__name__ for message in messages]


@pytest.mark.parametrize(
    ("version", "seen"),
    [
        (OLD, ["RecordedEvent", "RecordedEvent", "CaughtUp"]),
        (IMITATED, ["CaughtUp", "RecordedEvent", "RecordedEvent"]),
    ],
)
async def test_when_a_subscription_to_a_missing_stream_has_caught_up(
    client: ESDBClient, server: Foreign, version: str, seen: list[str]
) -> None:
    server.will(reply_of(said(version, "subscribe/stream-not-yet-there")["c1"]))
    async with client.subscribe_stream_events("s", **EVERYTHING) as events:
        assert events.subscription_id is not None, "it is in place, caught up or not"
        assert kinds([await events.receive() for _ in seen]) == seen
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


@pytest.mark.parametrize("name", ["c3", "c4", "c5"])
@pytest.mark.parametrize(("version", "last"), [(OLD, "CaughtUp"), (IMITATED, "RecordedEvent")])
async def test_when_a_subscription_to_a_deleted_stream_has_caught_up(
    client: ESDBClient, server: Foreign, version: str, last: str, name: str
) -> None:
    call = said(version, "subscribe/soft-deleted-stream")[name]
    server.will(reply_of(call))
    async with client.subscribe_stream_events("s", **EVERYTHING) as events:
        messages = [await events.receive() for _ in call.answers[1:]]
    assert kinds(messages).count("CaughtUp") == 1
    if len(messages) > 1:
        assert type(messages[-1]).__name__ == last


async def test_the_end_of_a_tombstoned_stream(client: ESDBClient, server: Foreign) -> None:
    server.will(reply_of(said(OLD, "subscribe/tombstoned-stream")["c4"]))
    async with client.subscribe_stream_events("s", from_end=True, resume=False, **EVERYTHING) as events:
        assert await events.receive() == CaughtUp()
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
    for version, name in ((OLD, "c3"), (IMITATED, "c3"), (IMITATED, "c4")):
        server.will(reply_of(said(version, "subscribe/tombstoned-stream")[name]))
        with pytest.raises(StreamDeletedError) as refused:
            async with client.subscribe_stream_events("s"):
                pass
        assert refused.value.stream_name == "subscribe-tombstoned-stream"


async def test_a_consumer_that_is_too_slow(client: ESDBClient, server: Foreign) -> None:
    server.will(reply_of(said(OLD, "subscribe/slow-on-a-stream")["c2"]))
    async with client.subscribe_stream_events("s", resume=False, **EVERYTHING) as events:
        assert await events.receive() == CaughtUp()
        with pytest.raises(ConsumerTooSlowError) as ended:
            await events.receive()
    assert isinstance(ended.value, AbortedError)
    assert "resubscription required" in str(ended.value)


@pytest.mark.parametrize("version", [OLD, IMITATED, NEW])
async def test_a_position_that_is_none(client: ESDBClient, server: Foreign, version: str) -> None:
    calls = said(version, "read/all-positions")
    for name in ("c7", "c8", "c12"):
        server.will(reply_of(calls[name]))
        with pytest.raises(InvalidPositionError, match=r"Unexpected (Filtered)?ReadAllResult: ") as refused:
            async with client.read_all_events(7) as events:
                await events.receive()
        assert (" >> " in refused.value.details) is (version == NEW)


@pytest.mark.parametrize("version", [OLD, IMITATED])
async def test_a_position_that_is_none_for_a_subscription(client: ESDBClient, server: Foreign, version: str) -> None:
    server.will(reply_of(said(version, "subscribe/all-odd-starts")["c7"]))
    with pytest.raises(InvalidPositionError, match=r"\[\w+, 127") as refused:  # one of them confirms before it refuses
        async with client.subscribe_all_events(7) as events:
            await events.receive()
    assert "regular expression" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "scenario", "refused"),
    [
        (OLD, "append/exact-size-limit", "c3"),
        (IMITATED, "append/exact-size-limit", "c2 c3 c5 c7 c10"),
        (IMITATED, "append/too-large", "c2 c3 c4"),
        (NEW, "append/too-large", ""),
    ],
)
async def test_which_appends_are_too_large(
    client: ESDBClient, server: Foreign, version: str, scenario: str, refused: str
) -> None:
    too_large, limits = [], set()
    for name, call in said(version, scenario).items():
        if call.path.endswith("/Append"):
            server.will(reply_of(call))
            try:
                await client.append_events("s", StreamState.ANY, [NewEvent("A", b"")])
            except ServerTooLargeError as exc:
                too_large.append(name)
                limits.add(exc.limit)
    assert " ".join(too_large) == refused
    assert limits <= {1024 * 1024}


async def test_an_event_that_is_too_large(client: ESDBClient, server: Foreign) -> None:
    """25.1 and later limit a single event, too; no record holds that."""
    text = 'Event with Id: { "string": "i" }, Size: 16777217, exceeds Maximum Append Event Size of 16777216.'
    trailers = {
        "exception": "maximum-append-event-size-exceeded",
        "maximum-append-event-size": "16777216",
        "event-id": '{ "string": "i" }',
        "proposed-append-event-size": "16777217",
    }
    server.will(Reply([], grpc.StatusCode.INVALID_ARGUMENT, text, trailers))
    with pytest.raises(ServerTooLargeError) as refused:
        await client.append_events("s", StreamState.ANY, [NewEvent("A", b"")])
    assert (refused.value.limit, refused.value.size) == (16_777_216, 16_777_217)
    assert dict(refused.value.trailers) == trailers
    assert refused.value.details == text


async def test_an_append_of_much_more_than_the_older_versions_take(client: ESDBClient, server: Foreign) -> None:
    """26 takes 256 MiB at once; what this client sends does not end at the older limit."""
    reply = Reply(said(NEW, "append/too-large")["c3"].messages())
    server.will(reply)
    await client.append_events("s", StreamState.ANY, [NewEvent("A", b"x" * 1_000_000) for _ in range(40)])
    assert len(reply.requests) == 41
    assert sum(map(len, reply.requests)) > 40_000_000


@pytest.mark.parametrize("version", [OLD, IMITATED, NEW])
async def test_a_request_that_is_refused_for_its_shape(client: ESDBClient, server: Foreign, version: str) -> None:
    for name, call in said(version, "read/bad-shape").items():
        if call.end is None or call.end["code"] != "INVALID_ARGUMENT":
            continue
        server.will(reply_of(call))
        with pytest.raises(InvalidRequestError) as refused:
            await client.get_stream_events("s")
        assert refused.value.details == call.end["details"], name


async def test_a_checkpoint_is_given_back_as_it_came(client: ESDBClient, server: Foreign) -> None:
    """Checkpoints of 23.10 within old events have a prepare position of 0."""
    call = said(OLD, "subscribe/filtered-checkpoints-in-catch-up")["c10"]
    server.will(reply_of(call))
    checkpoints = []
    async with client.subscribe_all_events(include_checkpoints=True, **EVERYTHING) as events:
        async for message in events:
            if isinstance(message, Checkpoint):
                checkpoints.append(message)
            if isinstance(message, CaughtUp):
                break
    past, at = (next(c for c in checkpoints if (c.prepare_position == 0) is zero) for zero in (True, False))
    assert past.commit_position > 0
    assert at.commit_position == at.prepare_position
    for checkpoint in (past, at):
        reply = reply_of(call)
        server.will(reply)
        async with client.subscribe_all_events(checkpoint):
            pass
        asked = schema().cls("event_store.client.streams.ReadReq").FromString(reply.requests[0]).options.all.position
        assert (asked.commit_position, asked.prepare_position) == (
            checkpoint.commit_position,
            checkpoint.prepare_position,
        )


async def test_caught_up_that_says_where_and_when(client: ESDBClient, server: Foreign) -> None:
    for scenario, name in (("subscribe/stream-from-start", "c2"), ("subscribe/all-unfiltered-from-position", "c3")):
        call = said(NEW, scenario)[name]
        (caught_up,) = (answer["caught_up"] for answer in call.answers if "caught_up" in answer)
        assert caught_up.keys() > {"timestamp"}
        server.will(reply_of(call))
        async with client.subscribe_all_events(**EVERYTHING) as events:
            messages = [await events.receive() for _ in call.answers[1:]]
        assert messages.count(CaughtUp()) == 1


async def test_links_that_lead_nowhere(client: ESDBClient, server: Foreign) -> None:
    call = said(NEW, "read/links")["c6"]
    server.will(reply_of(call))
    async with client.subscribe_stream_events("s", resolve_links=True) as events:
        messages = [await events.receive() for answer in call.answers if "event" in answer]
    dangling = [event for event in messages if event.is_link_event]
    resolved = [event for event in messages if event.is_resolved_event]
    assert [event.data for event in dangling] == [b"9@read-links-a", b"0@read-links-zz", b"nonsense"]
    assert [event.original.data for event in resolved] == [b"0@read-links-a", b"2@read-links-a"]
    assert {event.original.stream_name for event in messages} == {"read-links-l"}
