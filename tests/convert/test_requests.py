"""Requests other than appends, as Google's protobuf reads them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import oracle
from trio_esdb._convert import (
    ANY,
    EXISTS,
    NO_LIMIT,
    NO_STREAM,
    delete_request,
    read_all_request,
    read_stream_request,
)
from trio_esdb._model import Filter


def options(raw: bytes) -> Any:
    """The options of a read; what every one of them says is checked here."""
    message = oracle.parsed("streams.ReadReq", raw)
    assert message.options.uuid_option.WhichOneof("content") == "string"
    return message.options


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("limit", [1, 10, NO_LIMIT])
def test_reading_a_stream(backwards: bool, links: bool, limit: int) -> None:
    read = options(read_stream_request("ü-1", position=7, backwards=backwards, resolve_links=links, limit=limit))
    assert read.WhichOneof("stream_option") == "stream"
    assert read.stream.stream_identifier.stream_name.decode() == "ü-1"
    assert (read.read_direction, read.resolve_links, read.count) == (backwards, links, limit)
    assert read.stream.WhichOneof("revision_option") == "revision"
    assert read.stream.revision == 7
    assert read.WhichOneof("count_option") == "count"
    assert read.WhichOneof("filter_option") == "no_filter"
    assert not read.HasField("control_option")


@pytest.mark.parametrize(
    ("arguments", "member"),
    [
        ({"position": 0}, "revision"),
        ({"position": 2**63 - 1, "backwards": True}, "revision"),
        ({"position": None}, "start"),
        ({"position": None, "backwards": True}, "end"),
        ({"position": None, "from_end": True}, "end"),
    ],
)
def test_where_a_stream_is_read_from(arguments: dict[str, Any], member: str) -> None:
    stream = options(read_stream_request("s", limit=1, **arguments)).stream
    assert stream.WhichOneof("revision_option") == member
    assert stream.revision == (arguments["position"] or 0)


def test_asking_for_the_last_position() -> None:
    read = options(read_stream_request("s", position=None, limit=1, tell_last_position=True))
    assert read.control_option.compatibility == 1


def test_subscribing_to_a_stream() -> None:
    read = options(read_stream_request("s", position=3, limit=None))
    assert read.WhichOneof("count_option") == "subscription"
    assert read.read_direction == 0


@pytest.mark.parametrize(
    ("arguments", "member"),
    [
        ({"position": (9, 5)}, "position"),
        ({"position": (0, 0)}, "position"),
        ({"position": None}, "start"),
        ({"position": None, "backwards": True}, "end"),
        ({"position": None, "from_end": True}, "end"),
    ],
)
def test_where_all_is_read_from(arguments: dict[str, Any], member: str) -> None:
    read = options(read_all_request(limit=None, **arguments))
    assert read.WhichOneof("stream_option") == "all"
    assert read.all.WhichOneof("all_option") == member
    commit, prepare = arguments["position"] or (0, 0)
    assert (read.all.position.commit_position, read.all.position.prepare_position) == (commit, prepare)
    assert read.WhichOneof("count_option") == "subscription"
    assert read.WhichOneof("filter_option") == "no_filter"


@pytest.mark.parametrize("by_stream_name", [False, True])
def test_filters(by_stream_name: bool) -> None:
    regex = Filter(by_stream_name, regex="^(?:ü.+)$", window=64, interval=3)
    read = options(read_all_request(position=None, limit=5, resolve_links=True, filter=regex))
    assert (read.count, read.resolve_links) == (5, True)
    member = "stream_identifier" if by_stream_name else "event_type"
    assert read.filter.WhichOneof("filter") == member
    assert getattr(read.filter, member).regex == "^(?:ü.+)$"
    assert list(getattr(read.filter, member).prefix) == []
    assert read.filter.WhichOneof("window") == "max"
    assert (read.filter.max, read.filter.checkpointIntervalMultiplier) == (64, 3)

    prefixes = Filter(by_stream_name, prefixes=("order-", "straße-"))
    expression = getattr(options(read_all_request(position=None, limit=5, filter=prefixes)).filter, member)
    assert (expression.regex, list(expression.prefix)) == ("", ["order-", "straße-"])


@pytest.mark.parametrize(
    ("expected", "member"),
    [(0, "revision"), (2**63 - 1, "revision"), (ANY, "any"), (NO_STREAM, "no_stream"), (EXISTS, "stream_exists")],
)
def test_deletions(expected: int, member: str) -> None:
    raw = delete_request("straße", expected)
    for name in ("streams.DeleteReq", "streams.TombstoneReq"):
        request = oracle.parsed(name, raw).options
        assert request.stream_identifier.stream_name.decode() == "straße"
        assert request.WhichOneof("expected_stream_revision") == member
        assert request.revision == max(0, expected)
