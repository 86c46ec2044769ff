"""Whatever users see of a public name says where they import it from."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import pydoc
import re
import typing
from collections.abc import Iterator
from importlib.metadata import version
from types import FunctionType

import pytest

import trio_esdb
from trio_esdb import ESDBClient, EventChannel, NewEvent, RecordedEvent, StreamNotFoundError
from trio_esdb._public import publish

MODULES = ("trio_esdb", "trio_esdb.embedded", "trio_esdb.testing")
CLASSES = [
    pytest.param(value, id=f"{module}.{name}")
    for module in MODULES
    for name in importlib.import_module(module).__all__
    if isinstance(value := getattr(importlib.import_module(module), name), type)
]


def functions(cls: type) -> Iterator[FunctionType]:
    """The public methods and properties of a class."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and isinstance(function, FunctionType) and "trio_esdb" in function.__module__:
            yield function


@pytest.mark.parametrize("cls", CLASSES)
def test_no_private_module_is_named(cls: type) -> None:
    assert cls.__module__ in MODULES
    assert not re.search(r"trio_esdb(\.\w+)*\._", pydoc.render_doc(cls, renderer=pydoc.plaintext))
    for function in functions(cls):
        assert function.__module__ in MODULES


@pytest.mark.parametrize("cls", CLASSES)
def test_type_hints_can_be_looked_up(cls: type) -> None:
    typing.get_type_hints(cls)
    for function in functions(cls):
        typing.get_type_hints(function)
    typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        assert not isinstance(field.type, str), field.name


def test_type_errors_name_the_public_class() -> None:
    with pytest.raises(TypeError, match=r"^ESDBClient\.append_events\(\) missing"):
        ESDBClient.append_events()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^ESDBClient\.subscribe_all_events\(\) got an unexpected"):
        ESDBClient.subscribe_all_events(None, from_start=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"^ESDBClient\.__init__\(\) missing"):
        ESDBClient()  # type: ignore[call-arg]


def test_a_method_belongs_to_the_class_that_shows_it() -> None:
    assert "append_events" in vars(ESDBClient)
    assert ESDBClient.append_events.__qualname__ == "ESDBClient.append_events"
    assert EventChannel.clone.__qualname__ == "EventChannel.clone"
    assert trio_esdb.ServerError.__init__.__qualname__ == "ServerError.__init__"
    assert trio_esdb.AbortedError.__init__.__qualname__ == "ServerError.__init__"


def test_values_still_travel() -> None:
    event = NewEvent("T", b"{}")
    assert pickle.loads(pickle.dumps(event)) == event
    error = pickle.loads(pickle.dumps(StreamNotFoundError("no", stream_name="s", applied=False)))
    assert (type(error), error.stream_name, error.applied) == (StreamNotFoundError, "s", False)
    assert typing.get_type_hints(RecordedEvent.original.fget)["return"] is RecordedEvent  # type: ignore[attr-defined]


def test_to_publish_again_changes_nothing() -> None:
    before = ESDBClient.append_events.__qualname__, ESDBClient.__module__
    publish("trio_esdb", trio_esdb.__all__)
    assert (ESDBClient.append_events.__qualname__, ESDBClient.__module__) == before


def test_the_version() -> None:
    assert trio_esdb.__version__ == version("trio-esdb")
    with pytest.raises(AttributeError, match=r"module 'trio_esdb' has no attribute 'nothing'"):
        trio_esdb.nothing  # noqa: B018
