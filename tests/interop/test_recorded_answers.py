"""Our client meets servers of three versions: each recorded conversation about streams, call by call.

A server of grpcio gives the recorded answers. The client makes the call that was recorded where its API can, and then
its requests must be the recorded ones; where it never would, it gets the answers to some other call.
"""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
import trio

from tests.conformance.records import schema
from tests.support.foreign import Foreign, Reply
from tests.support.recorded import VERSIONS, Said, public, said, scenarios
from trio_esdb import (
    AccessDeniedError,
    AppendResult,
    Checkpoint,
    ConsumerTooSlowError,
    ESDBClient,
    EventChannel,
    ExpectedPositionError,
    InvalidArgumentError,
    InvalidPositionError,
    InvalidRequestError,
    NewEvent,
    ServerError,
    ServerTooLargeError,
    StreamDeletedError,
    StreamNotFoundError,
    StreamState,
    UnauthenticatedError,
)

NEVER_ASKED = {
    "access/rights-to-read-metadata-and-delete": "c19",
    "append/bad-metadata": "c1 c2 c3 c4 c5 c6 c7 c8 c9",
    "append/bad-shape": "c1 c2 c3 c4 c5 c6 c7",
    "append/content-and-metadata": "c1 c3",
    "append/no-expectation-given": "c1",
    "append/wrong-expected-version": "c10",
    "delete/what-is-deleted-already": "c27",
    "metadata/max-age-expires": "c6 c7 c12",
    "metadata/only-metadata": "c3",
    "read/all-bad-filter": "c3",
    "read/all-positions": "c9 c10 c13 c14 c15 c16",
    "read/bad-shape": "c2 c3 c4 c5 c6 c7 c8 c9",
    "read/first-and-last-stream-position": "c2 c3 c4 c5 c7 c8 c9 c10 c11 c12 c13 c15 c16 c17 c19",
    "read/stream-ranges": "c9 c15 c17 c18 c19",
    "read/without-uuid-option": "c2 c3 c4 c5 c6",
    "subscribe/all-odd-starts": "c10",
    "subscribe/filtered-checkpoints-in-catch-up": "c13",
}
"""Requests that this client's API cannot make: it always says how it wants ids, knows no limit of nothing, no position
that lies nowhere or has another prepare position, no window without a size. It tombstones no metadata."""

BY_TRAILER = {
    "access-denied": AccessDeniedError,
    "stream-deleted": StreamDeletedError,
    "wrong-expected-version": ExpectedPositionError,
    "maximum-append-size-exceeded": ServerTooLargeError,
}
BY_TEXT = {
    "Unauthenticated": UnauthenticatedError,
    "Consumer too slow": ConsumerTooSlowError,
    "ReadAllResult": InvalidPositionError,
    "invalid position": InvalidPositionError,
    "": InvalidRequestError,
}


NO_GRPC = "Received http2 header with status"
"""What grpcio says of an answer that is HTTP's, which its server cannot give."""


class Unspeakable(Exception):
    """This client does not ask that."""


@pytest.mark.parametrize(
    ("version", "scenario"), [(version, name) for version in VERSIONS for name in scenarios(version)]
)
async def test_what_comes_of_it(client: ESDBClient, server: Foreign, version: str, scenario: str) -> None:
    stood_in = []
    for name, call in said(version, scenario).items():
        if call.end is not None and call.end["details"].startswith(NO_GRPC):
            continue
        if not await meets(client, server, call):
            stood_in.append(name)
    assert " ".join(stood_in) == NEVER_ASKED.get(scenario, "")


async def meets(client: ESDBClient, server: Foreign, call: Said) -> bool:
    """Hold one call, and check what the client makes of it; whether the client asked what was recorded."""
    code = None if call.end is None else grpc.StatusCode[call.end["code"]]
    reply = Reply(call.messages(), code)
    if call.end is not None:
        reply.details, reply.trailers = call.end["details"], call.end["trailers"]
    server.will(reply)
    if call.path.endswith("/Read"):
        as_recorded = await _reads(client, call, reply)
    else:
        as_recorded = await _writes(client, call)
    await reply.over.wait()
    assert reply.path == call.path
    if not any("stream_not_found" in answer for answer in call.answers):  # then nobody waits for the end
        assert reply.given_up is (code is None)
    kind = schema().cls(schema().methods[call.path][0])
    same = [_comparable(kind, raw) for raw in reply.requests] == [_comparable(kind, raw) for raw in call.asked()]
    return as_recorded and same


