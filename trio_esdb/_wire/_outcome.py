"""How a call ended, and the status that the gRPC specification gives to each way of ending without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from ._frames import code_name
from ._grpc import Metadata, Status, decode_grpc_message, metadata_from

Header = tuple[str, str]

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    ``local`` says that the status was found on this side (a broken frame, a lost connection), not sent by the peer.
    ``refused`` says that the peer has certainly not begun to work on the call.
    """

    status: Status
    message: str = ""
    trailers: Metadata = field(default_factory=dict)
    local: bool = False
    refused: bool = False

    @property
    def ok(self) -> bool:
        """Whether the call ended well."""
        return self.status is Status.OK


@lru_cache(maxsize=256)
def from_trailers(trailers: tuple[Header, ...]) -> Outcome | None:
    """The outcome that trailers tell; None where they hold no grpc-status. Of several statuses the last one counts."""
    status = message = None
    for name, value in trailers:
        if name == "grpc-status":
            status = value
        elif name == "grpc-message":
            message = value
    if status is None:
        return None
    text = decode_grpc_message(message or "")
    metadata = metadata_from(trailers)
    try:
        return Outcome(Status(int(status)), text, metadata)
    except ValueError:
        return Outcome(Status.UNKNOWN, f"the server sent grpc-status {status!r}: {text}", metadata)


def from_http(status: int, content_type: str, body: bytes, headers: Iterable[Header]) -> Outcome:
    """The outcome of an answer that came without a grpc-status."""
    text = body.decode("utf-8", "replace").strip()
    if status == 200 and content_type.startswith("application/grpc"):
        message = "the answer ended without a grpc-status"
    else:
        message = f"HTTP {status} ({content_type or 'no content type'}) instead of a gRPC answer"
    if text:
        message = f"{message}: {text}"
    return Outcome(_FROM_HTTP.get(status, Status.UNKNOWN), message, metadata_from(headers), local=True)


def from_reset(code: int) -> Outcome:
    """The outcome of a call that the peer reset."""
    return Outcome(
        _FROM_RESET.get(code, Status.INTERNAL),
        f"the peer reset the call with {code_name(code)}",
        local=True,
        refused=code == 7,
    )
