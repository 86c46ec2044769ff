"""The times that a client waits inside."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from trio_esdb import InvalidArgumentError, InvalidTypeError, Timeouts


def test_the_usual_times() -> None:
    usual = {"connect": 10, "tls": 10, "settings": 10, "first_answer": 5, "close": 1}
    assert dataclasses.asdict(Timeouts()) == usual
    assert dataclasses.asdict(Timeouts(connect=3)) == usual | {"connect": 3}


@pytest.mark.parametrize("value", [0.001, 1, 2.5, 1e9, math.inf])
def test_good(value: float) -> None:
    for field in dataclasses.fields(Timeouts):
        assert getattr(Timeouts(**{field.name: value}), field.name) == value


@pytest.mark.parametrize("value", [0, -1, -0.5, -math.inf, math.nan, 1.1e9, 10**400, -(10**400)])
def test_not_positive(value: float) -> None:
    for field in dataclasses.fields(Timeouts):
        with pytest.raises(
            InvalidArgumentError, match=f"Timeouts: {field.name} must be a positive number of seconds up to 1e9, or"
        ):
            Timeouts(**{field.name: value})


@pytest.mark.parametrize("value", [None, True, "1", 1j, [1]])
def test_not_a_number(value: Any) -> None:
    for field in dataclasses.fields(Timeouts):
        with pytest.raises(
            InvalidTypeError, match=f"{field.name} must be a number of seconds, not {type(value).__name__}"
        ):
            Timeouts(**{field.name: value})


def test_it_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Timeouts().connect = 3  # type: ignore[misc]
