"""What a subscription gives besides events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from .._errors import ServerError


@final
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a filtered subscription has read, whether or not an event matched the filter.

    To continue after this position, give the checkpoint to ``subscribe_all_events`` as ``commit_position``.

    Args:
        commit_position: The position in the log of all streams.
        prepare_position: The second half of that position.
    """

    commit_position: int
    prepare_position: int


@final
@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The subscription has delivered every event that was recorded before; the events that follow are new.

    It can come several times, for example after the consumer was slow. Servers before version 23.10 never send it.
    """


@final
@dataclass(frozen=True, slots=True)
class FellBehind:
    """The subscription was live and now reads recorded events again. A ``CaughtUp`` follows when it is live again.

    Versions of EventStoreDB and KurrentDB up to 26.1 never send it. Some compatible servers do.
    """


@final
@dataclass(frozen=True, slots=True)
class Resumed:
    """The subscription was interrupted and goes on; nothing was lost, and nothing comes twice.

    Args:
        position: Where it went on: after this stream position, or after this place in the log of all streams. None if
            no event and no checkpoint had come, and it had begun at the start.
        cause: The error that interrupted it.
    """

    position: int | Checkpoint | None
    cause: ServerError
