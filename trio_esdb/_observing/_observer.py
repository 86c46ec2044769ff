"""Tells what happens to a client's connections: to listeners, and to the log.

There is one observer for each client. Whoever notices something calls ``emit``, which neither waits nor raises. The log
has the same events, with the connection's name in front, under the logger ``trio_esdb``. Formatting them is left to
``logging``, which does it only if the level is on.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

import trio

from trio_esdb._model import (
    CallRepeated,
    CallResumed,
    Connected,
    Connecting,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionFailed,
    ConnectionLost,
    CredentialsAsked,
    Discovered,
    DiscoveryFailed,
    LeaderChanged,
    NodeDraining,
)

from ._instruments import LOG, Instrument, Instruments
from ._listener import ConnectionEvents

_LEVELS: dict[type[ConnectionEvent], int] = {
    Connecting: logging.DEBUG,
    Connected: logging.INFO,
    ConnectionFailed: logging.INFO,
    ConnectionLost: logging.INFO,
    ConnectionClosed: logging.DEBUG,
    NodeDraining: logging.INFO,
    CallRepeated: logging.INFO,
    CallResumed: logging.INFO,
    CredentialsAsked: logging.DEBUG,
    Discovered: logging.DEBUG,
    DiscoveryFailed: logging.INFO,
    LeaderChanged: logging.INFO,
}
"""None is a warning: what does not heal is raised, and a program without logging would be shown it twice."""


class Observer:
    """What is to be told of one client, and to whom.

    Args:
        connection_name: The name of the client's connections, which is in front of what is logged.
        instruments: The instruments of the client.
    """

    def __init__(self, connection_name: str = "", instruments: Iterable[Instrument] = ()) -> None:
        self.connection_name = connection_name
        self.instruments = Instruments(instruments)
        self.counts: Counter[type[ConnectionEvent]] = Counter()
        """How many events of each class there were."""
        self._listeners: list[ConnectionEvents] = []
        self._closed = False

    @trio.lowlevel.enable_ki_protection
    def emit(self, event: ConnectionEvent) -> None:
        """Tell all listeners, and log it."""
        kind = type(event)
        self.counts[kind] += 1
        for listener in self._listeners:
            listener._put(event)
        level = _LEVELS[kind]
        if LOG.isEnabledFor(level):
            LOG.log(level, "%s: %s", self.connection_name, event)

    def listen(self, max_buffer_size: int) -> ConnectionEvents:
        """A new listener, which is given all events from now on."""
        listener = ConnectionEvents(max_buffer_size, self._listeners.remove)
        self._listeners.append(listener)
        if self._closed:
            listener._end()
        return listener

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """Nothing more happens: listeners come to their end after the events that they still have."""
        self._closed = True
        for listener in self._listeners:
            listener._end()
