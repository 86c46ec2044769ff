"""Standard input, a line at a time, beside an event loop.

It may be a terminal, a pipe, a file, ``/dev/null``, or closed. No event loop can wait for all of these, and to make it
non-blocking would do that to whoever shares it, the shell above all. So a thread reads, with ``os.read``: Python's own
stream would be locked by a read that never returns, and a process cannot end then. trio's threads are daemons, so one
that still reads keeps no process alive.

A program in the background of a terminal may not read from it. The system stops it for trying, unless it ignores
SIGTTIN; then it only gets an error, and may try again when it is in the foreground.

What is written as an answer goes the same way, as nobody may read it.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import trio

_INPUT = 0
_OUTPUT = 1
_SIZE = 4096
_LONGEST = 1000
"""Bytes of a line. A longer one is no command, and is not kept."""
_TRY_AGAIN = 0.5
"""Seconds until a read is tried again that cannot be done now."""


class Lines:
    """Cuts bytes into lines: those that are too long are None."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_too_long = False

    def feed(self, data: bytes) -> Iterator[str | None]:
        """The lines that end within further bytes."""
        *ended, rest = data.split(b"\n")
        for line in ended:
            self._add(line)
            yield self._take()
        self._add(rest)

    def end(self) -> Iterator[str | None]:
        """The last line, if nothing ends it."""
        if self._rest or self._is_too_long:
            yield self._take()

    def _add(self, data: bytes) -> None:
        self._rest += data[: _LONGEST + 1]
        if len(self._rest) > _LONGEST:
            self._rest = b""
            self._is_too_long = True
        elif self._is_too_long:
            self._rest = b""

    def _take(self) -> str | None:
        line = None if self._is_too_long else self._rest.decode(errors="replace")
        self._rest, self._is_too_long = b"", False
        return line


async def read() -> bytes:
    """Some bytes of standard input; empty at its end, and where there is none."""
    if sys.stdin is None:  # it was closed when the process began, and its number may be another file's now
        await trio.lowlevel.checkpoint()
        return b""
    while True:
        try:
            return await trio.to_thread.run_sync(os.read, _INPUT, _SIZE, abandon_on_cancel=True)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EIO):
                return b""
            if exc.errno == errno.EIO and not os.isatty(_INPUT):
                return b""
        await trio.sleep(_TRY_AGAIN)


async def write(line: str) -> None:
    """Write a line to standard output.

    Raises:
        OSError: Nobody reads it any more.
    """
    data = f"{line}\n".encode(errors="backslashreplace")
    while data:
        written = await trio.to_thread.run_sync(partial(os.write, _OUTPUT, data), abandon_on_cancel=True)
        data = data[written:]


@contextmanager
def unstoppable() -> Iterator[None]:
    """Let the process go on when it reads from a terminal in whose background it runs."""
    number = getattr(signal, "SIGTTIN", None)
    if number is None:  # Windows
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
