"""Instruments: what a program wants to be told of each call.

As with trio's own instruments, a method that an instrument does not override is never called, and an instrument that
raises is removed and its exception is logged. A client without instruments pays for one look at an attribute.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import trio

from trio_esdb._model import RecordedEvent

LOG = logging.getLogger("trio_esdb")


@dataclass(eq=False, kw_only=True, slots=True, weakref_slot=True)
class CallInfo:
    """A call of a client, as instruments see it. All that they are told of one call comes with the same object.

    Attributes:
        method (str): The gRPC method, such as ``"/event_store.client.streams.Streams/Append"``.
        doing (str): What the call is for, such as ``"appending to stream 's'"``.
        stream_name (str): The stream that is read, subscribed to or written to; empty for all events.
        connection_name (str): The name of the client's connections.
        address (str): The node that the call was sent to last, as ``host:port``; empty as long as it was not sent.
    """

    method: str
    doing: str
    stream_name: str
    connection_name: str
    address: str = ""


class Instrument:
    """Base class of what observes the calls of a client; see ``instruments`` of ``ESDBClient``.

    Override the methods that you need. They are called by the client's tasks, so they must neither wait nor take long.
    An instrument that raises an exception is removed from the client, and the exception is logged.
    """

    def call_started(self, call: CallInfo) -> None:
        """A call begins. This is called in the task that makes the call, before there is a connection for it.

        Args:
            call: The call.
        """

    def call_repeated(self, call: CallInfo, attempt: int, cause: BaseException) -> None:
        """A call failed and will be sent again; or a read or subscription goes on with a new call.

        Args:
            call: The call.
            attempt: Which attempt this will be: 2 for the first repetition.
            cause: Why the attempt before it failed.
        """

    def call_ended(self, call: CallInfo, error: BaseException | None) -> None:
        """A call is over. This comes once for each call that has started.

        Args:
            call: The call.
            error: What the call raised: an error of this library, or trio.Cancelled; None if it succeeded, or if a
                read or subscription was left.
        """

    def event_received(self, call: CallInfo, event: RecordedEvent) -> None:
        """An event of a read or subscription was received from the server; the program is given it soon.

        Args:
            call: The read or subscription.
            event: The event.
        """


_HOOKS = ("call_started", "call_repeated", "call_ended", "event_received")


class Instruments:
    """The instruments of a client. ``active`` is false if there are none."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_hook: dict[str, list[Instrument]] = {
            hook: [each for each in instruments if getattr(type(each), hook) is not getattr(Instrument, hook)]
            for hook in _HOOKS
        }
        self.active = any(self._by_hook.values())
        """Whether there is anybody to be told."""
        self.wants_events = bool(self._by_hook["event_received"])
        """Whether anybody wants to know of events."""

    @trio.lowlevel.enable_ki_protection
    def tell(self, hook: str, *args: Any) -> None:
        """Call a method of all instruments that have it. Never raises."""
        for instrument in tuple(self._by_hook[hook]):
            try:
                getattr(instrument, hook)(*args)
            except BaseException:
                self._remove(instrument)
                logging.getLogger("trio_esdb").exception(
                    "an instrument raised an exception and is removed: %r", instrument
                )

    def _remove(self, instrument: Instrument) -> None:
        for instruments in self._by_hook.values():
            if instrument in instruments:
                instruments.remove(instrument)
        self.active = any(self._by_hook.values())
        self.wants_events = bool(self._by_hook["event_received"])
