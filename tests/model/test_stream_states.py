"""StreamState: the expected positions that are not numbers."""

from __future__ import annotations

import copy
import pickle

import pytest

import trio_esdb
from trio_esdb import StreamState


@pytest.mark.parametrize("state", StreamState)
def test_it_is_shown_as_it_is_written(state: StreamState) -> None:
    assert eval(repr(state), vars(trio_esdb)) is state
    assert f"{state}" == str(state) == repr(state)


@pytest.mark.parametrize("state", StreamState)
def test_copies_are_the_same_object(state: StreamState) -> None:
    assert pickle.loads(pickle.dumps(state)) is copy.deepcopy(state) is state
