"""What a link event points to."""

from __future__ import annotations

from .._dotnet._texts import parse_int64
from ._values import MalformedLink


def parse_link(data: bytes) -> tuple[int, str] | None:
    """The event number and the stream that the data of a link names.

    The data is `N@stream`; the first `@` separates. N is read before the stream is looked at: data with a number and
    no stream is a link to nothing, and only data without a number is malformed.

    Args:
        data: The data of an event of type `$>`.

    Returns:
        Number and stream; the number -1 is the last event. None where the link names no stream.

    Raises:
        MalformedLink: There is no number.
    """
    text, _, stream = data.decode("utf-8", "replace").partition("@")
    number = parse_int64(text)
    if number is None:
        raise MalformedLink(text)
    return (number, stream) if stream else None
