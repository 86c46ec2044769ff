"""How a call ended, and the status that the gRPC specification gives to an end that came without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ._frames import code_name
from ._grpc import Metadata, Status, decode_grpc_message, metadata_from
from ._headers import Header

_STATUS = {str(status.value): status for status in Status}
"""A status by its text. Any other text is no status: not ``+5``, ``05``, ``1_0`` or digits of another script."""
_SHOWN = 100
"""Characters of an unknown status that an error shows."""

_FROM_HTTP = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
"""doc/http-grpc-status-mapping.md of the gRPC project; anything else is UNKNOWN."""

_FROM_RESET = {
    7: Status.UNAVAILABLE,
    8: Status.CANCELLED,
    11: Status.RESOURCE_EXHAUSTED,
    12: Status.PERMISSION_DENIED,
}
"""doc/PROTOCOL-HTTP2.md of the gRPC project, "Errors"; anything else is INTERNAL."""


_CUT = frozenset({0, 2, 5, 8, 10})
"""Resets that tell no reason of the call: NO_ERROR, INTERNAL_ERROR, STREAM_CLOSED, CANCEL, CONNECT_ERROR. Servers and
proxies send them when they stop, and proxies when nothing happened for a while."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    ``local`` is true if this side chose the status (a broken frame, a lost connection), false if the peer sent it.
    ``refused`` is true if the peer has certainly not begun to work on the call. ``unsent`` is true if the end of the
    request was never handed to the network, though it was queued. ``lost`` is true if the call was cut off without a
    word: the connection broke, or the peer or something between ended the stream.
    """

    status: Status
    message: str = ""
    trailers: Metadata = field(default_factory=dict)
    local: bool = False
    refused: bool = False
    unsent: bool = field(default=False, compare=False)
    lost: bool = field(default=False, compare=False)
    ok: bool = field(init=False, repr=False, compare=False)
    """Whether the status is OK."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ok", self.status is Status.OK)


def from_trailers(trailers: Iterable[Header]) -> Outcome | None:
    """The outcome that trailers tell; None if they have no grpc-status. The last of several statuses counts."""
    status = message = None
    for name, value in trailers:
        if name == "grpc-status":
            status = value
        elif name == "grpc-message":
            message = value
    if status is None:
        return None
    text = decode_grpc_message(message or "")
    known = _STATUS.get(status)
    if known is None:
        text = f"the server sent grpc-status {status[:_SHOWN]!r}: {text}"
    return Outcome(Status.UNKNOWN if known is None else known, text, metadata_from(trailers))


def from_http(status: int, content_type: str, body: bytes, headers: Iterable[Header]) -> Outcome:
    """The outcome of an answer that came without a grpc-status."""
    text = body.decode("utf-8", "replace").strip()
    if status == 200 and content_type.startswith("application/grpc"):
        message, lost = "the answer ended without a grpc-status", True
    else:
        lost = False
        message = f"HTTP {status} ({content_type or 'no content type'}) instead of a gRPC answer"
    if text:
        message = f"{message}: {text}"
    return Outcome(_FROM_HTTP.get(status, Status.UNKNOWN), message, metadata_from(headers), local=True, lost=lost)


def from_reset(code: int) -> Outcome:
    """The outcome of a call that the peer reset."""
    return Outcome(
        _FROM_RESET.get(code, Status.INTERNAL),
        f"the peer reset the call with {code_name(code)}",
        local=True,
        refused=code == 7,
        lost=code in _CUT,
    )
