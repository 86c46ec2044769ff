"""AppendResult: a number that knows a little more."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from trio_esdb import AppendResult, InvalidTypeError


def test_it_is_the_commit_position() -> None:
    result = AppendResult(512, 7)
    assert result == 512
    assert isinstance(result, int)
    assert (result.commit_position, result.stream_position, result.revision) == (512, 7, 7)
    assert result + 1 == 513
    assert max(result, 600) == 600
    assert hash(result) == hash(512)
    assert {512: "here"}[result] == "here"
    assert result == AppendResult(512, 7)
    assert result < AppendResult(513, 0)


def test_it_is_printed_and_stored_as_the_number() -> None:
    result = AppendResult(512, 7)
    assert str(result) == f"{result}" == "512"
    assert f"{result:>5}" == "  512"
    assert json.dumps(result) == "512"
    assert repr(result) == "AppendResult(commit_position=512, stream_position=7)"


def test_what_is_not_known() -> None:
    result = AppendResult(None, None)
    assert result == -1
    assert (result.commit_position, result.stream_position, result.revision) == (None, None, None)
    assert repr(result) == "AppendResult(commit_position=None, stream_position=None)"
    assert AppendResult(0, 0) == 0


@pytest.mark.parametrize("result", [AppendResult(512, 7), AppendResult(None, 7), AppendResult(512, None)])
def test_copies(result: AppendResult) -> None:
    again = [pickle.loads(pickle.dumps(result, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*again, copy.copy(result), copy.deepcopy(result)):
        assert type(other) is AppendResult
        assert repr(other) == repr(result)
        assert other == result


@pytest.mark.parametrize("name", ["commit_position", "stream_position", "revision", "other"])
def test_it_cannot_be_changed(name: str) -> None:
    result = AppendResult(512, 7)
    with pytest.raises(AttributeError, match=f"an AppendResult cannot be changed .setting '{name}'"):
        setattr(result, name, 1)
    with pytest.raises(AttributeError, match=f"an AppendResult cannot be changed .deleting '{name}'"):
        delattr(result, name)
    assert (result.commit_position, result.stream_position) == (512, 7)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("512", 7), "commit_position must be an int or None, not str"),
        ((512, "7"), "stream_position must be an int or None, not str"),
        ((True, 7), "commit_position must be an int or None, not bool"),
        ((512, 7.0), "stream_position must be an int or None, not float"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[Any, Any], complaint: str) -> None:
    with pytest.raises(InvalidTypeError, match=complaint):
        AppendResult(*arguments)
