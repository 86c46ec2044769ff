"""The public surface: every name in an `__all__` is there and says what it is for."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

MODULES = [name for name in ("trio_esdb", "trio_esdb.embedded", "trio_esdb.testing") if importlib.util.find_spec(name)]


def public_members(owner: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties that a class of ours shows, its own and those it takes from our private classes."""
    for base in owner.__mro__:
        if not base.__module__.startswith("trio_esdb"):
            continue
        for name, member in vars(base).items():
            if name.startswith("_"):
                continue
            if isinstance(member, property | staticmethod | classmethod) or inspect.isfunction(member):
                yield name, member


def undocumented(module: ModuleType) -> Iterator[str]:
    """The public names of a module that nothing is said about."""
    if not inspect.getdoc(module):
        yield module.__name__
    for name in module.__all__:
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue  # constants and type aliases cannot say it themselves
        if not inspect.getdoc(value) or (inspect.isclass(value) and not value.__doc__):
            yield f"{module.__name__}.{name}"
        if inspect.isclass(value):
            for member_name, _ in public_members(value):
                if not inspect.getdoc(getattr(value, member_name)):
                    yield f"{module.__name__}.{name}.{member_name}"


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert list(undocumented(module)) == []


@pytest.mark.parametrize("name", MODULES)
def test_public_names_say_that_they_live_in_the_public_module(name: str) -> None:
    """So that tracebacks, `help` and `repr` name what a user can import."""
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [public for public in module.__all__ if public.startswith("_") and public != "__version__"] == []
    values = {public: getattr(module, public) for public in module.__all__}
    told = {
        public: f"{value.__module__}.{value.__qualname__}"
        for public, value in values.items()
        if inspect.isclass(value) or inspect.isroutine(value)
    }
    assert told == {public: f"{name}.{public}" for public in told}
