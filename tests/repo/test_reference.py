"""The API reference has every public name and every public method of the client, and nothing else."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import defaultdict

import pytest

from tests.support.documents import ROOT
from trio_esdb import ESDBClient

REFERENCE = (ROOT / "docs" / "reference.rst").read_text()
DIRECTIVE = re.compile(r"^ *\.\. (?P<kind>module|auto\w+):: (?P<name>[\w.]+)", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    """The names in the order of the page, by their module; methods under the name of the client's class."""
    names = defaultdict(list)
    module = ""
    for found in DIRECTIVE.finditer(REFERENCE):
        kind, name = found["kind"], found["name"]
        if kind == "module":
            module = name
        elif kind == "automethod":
            names["ESDBClient"].append(name.removeprefix("ESDBClient."))
        else:
            names[module].append(name)
    return names


@pytest.mark.parametrize("module", ["trio_esdb", "trio_esdb.embedded", "trio_esdb.testing"])
def test_every_public_name_is_there_once(module: str) -> None:
    assert sorted(documented()[module]) == sorted(importlib.import_module(module).__all__)


def test_every_method_of_the_client_is_there_once() -> None:
    public = {name for name, value in inspect.getmembers(ESDBClient) if callable(value) and not name.startswith("_")}
    assert sorted(documented()["ESDBClient"]) == sorted(public)


def test_contexts_are_shown_as_contexts() -> None:
    """Reads and subscriptions are used with `async with`, so the reference shows them in this way."""
    shown = re.findall(r"automethod:: ESDBClient\.(\w+)\n   :async-with: events", REFERENCE)
    contexts = [
        name
        for name in documented()["ESDBClient"]
        if name.startswith(("read_", "subscribe_")) and name != "read_gossip"
    ]
    assert shown == contexts
