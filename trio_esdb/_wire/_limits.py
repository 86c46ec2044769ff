"""The sizes that one side of a connection sets for the other."""

from __future__ import annotations

from dataclasses import dataclass

from ._frames import MAX_WINDOW

DEFAULT_WINDOW = 65_535
"""The size of a window until SETTINGS or WINDOW_UPDATE change it (RFC 9113, 6.9.2)."""
_LARGEST_MESSAGE = 2**32 - 1
"""The length of a gRPC message has four bytes."""


@dataclass(slots=True)
class Limits:
    """Sizes in bytes, and the number of calls that a server takes at once on a connection.

    ``stream_window`` is the receive window that a call begins with. ``largest_stream_window`` is how far it may grow
    while its consumer takes messages faster than one window for each round trip; a consumer that stops never has more
    than that waiting, apart from a single message that is larger. ``header_list`` is the largest list of headers that
    is taken, as SETTINGS_MAX_HEADER_LIST_SIZE counts it. If it is None, a server takes 64 KiB and a client 1 MiB: a
    node repeats the name of a stream in its trailers, which may be that long.
    """

    receive_message: int = 17 * 1024 * 1024
    stream_window: int = 512 * 1024
    connection_window: int = 16 * 1024 * 1024
    header_list: int | None = None
    concurrent_streams: int = 100
    largest_stream_window: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        if not DEFAULT_WINDOW <= self.connection_window <= MAX_WINDOW:
            raise ValueError(f"connection_window must be from {DEFAULT_WINDOW} to {MAX_WINDOW} bytes")
        if not 1 <= self.stream_window <= MAX_WINDOW:
            raise ValueError(f"stream_window must be from 1 to {MAX_WINDOW} bytes")
        if self.largest_stream_window > MAX_WINDOW:
            raise ValueError(f"largest_stream_window must be at most {MAX_WINDOW} bytes")
        if not 0 <= self.receive_message <= _LARGEST_MESSAGE:
            raise ValueError(f"receive_message must be from 0 to {_LARGEST_MESSAGE} bytes")