def _comparable(kind: Any, raw: bytes) -> Any:
    """A request without what this client's API says in other words: it wraps expressions, and reads have a window."""
    message = kind.FromString(raw)
    if raw and kind.DESCRIPTOR.name == "ReadReq" and message.options.HasField("filter"):
        chosen = message.options.filter
        chosen.event_type.regex = chosen.stream_identifier.regex = ""
        if not message.options.HasField("subscription"):
            chosen.max = chosen.checkpointIntervalMultiplier = 0
    return message


async def _reads(client: ESDBClient, call: Said, reply: Reply) -> bool:
    options = call.requests[0].get("options", {})
    subscribing = "subscription" in options
    as_recorded = True
    try:
        receiving = subscription(client, options) if subscribing else reading(client, options)
    except (Unspeakable, InvalidArgumentError):
        as_recorded = False
        wanted = {"include_caught_up": True, "include_checkpoints": True, "resume": False}
        receiving = client.subscribe_all_events(**wanted) if subscribing else client.read_all_events()
    expected = [each for each in map(public, call.answers) if each is not None]
    got: list[Any] = []
    last: int | None = None
    error: BaseException | None = None
    try:
        async with receiving as events:
            try:
                while call.end is not None or len(got) < len(expected):
                    got.append(await events.receive())
            finally:
                last = events.last_stream_position
            await reply.asked.wait()
    except (ServerError, trio.EndOfChannel) as exc:
        error = exc
    assert got == expected
    assert last == next((each["last_stream_position"] for each in call.answers if "last_stream_position" in each), None)
    missing = [answer["stream_not_found"] for answer in call.answers if "stream_not_found" in answer]
    if missing:
        assert type(error) is StreamNotFoundError
        if as_recorded:
            assert error.stream_name == missing[0]["stream_identifier"]["stream_name"].decode()
    elif call.end is None:
        assert error is None
    elif call.end["code"] == "OK":
        assert type(error) is trio.EndOfChannel
    else:
        _is_the_error(error, call.end)
    return as_recorded


def reading(client: ESDBClient, options: dict[str, Any]) -> AbstractAsyncContextManager[EventChannel[Any]]:
    """The public call that reads like this."""
    _speakable(options)
    more = {
        "backwards": options["read_direction"] == 1,
        "resolve_links": options["resolve_links"],
        "limit": options["count"],
    }
    where = options.get("stream") or options["all"]
    if ("start" if more["backwards"] else "end") in where:
        raise Unspeakable("nothing lies there")
    if "stream" in options:
        name = options["stream"]["stream_identifier"]["stream_name"].decode()
        return client.read_stream_events(name, options["stream"].get("revision"), **more)
    commit, prepare = _position(options["all"])
    if commit != prepare:
        raise Unspeakable("commit and prepare position are the same")
    return client.read_all_events(commit, **more, **_filter(options))


def subscription(client: ESDBClient, options: dict[str, Any]) -> AbstractAsyncContextManager[EventChannel[Any]]:
    """The public call that subscribes like this."""
    _speakable(options)
    more = {"resolve_links": options["resolve_links"], "include_caught_up": True, "include_fell_behind": True}
    more["resume"] = False  # this is about one call
    if "stream" in options:
        name = options["stream"]["stream_identifier"]["stream_name"].decode()
        at_end = "end" in options["stream"]
        return client.subscribe_stream_events(name, options["stream"].get("revision"), from_end=at_end, **more)
    commit, prepare = _position(options["all"])
    start = None if commit is None else Checkpoint(commit, prepare)
    window = {}
    if "filter" in options:
        if "count" in options["filter"]:
            raise Unspeakable("a window has a size")
        window["window_size"] = options["filter"]["max"]
        window["checkpoint_interval_multiplier"] = options["filter"]["checkpointIntervalMultiplier"]
    more["include_checkpoints"] = True
    at_end = "end" in options["all"]
    return client.subscribe_all_events(start, from_end=at_end, **more, **_filter(options), **window)


def _speakable(options: dict[str, Any]) -> None:
    said = {"uuid_option", "read_direction"} <= options.keys()
    if not (said and options.keys() & {"stream", "all"} and options.keys() & {"count", "subscription"}):
        raise Unspeakable("a read says all of that")
    if "filter" in options and not options["filter"].keys() & {"event_type", "stream_identifier"}:
        raise Unspeakable("a filter is about something")
    if "string" not in options["uuid_option"] or ("stream" in options and "filter" in options):
        raise Unspeakable("ids are texts, and filters are for all streams")


