"""How long a client waits before it sends a call again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._errors import InvalidArgumentError, InvalidTypeError


@dataclass(frozen=True)
class RetryPolicy:
    """How long a client waits before it sends a failed call again. All times are in seconds.

    The waits grow: each is twice as long as the one before, up to ``max_delay``. They begin anew when a call has made
    progress: an answer, an event or a checkpoint came. Which calls are sent again is not a matter of taste, and so not
    part of this: see ``docs/trouble.md``.

    Args:
        first_delay: The first wait. A wait is never shorter than 10 milliseconds.
        max_delay: The longest wait. None means 20 times ``first_delay``.
        jitter: By which part of it a wait is made longer or shorter by chance, from 0 to 1. So clients that lost the
            same node do not all come back at the same moment.

    Raises:
        InvalidArgumentError: A value is not a number, negative or infinite, or ``max_delay`` is less than
            ``first_delay``.
    """

    first_delay: float = 0.1
    max_delay: float | None = None
    jitter: float = 0.2

    def __post_init__(self) -> None:
        _check("first_delay", self.first_delay)
        _check("jitter", self.jitter)
        if self.jitter > 1:
            raise InvalidArgumentError(f"jitter must be from 0 to 1, not {self.jitter}")
        if self.max_delay is not None:
            _check("max_delay", self.max_delay)
            if self.max_delay < self.first_delay:
                raise InvalidArgumentError(
                    f"max_delay must not be less than first_delay: it is {self.max_delay}, first_delay is "
                    f"{self.first_delay}"
                )


def _check(name: str, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 <= value < math.inf:
        raise InvalidArgumentError(f"{name} must be a finite number from 0 on, not {value}")
