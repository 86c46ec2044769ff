"""Finds the node of a cluster that a client wants, by asking nodes for the members of their cluster (gossip).

One task searches for all who wait, in attempts. In each attempt candidates are asked: the members that were seen last,
and the seeds, whose names are looked up in DNS each time. A node that is frozen takes connections and says nothing, so
the candidates overlap: the next one is asked when one has failed or after 250 milliseconds. The first answer that has
what is wanted ends the attempt. Between two attempts is a pause, which doubles.

Whoever waits may give up; the search goes on for the others, and ends when nobody waits. Each waiter counts the
attempts that gave it nothing, and gets a DiscoveryError when there were too many. The next search begins anew.

Two rules for answers that would lead astray:

- **A node that just failed**, or said that it is not the leader (``without``), may still be called the leader by the
  others for seconds. It is asked last, and comes back only by its own answer: then it is there.
- **Another cluster.** A name or an address may have been given to a node of another cluster. Once several members are
  known, an answer that has none of their addresses is refused. (Their ids tell no more: a process has one address as
  long as it lives.) If a search fails in which that happened, all that was known is forgotten, and the next search
  takes the seeds at their word, as the first one did.

A cluster that lists one member is that node, whatever address it tells: it keeps the one under which it was asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from trio_esdb._errors import DiscoveryError
from trio_esdb._model import ClusterMember, NodeState
from trio_esdb._nursery import BackgroundTasks

from ._candidates import Round, shortened
from ._endpoint import Endpoint
from ._options import ClientOptions
from ._preference import NodePreference, best, endpoint_of, fits
from ._resolving import Resolve

Ask = Callable[[Endpoint], Awaitable[tuple[ClusterMember, ...]]]
"""Asks one node for the members of its cluster: connects, asks, and gives the answer."""

_MOST_ASKED = 16
"""How many members are asked besides the seeds, and how many that are said to be dead."""
_LONGEST_PAUSE = 20
"""Times the first pause."""
_JITTER = 0.2
_LEAST_PAUSE = 0.01
"""Seconds."""


class Found(NamedTuple):
    """What a search has found."""

    endpoint: Endpoint
    role: NodeState
    """The state of the node at this endpoint."""
    members: tuple[ClusterMember, ...]


class View(NamedTuple):
    """An answer about the members of the cluster."""

    members: tuple[ClusterMember, ...]
    source: Endpoint
    """Who gave it."""
    time: float
    """When, in seconds of trio's clock."""


class _Waiter:
    """Somebody who waits for a node, or for any answer if nothing is wanted."""

    __slots__ = ("attempts", "began", "failure", "found", "late", "most", "over", "wanted", "without")

    def __init__(self, wanted: NodePreference | None, without: frozenset[str], most: int) -> None:
        self.wanted = wanted
        self.without = without
        self.most = most
        self.late = False
        """Whether it came when an attempt was just over."""
        self.attempts = 0
        self.began = trio.current_time()
        self.found: Found | None = None
        self.failure: DiscoveryError | None = None
        self.over = trio.Event()


class _Offers:
    """What an answer has for those who wait. It is found out once for all who want the same."""

    def __init__(self, source: Endpoint, members: tuple[ClusterMember, ...]) -> None:
        self._source = source
        self._members = members
        self._known: dict[tuple[NodePreference | None, frozenset[str]], list[Found]] = {}

    def of(self, wanted: NodePreference | None, without: frozenset[str]) -> list[Found]:
        """The nodes that are equally good for this wish."""
        key = wanted, without
        if key not in self._known:
            self._known[key] = self._find(wanted, without)
        return self._known[key]

    def _find(self, wanted: NodePreference | None, without: frozenset[str]) -> list[Found]:
        source, members = self._source, self._members
        if wanted is None:
            return [Found(source, NodeState.UNKNOWN, members)]
        if len(members) == 1:
            usable = fits(wanted, members[0]) and source.address not in without
            return [Found(source, members[0].state, members)] if usable else []
        return [Found(endpoint, member.state, members) for member, endpoint in best(wanted, members, without)]


