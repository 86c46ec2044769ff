"""The sizes that one side of a connection sets for the other."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_WINDOW = 65_535
"""What a window holds until SETTINGS or WINDOW_UPDATE say otherwise (RFC 9113, 6.9.2)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, and the number of calls that a server serves at once on a connection."""

    receive_message: int = 17 * 1024 * 1024
    stream_window: int = 512 * 1024
    connection_window: int = 4 * 1024 * 1024
    header_list: int = 64 * 1024
    concurrent_streams: int = 100

    def __post_init__(self) -> None:
        if self.connection_window < DEFAULT_WINDOW:
            raise ValueError(f"no connection's window can be below {DEFAULT_WINDOW} bytes")
