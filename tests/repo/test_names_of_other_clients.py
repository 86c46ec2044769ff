"""The README's tables for users of other clients: no name of kurrentdbclient is missing, and our names exist."""

from __future__ import annotations

import inspect
import re

import kurrentdbclient
import kurrentdbclient.exceptions

import trio_esdb
from tests.support.documents import ROOT

README = (ROOT / "README.md").read_text()
(SECTION,) = re.findall(r"^## Coming from .*?(?=^## )", README, re.MULTILINE | re.DOTALL)
NAMES = set(re.findall(r"\w+", SECTION))
ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", SECTION, re.MULTILINE)]
ELSEWHERE = re.compile("_subscription|list_subscriptions|projection|parked")
"""Methods of features that are named only as a whole."""


def test_every_exception_is_there() -> None:
    classes = dict(inspect.getmembers(kurrentdbclient.exceptions, inspect.isclass))
    theirs = {name for name, value in classes.items() if issubclass(value, Exception)}
    assert theirs - NAMES == set()


def test_every_method_is_there() -> None:
    methods = dict(inspect.getmembers(kurrentdbclient.KurrentDBClient, inspect.isfunction))
    theirs = {name for name in methods if not name.startswith("_") and not ELSEWHERE.search(name)}
    assert theirs - NAMES == set()


def test_our_names_exist() -> None:
    ours = {
        name for row in ROWS for name in re.findall(r"(?<!\.)\b[A-Z]\w*(?:Error|Client|Result|Up|point)\b", row[-1])
    }
    assert len(ours) > 15
    builtin = {"TypeError", "ValueError", "ClosedResourceError"}
    assert ours - builtin - set(trio_esdb.__all__) == set()
    methods = {name for row in ROWS for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)[`(]", row[-1])}
    assert len(methods) > 10
    assert [name for name in methods if not hasattr(trio_esdb.ESDBClient, name)] == []
