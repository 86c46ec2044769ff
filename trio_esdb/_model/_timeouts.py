"""How long the client itself waits for things."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError

_LONGEST = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """How long the client waits at most, in seconds, up to 1e9. ``math.inf`` is no limit.

    These times bound the steps of the client. How long a call may take is the business of its ``timeout`` and of
    ``default_deadline``.

    Attributes:
        connect (float): To look up the name of a host and to connect to one of its addresses.
        tls (float): For the TLS handshake.
        settings (float): For the first frame of the server, which shows that it speaks HTTP/2.
        first_answer (float): For the first answer to a read, and for the confirmation of a subscription.
        close (float): To send what is left when the client closes.

    Raises:
        InvalidArgumentError: A time is not a positive number of seconds.
    """

    connect: float = 10.0
    tls: float = 10.0
    settings: float = 10.0
    first_answer: float = 5.0
    close: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise InvalidTypeError(
                    f"Timeouts: {field.name} must be a number of seconds, not {type(value).__name__}"
                )
            if not is_time(value):
                raise InvalidArgumentError(
                    f"Timeouts: {field.name} must be a positive number of seconds up to 1e9, or math.inf, not {value}"
                )


def is_time(value: float) -> bool:
    """Whether a number of seconds can be waited for; ``math.inf`` can. A clock cannot count much more than 1e9."""
    return 0 < value <= _LONGEST or value == math.inf
