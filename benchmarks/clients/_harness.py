"""What the Python clients' programs share: jobs in, samples out, and the meter between."""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.replay._events import EVENT_METADATA, EVENT_TYPE, event_data

PER_CONNECTION = 100
"""Calls that a server takes at once on a connection; a client that waits there gets further connections."""


@dataclass
class Job:
    """One piece of work."""

    kind: str
    address: str
    stream: str = ""
    count: int = 0
    """Events or calls, of one call of ``parallel`` ones."""
    size: int = 200
    per_call: int = 1
    parallel: int = 1
    certificate: str = ""
    marks: list[int] = field(default_factory=list)

    @property
    def root_certificates(self) -> bytes:
        """What signed the node's certificate."""
        return Path(self.certificate).read_bytes()


class Meter:
    """Time, processor time and memory of the work between ``with meter`` and its end."""

    def __init__(self) -> None:
        self.units = 0
        self.seconds = self.cpu = 0.0
        self.extra: dict[str, Any] = {}

    @contextmanager
    def __call__(self, units: int) -> Iterator[None]:
        """Measure so many events or calls."""
        self.units = units
        gc.collect()
        cpu, wall = cpu_seconds(), time.perf_counter()
        yield
        self.seconds, self.cpu = time.perf_counter() - wall, cpu_seconds() - cpu

    @contextmanager
    def memory(self, units: int) -> Iterator[None]:
        """Resident memory that the block leaves in use, for each unit."""
        before = resident()
        with self(units):
            yield
        gc.collect()
        self.extra["bytes"] = (resident() - before) / units


def cpu_seconds() -> float:
    """Processor time of this process, all threads together, kernel included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> int:
    """Resident memory of this process, in bytes."""
    return _status("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak() -> int:
    """The largest resident memory since ``reset_peak``."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def reset_peak() -> None:
    """Forget the largest resident memory, where the system can."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def _status(name: str) -> int:
    path = Path("/proc/self/status")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def expect(found: int, count: int) -> None:
    """A client that did not do all of the work has not been measured."""
    if found != count:
        raise AssertionError(f"{found} instead of {count}")


def proposed(size: int) -> tuple[str, bytes, bytes]:
    """Type, data and metadata of an event to be appended."""
    return EVENT_TYPE, event_data(size), EVENT_METADATA


def run(perform: Callable[[Job, Meter], None]) -> None:
    """Do each job that comes, and say what it took; stay on the processor that the first argument names."""
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    print("ready", flush=True)
    for line in sys.stdin:
        meter = Meter()
        try:
            perform(Job(**json.loads(line)), meter)
        except Exception as exc:  # noqa: BLE001  # told to the driver, which goes on without this client
            traceback.print_exc()
            answer: dict[str, Any] = {"error": f"{type(exc).__name__}: {exc}"[:300]}
        else:
            answer = {"units": meter.units, "seconds": meter.seconds, "cpu": meter.cpu, **meter.extra}
        print(json.dumps(answer), flush=True)
