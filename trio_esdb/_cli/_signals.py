"""How a server is told to stop.

The first SIGTERM or Ctrl-C sets an event, a second one ends the process at once. Should the event loop stand still,
nothing in it can see the event; then faulthandler's own thread ends the process and prints where it stood.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import trio

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MARGIN = 3.0
"""Seconds in which the event loop must notice a signal, and in which a server must end after the grace period."""


@contextmanager
def stopping() -> Iterator[trio.Event]:
    """An event that is set by the first signal. From then on signals end the process, and the clock ticks for it."""
    told = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def on_signal(_number: int, _frame: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        end_within(0)
        token.run_sync_soon(told.set)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield told
    finally:
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


def end_within(grace: float) -> None:
    """Let the process end after the grace period and a margin, whatever it does then."""
    faulthandler.dump_traceback_later(grace + _MARGIN, exit=True)