class Discovery:
    """Finds nodes of one cluster.

    Args:
        tasks: Where the search runs.
        options: What the client was told.
        ask: Asks one node. What it raises is the reason why this candidate failed.
        resolve: Looks up the names of seeds; None if ``ask`` is to be given the names.
    """

    def __init__(
        self, tasks: trio.Nursery | BackgroundTasks, options: ClientOptions, ask: Ask, resolve: Resolve | None
    ) -> None:
        self.closed = False
        self.view: View | None = None
        """The last answer."""
        self.failure = ""
        """Why the last attempt failed; empty if it did not."""
        self.on_view: Callable[[View], None] = lambda view: None
        """Is told of each answer. Must neither wait nor raise."""
        self.on_failure: Callable[[DiscoveryError], None] = lambda error: None
        """Is told when the search has failed for somebody. Must neither wait nor raise."""
        self._tasks = tasks
        self._options = options
        self._ask = ask
        self._resolve = resolve
        self._random = options.random
        self._seeds = ", ".join(seed.address for seed in options.seeds)
        self._waiters: dict[_Waiter, None] = {}
        self._scope: trio.CancelScope | None = None
        self._attempt: Round | None = None
        self._pausing = False
        self._addresses: frozenset[str] = frozenset()
        self._strange = False
        """Whether an answer of another cluster came in this search."""

    # -- waiting -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def find(self, wanted: NodePreference, *, without: frozenset[str] = frozenset()) -> Found:
        """Find a node, by at least one answer of a node that comes after this call.

        Args:
            wanted: Which node.
            without: The addresses of nodes that just failed, or said that they are not the leader.

        Raises:
            DiscoveryError: There is none, after as many attempts as the options allow.
            trio.ClosedResourceError: The client was closed.
        """
        if self.view is None:
            without = frozenset()  # nobody is known who could come back
        waiter = _Waiter(wanted, without, self._options.max_discover_attempts)
        if self._pausing and self.view is not None:  # the answer is new, and only others must go on waiting
            self._offer(waiter, _Offers(self.view.source, self.view.members), without)
        return await self._wait(waiter)

    @trio.lowlevel.enable_ki_protection
    async def check(self, *, last: frozenset[str] = frozenset()) -> tuple[ClusterMember, ...]:
        """The members of the cluster, as the first node tells that answers; one attempt.

        Args:
            last: The addresses of nodes that are asked last, because they may not know better.

        Raises:
            DiscoveryError: No node answers.
            trio.ClosedResourceError: The client was closed.
        """
        return (await self._wait(_Waiter(None, last, 1))).members

    async def _wait(self, waiter: _Waiter) -> Found:
        if self.closed:
            await trio.lowlevel.checkpoint()  # for a task that is cancelled as well, that comes first
            raise _closed()
        if waiter.found is None:
            self._waiters[waiter] = None
            waiter.late = self._attempt is not None and self._attempt.over
            if self._scope is None:
                self._scope = trio.CancelScope()
                self._tasks.start_soon(self._search, self._scope)
        try:
            await waiter.over.wait()
        finally:
            self._waiters.pop(waiter, None)
        if waiter.failure is not None:
            raise waiter.failure
        if waiter.found is None:
            raise _closed()
        return waiter.found

    # -- searching ---------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def _search(self, scope: trio.CancelScope) -> None:
        ended = self._strange = False
        failed = 0
        try:
            with scope:
                while self._waiters:
                    if not await self._try():
                        failed = 0
                        continue
                    self._pausing = True
                    await trio.sleep(self._pause(failed))
                    self._pausing = False
                    failed += 1
                ended = True
        finally:
            self._scope = None
            self._pausing = False
            if not ended:
                self.close()  # it was cancelled: so are all tasks of the client

    def _pause(self, failed: int) -> float:
        first = self._options.discovery_interval
        pause = min(_LONGEST_PAUSE * first, first * 2.0 ** min(failed, 100))
        return max(_LEAST_PAUSE, pause * (1 + _JITTER * (2 * self._random.random() - 1)))

    async def _try(self) -> bool:
        """Make an attempt; whether somebody has waited for nothing and waits for the next one."""
        first, later = self._candidates()
        self._attempt = attempt = Round(
            first, later, self._ask, self._resolve, self._options.gossip_timeout, self._random, self._take
        )
        try:
            await attempt.run()
        finally:
            self._attempt = None
        self.failure = ""
        given_up = again = False
        for waiter in list(self._waiters):
            if waiter.late:
                waiter.late = False
                continue
            self.failure = attempt.summary
            waiter.attempts += 1
            if not attempt.final and waiter.attempts < waiter.most:
                again = True
                continue
            given_up = given_up or waiter.wanted is not None
            self._waiters.pop(waiter)
            waiter.failure = self._error(waiter, attempt)
            waiter.over.set()
            self.on_failure(waiter.failure)
        if given_up and self._strange:
            self._strange = False
            self.view = None
            self._addresses = frozenset()
        return again

    def _candidates(self) -> tuple[list[Endpoint], list[Endpoint]]:
        """Who is asked, and those who are asked last: the seeds among them may be names of several nodes."""
        alive: list[Endpoint] = []
        dead: list[Endpoint] = []
        for member in () if self.view is None else self.view.members:
            endpoint = endpoint_of(member)
            if endpoint is not None:
                (alive if member.is_alive else dead).append(endpoint)
        seeds = list(self._options.seeds)
        for group in (alive, seeds, dead):
            self._random.shuffle(group)
        ordered = [*alive[:_MOST_ASKED], *seeds, *dead[:_MOST_ASKED]]
        avoided = {address for waiter in self._waiters for address in waiter.without}
        first: dict[str, Endpoint] = {}
        later: dict[str, Endpoint] = {}
        for endpoint in ordered:
            (later if endpoint.address in avoided else first).setdefault(endpoint.address, endpoint)
        return list(first.values()), list(later.values())

    # -- answers -----------------------------------------------------------------------------------------------------

    def _take(self, source: Endpoint, members: tuple[ClusterMember, ...]) -> str:
        """An answer came. Returns what it lacks; empty if the attempt is over."""
        if not members:
            return "it lists no members"
        if self._is_strange(members):
            self._strange = True
            return f"it belongs to another cluster, since none of its members is known here: {_listed(members)}"
        self._remember(View(members, source, trio.current_time()))
        lacking = ""
        offers = _Offers(source, members)
        for waiter in list(self._waiters):
            if self._offer(waiter, offers, waiter.without - {source.address}):
                self._waiters.pop(waiter)
            elif not lacking:
                lacking = f"{_lack(waiter, members)}; it lists {_listed(members)}"
        if not lacking:
            self.failure = ""
        return lacking

    def _offer(self, waiter: _Waiter, offers: _Offers, without: frozenset[str]) -> bool:
        """Give a waiter what an answer has for it; whether it has that."""
        found = offers.of(waiter.wanted, without)
        if found:
            waiter.found = self._random.choice(found)
            waiter.over.set()
        return bool(found)

    def _remember(self, view: View) -> None:
        self.view = view
        self._addresses = _addresses(view.members) if len(view.members) > 1 else frozenset()
        self.on_view(view)

    def _is_strange(self, members: tuple[ClusterMember, ...]) -> bool:
        return bool(self._addresses) and self._addresses.isdisjoint(_addresses(members))

    def _error(self, waiter: _Waiter, attempt: Round) -> DiscoveryError:
        attempts = "1 attempt" if waiter.attempts == 1 else f"{waiter.attempts} attempts"
        seconds = trio.current_time() - waiter.began
        error = DiscoveryError(
            f"{_missing(waiter)} ({attempts} in {seconds:.3g} seconds, the last of which gave: {attempt.summary})",
            candidates=attempt.failures,
            details=attempt.summary,
            address=self._seeds,
        )
        error.final = attempt.final
        return error

    # -- closing -----------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """End the search. Those who wait get trio.ClosedResourceError."""
        self.closed = True
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.over.set()
        if self._scope is not None:
            self._scope.cancel()


