"""Appends are what betterproto2 writes and Google's protobuf reads; their answers are understood."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import oracle
from tests.support.makers import append_responses, block, damaged, delete_responses, number
from trio_esdb._convert import (
    ANY,
    EXISTS,
    NO_STREAM,
    WrongRevision,
    append_options,
    append_response,
    delete_response,
    proposed_message,
)
from trio_esdb._convert._responses import _any_append_response, _usual_success
from trio_esdb._errors import ProtocolError
from trio_esdb._model import AppendResult, NewEvent
from trio_esdb_proto.event_store.client import Empty, StreamIdentifier, Uuid
from trio_esdb_proto.event_store.client.streams import AppendReq, AppendReqOptions, AppendReqProposedMessage

U64MAX = 2**64 - 1
many = settings(max_examples=300, suppress_health_check=list(HealthCheck))
texts = st.text(min_size=1, max_size=300)
payloads = st.binary(max_size=300) | st.sampled_from([b"x" * 127, b"x" * 128, b"x" * 16_384, b"x" * 3_000_000])
new_events = st.builds(
    NewEvent,
    type=texts,
    data=payloads,
    metadata=payloads,
    content_type=st.sampled_from(["application/json", "application/octet-stream"]),
    id=st.uuids(),
)


@given(new_events)
@many
def test_an_event_to_be_appended(event: NewEvent) -> None:
    raw = proposed_message(event)
    assert raw == bytes(
        AppendReq(
            proposed_message=AppendReqProposedMessage(
                id=Uuid(string=str(event.id)),
                metadata={"type": event.type, "content-type": event.content_type},
                custom_metadata=event.metadata,
                data=event.data,
            )
        )
    )
    message = oracle.parsed("streams.AppendReq", raw)
    assert message.WhichOneof("content") == "proposed_message"
    proposed = message.proposed_message
    assert uuid.UUID(proposed.id.string) == event.id
    assert dict(proposed.metadata) == {"type": event.type, "content-type": event.content_type}
    assert (proposed.data, proposed.custom_metadata) == (event.data, event.metadata)


def test_an_id_with_leading_zeros() -> None:
    event = NewEvent(type="T", data=b"", id=uuid.UUID(int=1))
    message = oracle.parsed("streams.AppendReq", proposed_message(event))
    assert message.proposed_message.id.string == "00000000-0000-0000-0000-000000000001"


@given(name=texts, expected=st.sampled_from([ANY, NO_STREAM, EXISTS, 0, 127, 128]) | st.integers(0, 2**63 - 1))
@many
def test_options(name: str, expected: int) -> None:
    raw = append_options(name, expected)
    options = AppendReqOptions(stream_identifier=StreamIdentifier(stream_name=name.encode()))
    member = {ANY: "any", NO_STREAM: "no_stream", EXISTS: "stream_exists"}.get(expected, "revision")
    setattr(options, member, expected if member == "revision" else Empty())
    assert raw == bytes(AppendReq(options=options))
    message = oracle.parsed("streams.AppendReq", raw)
    assert message.options.stream_identifier.stream_name == name.encode()
    assert message.options.WhichOneof("expected_stream_revision") == member
    assert expected < 0 or message.options.revision == expected


# Answers


def outcome_of_append(raw: bytes) -> object:
    try:
        return oracle.both_positions(append_response(raw))
    except ProtocolError:
        return "refused"


def expected_of_append(raw: bytes) -> object:
    try:
        return oracle.append_response(raw)
    except oracle.Refused:
        return "refused"


@given(append_responses() | damaged(append_responses()) | st.binary(max_size=40))
@many
def test_answers_to_appends(raw: bytes) -> None:
    assert outcome_of_append(raw) == expected_of_append(raw)


@given(delete_responses() | damaged(delete_responses()) | st.binary(max_size=40))
@many
def test_answers_to_deletions(raw: bytes) -> None:
    try:
        expected: object = oracle.delete_response(raw)
    except oracle.Refused:
        expected = "refused"
    if expected == "refused":
        with pytest.raises(ProtocolError, match="the server's response to a deletion is malformed"):
            delete_response(raw)
    else:
        assert delete_response(raw) == expected


@given(revision=st.integers(0, 2**63 - 1), position=st.integers(1, 2**63 - 1))
@many
def test_a_success_goes_the_hot_way(revision: int, position: int) -> None:
    raw = block(1, number(1, revision) + block(3, number(1, position) + number(2, position)))
    hot, long = _usual_success(raw), _any_append_response(raw)
    assert hot is not None
    assert isinstance(long, AppendResult)
    assert (hot.commit_position, hot.stream_position) == (long.commit_position, long.stream_position)
    assert (hot.commit_position, hot.stream_position) == (position, revision)


@pytest.mark.parametrize(
    ("raw", "commit", "revision"),
    [
        (block(1, number(1, 0) + block(3, b"")), 0, 0),
        (block(1, number(1, 7) + block(4, b"")), None, 7),
        (block(1, number(1, 7) + block(3, number(1, U64MAX) + number(2, U64MAX))), None, 7),
        (block(1, block(2, b"") + block(4, b"")), None, None),
        (block(1, block(2, b"") + block(3, number(1, 9) + number(2, 9))), 9, None),
        (block(1, b""), None, None),
        (block(1, number(1, 7, 9) + block(3, number(1, 9, 9) + number(2, 9, 9))), 9, 7),
    ],
)
def test_successes(raw: bytes, commit: int | None, revision: int | None) -> None:
    result = append_response(raw)
    assert isinstance(result, AppendResult)
    assert (result.commit_position, result.stream_position) == (commit, revision)
    assert oracle.append_response(raw) == (commit, revision)


@pytest.mark.parametrize(
    ("fields", "actual"),
    [
        (number(6, 5) + number(8, 3) + number(1, 5) + number(3, 3), 5),
        (number(6, 0), 0),
        (block(7, b"") + block(9, b""), None),
        (block(7, b"") + number(1, 5), None),
        (number(1, 5) + number(3, 7), 5),  # before 20.6.1
        (block(2, b"") + block(4, b""), None),
        (b"", None),
    ],
)
def test_refusals(fields: bytes, actual: int | None) -> None:
    raw = block(2, fields)
    assert append_response(raw) == WrongRevision(actual) == oracle.append_response(raw)


@pytest.mark.parametrize("raw", [b"", b"\x0a", b"\x0a\x05\x08", b"\x1a\x00", b"\x0a\x02\x08\x80", number(1, 5)])
def test_answers_that_say_nothing_are_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="the server's response to an append is malformed") as caught:
        append_response(raw)
    assert caught.value.status == "INTERNAL"


def test_a_success_with_more_in_it_goes_the_long_way() -> None:
    position = block(3, number(1, 9) + number(2, 9) + number(3, 1))
    for raw in (block(1, number(1, 7) + position), block(1, number(1, 7) + block(3, number(1, 9) + number(3, 1)))):
        assert _usual_success(raw) is None
        assert outcome_of_append(raw) == expected_of_append(raw) == (9, 7)


def test_a_padded_number_is_given_up_early() -> None:
    assert outcome_of_append(b"\x0a\x80\x01\x08" + b"\xff" * 127) == "refused"
    raw = block(1, number(1, 7, 11) + block(3, number(1, 9) + number(2, 9)))
    assert outcome_of_append(raw) == expected_of_append(raw) == "refused"
