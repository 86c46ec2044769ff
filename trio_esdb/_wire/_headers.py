"""Lists of headers: how they are counted, and the rules that they must keep (RFC 9113, section 8).

h2 checks most of the rules. It looks at every byte of a value in a Python loop, so it is given only the beginning of a
long value; the rest is searched here for the three bytes that no value may contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, validate_headers

Header = tuple[str, str]

REQUEST = HeaderValidationFlags(is_client=False, is_trailer=False, is_response_header=False, is_push_promise=False)
REQUEST_TRAILERS = REQUEST._replace(is_trailer=True)
RESPONSE = HeaderValidationFlags(is_client=True, is_trailer=False, is_response_header=True, is_push_promise=False)
RESPONSE_TRAILERS = HeaderValidationFlags(
    is_client=True, is_trailer=True, is_response_header=False, is_push_promise=False
)

_LONGEST_NAME = 1024
_LONG_VALUE = 128
_ERROR_LENGTH = 200
_find_forbidden = re.compile(rb"[\0\r\n]").search


class MalformedHeaders(Exception):
    """The headers break a rule of HTTP/2; only their stream is refused."""


class HeadersTooLarge(Exception):
    """The headers are larger than the peer accepts; nothing was sent."""


class HeaderList(tuple[Header, ...]):
    """The headers of one block, with what has been worked out from them.

    The decoder returns the same object for the same block again, so ``answer`` and ``outcome`` are worked out once.
    """

    size: int
    """The size as SETTINGS_MAX_HEADER_LIST_SIZE counts it."""
    by_name: dict[str, str]
    """The last value of each name."""
    answer: tuple[int, str, int | None] | None
    """Client: HTTP status, content type and content length, once somebody has asked."""
    outcome: object
    """Client: the ``Outcome`` that these trailers tell, once somebody has asked; None before."""

    def __new__(cls, headers: Iterable[Header]) -> Self:
        self = super().__new__(cls, headers)
        self.size = list_size(self)
        self.by_name = dict(self)
        self.answer = None
        self.outcome = None
        return self


def list_size(headers: tuple[Header, ...]) -> int:
    """The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in headers)


def content_length(headers: Mapping[str, str]) -> int | None:
    """The size of the body according to checked headers; None if they do not tell it."""
    length = headers.get("content-length")
    return None if length is None else int(length)


def checked(pairs: Sequence[tuple[bytes, bytes]], rules: HeaderValidationFlags) -> HeaderList:
    """These headers as text. MalformedHeaders if they break a rule."""
    try:
        for _ in validate_headers([(_plausible_name(name), _beginning(value)) for name, value in pairs], rules):
            pass
        _check_lengths(pairs)
    except ProtocolError as exc:
        raise MalformedHeaders(str(exc)[:_ERROR_LENGTH]) from None
    return HeaderList((_text(name), _text(value)) for name, value in pairs)


def _plausible_name(name: bytes) -> bytes:
    if len(name) > _LONGEST_NAME:
        raise MalformedHeaders(f"a header name of {len(name)} bytes")
    return name


def _beginning(value: bytes) -> bytes:
    """As much of a value as h2 has to see. Blanks around it are removed: a real node begins some values with one."""
    if len(value) > _LONG_VALUE:
        if _find_forbidden(value):
            raise MalformedHeaders("a header value with a NUL, CR or LF")
        value = value[:_LONG_VALUE]
    return value.strip(b" \t")


def _check_lengths(pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """There is at most one content-length, and it is a number: ASCII digits and nothing else."""
    lengths = {value for name, value in pairs if name == b"content-length"}
    if len(lengths) > 1 or not all(value.isdigit() and len(value) < 20 for value in lengths):
        raise MalformedHeaders(f"content-length is not one number: {sorted(lengths)}"[:_ERROR_LENGTH])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
