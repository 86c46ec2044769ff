"""Everything that chance decides in a process, decided by a seed for as long as a block lasts.

trio wakes up tasks in an order that it chooses at random. There is one switch for it: a flag that makes the order of
tasks before the choice certain, and the random source of the choice. Both are private; trio has them for Hypothesis,
which sets them in the same way (``_hypothesis_plugin_setup`` in ``trio/_core/_run.py``).

A program has chance of its own as well: the module ``random``, and ``uuid.uuid4``, from which an event gets its id. The
latter comes from ``os.urandom``. Other threads have the real one also inside the block.

The garbage collector runs at a time that depends on all that was done before in the process, and what it finalizes can
wake up tasks. So it rests inside the block.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import trio

_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def decided_by(seed: int) -> Iterator[None]:
    """A block in which a seed decides what chance decides otherwise. Everything is restored afterwards.

    Raises:
        RuntimeError: This trio cannot be seeded, trio runs already, or there is such a block in another thread.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "a simulation has a trio run of its own: call it as a plain function, not from a task inside trio.run"
        )
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError("another thread of this process is simulating: simulate in one thread at a time")
    try:
        with _trio(Random(f"{seed}/scheduler")), _random(f"{seed}/random"), _urandom(Random(f"{seed}/urandom")):
            collects = gc.isenabled()
            gc.disable()
            try:
                yield
            finally:
                if collects:
                    gc.enable()
    finally:
        _one_at_a_time.release()


@contextlib.contextmanager
def _trio(chance: Random) -> Iterator[None]:
    switch, source = _switch()
    flag = switch._ALLOW_DETERMINISTIC_SCHEDULING
    state = source.getstate()
    switch._ALLOW_DETERMINISTIC_SCHEDULING = True
    source.setstate(chance.getstate())
    try:
        yield
    finally:
        switch._ALLOW_DETERMINISTIC_SCHEDULING = flag
        source.setstate(state)


def _switch() -> tuple[Any, Random]:
    """The module of trio with the flag, and the random source."""
    with contextlib.suppress(ImportError, AttributeError):
        module: Any = importlib.import_module("trio._core._run")
        if isinstance(module._ALLOW_DETERMINISTIC_SCHEDULING, bool) and isinstance(module._r, Random):
            return module, module._r
    raise RuntimeError(
        f"the order of tasks in trio {trio.__version__} cannot be seeded, so no simulation would be the same in each "
        "run: use a release of trio in which it can be, as it can in 0.31 to 0.35"
    )


@contextlib.contextmanager
def _random(seed: str) -> Iterator[None]:
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _urandom(chance: Random) -> Iterator[None]:
    here = threading.get_ident()
    real = os.urandom

    def urandom(size: int, /) -> bytes:
        return chance.randbytes(size) if threading.get_ident() == here else real(size)

    os.urandom = urandom
    try:
        yield
    finally:
        os.urandom = real