def _addresses(members: tuple[ClusterMember, ...]) -> frozenset[str]:
    return frozenset(endpoint.address for endpoint in map(endpoint_of, members) if endpoint is not None)


def _missing(waiter: _Waiter) -> str:
    if waiter.wanted is NodePreference.LEADER:
        return "no leader of the cluster was found"
    if waiter.wanted is None:
        return "no node of the cluster answers"
    return "no node of the cluster was found that takes calls"


def _lack(waiter: _Waiter, members: tuple[ClusterMember, ...]) -> str:
    wanted = waiter.wanted
    assert wanted is not None  # who wants nothing takes any answer
    if any(fits(wanted, member) and endpoint_of(member) is None for member in members):
        return "the node to use tells no address"
    if any(fits(wanted, member) for member in members):
        return "it names only a node that just failed or refused"
    return "it knows no leader" if wanted is NodePreference.LEADER else "it knows no node that takes calls"


def _listed(members: tuple[ClusterMember, ...]) -> str:
    most = 8
    texts = [
        f"{shortened(member.address)}:{member.port} {member.state}{'' if member.is_alive else ' (dead)'}"
        for member in members[:most]
    ]
    return ", ".join(texts) + (f" and {len(members) - most} more" if len(members) > most else "")


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the client was closed")
