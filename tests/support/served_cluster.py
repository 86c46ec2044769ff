"""`trio-esdb serve --nodes 3` in a process of its own, and the commands that it is given."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.processes import serving

_LISTENING = "listening on "
_LOOK_AGAIN = 0.05
LONGEST = 900.0
"""Seconds after which a server has hung; many tests may share one."""
SETTLES_WITHIN = 40.0
"""Seconds. A cluster needs at most ten, on a machine that is not busy."""


class ServedCluster:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(_LISTENING), line
        self.uri = line.removeprefix(_LISTENING).rstrip("\n")
        """What it has printed as its address."""

    def login(self, user: str, password: str = "changeit") -> str:
        """The address with credentials."""
        return self.uri.replace("://", f"://{user}:{password}@")

    def command(self, line: str) -> str:
        """Give a command; the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def states(self) -> dict[int, str]:
        """For each node its state."""
        parts = [part.split(" ") for part in self.command("nodes").split("; ")]
        return {int(number): state for number, _, state in parts}

    def leader(self) -> int:
        """The number of the node that leads."""
        (found,) = [number for number, state in self.states().items() if state == "Leader"]
        return found

    def wait_until(self, fits: Callable[[dict[int, str]], bool]) -> None:
        """Look at the states of the nodes until they are as they should be."""
        deadline = time.monotonic() + SETTLES_WITHIN
        while not fits(states := self.states()):
            assert time.monotonic() < deadline, states
            time.sleep(_LOOK_AGAIN)

    def mend(self) -> None:
        """Let all nodes run again; returns when one leads and the others follow."""
        self.command("heal")
        for number, state in self.states().items():
            if state == "Frozen":
                self.command(f"wake {number}")

        def is_whole(states: dict[int, str]) -> bool:
            for number, state in states.items():
                if state == "Stopped":
                    self.command(f"restart {number}")
            return sorted(states.values()) == ["Follower"] * (len(states) - 1) + ["Leader"]

        self.wait_until(is_whole)


@contextmanager
def served_cluster(*options: str) -> Iterator[ServedCluster]:
    """A cluster of three on free ports; it must end well when told to, whatever its clients have left behind."""
    process = subprocess.Popen(
        serving("--nodes", "3", "--port", "0", "--grace", "0.2", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(LONGEST, process.kill)
    watchdog.start()
    try:
        yield ServedCluster(process)
        process.send_signal(signal.SIGTERM)
        printed, complaints = process.communicate()
        assert (process.returncode, printed, complaints) == (0, "", "")
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()
