"""Appending: what is sent, what comes back, what is refused before anything is sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scripted import Scripted, appended, fails, says, wrong_version
from trio_esdb import (
    AppendResult,
    ESDBClient,
    ExpectedPositionError,
    InvalidArgumentError,
    InvalidRequestError,
    InvalidTypeError,
    NewEvent,
    ProtocolError,
    ServerTooLargeError,
    StreamDeletedError,
    StreamState,
    TooLargeError,
)
from trio_esdb._wire import Status
from trio_esdb_proto.event_store.client import Uuid
from trio_esdb_proto.event_store.client import streams as pb

EVENT = NewEvent("Happened", b"{}")


async def test_what_is_sent(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(5, 1234))
    first = NewEvent("OrderCreated", b'{"a":1}', metadata=b"\x00m", id=uuid.UUID(int=77))
    second = NewEvent("Größe", b"\x01\x02", content_type="application/octet-stream")
    await client.append_events("order-ü", 3, [first, second])
    options, events = server.seen[0].appended
    assert options.stream_identifier is not None
    assert options.stream_identifier.stream_name == "order-ü".encode()
    assert options.revision == 3
    assert [event.id for event in events] == [Uuid(string=str(first.id)), Uuid(string=str(second.id))]
    assert [event.metadata for event in events] == [
        {"type": "OrderCreated", "content-type": "application/json"},
        {"type": "Größe", "content-type": "application/octet-stream"},
    ]
    assert [event.custom_metadata for event in events] == [b"\x00m", b""]
    assert [event.data for event in events] == [b'{"a":1}', b"\x01\x02"]
    assert server.seen[0].call.metadata["requires-leader"] == "true"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "no_stream"),
        (StreamState.NO_STREAM, "no_stream"),
        (StreamState.ANY, "any"),
        (-1, "any"),
        (-5, "any"),
        (StreamState.EXISTS, "stream_exists"),
        (0, "revision"),
        (2**63 - 1, "revision"),
    ],
)
async def test_expected_positions(client: ESDBClient, server: Scripted, given: Any, sent: str) -> None:
    server.append = says(appended(0, 1))
    await client.append_events("s", given, [EVENT])
    options, _ = server.seen[0].appended
    kinds = ("no_stream", "any", "stream_exists", "revision")
    assert [kind for kind in kinds if getattr(options, kind) is not None] == [sent]
    if sent == "revision":
        assert options.revision == given


async def test_the_result_is_the_commit_position_and_knows_the_stream_position(
    client: ESDBClient, server: Scripted
) -> None:
    server.append = says(appended(5, 1234))
    result = await client.append_events("s", None, [EVENT])
    assert isinstance(result, AppendResult)
    assert result == 1234
    assert (result.commit_position, result.stream_position, result.revision) == (1234, 5, 5)


async def test_a_result_without_a_position(client: ESDBClient, server: Scripted) -> None:
    """A repeated append whose event is hidden by now."""
    server.append = says(appended(5, None))
    result = await client.append_events("s", None, [EVENT])
    assert (int(result), result.commit_position, result.stream_position) == (-1, None, 5)


async def test_appending_nothing(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(None, 99))
    result = await client.append_events("s", StreamState.ANY, [])
    assert (result.commit_position, result.stream_position) == (99, None)
    assert len(server.seen[0].requests) == 1


async def test_append_event_sends_one(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(0, 1))
    assert await client.append_event("s", expected_position=None, event=EVENT) == 1
    _, events = server.seen[0].appended
    assert [event.id for event in events] == [Uuid(string=str(EVENT.id))]


async def test_any_iterable_will_do(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(1, 1))
    events = [NewEvent("A", b""), NewEvent("B", b"")]
    for given in (tuple(events), iter(events), (event for event in events), dict.fromkeys(events)):
        await client.append_events("s", None, given)
        assert [event.metadata["type"] for event in server.seen[-1].appended[1]] == ["A", "B"]


async def test_equal_ids_in_one_append_are_the_servers_to_judge(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(1, 1))
    await client.append_events("s", None, [EVENT, EVENT])
    assert len(server.seen[0].appended[1]) == 2


async def test_an_iterable_that_fails_sends_nothing(client: ESDBClient, server: Scripted) -> None:
    def events() -> Iterator[NewEvent]:
        yield EVENT
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await client.append_events("s", None, events())
    assert server.seen == []


@pytest.mark.parametrize(("actual", "text"), [(7, "is at 7"), (None, "has no events")])
async def test_a_stream_that_is_elsewhere(client: ESDBClient, server: Scripted, actual: int | None, text: str) -> None:
    server.append = says(wrong_version(actual))
    with pytest.raises(
        ExpectedPositionError, match=f"appending to stream 's': .*{text}.*expected_position=3"
    ) as caught:
        await client.append_events("s", 3, [EVENT])
    error = caught.value
    assert (error.stream_name, error.expected, error.actual) == ("s", 3, actual)
    assert error.address == "node-1:2113"


@pytest.mark.parametrize("expected", [None, StreamState.EXISTS, StreamState.NO_STREAM])
async def test_the_expectation_is_told_as_it_was_given(client: ESDBClient, server: Scripted, expected: Any) -> None:
    server.append = says(wrong_version(0))
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_event("s", expected, EVENT)
    assert caught.value.expected is expected


async def test_the_answer_of_servers_before_20_6_1(client: ESDBClient, server: Scripted) -> None:
    old = pb.AppendRespWrongExpectedVersion(current_revision_20_6_0=4)
    server.append = says(bytes(pb.AppendResp(wrong_expected_version=old)))
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.actual == 4


async def test_a_tombstoned_stream(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(
        Status.FAILED_PRECONDITION, "Event stream 's' is deleted.", exception="stream-deleted", stream_name="s"
    )
    with pytest.raises(StreamDeletedError, match=r"appending to stream 's': Event stream 's' is deleted\.") as caught:
        await client.append_event("s", None, EVENT)
    error = caught.value
    assert error.stream_name == "s"
    assert error.status == "FAILED_PRECONDITION"
    assert error.details == "Event stream 's' is deleted."
    assert error.trailers["exception"] == "stream-deleted"
    assert error.address == "node-1:2113"


async def test_the_servers_size_limits(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(
        Status.INVALID_ARGUMENT,
        "Maximum Append Size of 1048576 Exceeded.",
        exception="maximum-append-size-exceeded",
        maximum_append_size="1048576",
    )
    with pytest.raises(ServerTooLargeError, match="1048576") as caught:
        await client.append_event("s", None, EVENT)
    assert isinstance(caught.value, TooLargeError)
    assert (caught.value.limit, caught.value.size) == (1048576, None)

    server.append = fails(
        Status.INVALID_ARGUMENT,
        "Event with Id: X, Size: 900, exceeds Maximum Append Event Size of 800.",
        exception="maximum-append-event-size-exceeded",
        maximum_append_event_size="800",
        proposed_append_event_size="900",
    )
    with pytest.raises(ServerTooLargeError) as caught:
        await client.append_event("s", None, EVENT)
    assert (caught.value.limit, caught.value.size) == (800, 900)


async def test_what_cannot_fit_a_message_is_not_sent(client: ESDBClient, server: Scripted) -> None:
    large = NewEvent("Happened", bytes(16_767_216))
    with pytest.raises(TooLargeError, match=f"event {large.id} of type 'Happened' takes 167") as caught:
        await client.append_events("s", None, [EVENT, large])
    assert caught.value.limit == 16_767_216
    assert caught.value.size is not None
    assert caught.value.size > caught.value.limit
    assert server.seen == []


async def test_the_largest_message_is_sent(client: ESDBClient, server: Scripted) -> None:
    server.append = says(appended(0, 1))
    size = len(bytes(pb.AppendReq(proposed_message=_proposed(b""))))
    largest = 16_767_216 - size - 10
    while len(bytes(pb.AppendReq(proposed_message=_proposed(bytes(largest))))) < 16_767_216:
        largest += 1
    assert await client.append_event("s", None, NewEvent("Happened", bytes(largest))) == 1
    with pytest.raises(TooLargeError):
        await client.append_event("s", None, NewEvent("Happened", bytes(largest + 1)))
    assert [len(seen.requests[1]) for seen in server.seen] == [16_767_216]


def _proposed(data: bytes) -> pb.AppendReqProposedMessage:
    return pb.AppendReqProposedMessage(
        id=Uuid(string=str(EVENT.id)),
        metadata={"type": "Happened", "content-type": "application/json"},
        data=data,
    )


async def test_an_answer_while_events_are_still_being_sent(client: ESDBClient, server: Scripted) -> None:
    """A server refuses in the middle of a large append; the connection goes on."""
    server.early.add("Append")
    server.append = fails(Status.INVALID_ARGUMENT, "too much", exception="maximum-append-size-exceeded")
    with pytest.raises(ServerTooLargeError, match="too much"):
        await client.append_events("s", None, [NewEvent("Happened", bytes(3_000_000)) for _ in range(5)])
    server.early.clear()
    server.append = says(appended(0, 8))
    assert await client.append_event("s", None, EVENT) == 8
    assert len(server.links) == 1
    assert server.open_calls == 0


@pytest.mark.parametrize("answer", [b"", b"\xff\xff", b"\x0a", b"\x0a\x05\x08", bytes(pb.AppendResp())])
async def test_an_answer_that_means_nothing(client: ESDBClient, server: Scripted, answer: bytes) -> None:
    server.append = says(answer)
    with pytest.raises(ProtocolError, match=r"appending to stream 's': .*malformed") as caught:
        await client.append_event("s", None, EVENT)
    assert caught.value.address == "node-1:2113"
    server.append = says(appended(0, 8))
    assert await client.append_event("s", None, EVENT) == 8
    assert len(server.links) == 1


@pytest.mark.parametrize("answers", [(), (appended(0, 1), appended(0, 2))])
async def test_another_number_of_answers_than_one(
    client: ESDBClient, server: Scripted, answers: tuple[bytes, ...]
) -> None:
    server.append = says(*answers)
    with pytest.raises(ProtocolError, match=f"{len(answers)} responses"):
        await client.append_event("s", None, EVENT)


async def test_the_server_fails_on_the_request(client: ESDBClient, server: Scripted) -> None:
    server.append = fails(Status.UNKNOWN, "Exception was thrown by handler.")
    with pytest.raises(InvalidRequestError):
        await client.append_event("s", None, EVENT)


BAD_EVENTS: list[Any] = [None, 5, "text", b"bytes", EVENT, [b"{}"], [EVENT, None], ({"type": "x"},)]


@pytest.mark.parametrize("events", BAD_EVENTS)
async def test_what_are_no_events(client: ESDBClient, server: Scripted, events: Any) -> None:
    with pytest.raises(InvalidTypeError, match="events must"):
        await client.append_events("s", None, events)
    assert server.seen == []


@pytest.mark.parametrize("event", [None, b"{}", [EVENT], {"type": "x"}])
async def test_what_is_no_event(client: ESDBClient, server: Scripted, event: Any) -> None:
    with pytest.raises(InvalidTypeError, match="event must be a NewEvent"):
        await client.append_event("s", None, event)
    assert server.seen == []


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        ("0", InvalidTypeError),
        (1.0, InvalidTypeError),
        (True, InvalidTypeError),
        (b"", InvalidTypeError),
        (AppendResult(500, 3), InvalidTypeError),
        (2**63, InvalidArgumentError),
        (2**64, InvalidArgumentError),
    ],
)
async def test_unusable_expected_positions(
    client: ESDBClient, server: Scripted, expected: Any, kind: type[Exception]
) -> None:
    for use in (
        client.append_events("s", expected, [EVENT]),
        client.append_event("s", expected, EVENT),
        client.delete_stream("s", expected),
        client.tombstone_stream("s", expected),
        client.set_stream_metadata("s", {}, expected),
    ):
        with pytest.raises(kind, match="expected_position must be"):
            await use
    assert server.seen == []