def _position(where: dict[str, Any]) -> tuple[Any, Any]:
    position = where.get("position", {})
    return position.get("commit_position"), position.get("prepare_position")


def _filter(options: dict[str, Any]) -> dict[str, Any]:
    """The filter that a request holds, as arguments."""
    if "filter" not in options:
        return {"filter_exclude": ()}
    by_stream = "stream_identifier" in options["filter"]
    expression = options["filter"]["stream_identifier" if by_stream else "event_type"]
    prefixes = expression.get("prefix", ())
    return {
        "filter_by_stream_name": by_stream,
        "filter_by_prefix": bool(prefixes),
        "filter_include": prefixes or [expression["regex"]],
    }


async def _writes(client: ESDBClient, call: Said) -> bool:
    as_recorded = True
    try:
        name, expected, events = _write(call)
        if call.path.endswith("/Tombstone") and name.startswith("$$"):
            raise Unspeakable("metadata is not tombstoned")
    except Unspeakable:
        as_recorded = False
        name, expected, events = "stand-in", StreamState.ANY, []
    answer = call.answers[0] if call.answers else {}
    result: Any = None
    error: BaseException | None = None
    try:
        if call.path.endswith("/Append"):
            result = await client.append_events(name, expected, events)
        elif call.path.endswith("/Delete"):
            result = await client.delete_stream(name, expected)
        else:
            result = await client.tombstone_stream(name, expected)
    except ServerError as exc:
        error = exc
    match answer:
        case {"success": success}:
            assert type(result) is AppendResult
            assert result.stream_position == success.get("current_revision")
            position = success.get("position", {}).get("commit_position")
            assert (result.commit_position, int(result)) == (position, -1 if position is None else position)
        case {"wrong_expected_version": wrong}:
            assert type(error) is ExpectedPositionError
            assert error.actual == wrong.get("current_revision")
            assert error.expected == expected
        case {"position": position}:
            assert result == position["commit_position"]
        case _:
            assert call.end is not None
            _is_the_error(error, call.end, expected)
    return as_recorded


def _write(call: Said) -> tuple[str, Any, list[NewEvent]]:
    """The arguments of the public call that writes like this."""
    try:
        options = call.requests[0]["options"]
        name = options["stream_identifier"]["stream_name"].decode()
        if not name:
            raise Unspeakable("streams have names")
        (expected,) = (_expectation(key, value) for key, value in options.items() if key != "stream_identifier")
        return name, expected, [_new_event(request["proposed_message"]) for request in call.requests[1:]]
    except (LookupError, ValueError) as exc:
        raise Unspeakable("a write names its stream, where that is to be, and whole events") from exc


def _expectation(key: str, value: Any) -> Any:
    if key == "revision" and value >= 2**63:
        raise Unspeakable("numbers are smaller than that")
    states = {"any": StreamState.ANY, "no_stream": StreamState.NO_STREAM, "stream_exists": StreamState.EXISTS}
    return value if key == "revision" else states[key]


def _new_event(proposed: dict[str, Any]) -> NewEvent:
    return NewEvent(
        type=proposed["metadata"]["type"],
        data=proposed["data"],
        metadata=proposed["custom_metadata"],
        content_type=proposed["metadata"]["content-type"],
        id=uuid.UUID(proposed["id"]["string"]),
    )


def _is_the_error(error: BaseException | None, end: dict[str, Any], expected: Any = None) -> None:
    """It is of the class that this end of a call stands for, and keeps all that was said."""
    trailers = end["trailers"]
    kind = BY_TRAILER.get(trailers.get("exception"))
    if kind is None:
        kind = next(kind for text, kind in BY_TEXT.items() if text in end["details"])
    elif kind is ExpectedPositionError and trailers["actual-version"] == "-1" and isinstance(expected, StreamState):
        kind = StreamNotFoundError  # a deletion that does not say where the stream is, only that it is there
    if "by handler" in end["details"] and "subscribing to all" in str(error):
        kind = InvalidPositionError  # all that could be wrong about it
    assert type(error) is kind
    assert isinstance(error, ServerError)
    assert (error.status, error.details, dict(error.trailers)) == (end["code"], end["details"], trailers)
    if not isinstance(error, ExpectedPositionError | StreamNotFoundError):  # these are said in our own words
        assert end["details"] in str(error)
    assert error.address in str(error)
