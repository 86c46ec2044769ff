"""One attempt to learn who is in a cluster: candidates are asked, overlapping, until one gives a good answer."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random

import trio

from trio_esdb._errors import AccessDeniedError, UnavailableError, UnimplementedError
from trio_esdb._model import ClusterMember

from ._endpoint import Endpoint
from ._resolving import Resolve, is_address

OVERLAP = 0.25
"""Seconds after which the next candidate is asked, if the one before has not answered."""
_PATIENCE = 0.5
"""Seconds for which the last candidates are waited for at least, once there is an answer that does not do. Others may
be far away."""
_MOST = 64
"""How many addresses are asked in an attempt."""
_LONGEST_SHOWN = 100


class Round:
    """One attempt.

    Args:
        first: Who is asked.
        later: Who is asked after these.
        ask: Asks one of them.
        resolve: Looks up the names; None if ``ask`` is to be given the names.
        timeout: The seconds that each of them has, from the beginning of its connection to its answer.
        random: Gives the order of the addresses of a name.
        take: Is given an answer. Returns what it lacks; empty if the attempt is over.
    """

    def __init__(
        self,
        first: list[Endpoint],
        later: list[Endpoint],
        ask: Callable[[Endpoint], Awaitable[tuple[ClusterMember, ...]]],
        resolve: Resolve | None,
        timeout: float,
        random: Random,
        take: Callable[[Endpoint, tuple[ClusterMember, ...]], str],
    ) -> None:
        self.failures: dict[str, str] = {}
        """Each address that was asked, and what came of it."""
        self.final = True
        """Whether every candidate failed in a way in which it will fail again."""
        self._ask = ask
        self._resolve = resolve
        self._timeout = timeout
        self._random = random
        self._take = take
        self._line = deque((endpoint, _must_be_looked_up(endpoint, resolve)) for endpoint in [*first, *later])
        """Who is to be asked, and whether that is a name whose addresses are to be found before."""
        self._asked = 0
        self._open: dict[Endpoint, float] = {}
        """Those who have not answered, and when they were asked."""
        self._running = 0
        self.over = False
        """Whether nobody is asked any more, and no answer counts."""
        self._patience = math.inf
        """How long the last candidates are waited for: longer than another one took that has answered, so that a
        frozen one does not hold up the next attempt."""
        self._news = trio.Event()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Ask until there is a good answer, or nobody is left."""
        async with trio.open_nursery() as nursery:
            while not self.over and (self._line or self._running):
                if self._line:
                    endpoint, look_up = self._line.popleft()
                    if self._asked >= _MOST:
                        continue
                    self._running += 1
                    nursery.start_soon(self._look_up if look_up else self._ask_one, endpoint)
                self._news = trio.Event()
                with trio.move_on_after(OVERLAP if self._line else self._patience) as waiting:
                    await self._news.wait()
                if waiting.cancelled_caught and not self._line:
                    break
            self.over = True
            for endpoint, began in self._open.items():
                seconds = trio.current_time() - began
                self._failed(endpoint, f"no answer after {seconds:.2g} seconds, when others had answered")
            nursery.cancel_scope.cancel()

    @property
    def summary(self) -> str:
        """The failures in one line."""
        return "; ".join(f"{who}: {why}" for who, why in self.failures.items())

    async def _look_up(self, endpoint: Endpoint) -> None:
        """Find the addresses of a name, and ask them next."""
        assert self._resolve is not None
        self.failures[endpoint.described] = "the name has not been looked up yet"
        try:
            with trio.move_on_after(self._timeout):
                try:
                    addresses = list(dict.fromkeys(await self._resolve(endpoint.host)))
                except Exception as exc:  # noqa: BLE001 - a program may have given its own function
                    self._failed(endpoint, f"the name cannot be looked up: {_text(exc)}")
                    return
                if addresses:
                    del self.failures[endpoint.described]
                else:
                    self._failed(endpoint, "the name has no addresses")
                self._random.shuffle(addresses)
                self._line.extendleft((_at(endpoint, address), False) for address in addresses[:_MOST])
                return
            self._failed(endpoint, f"the name was not found within {self._timeout:g} seconds (gossipTimeout)")
        finally:
            self._ended()

    async def _ask_one(self, endpoint: Endpoint) -> None:
        self._asked += 1
        self.failures[endpoint.described] = ""  # in the order of the questions
        began = self._open[endpoint] = trio.current_time()
        try:
            with trio.move_on_after(self._timeout):
                try:
                    members = await self._ask(endpoint)
                except Exception as exc:  # noqa: BLE001 - connect() is the program's own, and may raise anything
                    self._failed(endpoint, _reason(exc), final=_is_final(exc))
                    return
                lacking = self._take(endpoint, members)
                if lacking:
                    self._failed(endpoint, lacking)
                    took = trio.current_time() - began
                    self._patience = min(self._patience, max(_PATIENCE, 2 * took))
                else:
                    self.over = True
                return
            self._failed(endpoint, f"no answer within {self._timeout:g} seconds (gossipTimeout)")
        finally:
            del self._open[endpoint]
            self._ended()

    def _failed(self, endpoint: Endpoint, reason: str, *, final: bool = False) -> None:
        self.failures[endpoint.described] = reason
        self.final = self.final and final

    def _ended(self) -> None:
        self._running -= 1
        self._news.set()


def _must_be_looked_up(endpoint: Endpoint, resolve: Resolve | None) -> bool:
    return resolve is not None and not endpoint.name and not is_address(endpoint.host)


def _at(endpoint: Endpoint, address: str) -> Endpoint:
    """One of the addresses of a name."""
    return endpoint if address == endpoint.host else endpoint._replace(host=address, name=endpoint.host)


def _is_final(exc: Exception) -> bool:
    if isinstance(exc, UnavailableError):
        return exc.final
    return isinstance(exc, AccessDeniedError | UnimplementedError)


def _reason(exc: Exception) -> str:
    """Why a candidate failed; without its address where the error tells it, since the list does that."""
    if isinstance(exc, UnavailableError) and exc.details:
        return exc.details
    return _text(exc)


def _text(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


def shortened(text: str) -> str:
    """A text of a peer as errors show it."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "..."
