"""Programs in processes of their own. Tests wait for a line of their output, and never sleep.

And the addresses on which they can listen.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from tests.support.clock import PATIENCE

COMMAND = (sys.executable, "-W", "error", "-m", "trio_esdb")
"""The command line of this project; a warning anywhere in it is an error."""
_LISTENING = "listening on "


class Program:
    """A process: what it prints, and how it ends."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""
        self.errors = b""
        self._all_errors = trio.Event()

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            more = await self._process.stdout.receive_some()
            if not more:
                break
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    async def uri(self) -> str:
        """Where a server listens, as soon as it does."""
        line = await self.line()
        assert line.startswith(_LISTENING), (line, self.errors)
        return line.removeprefix(_LISTENING)

    async def command(self, line: str) -> str:
        """Give it a line on its standard input, which must be a pipe; the next line that it prints."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(f"{line}\n".encode())
        return await self.line()

    def send(self, sign: signal.Signals) -> None:
        self._process.send_signal(sign)

    async def wait(self) -> int:
        """Its exit status."""
        return await self._process.wait()

    async def ended(self) -> tuple[int, str, str]:
        """Its exit status, what it printed that was not read, and what it complained of."""
        assert self._process.stdout is not None
        async for more in self._process.stdout:
            self._unread += more
        await self._all_errors.wait()
        return await self._process.wait(), self._unread.decode(), self.errors.decode()

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for more in self._process.stderr:
            self.errors += more
        self._all_errors.set()

    @classmethod
    @asynccontextmanager
    async def running(cls, command: Sequence[str], stdin: int = subprocess.DEVNULL) -> AsyncIterator[Program]:
        """A program; it is killed where it still runs at the end of the block."""
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                process: trio.Process = await trio.lowlevel.open_process(
                    command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
                program = cls(process)
                nursery.start_soon(program._read_errors)
                try:
                    yield program
                finally:
                    if process.poll() is None:
                        process.kill()
                    with trio.CancelScope(shield=True):
                        if process.stdin is not None:
                            await process.stdin.aclose()
                        await process.wait()
                    nursery.cancel_scope.cancel()


def serving(*options: str) -> tuple[str, ...]:
    """The command that serves an embedded node."""
    return (*COMMAND, "serve", *options)


def loopbacks() -> list[str]:
    """The loopback addresses of this machine."""
    found = ["127.0.0.1"]
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return found
    return [*found, "::1"]
