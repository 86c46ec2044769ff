"""Where a link points to."""

from __future__ import annotations

from .._dotnet._texts import parse_int64
from ._values import MalformedLink


def parse_link(data: bytes) -> tuple[int, str] | None:
    """Number and stream that the data of a link names; None if it names no stream. Raises MalformedLink.

    The first `@` splits. What stands before it must be a number, -1 for the last event. Only then is it missed that
    there is no stream, so such a link points to nothing instead of being malformed.
    """
    text, _, stream = data.decode("utf-8", "replace").partition("@")
    number = parse_int64(text)
    if number is None:
        raise MalformedLink(text)
    return (number, stream) if stream else None
