"""How a call ended, and the status that the gRPC specification gives to an end that came without one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ._frames import Code, code_name
from ._grpc import Metadata, Status, decode_grpc_message, metadata_from
from ._headers import Header

_STATUS = {str(status.value): status for status in Status}
"""A status by its text. Any other text is no status: not ``+5``, ``05``, ``1_0`` or digits of another script."""
_SHOWN = 100
"""Characters of an unknown status that an error shows."""

_MILLISECONDS = "0|[1-9][0-9]{0,9}"

_FROM_HTTP = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    431: Status.INTERNAL,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
"""doc/http-grpc-status-mapping.md of the gRPC project; anything else is UNKNOWN."""

_FROM_RESET: Mapping[int, Status] = {
    Code.REFUSED_STREAM: Status.UNAVAILABLE,
    Code.CANCEL: Status.CANCELLED,
    Code.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    Code.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}
"""doc/PROTOCOL-HTTP2.md of the gRPC project, "Errors"; anything else is INTERNAL."""

_NO_UPSTREAM = frozenset({502, 503, 504})
"""HTTP statuses of a proxy that lost its server during the call, or has none."""
_TOO_MANY_REQUESTS = 429
_CUT: frozenset[int] = frozenset(
    {Code.NO_ERROR, Code.INTERNAL_ERROR, Code.STREAM_CLOSED, Code.CANCEL, Code.CONNECT_ERROR}
)
"""Resets that tell nothing about the call. Servers and proxies send them when they stop, and proxies when nothing
happened for a while."""


@dataclass(slots=True)
class Outcome:
    """How a call ended.

    ``local`` is true if this side chose the status (a broken frame, a lost connection), false if the peer sent it.
    ``refused`` is true if the peer has certainly not begun to work on the call. ``unsent`` is true if the end of the
    request was never handed to the network, though it was queued: nobody can have done what the call asks for.
    ``lost`` is true if the call was cut off without a word: the connection broke, or the peer or something between
    ended the stream. ``calm`` is true if the peer gets too much of us: ENHANCE_YOUR_CALM, or HTTP 429 from a proxy.
    ``pushback`` is after how many seconds the server wants the call again: infinite if it does not, None if it says
    nothing of it.
    """

    status: Status
    message: str = ""
    trailers: Metadata = field(default_factory=dict)
    local: bool = False
    refused: bool = False
    unsent: bool = field(default=False, compare=False)
    lost: bool = field(default=False, compare=False)
    calm: bool = field(default=False, compare=False)
    pushback: float | None = field(default=None, compare=False)
    ok: bool = field(init=False, repr=False, compare=False)
    """Whether the status is OK."""

    def __post_init__(self) -> None:
        self.ok = self.status is Status.OK


def from_trailers(trailers: Iterable[Header]) -> Outcome | None:
    """The outcome that trailers tell; None if they have no grpc-status. The last of several statuses counts."""
    status = message = pushback = None
    for name, value in trailers:
        if name == "grpc-status":
            status = value
        elif name == "grpc-message":
            message = value
        elif name == "grpc-retry-pushback-ms":  # negative or no number: not again (gRPC proposal A6)
            pushback = int(value) / 1000 if re.fullmatch(_MILLISECONDS, value) else math.inf
    if status is None:
        return None
    text = decode_grpc_message(message or "")
    known = _STATUS.get(status)
    if known is None:
        text = f"the server sent grpc-status {status[:_SHOWN]!r}: {text}"
    return Outcome(Status.UNKNOWN if known is None else known, text, metadata_from(trailers), pushback=pushback)


def from_http(status: int, content_type: str, body: bytes, headers: Iterable[Header]) -> Outcome:
    """The outcome of an answer that came without a grpc-status."""
    text = body.decode("utf-8", "replace").strip()
    if status == 200 and content_type.startswith("application/grpc"):
        message, lost = "the answer ended without a grpc-status", True
    else:
        lost = status in _NO_UPSTREAM
        message = f"HTTP {status} ({content_type or 'no content type'}) instead of a gRPC answer"
    if text:
        message = f"{message}: {text}"
    return Outcome(
        _FROM_HTTP.get(status, Status.UNKNOWN),
        message,
        metadata_from(headers),
        local=True,
        lost=lost,
        calm=status == _TOO_MANY_REQUESTS,
    )


def from_reset(code: int) -> Outcome:
    """The outcome of a call that the peer reset."""
    return Outcome(
        _FROM_RESET.get(code, Status.INTERNAL),
        f"the peer reset the call with {code_name(code)}",
        local=True,
        refused=code == Code.REFUSED_STREAM,
        lost=code in _CUT,
        calm=code == Code.ENHANCE_YOUR_CALM,
    )
