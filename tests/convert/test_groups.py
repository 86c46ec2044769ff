"""Requests about groups, and answers that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trio_esdb._convert import _groups as groups
from trio_esdb._errors import ProtocolError
from trio_esdb._model import SubscriptionSettings, make_filter
from trio_esdb_proto.event_store.client import persistent_subscriptions as pb

SETTINGS = SubscriptionSettings(message_timeout=1.2345, checkpoint_after=0, consumer_strategy="Pinned")


def created(*args: Any, **options: Any) -> pb.CreateReqOptions:
    found = pb.CreateReq.parse(groups.create_request(*args, **options)).options
    assert found is not None
    return found


def updated(*args: Any, **options: Any) -> pb.UpdateReqOptions:
    found = pb.UpdateReq.parse(groups.update_request(*args, **options)).options
    assert found is not None
    return found


def test_times_are_milliseconds_and_a_strategy_has_its_name() -> None:
    settings = created("g", "s", None, SETTINGS, from_end=False).settings
    assert settings is not None
    assert (settings.message_timeout_ms, settings.checkpoint_after_ms, settings.consumer_strategy) == (
        1234,
        0,
        "Pinned",
    )
    changed = updated("g", "s", None, SETTINGS, from_end=False).settings
    assert changed is not None
    assert changed.named_consumer_strategy == pb.UpdateReqConsumerStrategy.Pinned


@pytest.mark.parametrize("make", [created, updated])
def test_where_a_group_begins(make: Callable[..., Any]) -> None:
    start = make("g", "s", None, SETTINGS, from_end=False).stream
    number = make("g", "s", (7, 0), SETTINGS, from_end=False).stream
    end = make("g", "s", None, SETTINGS, from_end=True).stream
    assert (start.start is not None, number.revision, end.end is not None) == (True, 7, True)
    assert start.stream_identifier.stream_name == b"s"
    start = make("g", None, None, SETTINGS, from_end=False).all
    place = make("g", None, (9, 8), SETTINGS, from_end=False).all
    end = make("g", None, None, SETTINGS, from_end=True).all
    assert (start.start is not None, end.end is not None) == (True, True)
    assert (place.position.commit_position, place.position.prepare_position) == (9, 8)


def test_filters() -> None:
    for by_stream_name in (False, True):
        filter = make_filter(exclude=(), include=["a"], by_stream_name=by_stream_name, by_prefix=True)
        chosen = created("g", None, None, SETTINGS, from_end=False, filter=filter).all
        assert chosen is not None
        assert chosen.filter is not None
        expression = chosen.filter.stream_identifier if by_stream_name else chosen.filter.event_type
        assert expression is not None
        assert expression.prefix == ["a"]
    chosen = created("g", None, None, SETTINGS, from_end=False).all
    assert chosen is not None
    assert chosen.no_filter is not None


@pytest.mark.parametrize("stop_at", [None, 3])
def test_how_far_to_replay(stop_at: int | None) -> None:
    options = pb.ReplayParkedReq.parse(groups.replay_request("g", None, stop_at)).options
    assert options is not None
    assert (options.stop_at, options.no_limit is None) == (stop_at, stop_at is not None)
    assert options.all is not None


def test_which_groups_are_listed() -> None:
    all_of_them = pb.ListReq.parse(groups.list_request(None)).options
    some = pb.ListReq.parse(groups.list_request("s")).options
    assert all_of_them is not None
    assert some is not None
    assert all_of_them.list_all_subscriptions is not None
    assert some.list_for_stream is not None
    assert some.list_for_stream.stream is not None
    assert some.list_for_stream.stream.stream_name == b"s"


def info(**fields: Any) -> bytes:
    return bytes(pb.GetInfoResp(subscription_info=pb.SubscriptionInfo(event_source="s", group_name="g", **fields)))


@pytest.mark.parametrize(
    ("text", "position"), [("", None), ("0", 0), ("17", 17), ("C:123/P:120", 123), ("-1", -1), ("C:-1/P:-1", -1)]
)
def test_positions(text: str, position: int | None) -> None:
    found = groups.info_response(info(start_from=text, last_checkpointed_event_position=text))
    assert found.last_checkpoint == position
    assert found.start_position == (position if position is not None and position >= 0 else None)
    assert found.from_end is (position == -1)


def test_never_by_time_and_measurements() -> None:
    measured = pb.SubscriptionInfoMeasurement(key="Mean", value=5)
    consumer = pb.SubscriptionInfoConnectionInfo(connection_name="c", observed_measurements=[measured])
    found = groups.info_response(info(check_point_after_milliseconds=2**31 - 1, connections=[consumer]))
    assert found.settings.checkpoint_after == 0
    assert found.consumers[0].measurements == {"Mean": 5}


@pytest.mark.parametrize("read", [groups.info_response, groups.list_response, groups.empty_response])
def test_answers_that_make_no_sense(read: Callable[[bytes], object]) -> None:
    with pytest.raises(ProtocolError, match="the server sent a malformed answer"):
        read(b"\xff")


def test_an_answer_without_a_group_or_with_a_place_that_is_none() -> None:
    with pytest.raises(ProtocolError, match="no information"):
        groups.info_response(b"")
    with pytest.raises(ProtocolError, match="'somewhere' is not a position"):
        groups.info_response(info(last_known_event_position="somewhere"))
