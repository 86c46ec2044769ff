"""The calls of a client, each on a connection to one of its nodes, and again where the policy for trouble says so.

Most calls succeed, so they are made in the cheapest way first. ``run`` sends a call at once if a connection has room,
and one task for all calls keeps the default deadline. Only a call that fails or has a timeout of its own is run within
a cancel scope, by ``_repeat``; and the wait for an answer, if the call was sent later than one that began after it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import trio

from trio_esdb._convert import ReadDecoder
from trio_esdb._errors import NotLeaderError, ServerError, UnavailableError
from trio_esdb._model import CallRepeated, Credentials, RetryPolicy
from trio_esdb._nursery import BackgroundTasks
from trio_esdb._observing import CallInfo
from trio_esdb._rpc import (
    Attempts,
    CallKind,
    Operation,
    Reply,
    Trouble,
    error_from,
    trouble_of,
    wait_for_own_deadline,
)
from trio_esdb._transport import OVERDUE, OverdueCalls, Sink, StreamingCall, unary_call
from trio_esdb._wire import HeadersTooLarge, Outcome

from ._authorization import MustAsk
from ._node_link import NodeLink
from ._nodes import Nodes
from ._options import ClientOptions
from ._versions import ask_version, check_version

_LONG_SILENCE = 1.0
"""Seconds. A node that has said nothing for so long when its call is cancelled may be frozen."""
_LARGEST_REPLY = 64 * 1024
"""Bytes of a reply. Those of the calls that have one are far smaller, and are read in one go."""


class Sent(NamedTuple):
    """Where an attempt was made, and for whom."""

    link: NodeLink
    credentials: Credentials | None


class Session:
    """Runs and opens calls.

    Args:
        nodes: The nodes, with the connections to them.
        options: What the client was told.
        tasks: Where the tasks run that give up calls which are overdue.
    """

    def __init__(self, nodes: Nodes, options: ClientOptions, tasks: trio.Nursery | BackgroundTasks) -> None:
        self.nodes = nodes
        self.options = options
        self.decoder = ReadDecoder()
        """Decodes what reads and subscriptions of this session receive."""
        self._authorization = nodes.authorization
        self.instruments = options.observer.instruments
        self._default = options.default_deadline
        self._overdue: OverdueCalls | None = None
        if options.default_deadline != math.inf:
            self._overdue = OverdueCalls(tasks.start_soon)
        self.first_answers = OverdueCalls(tasks.start_soon)
        """The reads that wait for their first answer, and when it is due."""
        self._policy = (
            options.retry
            if isinstance(options.retry, RetryPolicy)
            else RetryPolicy(first_delay=options.discovery_interval)
        )
        self._consumers = 0
        self._largest_reply = min(options.limits.receive_message, _LARGEST_REPLY)

    def new_consumer(self) -> int:
        """The number of a new consumer of a group, for its name."""
        self._consumers += 1
        return self._consumers

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self.nodes.closed

    def deadline(self, operation: Operation) -> float:
        """When the timeout of a call that begins now will pass, in seconds of trio's clock."""
        timeout, kind = operation.timeout, operation.kind
        if timeout is None:
            if kind is CallKind.READ or kind is CallKind.SUBSCRIPTION or kind is CallKind.GROUP:
                return math.inf
            timeout = self._default
        return trio.current_time() + timeout

    def repeats(self, operation: Operation) -> bool:
        """Whether this call may be sent again after trouble, apart from one that was never sent."""
        return self._retry(operation) is not False

    def _retry(self, operation: Operation) -> RetryPolicy | bool:
        return self.options.retry if operation.retry is None else operation.retry

    def attempts(self, operation: Operation, deadline: float = math.inf, call: CallInfo | None = None) -> Attempts:
        """What decides whether this call is repeated.

        Args:
            operation: The call.
            deadline: When its timeout passes, in seconds of trio's clock.
            call: The call as instruments know it.
        """
        retry = self._retry(operation)
        observer = self.options.observer
        if call is None:
            call = operation.call

        def report(error: ServerError, attempt: int, delay: float) -> None:
            observer.emit(
                CallRepeated(
                    address=error.address or self.nodes.address,
                    method=operation.method.value,
                    attempt=attempt,
                    delay=delay,
                    cause=str(error),
                )
            )
            if call is not None:
                observer.instruments.tell("call_repeated", call, attempt, error)

        return Attempts(
            operation,
            retry if isinstance(retry, RetryPolicy) else self._policy,
            enabled=retry is not False,
            deadline=deadline,
            patience=self._default,
            random=self.options.random,
            wait=self.wait,
            renew=lambda sent: self._authorization.renew(sent.link, operation, sent.credentials),
            learn=self.learn,
            report=report,
        )

    def learn(self, sent: Sent, trouble: Trouble, error: ServerError, follow: bool) -> None:
        """An attempt has failed: so it is known where the next ones are to go.

        Args:
            sent: Where it was made.
            trouble: What kind of failure it was.
            error: What its caller would get for it.
            follow: Whether to believe a node that names the leader.
        """
        leader = error.leader if isinstance(error, NotLeaderError) else None
        self.nodes.learn(sent.link, trouble, leader, follow=follow)

    @trio.lowlevel.enable_ki_protection
    async def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            trio.ClosedResourceError: The client is closed.
        """
        with trio.move_on_after(seconds):
            await self.nodes.closing.wait()
        if self.closed:
            raise trio.ClosedResourceError("the client was closed during the call")

    # -- calls with one answer ---------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self, operation: Operation, call: CallInfo | None = None) -> Reply:
        """The reply to a call that has one.

        Args:
            operation: The call.
            call: The call as instruments know it, if they have been told that it begins.

        Raises:
            DeadlineExceededError: The operation's timeout passed.
            ServerError: What the server's end of the call means.
            trio.ClosedResourceError: The client was closed.
        """
        if call is None and self.instruments.active:
            return await self._run_observed(operation)
        timeout = operation.timeout
        deadline = trio.current_time() + (self._default if timeout is None else timeout)
        failure: tuple[Sent, Outcome] | UnavailableError | None = None
        if timeout is None and operation.requires is None:
            pool = self.nodes.leading if operation.leader else self.nodes.serving
            link = None if pool is None else pool.link_now()
            if link is None:
                link, failure = await self._link_before(deadline, operation.leader)
                if link is None and failure is None:
                    raise self.attempts(operation, deadline, call).overdue(self.nodes.address, self.nodes.missing)
            if link is not None:
                try:
                    if operation.credentials is None and self._authorization.provider is None:
                        credentials = self._authorization.fixed
                    else:
                        credentials = self._authorization.of(link, operation)
                except MustAsk:
                    link.on_room()  # until the credentials are there, others may use it
                else:
                    message, outcome = await self._send(operation, link, credentials, self._overdue, deadline)
                    if outcome.ok:
                        return Reply(message, link.address)
                    failure = Sent(link, credentials), outcome
        attempts = self.attempts(operation, deadline, call)
        with trio.CancelScope(deadline=deadline):
            return await self._repeat(attempts, failure)
        sent: Sent | None = attempts.sent
        if sent is None:
            raise attempts.overdue(self.nodes.address, self.nodes.missing)
        if attempts.under_way:
            self.nodes.suspect(sent.link)
        raise attempts.overdue(sent.link.address, "" if attempts.under_way else self.nodes.missing)

    @trio.lowlevel.enable_ki_protection
    async def _link_before(self, deadline: float, leader: bool) -> tuple[NodeLink | None, UnavailableError | None]:
        """A connection with room for a call; or why there is none, or neither if the deadline passed.

        Only the wait is within a scope: the server is not told of the default deadline.
        """
        with trio.CancelScope(deadline=deadline):
            try:
                return await self.nodes.link(leader), None
            except UnavailableError as exc:
                return None, exc
        return None, None

    async def _send(
        self,
        operation: Operation,
        link: NodeLink,
        credentials: Credentials | None,
        overdue: OverdueCalls | None = None,
        due: float = math.inf,
    ) -> tuple[bytes, Outcome]:
        """One attempt."""
        try:
            return await unary_call(
                link,
                link.headers.of(operation.method, link.requires_leader[operation.leader]),
                operation.requests,
                authorization=None if credentials is None else credentials.authorization(),
                largest_reply=operation.largest_reply or self._largest_reply,
                overdue=overdue,
                due=due,
            )
        except HeadersTooLarge as exc:
            link.on_room()
            raise operation.headers_refused(exc, link.address) from None
        except trio.Cancelled:
            if trio.current_time() - link.core.heard_at > _LONG_SILENCE:
                self.nodes.suspect(link)
            raise

    async def _repeat(self, attempts: Attempts, failure: tuple[Sent, Outcome] | UnavailableError | None) -> Reply:
        """Send a call until it succeeds or must not be sent again, beginning after a first attempt if that failed."""
        operation = attempts.operation
        while True:
            if isinstance(failure, UnavailableError):
                await attempts.again(failure, trouble_of(None, failure))
            elif failure is not None:
                await self._after(attempts, *failure)
            try:
                sent = attempts.sent = await self._connection(operation)
            except UnavailableError as exc:
                attempts.sent = None
                failure = exc
                continue
            await trio.lowlevel.checkpoint_if_cancelled()
            attempts.under_way = True
            message, outcome = await self._send(operation, *sent)
            attempts.under_way = False
            if outcome.ok:
                return Reply(message, sent.link.address, attempts.unsure)
            failure = sent, outcome

    async def _after(self, attempts: Attempts, sent: Sent, outcome: Outcome) -> None:
        """After an attempt that failed: return when the next one is due, or raise."""
        if self.closed:
            raise trio.ClosedResourceError("the client was closed during the call")
        attempts.sent = sent
        if outcome is OVERDUE:
            self.nodes.suspect(sent.link)
            raise attempts.overdue(sent.link.address, sent=True)
        await wait_for_own_deadline(outcome)
        error = error_from(attempts.operation, outcome, sent.link.address)
        await attempts.again(error, trouble_of(outcome, error), outcome)

    async def _connection(self, operation: Operation) -> Sent:
        """A connection with room for a call, and its credentials. Nothing may be awaited before the call is started."""
        while True:
            link = await self.nodes.link(operation.leader)
            try:
                sent = Sent(link, self._authorization.of(link, operation))
            except MustAsk:
                link.on_room()  # meanwhile others may use it
                await self._authorization.ask(link)
                continue
            if operation.requires is not None and link.must_ask_version:
                await self.ask_version(link)
                continue
            try:
                check_version(link, operation)
            except ServerError:
                link.on_room()
                raise
            return sent

    async def ask_version(self, link: NodeLink) -> None:
        """Ask the server of a connection for its version.

        Raises:
            UnavailableError: There was no answer.
        """
        try:
            await ask_version(link, self.options.timeouts.first_answer)
        except UnavailableError:
            self.nodes.learn(link, Trouble.NO_FIRST_ANSWER, None, follow=False)
            raise

    async def _run_observed(self, operation: Operation) -> Reply:
        tell = self.instruments.tell
        call = self.call_info(operation)
        tell("call_started", call)
        error: BaseException | None = None
        try:
            reply = await self.run(operation, call)
            call.address = reply.address
            return reply
        except BaseException as exc:
            error = exc
            if isinstance(exc, ServerError):
                call.address = exc.address
            raise
        finally:
            tell("call_ended", call, error)
            del error

    def call_info(self, operation: Operation) -> CallInfo:
        """A call as instruments see it."""
        return CallInfo(
            method=operation.method.value,
            doing=operation.doing,
            stream_name=operation.stream_name,
            connection_name=self.options.connection_name,
        )

    # -- calls with many answers -------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def open(self, operation: Operation, sink: Sink, deadline: float) -> tuple[StreamingCall, Sent]:
        """Open a call with many responses, which go to the sink. Makes one attempt.

        Args:
            operation: What is called.
            sink: Who receives the responses.
            deadline: The deadline that the server is told, in seconds of trio's clock.

        Returns:
            The call, and where it was sent.

        Raises:
            DeadlineExceededError: The deadline passed before there was a connection.
            ServerError: The node cannot be reached, or would not take the headers.
            trio.ClosedResourceError: The client was closed.
        """
        await trio.lowlevel.checkpoint()
        if self.nodes.unwatched and operation.endless:
            self.nodes.watch_leader()
        authorization, now = self._authorization, None
        if (
            operation.credentials is None
            and operation.requires is None
            and authorization.provider is None
            and (deadline == math.inf or trio.current_time() < deadline)
        ):
            pool = self.nodes.leading if operation.leader else self.nodes.serving
            now = None if pool is None else pool.link_now()
        if now is not None:
            sent = Sent(now, authorization.fixed)
        elif deadline == math.inf:
            sent = await self._connection(operation)
        else:
            sent = await self._connection_before(deadline, operation)
        link, credentials = sent
        headers = link.headers.of(operation.method, link.requires_leader[operation.leader])
        if operation.consumer_name:
            headers = link.headers.named(headers, operation.consumer_name)
        try:
            call = StreamingCall(
                link,
                headers,
                operation.requests,
                sink,
                deadline=deadline,
                end=operation.kind is not CallKind.GROUP,
                authorization=None if credentials is None else credentials.authorization(),
            )
        except HeadersTooLarge as exc:
            link.on_room()
            raise operation.headers_refused(exc, link.address) from None
        return call, sent

    @trio.lowlevel.enable_ki_protection
    async def _connection_before(self, deadline: float, operation: Operation) -> Sent:
        with trio.CancelScope(deadline=deadline):
            await trio.lowlevel.checkpoint_if_cancelled()
            return await self._connection(operation)
        raise operation.overdue(self.nodes.address, self.nodes.missing, applied=False)
