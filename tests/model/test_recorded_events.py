"""RecordedEvent: an event as it was recorded."""

from __future__ import annotations

import copy
import inspect
import pickle
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from trio_esdb import (
    CaughtUp,
    Checkpoint,
    ESDBError,
    FellBehind,
    InvalidArgumentError,
    InvalidTypeError,
    RecordedEvent,
    SubscriptionMessage,
)
from trio_esdb._model._events import ticks_of

ID = uuid.UUID("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")
OTHER_ID = uuid.UUID("11112222-3333-4444-5555-666677778888")


def made(**changes: Any) -> RecordedEvent:
    """As an application's tests make one."""
    arguments: dict[str, Any] = {
        "type": "OrderCreated",
        "data": b"{}",
        "metadata": b"",
        "content_type": "application/json",
        "id": ID,
        "stream_name": "stream1",
        "stream_position": 0,
        "commit_position": 512,
    }
    return RecordedEvent(**{**arguments, **changes})


LINK = made(type="$>", data=b"0@stream1", id=OTHER_ID, stream_name="$ce-stream1", stream_position=7, commit_position=9)


def test_what_is_given() -> None:
    event = RecordedEvent(
        type="OrderCreated",
        data=b"{}",
        metadata=b"",
        content_type="application/json",
        id=ID,
        stream_name="stream1",
        stream_position=0,
        commit_position=512,
    )
    assert (event.type, event.data, event.metadata, event.content_type) == (
        "OrderCreated",
        b"{}",
        b"",
        event.content_type,
    )
    assert (event.id, event.stream_name, event.stream_position, event.revision) == (ID, "stream1", 0, 0)
    assert (event.commit_position, event.prepare_position) == (512, 512)
    assert event.recorded_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert event.link is None
    assert event.original is event
    assert event == RecordedEvent("OrderCreated", b"{}", b"", "application/json", ID, "stream1", 0, 512)


def test_positions() -> None:
    assert made(commit_position=None).prepare_position is None
    event = made(commit_position=9, prepare_position=5)
    assert (event.commit_position, event.prepare_position) == (9, 5)


def test_links() -> None:
    event = made(link=LINK)
    assert event.link is LINK
    assert event.original is LINK
    assert event.is_resolved_event
    assert not event.is_link_event
    assert not event.is_system_event
    assert LINK.is_link_event
    assert LINK.is_system_event
    assert not LINK.is_resolved_event


def test_time_is_exact() -> None:
    moment = datetime(2025, 9, 27, 22, 32, 25, 678901, tzinfo=UTC)
    event = made(recorded_at=moment)
    assert event.recorded_at == moment
    assert event.created_ticks == 17_590_123_456_789_010
    assert event.recorded_at.tzinfo is UTC
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    assert made(recorded_at=moment.astimezone(elsewhere)) == event
    before = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert made(recorded_at=before).created_ticks == -10
    assert made(recorded_at=before).recorded_at == before


