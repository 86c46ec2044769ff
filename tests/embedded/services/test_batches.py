"""BatchAppend: parts, deadlines, refusals, and the end of a call."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.support.peer import MAX, STREAMS, UNKNOWN, Call, Peer, expectation, kinds, read_request
from trio_esdb._wire import Status

A, B = ({"string": f"00000000-0000-4000-a000-00000000000{n}"} for n in (1, 2))
NOWHERE = {"deadline": {"seconds": 315_576_000_000}}


@pytest.fixture
def batches(peer: Peer) -> Call:
    return peer.call(STREAMS + "BatchAppend")


def part(
    correlation: dict[str, Any] | None,
    *events: dict[str, Any],
    to: str | None = None,
    expect: Any = "any",
    final: bool = True,
    **options: Any,
) -> dict[str, Any]:
    body: dict[str, Any] = {"proposed_messages": list(events), "is_final": final}
    if correlation is not None:
        body["correlation_id"] = correlation
    if to is not None:
        choice = {} if expect is None else expectation(expect, "stream_position")
        body["options"] = {"stream_identifier": {"stream_name": to.encode()}, **choice, **options}
    return body


def text_of(reply: dict[str, Any]) -> str:
    text: str = reply["error"]["details"]["value"]["message"]
    return text


async def bad_request(call: Call, body: dict[str, Any]) -> str:
    reply = await call.send(body).receive()
    assert reply["error"]["code"] == "INVALID_ARGUMENT"
    assert reply["error"]["message"] == "BadRequest"
    assert reply["error"]["details"]["type_url"] == "type.googleapis.com/event_store.client.BadRequest"
    return text_of(reply)


async def test_parts_of_two_batches_interleaved(peer: Peer, batches: Call) -> None:
    e = [peer.event() for _ in range(5)]
    batches.send(part(A, e[0], to="a", expect="no_stream", final=False), part(B, e[1], to="b", final=False))
    batches.send(part(A, e[2], final=False), part(B, e[3]), part(A, e[4]))
    first, second = await batches.some(2)
    assert (first["correlation_id"], first["success"]["current_revision"]) == (B, 1)
    assert (second["correlation_id"], second["success"]["current_revision"]) == (A, 2)
    assert second["stream_identifier"] == {"stream_name": "a"}
    assert await peer.numbers("a") == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, 2), (NOWHERE, 2), ({"deadline": {"nanos": 250_000_000}}, 0.25), ({"deadline": {"seconds": 2}}, 2)],
)
async def test_a_batch_without_its_final_part_times_out(
    peer: Peer, batches: Call, options: dict[str, Any], seconds: float
) -> None:
    batches.send(part(A, peer.event(), to="s", final=False, **options))
    began = trio.current_time()
    reply = await batches.receive()
    assert trio.current_time() - began == pytest.approx(seconds)
    assert reply["error"]["code"] == "DEADLINE_EXCEEDED"
    assert reply["error"]["details"] == {"type_url": "type.googleapis.com/event_store.client.Timeout", "value": {}}
    assert reply["stream_identifier"] == {"stream_name": "s"}
    assert reply["correlation_id"]["structured"]["most_significant_bits"] == 0x4000
    batches.send(part(A, peer.event()))
    assert await batches.silence()
    assert await peer.ask(STREAMS + "Read", {}) is not None
    # The id may be used again.
    reply = await batches.send(part(A, peer.event(), to="s")).receive()
    assert reply["success"]["current_revision"] == 0


async def test_each_batch_has_its_own_time(peer: Peer, batches: Call) -> None:
    batches.send(part(A, to="a", final=False), part(B, to="b", final=False, deadline={"seconds": 1}))
    began = trio.current_time()
    told = []
    for _ in range(2):
        reply = await batches.receive()
        told.append((reply["stream_identifier"]["stream_name"], trio.current_time() - began))
    assert told == [("b", pytest.approx(1)), ("a", pytest.approx(2))]


async def test_thousands_of_batches_that_wait(peer: Peer, batches: Call) -> None:
    for number in range(1000):
        batches.send(part({"string": f"00000000-0000-4000-9000-{number:012x}"}, to=f"s{number}", final=False))
    for number in range(999):
        other = part({"string": f"00000000-0000-4000-9000-{number:012x}"}, peer.event())
        reply = await batches.send(other).receive()
        assert reply["stream_identifier"] == {"stream_name": f"s{number}"}
    began = trio.current_time()
    reply = await batches.receive()
    assert (reply["stream_identifier"], reply["error"]["message"]) == ({"stream_name": "s999"}, "Timeout")
    assert trio.current_time() - began <= 2
    assert await batches.silence()


async def last_of(peer: Peer, stream: str) -> list[Any]:
    messages, _ = await peer.ask(STREAMS + "Read", read_request(stream, count=1, at="end", backwards=True))
    return kinds(messages)


async def test_a_batch_of_many_events_is_written_in_turns(batches: Call, peer: Peer) -> None:
    event = {**peer.event(), "data": b""}
    batches.send(part(A, *([event] * 20_000), to="s"), part(B, event, to="t"))
    looks = 0
    while await last_of(peer, "t") != [0]:
        looks += 1
        assert await last_of(peer, "s") in (["stream_not_found"], [19_999])  # all of it or nothing
    assert looks > 1
    told = await batches.some(2)
    assert [reply["success"].get("current_revision", 0) for reply in told] == [19_999, 0]


async def test_deadlines_as_points_in_time(peer: Peer, batches: Call) -> None:
    now = 1_767_225_600  # the embedded node's first second
    batches.send(part(A, to="s", final=False, deadline_21_10_0={"seconds": now + 1, "nanos": 500_000_000}))
    began = trio.current_time()
    assert "error" in await batches.receive()
    assert trio.current_time() - began == pytest.approx(1.5)
    reply = await batches.send(part(A, peer.event(), to="s", deadline_21_10_0={"seconds": now})).receive()
    assert reply["error"]["message"] == "Timeout"
    assert reply["correlation_id"] == A
    assert await last_of(peer, "s") == ["stream_not_found"]


@pytest.mark.parametrize("deadline", [{}, {"seconds": -1}, {"nanos": -5}])
async def test_no_time_at_all(peer: Peer, batches: Call, deadline: dict[str, int]) -> None:
    reply = await batches.send(part(A, peer.event(), to="s", deadline=deadline)).receive()
    assert (reply["error"]["code"], reply["correlation_id"]) == ("DEADLINE_EXCEEDED", A)
    assert await batches.silence()


BAD_DEADLINES = [
    ({"deadline": {"seconds": 1, "nanos": -1}}, "Duration was not a valid normalized duration"),
    ({"deadline": {"seconds": 315_576_000_001}}, "Duration was not a valid normalized duration"),
    ({"deadline_21_10_0": {"nanos": -1}}, "Timestamp contains invalid values: Seconds=0; Nanos=-1"),
]


@pytest.mark.parametrize(("deadline", "text"), BAD_DEADLINES)
async def test_deadlines_that_cannot_be(peer: Peer, batches: Call, deadline: dict[str, Any], text: str) -> None:
    assert await bad_request(batches, part(A, peer.event(), to="s", **deadline)) == text


NOT_EVENTS = [
    ({"id": None}, "Value cannot be null. (Parameter 'dto')"),
    ({"id": {}}, "Invalid argument: None (Parameter 'dto')"),
    ({"id": {"string": ""}}, "Unrecognized Guid format."),
    ({"id": {"structured": {}}}, "Empty eventId provided. (Parameter 'eventId')"),
    ({"metadata": {"content-type": "x"}}, "The given key was not present in the dictionary."),
    ({"metadata": {"type": "x"}}, "The given key was not present in the dictionary."),
    ({"metadata": {"type": "", "content-type": "x"}}, "Empty eventType provided. (Parameter 'eventType')"),
]


@pytest.mark.parametrize(("change", "text"), NOT_EVENTS)
async def test_an_event_that_is_none(peer: Peer, batches: Call, change: dict[str, Any], text: str) -> None:
    bad = {key: value for key, value in {**peer.event(), **change}.items() if value is not None}
    good = [peer.event() for _ in range(3)]
    assert await bad_request(batches, part(A, good[0], bad, good[1], to="s", final=False)) == text
    # What comes later is written, without the bad event and what followed it in its message.
    reply = await batches.send(part(A, good[2])).receive()
    assert reply["success"]["current_revision"] == 1
    # In a message without options there is no stream to name, and the whole call fails.
    batches.send(part(A, to="s", final=False), part(A, bad))
    outcome = await batches.end()
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)


async def test_a_final_part_with_a_bad_event_leaves_its_batch_to_time_out(peer: Peer, batches: Call) -> None:
    assert await bad_request(batches, part(A, {"data": b"x"}, to="s")) == "Value cannot be null. (Parameter 'dto')"
    assert (await batches.receive())["error"]["message"] == "Timeout"


BAD_OPTIONS = [
    (
        part(A, to="s", expect=None),
        'Status(StatusCode="InvalidArgument", Detail="\'None\' is not a valid EventStore.Client.Streams.'
        'BatchAppendReq+Types+Options+ExpectedStreamPositionOneofCase")',
    ),
    (part(A, to="s", expect=2**63), "Specified argument was out of the range of valid values. (Parameter 'value')"),
    (part(A, to=""), "Specified argument was out of the range of valid values. (Parameter 'eventStreamId')"),
    (part(A, to="$$"), "Specified argument was out of the range of valid values. (Parameter 'eventStreamId')"),
    (part(None, to="s"), "Value cannot be null. (Parameter 'dto')"),
    (part({}, to="s"), "Invalid argument: None (Parameter 'dto')"),
    ({"correlation_id": A, "options": {"any": {}}}, "Object reference not set to an instance of an object."),
]


@pytest.mark.parametrize(("body", "text"), BAD_OPTIONS)
async def test_options_that_cannot_be(batches: Call, body: dict[str, Any], text: str) -> None:
    assert await bad_request(batches, body) == text
    assert await batches.silence()


async def test_an_unknown_batch_is_not_answered(peer: Peer, batches: Call) -> None:
    batches.send(part(A, peer.event()), part(A, {}), part(A, final=False))
    assert await batches.silence()


async def test_options_given_again_are_not_looked_at(peer: Peer, batches: Call) -> None:
    batches.send(part(A, peer.event(), to="s", expect="no_stream", final=False))
    reply = await batches.send(part(A, peer.event(), to="other", expect=None)).receive()
    assert reply["stream_identifier"] == {"stream_name": "s"}
    assert reply["success"]["current_revision"] == 1


async def test_too_large(peer: Peer, batches: Call) -> None:
    half = b"x" * (512 * 1024)
    batches.send(part(A, peer.event(half), to="s", final=False), part(A, peer.event(half)))
    reply = await batches.receive()
    assert reply["error"]["code"] == "INVALID_ARGUMENT"
    assert reply["error"]["details"] == {
        "type_url": "type.googleapis.com/event_store.client.MaximumAppendSizeExceeded",
        "value": {"maxAppendSize": 1048576},
    }
    batches.send(part(A, peer.event()))
    assert await batches.silence()


async def test_deleted_wrong_and_never_answered(peer: Peer, batches: Call) -> None:
    await peer.append("gone", peer.event())
    assert (await peer.remove("gone", how="Tombstone")).ok
    reply = await batches.send(part(A, peer.event(), to="gone")).receive()
    assert (reply["error"]["code"], reply["error"]["message"]) == ("NOT_FOUND", "StreamDeleted")
    assert reply["error"]["details"]["value"] == {"stream_identifier": {"stream_name": "gone"}}
    reply = await batches.send(part(A, peer.event(), to="s", expect=MAX >> 1)).receive()
    assert reply["error"]["details"]["value"] == {"current_no_stream": {}, "expected_stream_position": MAX >> 1}
    e = [peer.event() for _ in range(4)]
    await peer.append("s", *e)
    assert text_of(await batches.send(part(A, e[3], e[0], to="s")).receive()).startswith("A real node never answers")
    harmful = peer.event(b'{"$maxAge":639000000000}')
    reply = text_of(await batches.send(part(A, harmful, to="$$s")).receive())
    assert reply.startswith("The embedded node refuses this metadata: $maxAge is 639000000000 seconds")


async def test_nothing_to_append(batches: Call) -> None:
    reply = await batches.send(part(A, to="s")).receive()
    assert "no_stream" in reply["success"]
    assert reply["success"]["position"]


async def test_ids_come_back_as_they_were_sent(peer: Peer, batches: Call) -> None:
    forms = [
        {"structured": {"most_significant_bits": -1, "least_significant_bits": -(2**63)}},
        {"string": "{FFFFFFFF-FFFF-FFFF-8000-000000000000}"},
        {"string": "ffffffffffffffff8000000000000001"},
    ]
    for form in forms:
        reply = await batches.send(part(form, peer.event(), to="s")).receive()
        assert reply["correlation_id"] == form


async def test_no_end_after_the_last_reply(peer: Peer, batches: Call) -> None:
    await batches.send(part(A, peer.event(), to="s"), part(B, to="s", final=False)).receive()
    batches.half_close()
    assert (await batches.receive())["error"]["message"] == "Timeout"
    assert await batches.silence()


async def test_an_end_after_the_next_reply_where_replies_are_outstanding(peer: Peer, batches: Call) -> None:
    batches.send(part(A, peer.event(), to="s"), part(B, peer.event(), to="s")).half_close()
    assert (await batches.receive())["correlation_id"] == A
    assert (await batches.end()).ok
    assert await peer.numbers("s") == [0, 1]


async def test_no_end_where_refusals_have_spoilt_the_count(peer: Peer, batches: Call) -> None:
    batches.send(part(A, {}, to="s"), part(B, peer.event(), to="s")).half_close()
    assert [r["correlation_id"] for r in await batches.some(2)] == [A, B]
    assert "structured" in (await batches.receive())["correlation_id"]  # the first batch's time is up
    assert await batches.silence()


async def test_nothing_but_an_end(batches: Call) -> None:
    batches.half_close()
    assert await batches.silence()


async def test_bytes_that_are_no_message(batches: Call) -> None:
    outcome = await batches.send_raw(b"\x0a\x05a").end()
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)


async def test_many_batches_at_once(peer: Peer, batches: Call) -> None:
    for i in range(200):
        batches.send(part({"structured": {"least_significant_bits": i + 1}}, peer.event(), to="s"))
    revisions = [r["success"]["current_revision"] for r in await batches.some(200)]
    assert revisions == list(range(200))


async def test_an_event_that_is_no_message_in_a_batch_that_is_one(batches: Call) -> None:
    options = b"\x12\x07\x0a\x03\x1a\x01s\x22\x00"
    identity = b"\x0a\x06\x0a\x04\x08\x01\x10\x01"
    outcome = await batches.send_raw(identity + options + b"\x1a\x02\x12\x09" + b"\x20\x01").end()
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)
