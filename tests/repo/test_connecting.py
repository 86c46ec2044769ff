"""The tables of docs/connecting.md are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
import re

from tests.support.documents import ROOT
from trio_esdb import ESDBClient, Timeouts
from trio_esdb._cluster._preference import ORDER
from trio_esdb._settings import OPTIONS, SCHEMES, Settings

PAGE = (ROOT / "docs" / "connecting.md").read_text()


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    lines = PAGE.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(f"| {first} |")]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_options() -> None:
    assert table("option") == [
        [f"`{option.name}`", option.allowed, option.default, option.meaning] for option in OPTIONS.values()
    ]


def test_every_option_is_a_field_or_has_no_effect() -> None:
    fields = set(Settings._fields) - {"hosts", "credentials"}
    assert {option.field for option in OPTIONS.values()} == fields | {None}
    assert {option.name for option in OPTIONS.values() if option.field is None} == {"throwOnAppendFailure", "feature"}


def test_the_defaults_of_options_are_those_of_settings() -> None:
    """A default that the table tells in the form of a value is read to the default of the field."""
    told = {}
    for option in OPTIONS.values():
        if option.field and re.fullmatch(r"true|\d+|leader", option.default):
            told[option.field] = option.read(option.default)
    assert told == {name: getattr(Settings(), name) for name in told}
    assert len(told) == 9


def test_arguments() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in table("argument")}
    parameters = inspect.signature(ESDBClient).parameters
    assert list(told) == list(parameters)
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty:
            assert told[name] == ""
        else:
            assert told[name] == ("..." if parameter.default is ... else repr(parameter.default))


def test_which_node() -> None:
    words = {
        "leader": {"Leader"},
        "follower": {"Follower"},
        "read-only replica": {"ReadOnlyReplica"},
        "replica without a leader": {"PreReadOnlyReplica", "ReadOnlyLeaderless"},
    }
    told = {}
    for name, text in table("preference"):
        groups = [
            re.split(", | or ", re.sub("^(the|an?|any) ", "", group))
            for group in text.removesuffix(", and no other node").split("; ")
        ]
        told[name] = [set().union(*(words[word] for word in group)) for group in groups]
    assert told == {
        wanted.value: [{state.value for state in states} for states in groups] for wanted, groups in ORDER.items()
    }


def test_timeouts() -> None:
    told = {row[0].strip("`"): float(row[1]) for row in table("`Timeouts(...)`")}
    assert told == dataclasses.asdict(Timeouts())


def test_schemes() -> None:
    (row,) = (cells for cells in table("part") if cells[0] == "scheme")
    assert set(re.findall("`([a-z]+)`", row[1])) == set(SCHEMES)
