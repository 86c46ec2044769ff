"""NewEvent: an event about to be appended."""

from __future__ import annotations

import copy
import dataclasses
import enum
import pickle
import uuid
from typing import Any

import pytest

from trio_esdb import ESDBError, InvalidArgumentError, InvalidTypeError, NewEvent

ID = uuid.UUID("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")


def test_what_is_left_out() -> None:
    event = NewEvent(type="OrderCreated", data=b'{"name": "Greg"}')
    assert (event.type, event.data) == ("OrderCreated", b'{"name": "Greg"}')
    assert (event.metadata, event.content_type) == (b"", "application/json")
    assert isinstance(event.id, uuid.UUID)
    assert event.id.version == 4
    assert event.id != NewEvent(type="OrderCreated", data=b"").id


def test_what_is_given() -> None:
    event = NewEvent(
        type="ImageCreated",
        data=b"01010101010101",
        metadata=b'{"a": 1}',
        content_type="application/octet-stream",
        id=ID,
    )
    assert event == NewEvent("ImageCreated", b"01010101010101", b'{"a": 1}', "application/octet-stream", ID)
    assert event.id == ID


def test_equality_and_hash() -> None:
    event = NewEvent("T", b"d", id=ID)
    assert event == NewEvent("T", b"d", id=ID)
    assert hash(event) == hash(NewEvent("T", b"d", id=ID))
    changes: list[dict[str, Any]] = [
        {"type": "U"},
        {"data": b"e"},
        {"metadata": b"m"},
        {"content_type": "application/octet-stream"},
        {"id": uuid.uuid4()},
    ]
    for change in changes:
        assert dataclasses.replace(event, **change) != event
    assert event != ("T", b"d", b"", "application/json", ID)


def test_it_cannot_be_changed() -> None:
    event = NewEvent("T", b"d")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.data = b"e"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        event.other = 1  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del event.data


def test_copies() -> None:
    event = NewEvent("T", b"d", b"m", "application/octet-stream", ID)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event
    assert copy.copy(event) == event
    assert copy.deepcopy(event) == event


def test_repr_tells_all() -> None:
    assert repr(NewEvent("T", b"d", id=ID)) == (
        f"NewEvent(type='T', data=b'd', metadata=b'', content_type='application/json', id={ID!r})"
    )


class Kind(enum.StrEnum):
    CREATED = "OrderCreated"


class OldKind(str, enum.Enum):  # noqa: UP042 - as programs older than StrEnum have it
    CREATED = "OrderCreated"


@pytest.mark.parametrize("kind", [Kind.CREATED, OldKind.CREATED])
def test_a_member_of_an_enum_of_texts_is_its_text(kind: str) -> None:
    event = NewEvent(kind, b"d")
    assert type(event.type) is str
    assert event.type == "OrderCreated"


BAD: list[tuple[dict[str, Any], type[ESDBError], str]] = [
    ({"type": None}, InvalidTypeError, "an event's type must be a str, not NoneType"),
    ({"type": b"T"}, InvalidTypeError, "an event's type must be a str, not bytes"),
    ({"type": ""}, InvalidArgumentError, "an event's type must not be empty"),
    ({"type": "\ud800"}, InvalidArgumentError, "an event's type must be encodable as UTF-8"),
    ({"data": "text"}, InvalidTypeError, "an event's data must be bytes, not str; encode it first"),
    ({"data": bytearray(b"d")}, InvalidTypeError, "an event's data must be bytes, not bytearray"),
    ({"data": memoryview(b"d")}, InvalidTypeError, "an event's data must be bytes, not memoryview"),
    ({"data": None}, InvalidTypeError, "an event's data must be bytes, not NoneType"),
    ({"data": {"a": 1}}, InvalidTypeError, "an event's data must be bytes, not dict"),
    ({"metadata": "text"}, InvalidTypeError, "an event's metadata must be bytes, not str"),
    ({"metadata": None}, InvalidTypeError, "an event's metadata must be bytes, not NoneType"),
    ({"content_type": ""}, InvalidArgumentError, "an event's content_type must be 'application/json' or"),
    ({"content_type": None}, InvalidArgumentError, "an event's content_type must be .*, not None"),
    ({"content_type": "text/plain"}, InvalidArgumentError, "content_type must be .* not 'text/plain'"),
    ({"id": "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"}, InvalidTypeError, "an event's id must be a uuid.UUID, not str"),
    ({"id": None}, InvalidTypeError, "an event's id must be a uuid.UUID, not NoneType"),
    ({"id": uuid.UUID(int=0)}, InvalidArgumentError, "an event's id must not be the nil UUID"),
]


@pytest.mark.parametrize(("bad", "kind", "complaint"), BAD)
def test_bad_arguments_are_named(bad: dict[str, Any], kind: type[ESDBError], complaint: str) -> None:
    arguments: dict[str, Any] = {"type": "T", "data": b"d", **bad}
    with pytest.raises(kind, match=complaint) as caught:
        NewEvent(**arguments)
    assert type(caught.value) is kind
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError) == (kind is InvalidTypeError)
    assert caught.value.__cause__ is None


def test_data_and_type_are_needed() -> None:
    with pytest.raises(TypeError):
        NewEvent("T")  # type: ignore[call-arg]
