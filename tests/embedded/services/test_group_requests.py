"""Requests about groups: the forms of older clients, and those with holes. Their answers are those of a real node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trio_esdb._transport._handlers import Failure
from trio_esdb._wire import Status
from trio_esdb.embedded._services._group_requests import GroupRequest, read_create, read_update, source_name
from trio_esdb_proto.event_store.client import Empty, StreamIdentifier
from trio_esdb_proto.event_store.client import persistent_subscriptions as pb

S = StreamIdentifier(stream_name=b"s")
END = 2**64 - 1


def create(**options: object) -> bytes:
    found = {"group_name": "g", "settings": pb.CreateReqSettings(), **options}
    return bytes(pb.CreateReq(options=pb.CreateReqOptions(**found)))  # type: ignore[arg-type]


def update(**options: object) -> bytes:
    found = {"group_name": "g", "settings": pb.UpdateReqSettings(), **options}
    return bytes(pb.UpdateReq(options=pb.UpdateReqOptions(**found)))  # type: ignore[arg-type]


def test_the_form_of_clients_from_before_21_6() -> None:
    settings = pb.CreateReqSettings(
        revision=5,
        message_timeout_ticks=30_000_000,
        checkpoint_after_ticks=20_000,
        named_consumer_strategy=pb.CreateReqConsumerStrategy.RoundRobin,
    )
    found = read_create(create(stream_identifier=S, settings=settings))
    assert (found.stream, found.start, found.key) == ("s", (5, 5), "s::g")
    chosen = found.settings
    assert (chosen.message_timeout, chosen.checkpoint_after, chosen.strategy) == (3000, 2, "RoundRobin")
    assert read_update(update(stream_identifier=S)).start == (0, 0)


def test_what_is_not_said_is_nothing() -> None:
    found = read_create(create(stream=pb.CreateReqStreamOptions(stream_identifier=S, start=Empty()))).settings
    assert (found.message_timeout, found.read_batch_size, found.strategy) == (0, 0, "DispatchToSingle")
    unknown = pb.UpdateReqSettings(named_consumer_strategy=pb.UpdateReqConsumerStrategy(9))
    updated = read_update(update(stream_identifier=S, settings=unknown))
    assert updated.settings.strategy == "9"


def test_positions_of_all_streams() -> None:
    place = pb.UpdateReqPosition(commit_position=9, prepare_position=8)
    assert read_update(update(all=pb.UpdateReqAllOptions(position=place))).start == (9, 8)
    assert read_update(update(all=pb.UpdateReqAllOptions(end=Empty()))).start == (-1, -1)
    ends = pb.UpdateReqPosition(commit_position=END, prepare_position=END)
    assert read_update(update(all=pb.UpdateReqAllOptions(position=ends))).start == (-1, -1)


HOLES: list[tuple[Callable[[bytes], GroupRequest], bytes, Status, str]] = [
    (read_create, b"", Status.UNKNOWN, "Exception was thrown by handler."),
    (read_update, b"", Status.UNKNOWN, "Exception was thrown by handler."),
    (read_create, create(), Status.UNKNOWN, "Exception was thrown by handler."),
    (read_update, create(settings=None), Status.UNKNOWN, "Exception was thrown by handler."),
    (read_update, update(all=pb.UpdateReqAllOptions()), Status.UNKNOWN, "Exception was thrown by handler."),
    (
        read_create,
        create(all=pb.CreateReqAllOptions()),
        Status.INVALID_ARGUMENT,
        "'None' is not a valid EventStore.Client.PersistentSubscriptions.CreateReq+Types+AllOptions+AllOptionOneofCase",
    ),
    (
        read_update,
        update(stream=pb.UpdateReqStreamOptions(stream_identifier=S)),
        Status.INVALID_ARGUMENT,
        "UpdateReq+Types+StreamOptions+RevisionOptionOneofCase",
    ),
    (
        read_update,
        update(stream_identifier=StreamIdentifier(stream_name=b"$all")),
        Status.UNKNOWN,
        "expected either UpdatePersistentSubscriptionToAllCompleted",
    ),
    (
        read_create,
        create(stream_identifier=StreamIdentifier()),
        Status.INVALID_ARGUMENT,
        "A real node never answers this request: the name of the stream is empty.",
    ),
    (
        read_create,
        create(
            all=pb.CreateReqAllOptions(
                start=Empty(),
                filter=pb.CreateReqAllOptionsFilterOptions(
                    event_type=pb.CreateReqAllOptionsFilterOptionsExpression(regex=r"(a)\1")
                ),
            )
        ),
        Status.UNKNOWN,
        "The embedded node does not support this in a filter's regular expression",
    ),
]


@pytest.mark.parametrize(("read", "request_", "status", "text"), HOLES)
def test_requests_with_holes(read: Callable[[bytes], GroupRequest], request_: bytes, status: Status, text: str) -> None:
    with pytest.raises(Failure) as failed:
        read(request_)
    assert failed.value.status is status
    assert text in failed.value.message


def test_a_source_without_a_name() -> None:
    with pytest.raises(Failure, match="Exception was thrown by handler"):
        source_name(None, None)
    assert source_name(None, Empty()) == "$all"