@pytest.mark.parametrize("moment", [datetime.min, datetime.max, datetime(2025, 9, 27, 22, 32, 25, 678901)])
def test_every_time_comes_back(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert made(recorded_at=aware).recorded_at == aware
    assert ticks_of(aware) % 10 == 0


def test_a_tick_is_not_lost() -> None:
    event = made()
    object.__setattr__(event, "_ticks", 17_590_123_456_789_019)
    assert event.created_ticks == 17_590_123_456_789_019
    assert event.recorded_at == datetime(2025, 9, 27, 22, 32, 25, 678901, tzinfo=UTC)


CHANGES: list[dict[str, Any]] = [
    {"type": "OrderDeleted"},
    {"data": b"{ }"},
    {"metadata": b"m"},
    {"content_type": "application/octet-stream"},
    {"id": OTHER_ID},
    {"stream_name": "stream2"},
    {"stream_position": 1},
    {"commit_position": 513},
    {"prepare_position": 511},
    {"recorded_at": datetime(2025, 1, 1, tzinfo=UTC)},
    {"link": LINK},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_equal_only_if_all_is_equal(change: dict[str, Any]) -> None:
    assert made() == made()
    assert hash(made()) == hash(made())
    assert made(**change) != made()
    assert made(**change) == made(**change)
    assert hash(made(**change)) == hash(made(**change))


def test_not_equal_to_anything_else() -> None:
    assert made() != "OrderCreated"
    assert made() != None  # noqa: E711
    assert made().__eq__(object()) is NotImplemented
    assert len({made(), made(), made(stream_position=1), LINK}) == 3


@pytest.mark.parametrize("name", ["type", "data", "id", "stream_position", "recorded_at", "link", "_ticks", "other"])
def test_it_cannot_be_changed(name: str) -> None:
    event = made()
    with pytest.raises(AttributeError, match=f"a RecordedEvent cannot be changed .setting '{name}'"):
        setattr(event, name, None)
    with pytest.raises(AttributeError, match=f"a RecordedEvent cannot be changed .deleting '{name}'"):
        delattr(event, name)
    assert event == made()
    assert not hasattr(event, "__dict__")


def test_copies() -> None:
    event = made(link=LINK, prepare_position=511, recorded_at=datetime(2025, 1, 1, tzinfo=UTC))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(event, protocol))
        assert again == event
        assert again.link == LINK
    assert copy.copy(event) == event
    deep = copy.deepcopy(event)
    assert deep == event
    assert deep.link == LINK
    assert deep.link is not LINK


def test_repr() -> None:
    assert repr(made()) == (
        "RecordedEvent(type='OrderCreated', stream_name='stream1', stream_position=0, commit_position=512, "
        f"id={ID}, data=b'{{}}', metadata=b'')"
    )
    assert repr(made(link=LINK)).endswith(f", link={LINK!r})")
    large = repr(made(data=b"x" * 5000))
    assert "(5000 bytes)" in large
    assert len(large) < 300


BAD: list[tuple[dict[str, Any], type[ESDBError], str]] = [
    ({"type": 5}, InvalidTypeError, "a recorded event's type must be str, not int"),
    ({"data": "d"}, InvalidTypeError, "a recorded event's data must be bytes, not str"),
    ({"metadata": None}, InvalidTypeError, "a recorded event's metadata must be bytes, not NoneType"),
    ({"content_type": None}, InvalidTypeError, "a recorded event's content_type must be str, not NoneType"),
    ({"id": str(ID)}, InvalidTypeError, "a recorded event's id must be UUID, not str"),
    ({"stream_name": b"s"}, InvalidTypeError, "a recorded event's stream_name must be str, not bytes"),
    ({"stream_position": "0"}, InvalidTypeError, "a recorded event's stream_position must be an int, not str"),
    ({"stream_position": True}, InvalidTypeError, "a recorded event's stream_position must be an int, not bool"),
    ({"stream_position": -1}, InvalidArgumentError, "a recorded event's stream_position must not be negative"),
    ({"commit_position": 5.0}, InvalidTypeError, "a recorded event's commit_position must be an int, not float"),
    ({"commit_position": -5}, InvalidArgumentError, "a recorded event's commit_position must not be negative"),
    ({"prepare_position": "5"}, InvalidTypeError, "a recorded event's prepare_position must be an int, not str"),
    ({"recorded_at": 0}, InvalidTypeError, "a recorded event's recorded_at must be datetime, not int"),
    ({"recorded_at": datetime(2025, 1, 1)}, InvalidArgumentError, "recorded_at must have a time zone"),
    ({"link": ID}, InvalidTypeError, "a recorded event's link must be a RecordedEvent or None, not UUID"),
]


@pytest.mark.parametrize(("bad", "kind", "complaint"), BAD)
def test_bad_arguments_are_named(bad: dict[str, Any], kind: type[ESDBError], complaint: str) -> None:
    with pytest.raises(kind, match=complaint) as caught:
        made(**bad)
    assert type(caught.value) is kind


# Copies with changes


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_replacing_a_field(change: dict[str, Any]) -> None:
    event = made(link=made(type="$>"), recorded_at=datetime(2024, 5, 6, tzinfo=UTC))
    changed = event.replace(**change)
    ((name, value),) = change.items()
    assert getattr(changed, name) == value
    others = [other for other in event.asdict() if other != name]
    assert [getattr(changed, other) for other in others] == [getattr(event, other) for other in others]
    assert type(changed).__replace__(event, **change) == changed


def test_replacing_keeps_the_exact_time() -> None:
    event = made()
    object.__setattr__(event, "_ticks", 17_590_123_456_789_019)
    assert event.replace() == event
    assert event.replace(type="OrderDeleted").created_ticks == 17_590_123_456_789_019
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    assert event.replace(recorded_at=moment).created_ticks == ticks_of(moment)


def test_replacing_checks_values_and_names() -> None:
    with pytest.raises(InvalidTypeError, match="a recorded event's data must be bytes, not str"):
        made().replace(data="text")
    with pytest.raises(TypeError, match="revision"):
        made().replace(revision=5)


def test_as_a_dict() -> None:
    event = made(link=LINK, prepare_position=511, recorded_at=datetime(2025, 1, 1, tzinfo=UTC))
    fields = event.asdict()
    assert fields["link"] == LINK.asdict()
    assert fields["link"]["link"] is None
    assert RecordedEvent(**{**fields, "link": RecordedEvent(**fields["link"])}) == event
    assert RecordedEvent(**made().asdict()) == made()
    assert list(fields) == list(inspect.signature(RecordedEvent).parameters)


# Messages beside events


def told(message: SubscriptionMessage) -> str:
    """What an application does with what a subscription gives."""
    match message:
        case RecordedEvent(type="OrderCreated", stream_name=name, data=data):
            return f"created {name} {data!r}"
        case RecordedEvent(link=RecordedEvent(stream_name=name)):
            return f"by a link of {name}"
        case RecordedEvent():
            return "another event"
        case Checkpoint(commit, prepare):
            return f"at {commit}/{prepare}"
        case CaughtUp():
            return "caught up"
        case FellBehind():
            return "fell behind"


def test_match_statements() -> None:
    assert told(made()) == "created stream1 b'{}'"
    assert told(made(type="OrderDeleted", link=LINK)) == "by a link of $ce-stream1"
    assert told(made(type="OrderDeleted")) == "another event"
    assert told(Checkpoint(9, 5)) == "at 9/5"
    assert told(Checkpoint(commit_position=9, prepare_position=5)) == "at 9/5"
    assert told(CaughtUp()) == "caught up"
    assert told(FellBehind()) == "fell behind"


@pytest.mark.parametrize("value", [Checkpoint(9, 5), CaughtUp(), FellBehind()])
def test_the_other_messages_are_values(value: SubscriptionMessage) -> None:
    assert value == copy.copy(value) == pickle.loads(pickle.dumps(value))
    assert hash(value) == hash(copy.deepcopy(value))
    with pytest.raises((AttributeError, TypeError)):
        value.commit_position = 1  # type: ignore[misc, union-attr]
    assert CaughtUp() != FellBehind()
    assert Checkpoint(9, 5) != Checkpoint(9, 9)
    assert repr(Checkpoint(9, 5)) == "Checkpoint(commit_position=9, prepare_position=5)"
