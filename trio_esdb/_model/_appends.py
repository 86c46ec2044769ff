"""What an append says of its stream: the state that it expects, and the positions that it results in."""

from __future__ import annotations

from enum import Enum
from typing import Any, NoReturn, final

from .._errors import InvalidTypeError


class StreamState(Enum):
    """The values of ``expected_position`` that are not a stream position."""

    ANY = "any"
    """The server does not check the stream."""
    NO_STREAM = "no_stream"
    """The stream must have no events. None means the same."""
    EXISTS = "exists"
    """The stream must have at least one event, at any position."""

    def __repr__(self) -> str:
        return str(self)  # "StreamState.ANY", as it is written in a program


@final
class AppendResult(int):
    """The result of an append: an int, the commit position of the last event, with the stream position beside it.

    Repeating a successful append gives the same result again. If the server does not know the commit position any more,
    the int is -1 and ``commit_position`` is None.

    The int is a position in the log of all streams. It is not a stream position, and arguments that take a stream
    position refuse it; give them ``result.stream_position``.
    """

    commit_position: int | None
    """The position of the last event in the log of all streams, or None if the server did not tell it."""
    stream_position: int | None
    """The position of the last event in its stream. None if no events were appended and the stream does not exist."""

    def __new__(cls, commit_position: int | None, stream_position: int | None) -> AppendResult:
        """Make a result, for example in the tests of an application.

        Args:
            commit_position: The position of the last event in the log of all streams, or None.
            stream_position: The position of the last event in its stream, or None.

        Raises:
            InvalidTypeError: An argument is not an int or None.
        """
        if type(commit_position) is not int or type(stream_position) is not int:
            for name, value in (("commit_position", commit_position), ("stream_position", stream_position)):
                if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                    raise InvalidTypeError(f"{name} must be an int or None, not {type(value).__name__}")
        self = int.__new__(cls, -1 if commit_position is None else commit_position)
        attributes = self.__dict__
        attributes["commit_position"] = commit_position
        attributes["stream_position"] = stream_position
        return self

    @property
    def revision(self) -> int | None:
        """The same as ``stream_position``. Other clients call it the revision of a stream."""
        return self.stream_position

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an AppendResult cannot be changed (setting {name!r})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an AppendResult cannot be changed (deleting {name!r})")

    def __reduce__(self) -> tuple[Any, ...]:
        return AppendResult, (self.commit_position, self.stream_position)

    def __str__(self) -> str:
        return int.__repr__(self)  # print and store it as a plain number

    def __repr__(self) -> str:
        return f"AppendResult(commit_position={self.commit_position}, stream_position={self.stream_position})"
