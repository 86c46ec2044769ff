"""Checks of arguments, before anything is sent. Each gives the value in the form in which it is sent."""

from __future__ import annotations

from collections.abc import Sequence

from trio_esdb._convert import ANY, EXISTS, NO_LIMIT, NO_STREAM
from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import (
    DEFAULT_EXCLUDE_FILTER,
    AppendResult,
    BasicCredentials,
    BearerToken,
    Checkpoint,
    Credentials,
    RecordedEvent,
    RetryPolicy,
    StreamState,
)

ExpectedPosition = int | StreamState | None
"""The type of ``expected_position``: a stream position, None for a stream without events, or a StreamState."""

_MAX_POSITION = 2**63 - 1
_MAX_COUNT = 2**31 - 1


def check_stream_name(stream_name: str) -> str:
    """The name of a stream."""
    if not isinstance(stream_name, str):
        raise InvalidTypeError(f"stream_name must be a str, not {type(stream_name).__name__}")
    if not stream_name:
        raise InvalidArgumentError("stream_name must not be empty")
    try:
        stream_name.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"stream_name must be encodable as UTF-8: {stream_name!r}") from None
    return stream_name


def check_expected(expected_position: ExpectedPosition) -> int:
    """An expected position as servers count it: a position from 0, or one of three negative numbers."""
    if expected_position is None or expected_position is StreamState.NO_STREAM:
        return NO_STREAM
    if expected_position is StreamState.ANY:
        return ANY
    if expected_position is StreamState.EXISTS:
        return EXISTS
    if isinstance(expected_position, AppendResult):
        raise InvalidTypeError(
            "expected_position must be a position in the stream, not the result of an append, which is a commit "
            f"position; give its stream_position, {expected_position.stream_position}"
        )
    if not isinstance(expected_position, int) or isinstance(expected_position, bool):
        raise InvalidTypeError(
            f"expected_position must be None, an int or a StreamState, not {type(expected_position).__name__}"
        )
    if expected_position > _MAX_POSITION:
        raise InvalidArgumentError(f"expected_position must be at most {_MAX_POSITION}, not {expected_position}")
    return ANY if expected_position < 0 else int(expected_position)


def check_limit(limit: int | None) -> int:
    """The number of events to read; None is no limit."""
    if limit is None:
        return NO_LIMIT
    return min(_integer("limit", limit, 1, None), NO_LIMIT)


def check_count(name: str, value: int) -> int:
    """A number of things, which must fit 31 bits."""
    return _integer(name, value, 1, _MAX_COUNT)


def check_stream_position(position: int | RecordedEvent | None, stream_name: str) -> tuple[int, int] | None:
    """A position in a stream, and 0; None stays None. That of an event is where it was read."""
    if position is None:
        return None
    if isinstance(position, RecordedEvent):
        record = position.original
        if record.stream_name != stream_name:
            raise InvalidArgumentError(
                f"stream_position must be in stream {stream_name!r}, but the event was read from stream "
                f"{record.stream_name!r}"
            )
        return record.stream_position, 0
    if isinstance(position, AppendResult):
        raise InvalidTypeError(
            "stream_position must be a position in the stream, not the result of an append, which is a commit "
            f"position; give its stream_position, {position.stream_position}"
        )
    return _integer("stream_position", position, 0, _MAX_POSITION, "an int, a RecordedEvent or None"), 0


def check_commit_position(position: int | Checkpoint | RecordedEvent | None) -> tuple[int, int] | None:
    """A position in the log of all events, as commit and prepare position; None stays None."""
    if position is None:
        return None
    if isinstance(position, Checkpoint):
        return position.commit_position, position.prepare_position
    if isinstance(position, RecordedEvent):
        commit, prepare = position.original.commit_position, position.original.prepare_position
        if commit is None:
            raise InvalidArgumentError(
                "commit_position: this event does not know its position in the log of all events, because its server "
                "did not tell it; servers before 22.10 tell it only when all events are read"
            )
        return commit, commit if prepare is None else prepare
    checked = _integer("commit_position", position, 0, _MAX_POSITION, "an int, a Checkpoint, a RecordedEvent or None")
    return checked, checked


def check_start(name: str, position: object, from_end: bool) -> None:
    """A subscription begins after a position or at the end, not both."""
    if from_end and position is not None:
        raise InvalidArgumentError(f"give {name} or from_end, not both")


def _integer(name: str, value: int, least: int, greatest: int | None, kinds: str = "an int") -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be {kinds}, not {type(value).__name__}")
    if greatest is None:
        if value < least:
            raise InvalidArgumentError(f"{name} must be at least {least}, not {value}")
    elif not least <= value <= greatest:
        raise InvalidArgumentError(f"{name} must be from {least} to {greatest}, not {value}")
    return int(value)


def check_timeout(timeout: float | None) -> float | None:
    """A timeout in seconds; None stays None, math.inf is no limit."""
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        raise InvalidTypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise InvalidArgumentError(f"timeout must not be negative, it is {timeout}")
    return timeout


def check_how(retry: RetryPolicy | bool | None, credentials: Credentials | None) -> None:
    """Check whether and how a call is repeated, and who it is made for. None is as the client was told."""
    if retry is not None and not isinstance(retry, RetryPolicy | bool):
        raise InvalidTypeError(f"retry must be True, False, a RetryPolicy or None, not {type(retry).__name__}")
    if credentials is not None and not isinstance(credentials, BasicCredentials | BearerToken):
        raise InvalidTypeError(  # without the value, which may be a password
            f"credentials must be BasicCredentials, a BearerToken or None, not {type(credentials).__name__}"
        )


def has_own_patterns(exclude: Sequence[str], include: Sequence[str], by_prefix: bool) -> bool:
    """Whether a filter holds regular expressions of the caller's own."""
    return not by_prefix and bool(include or tuple(exclude) != tuple(DEFAULT_EXCLUDE_FILTER))
