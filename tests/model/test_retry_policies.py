"""What a RetryPolicy may be."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

from trio_esdb import InvalidArgumentError, InvalidTypeError, RetryPolicy


def test_the_defaults() -> None:
    policy = RetryPolicy()
    assert (policy.first_delay, policy.max_delay, policy.jitter) == (0.1, None, 0.2)
    assert policy == RetryPolicy(0.1) == copy.copy(policy) == pickle.loads(pickle.dumps(policy))
    assert hash(policy) == hash(RetryPolicy())


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"first_delay": -0.1}, InvalidArgumentError, "first_delay"),
        ({"first_delay": math.inf}, InvalidArgumentError, "first_delay"),
        ({"first_delay": math.nan}, InvalidArgumentError, "first_delay"),
        ({"first_delay": "1"}, InvalidTypeError, "first_delay"),
        ({"first_delay": None}, InvalidTypeError, "first_delay"),
        ({"first_delay": True}, InvalidTypeError, "first_delay"),
        ({"max_delay": 0.05}, InvalidArgumentError, "max_delay must not be less than first_delay"),
        ({"max_delay": -1}, InvalidArgumentError, "max_delay"),
        ({"max_delay": math.inf}, InvalidArgumentError, "max_delay"),
        ({"jitter": 1.1}, InvalidArgumentError, "jitter must be from 0 to 1"),
        ({"jitter": -0.1}, InvalidArgumentError, "jitter"),
    ],
)
def test_unusable_values(arguments: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        RetryPolicy(**arguments)
