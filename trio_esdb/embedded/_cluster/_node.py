"""The process of a node in a cluster, with the services for its clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import trio

from trio_esdb._transport._handlers import Failure

from .._listening import ListeningNode
from .._services import Feed, NodeContext, Users
from .._services._accounts import Account
from .._services._membership import State
from .._services._replicated_writes import ReplicatedWrites
from .._services._turns import in_turns
from .._services._writes import Outcome, Refused
from .._store import Turns, Written, WrongExpectation
from .._store._replica import Replica
from ._membership import ClusterMembership, Forward, Forwarded
from ._peer import Peer

GRACE = 5.0
"""Seconds that a real node goes on serving when it is told to end."""


class MemberNode(ListeningNode):
    """What runs of a node in a cluster.

    Args:
        peer: Its process as a member.
        replica: Its data.
        addresses: Host and port of each node of the cluster.
        now: The cluster's clock, in ticks since the Unix epoch.
        new_id: Makes ids.
        random: Draws how long writers wait.
        accounts: The users of a fresh cluster; none if everybody may do everything.
    """

    def __init__(
        self,
        peer: Peer,
        replica: Replica,
        addresses: dict[int, tuple[str, int]],
        *,
        now: Callable[[], int],
        new_id: Callable[[], int],
        random: Random,
        accounts: Sequence[Account],
    ) -> None:
        store = replica.confirmed
        feed = Feed(store)
        self._peer = peer
        self._accounts = accounts
        self._membership = ClusterMembership(peer, addresses[peer.number], now, addresses)
        self._replica = replica
        context = NodeContext(
            store=store,
            feed=feed,
            now=now,
            new_id=new_id,
            membership=self._membership,
            users=Users(store, now, new_id) if accounts else None,
        )
        context.writes = self._writes = ReplicatedWrites(replica, feed, now, self._membership, random)
        super().__init__(context)
        self.calls_were_cut = False
        """Whether calls were open at the end of the grace period."""
        replica.go_on = self._go_on
        self._tell_writers, replica.on_confirmed = replica.on_confirmed, self._confirmed
        peer.on_state = self._changed
        peer.on_deposed = self._writes.cancel_all
        peer.on_message = self._receive

    @property
    def has_run(self) -> bool:
        """Whether it runs, or has run."""
        return self._has_run

    def begin_shut_down(self, grace: float) -> None:
        """Begin to end; ``wait_stopped`` waits for the end.

        Args:
            grace: Seconds for which open calls are served.
        """
        self._grace_time = grace
        self._closing.set()

    async def _drain(self) -> None:
        began = trio.current_time()
        await super()._drain()
        self.calls_were_cut = trio.current_time() - began >= self._grace_time

    def _changed(self) -> None:
        self._membership.state = self._peer.state
        if self._peer.state is not State.Leader:
            self._groups.stop()
        if self._peer.state is State.Leader and self._context.users is not None and self._nursery is not None:
            self._nursery.start_soon(self._write_accounts)

    async def _write_accounts(self) -> None:
        """Write the users of a fresh cluster. A later leader goes on if this one is deposed before it is done."""
        users, store = self._context.users, self._context.store
        assert users is not None
        try:
            await self._writes.wait_for_all()
            missing = [account for account in self._accounts if store.last_number(f"$user-{account.login_name}") < 0]
            await self._writes.take_steps(users.write_first(missing))
        except Failure:
            pass  # it leads no more

    def _go_on(self, work: Turns[None]) -> None:
        if self._nursery is None:
            for _ in work:
                pass
        else:
            self._nursery.start_soon(in_turns, work)

    def _confirmed(self) -> None:
        self._tell_writers()
        self._peer.confirmed()

    def _receive(self, message: object) -> None:
        if isinstance(message, Forwarded):
            self._membership.answered(message)
        elif isinstance(message, Forward) and self._nursery is not None and self._peer.is_leading:
            # Begun here, so that the writes of a node are made in the order in which it forwards them.
            self._nursery.start_soon(self._answer, message, self._writes.begin(message.write))

    async def _answer(self, message: Forward, written: Outcome) -> None:
        """Answer the node that has forwarded a write."""
        try:
            outcome: Written | WrongExpectation | Exception = await written()
        except (Failure, *Refused) as exc:
            outcome = exc
        self._peer.send(message.sender, Forwarded(message.request, outcome))
