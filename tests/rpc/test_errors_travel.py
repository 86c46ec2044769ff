"""Errors are copied and pickled, as test runners and process pools do with them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from trio_esdb import (
    DeadlineExceededError,
    ESDBError,
    ExpectedPositionError,
    InvalidMetadataError,
    NotLeaderError,
    ServerTooLargeError,
    StreamState,
    TooLargeError,
)

LEADER = NotLeaderError("elsewhere", status="NOT_FOUND", trailers={"exception": "not-leader", "x-bin": b"\0"})
LEADER.leader = ("10.0.0.1", 2113)
ERRORS: list[ESDBError] = [
    ESDBError("plain"),
    TooLargeError("much", limit=3, size=4),
    ServerTooLargeError("much", status="INVALID_ARGUMENT", address="node:2113"),
    InvalidMetadataError("no JSON", data=b"x"),
    ExpectedPositionError("there", stream_name="s", expected=StreamState.EXISTS, actual=None, address="node:2113"),
    DeadlineExceededError("late", status="DEADLINE_EXCEEDED", details="Deadline Exceeded"),
    LEADER,
]


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_nothing_is_lost(error: ESDBError, travel: Callable[[Any], Any]) -> None:
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)
