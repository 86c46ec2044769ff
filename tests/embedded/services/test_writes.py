"""Append, Delete and Tombstone: what is checked, in which order, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.peer import MAX, STREAMS, UNKNOWN, Peer, read_request
from trio_esdb._wire import Outcome, Status

APPEND = STREAMS + "Append"
NAME = {"stream_identifier": {"stream_name": b"s"}}


async def outcome(peer: Peer, path: str, *bodies: dict[str, Any]) -> Outcome:
    messages, outcome = await peer.ask(path, *bodies)
    assert messages == []
    return outcome


async def test_the_expectation_is_looked_at_before_the_name(peer: Peer) -> None:
    refused = await outcome(peer, APPEND, {"options": {}})
    assert refused.status is Status.INVALID_ARGUMENT
    assert (await outcome(peer, APPEND, {"options": {"any": {}}})).message == UNKNOWN
    assert (await outcome(peer, APPEND, {"options": {**NAME, "revision": MAX - 1}})).message == UNKNOWN


async def test_events_are_looked_at_before_an_empty_name(peer: Peer) -> None:
    nameless = {"options": {"stream_identifier": {}, "any": {}}}
    refused = await outcome(peer, APPEND, nameless, {"proposed_message": {}})
    assert refused.trailers["exception"] == "missing-required-metadata-property"
    assert (await outcome(peer, APPEND, nameless, {"proposed_message": peer.event()})).message == UNKNOWN
    nameless["options"]["stream_identifier"] = {"stream_name": b"$$"}
    assert (await outcome(peer, APPEND, nameless, {"proposed_message": peer.event()})).message == UNKNOWN


async def test_refused_while_the_client_still_sends(peer: Peer) -> None:
    call = peer.call(APPEND).send({"options": {**NAME, "any": {}}}, {"proposed_message": peer.event()})
    ended = await call.send({"options": {**NAME, "any": {}}}).end()
    assert (ended.status, ended.message) == (Status.UNKNOWN, UNKNOWN)
    assert await peer.ask(STREAMS + "Read", read_request("s")) is not None
    call = peer.call(APPEND).send({"options": {**NAME, "any": {}}})
    for _ in range(5):
        call.send({"proposed_message": peer.event(b"x" * 300_000)})
    ended = await call.end()
    assert ended.trailers["maximum-append-size"] == "1048576"
    messages, _ = await peer.ask(STREAMS + "Read", read_request("s"))
    assert "stream_not_found" in messages[0]


async def test_nothing_is_written_without_the_half_close(peer: Peer) -> None:
    call = peer.call(APPEND).send({"options": {**NAME, "any": {}}}, {"proposed_message": peer.event()})
    assert await call.silence()
    call.cancel()
    messages, _ = await peer.ask(STREAMS + "Read", read_request("s"))
    assert "stream_not_found" in messages[0]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"metadata": {"content-type": "x"}}, "Required Metadata Property 'type' is missing"),
        ({"metadata": {"type": "x"}}, "Required Metadata Property 'content-type' is missing"),
        ({"id": {"string": "x"}}, UNKNOWN),
        ({"id": {}}, UNKNOWN),
        ({"metadata": {"type": "", "content-type": "x"}}, UNKNOWN),
        ({"id": {"structured": {}}}, UNKNOWN),
    ],
)
async def test_events_that_are_none(peer: Peer, event: dict[str, Any], text: str) -> None:
    bodies = [{"options": {**NAME, "any": {}}}, {"proposed_message": {**peer.event(), **event}}]
    assert (await outcome(peer, APPEND, *bodies)).message == text


async def test_metadata_and_size_are_looked_at_before_the_id(peer: Peer) -> None:
    large = {**peer.event(b"x" * 1_048_577), "id": {}}
    refused = await outcome(peer, APPEND, {"options": {**NAME, "any": {}}}, {"proposed_message": large})
    assert refused.trailers["exception"] == "maximum-append-size-exceeded"
    large["metadata"] = {"type": "T"}
    refused = await outcome(peer, APPEND, {"options": {**NAME, "any": {}}}, {"proposed_message": large})
    assert refused.trailers["exception"] == "missing-required-metadata-property"


async def test_the_size_counts_two_bytes_for_each_unit_of_the_type(peer: Peer) -> None:
    limit = 1_048_576
    await peer.append("s", peer.event(b"x" * (limit - 4), type="\N{PARTY POPPER}"))
    for size, type in ((limit - 3, "\N{PARTY POPPER}"), (limit - 3, "éé"), (limit - 1, "T")):
        event = {"proposed_message": peer.event(b"x" * size, type=type)}
        assert (await outcome(peer, APPEND, {"options": {**NAME, "any": {}}}, event)).status is Status.INVALID_ARGUMENT


async def test_a_message_larger_than_a_node_takes(peer: Peer) -> None:
    event = {"proposed_message": peer.event(b"x" * 16_767_216)}
    call = peer.call(APPEND).send({"options": {**NAME, "any": {}}}, event)
    ended = await call.end()
    assert ended.status is Status.RESOURCE_EXHAUSTED
    assert ended.message == "Received message exceeds the maximum configured message size."


async def test_wrong_expectations_in_old_fields_and_new(peer: Peer) -> None:
    e = peer.event()
    await peer.append("s", e)
    for expect, told in (
        (MAX, {"expected_revision": MAX, "expected_revision_20_6_0": MAX}),
        ("no_stream", {"expected_no_stream": {}, "expected_revision_20_6_0": MAX}),
        (7, {"expected_revision": 7, "expected_revision_20_6_0": 7}),
    ):
        response = await peer.append("s", peer.event(), expect=expect)
        assert response["wrong_expected_version"] == {"current_revision": 0, "current_revision_20_6_0": 0, **told}
    response = await peer.append("s", e, peer.event())
    told = response["wrong_expected_version"]
    assert told == {"current_revision": 0, "current_revision_20_6_0": 0, "expected_any": {}, "any_20_6_0": {}}
    response = await peer.append("none", peer.event(), expect="stream_exists")
    assert response["wrong_expected_version"] == {
        "current_no_stream": {},
        "no_stream_20_6_0": {},
        "expected_stream_exists": {},
        "stream_exists_20_6_0": {},
    }


async def test_what_no_node_would_answer_is_refused(peer: Peer) -> None:
    e = [peer.event() for _ in range(4)]
    await peer.append("s", *e)
    for expect in ("any", "stream_exists"):
        bodies = [{"options": {**NAME, expect: {}}}, {"proposed_message": e[3]}, {"proposed_message": e[0]}]
        refused = await outcome(peer, APPEND, *bodies)
        assert refused.status is Status.INVALID_ARGUMENT
        assert "in another order: 0 after 3" in refused.message


async def test_metadata_on_which_a_node_would_fail_is_refused(peer: Peer) -> None:
    options = {"options": {"stream_identifier": {"stream_name": b"$$s"}, "any": {}}}
    await peer.append("$$s", peer.event(b'{"$maxAge":63900000000000}'))  # which is ignored
    refused = await outcome(peer, APPEND, options, {"proposed_message": peer.event(b'{"$maxAge":639000000000}')})
    assert refused.status is Status.INVALID_ARGUMENT
    assert refused.message.startswith("The embedded node refuses this metadata: $maxAge is 639000000000 seconds")
    assert await peer.numbers("$$s") == [0]


@pytest.mark.parametrize("how", ["Delete", "Tombstone"])
async def test_deleting_what_cannot_be_deleted(peer: Peer, how: str) -> None:
    path = STREAMS + how
    assert (await outcome(peer, path, {})).message == UNKNOWN
    kind = f"'None' is not a valid EventStore.Client.Streams.{how}Req+Types+Options+ExpectedStreamRevisionOneofCase"
    assert (await outcome(peer, path, {"options": NAME})).message == kind
    for options in ({"any": {}}, {"stream_identifier": {}, "any": {}}, {**NAME, "revision": 2**63}):
        assert (await outcome(peer, path, {"options": options})).message == UNKNOWN
    assert (await peer.call(path).send_raw(b"\x0a\x09").half_close().end()).message == UNKNOWN
    assert (await peer.call(path).half_close().end()).message == "Incomplete message."
    missed = await outcome(peer, path, {"options": {**NAME, "revision": 4}})
    assert missed.status is Status.FAILED_PRECONDITION
    assert dict(missed.trailers) == {
        "exception": "wrong-expected-version",
        "stream-name": "s",
        "expected-version": "4",
        "actual-version": "-1",
    }


@pytest.mark.parametrize(("how", "expect"), [("Delete", "stream_exists"), ("Tombstone", "stream_exists")])
async def test_wrong_expectations_of_deletes_in_a_node_s_own_numbers(peer: Peer, how: str, expect: str) -> None:
    missed = await outcome(peer, STREAMS + how, {"options": {**NAME, expect: {}}})
    assert missed.message == (
        "Delete failed due to WrongExpectedVersion. Stream: s, Expected version: -4, Actual version: -1"
    )
    (deleted,), ended = await peer.ask(STREAMS + "Tombstone", {"options": {**NAME, "any": {}}})
    assert ended.ok
    assert deleted["position"]["commit_position"] == deleted["position"]["prepare_position"]
    assert (await outcome(peer, STREAMS + how, {"options": {**NAME, "any": {}}})).trailers["stream-name"] == "s"


async def test_errors_that_cannot_be_headers(peer: Peer) -> None:
    for stream in ("ünï", "two\nlines"):
        refused = await peer.remove(stream)
        assert refused.status is Status.UNKNOWN
        assert "500" in refused.message
        assert not refused.trailers


OPTIONS = b"\x0a\x07\x0a\x03\x1a\x01s\x22\x00"
"""Append to s, whatever it holds."""


def raw_event(number: int) -> bytes:
    identity = b"\x0a\x26\x12\x24" + f"00000000-0000-4000-9000-00000000000{number}".encode()
    return identity + b"\x12\x09\x0a\x04type\x12\x01T\x12\x11\x0a\x0ccontent-type\x12\x01x"


async def test_requests_written_in_an_odd_way(peer: Peer) -> None:
    event = raw_event(1)
    call = peer.call(APPEND)
    # An unknown field in front; both contents, of which the last counts; the event in two pieces, which are one.
    call.send_raw(b"\x18\x05" + OPTIONS, OPTIONS + b"\x12" + bytes([len(event)]) + event)
    first, second = raw_event(2)[:40], raw_event(2)[40:]
    call.send_raw(b"\x12" + bytes([len(first)]) + first + b"\x12" + bytes([len(second)]) + second)
    response = await call.half_close().receive()
    assert response["success"]["current_revision"] == 1
    split = b"\x0a\x05\x0a\x03\x1a\x01s\x0a\x02\x22\x00\x18\x01"
    (deleted,), ended = await ask_raw(peer, STREAMS + "Delete", split)
    assert (list(deleted), ended.ok) == (["position"], True)


async def ask_raw(peer: Peer, path: str, message: bytes) -> tuple[list[dict[str, Any]], Outcome]:
    call = peer.call(path).send_raw(message).half_close()
    return [await call.receive()], await call.end()


MALFORMED = [
    b"\x0a",
    b"\x0a\x09",
    b"\x0a\x02\x0a\x05",
    b"\x0b",
    b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
]


@pytest.mark.parametrize("message", MALFORMED)
async def test_bytes_that_are_no_message(peer: Peer, message: bytes) -> None:
    assert (await peer.call(APPEND).send_raw(message).half_close().end()).message == UNKNOWN
    assert (await peer.call(APPEND).send_raw(OPTIONS, message).half_close().end()).message == UNKNOWN
    assert (await peer.call(STREAMS + "Delete").send_raw(message).half_close().end()).message == UNKNOWN
    ended = await peer.call(STREAMS + "BatchAppend").send_raw(message).half_close().end()
    assert (ended.status, ended.message) == (Status.UNKNOWN, UNKNOWN)


async def test_a_tombstoned_metastream_cannot_be_told_of_a_delete(peer: Peer) -> None:
    await peer.append("s", peer.event())
    assert (await peer.remove("$$s", how="Tombstone")).ok
    refused = await peer.remove("s")
    assert refused.status is Status.INVALID_ARGUMENT
    assert "it shuts down" in refused.message


async def test_a_tab_in_the_name_of_a_tombstoned_stream(peer: Peer) -> None:
    await peer.append("a\tb", peer.event())
    assert (await peer.remove("a\tb", how="Tombstone")).ok
    _, outcome = await peer.ask(STREAMS + "Read", read_request("a\tb"))
    assert (outcome.status, outcome.message) == (Status.FAILED_PRECONDITION, "Event stream 'a\tb' is deleted.")
    assert outcome.trailers["stream-name"] == "a\tb"
