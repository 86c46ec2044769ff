"""The client, put together from the areas of its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from random import Random
from ssl import SSLContext
from types import EllipsisType, TracebackType
from typing import Self

import trio

from trio_esdb._cluster import Nodes, Session, open_first
from trio_esdb._errors import ESDBError
from trio_esdb._model import Credentials, CredentialsProvider, RetryPolicy, Timeouts
from trio_esdb._nursery import BackgroundTasks, background_tasks
from trio_esdb._observing import Instrument
from trio_esdb._transport import dial_tcp
from trio_esdb._transport._dial import Connect, Dialer

from ._client_options import PEM, USUAL_MESSAGE_SIZE, make_options
from ._cluster import ClusterArea
from ._consuming import ConsumingArea
from ._groups import GroupsArea
from ._metadata import MetadataArea
from ._observing import ObservingArea
from ._reading import ReadingArea
from ._subscribing import SubscribingArea
from ._writing import WritingArea


class ESDBClient(
    WritingArea,
    ReadingArea,
    SubscribingArea,
    MetadataArea,
    GroupsArea,
    ConsumingArea,
    ClusterArea,
    ObservingArea,
):
    """A client of EventStoreDB or KurrentDB: ``async with ESDBClient("esdb://localhost:2113?tls=false") as client``.

    Entering the block connects, so a wrong address fails there. Leaving the block resets the calls that are still open
    and closes the connections, which takes a second at most. Calls made after that raise trio.ClosedResourceError. A
    program that has a nursery of its own can instead use ``client = await nursery.start(ESDBClient(...).run)``.

    Any number of tasks may call the methods at the same time. The caller's cancel scope is the deadline of a call: it
    is sent to the server, and a cancelled call is reset at once. The connections last until the block is left, also
    when a scope around the block is cancelled: calls in a ``finally``, inside a shielded scope, still work.

    Args:
        uri: The connection string, such as ``esdb://admin:changeit@node.example.org:2113``; ``esdb://localhost?tls=false``
            for a node without TLS; or ``esdb://embedded`` for a node inside the process, which ends with the client.
            The other arguments override what it says. The page "Connecting" explains both.
        root_certificates: The certificates of the authorities that are trusted, instead of those of the system: bytes
            or text in PEM, bytes in DER, or the path of a file, which is read for each connection.
        private_key: The private key of ``certificate_chain``, as PEM or the path of a file. It must not be encrypted.
        certificate_chain: The certificate of the client, and those between it and an authority.
        ssl_context: A TLS context of your own, instead of all other arguments and options for TLS. The client sets its
            ALPN protocol to HTTP/2.
        credentials: Who the calls are made for, instead of the user of the connection string: ``BasicCredentials``, a
            ``BearerToken``, or an async function without arguments that gives one of them whenever they are needed.
        plain_text_credentials: Whether credentials may be sent without TLS, where anybody on the way can read them.
            Without this, ``credentials`` need TLS, and the user of a connection string with ``tls=false`` is not sent.
        connect: Called with a host and a port whenever a connection is needed, instead of opening a TCP connection. It
            returns a ``trio.abc.Stream``: a proxy's, or the ``connect`` of a ``trio_esdb.embedded.EmbeddedNode``. TLS
            is put on top of it. For ``esdb://embedded`` the host is ``"embedded"``, the port 2113.
        max_message_size: The size in bytes of the largest message that is taken from a server, from 1024 to 1 GiB. A
            larger message ends its call with ResourceExhaustedError.
        connection_name: The name of this client, in its log and for the server. Without one, a random name is made.
        default_deadline: Seconds that a call with one answer may take if it has no ``timeout``; None for no limit, and
            by default the time of the connection string, or 10. It does not hold for reads and subscriptions.
        retry: Whether calls that failed are sent again where that is safe, see ``docs/trouble.md``. A ``RetryPolicy``
            also says how long to wait. False leaves only calls that were certainly never sent. Every call can have a
            ``retry`` of its own.
        keep_alive_interval: Seconds without a sign of life after which the node is asked for one; None for never, and
            by default the time of the connection string, or 10.
        keep_alive_timeout: Seconds in which it must give one, or the connection is lost; None for no limit, and by
            default the time of the connection string, or 10.
        keep_alive_without_calls: Whether to do this also while no call is open.
        max_connections: How many connections to a node may be open at once; None for as many as the calls need.
        idle_connection_timeout: Seconds after which a connection without calls is closed, if it is not the only one to
            its node; None for never.
        leader_check: How often, in seconds, the client of a cluster looks whether the leader has changed while
            subscriptions are open that are to be at the leader; None for never. A leader that loses its office says
            nothing of it to subscriptions.
        timeouts: How long the client waits inside, for example for a connection.
        instruments: Are told of each call and of each event that is received; see ``Instrument``.
        random: Where random numbers come from: names, and the differences of waiting times.

    Raises:
        InvalidArgumentError: An argument cannot be used. Nothing is connected yet.
        UnavailableError: On entering the block: the node cannot be reached.
        DiscoveryError: On entering the block: no node of the cluster was found that does what is wanted.
    """

    def __init__(
        self,
        uri: str,
        root_certificates: PEM | None = None,
        private_key: PEM | None = None,
        certificate_chain: PEM | None = None,
        *,
        ssl_context: SSLContext | None = None,
        credentials: Credentials | CredentialsProvider | None = None,
        plain_text_credentials: bool = False,
        connect: Callable[[str, int], Awaitable[trio.abc.Stream]] | None = None,
        connection_name: str | None = None,
        max_message_size: int = USUAL_MESSAGE_SIZE,
        default_deadline: float | EllipsisType | None = ...,
        retry: RetryPolicy | bool = True,
        keep_alive_interval: float | EllipsisType | None = ...,
        keep_alive_timeout: float | EllipsisType | None = ...,
        keep_alive_without_calls: bool = False,
        max_connections: int | None = None,
        idle_connection_timeout: float | None = 60.0,
        leader_check: float | None = 30.0,
        timeouts: Timeouts | None = None,
        instruments: Iterable[Instrument] = (),
        random: Random | None = None,
    ) -> None:
        self._options = make_options(
            uri,
            root_certificates=root_certificates,
            private_key=private_key,
            certificate_chain=certificate_chain,
            ssl_context=ssl_context,
            credentials=credentials,
            plain_text_credentials=plain_text_credentials,
            connect=connect,
            connection_name=connection_name,
            max_message_size=max_message_size,
            default_deadline=default_deadline,
            retry=retry,
            keep_alive_interval=keep_alive_interval,
            keep_alive_timeout=keep_alive_timeout,
            keep_alive_without_calls=keep_alive_without_calls,
            max_connections=max_connections,
            idle_connection_timeout=idle_connection_timeout,
            leader_check=leader_check,
            timeouts=timeouts,
            random=random,
            instruments=instruments,
        )
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        self._closing = trio.Event()
        self._open_session: Session | None = None
        self._nodes: Nodes | None = None

    def __repr__(self) -> str:
        if self._closing.is_set() or (self._open_session is not None and self._open_session.closed):
            state = "closed"
        else:
            state = "not open" if self._open_session is None else "open"
        where = ", ".join(seed.address for seed in self._options.seeds)
        if state == "open" and self._nodes is not None and self._nodes.address != where:
            state = f"open, at {self._nodes.address}"
        return f"<trio_esdb.ESDBClient: {where}, {state}>"

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> Self:
        if self._lifetime is not None:
            raise ESDBError("a client is opened once; make a new one to connect again")
        self._check_not_closed()
        self._lifetime = self._connected()
        await self._lifetime.__aenter__()
        return self

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        assert self._lifetime is not None
        return await self._lifetime.__aexit__(exc_type, exc, tb)

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the client open until this is cancelled or ``aclose`` is called.

        ``client = await nursery.start(ESDBClient(...).run)`` gives the client when it is connected. The client closes
        when that nursery is cancelled. A program that then has something to clean up with the client, in shielded
        scopes, uses ``async with`` instead: its block ends after that.

        Args:
            task_status: What ``nursery.start`` passes; it is given the client.

        Raises:
            UnavailableError: The node cannot be reached.
            DiscoveryError: No node of the cluster was found that does what is wanted.
        """
        async with self:
            task_status.started(self)
            await self._closing.wait()

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close the client. Open calls fail with trio.ClosedResourceError. The client's block may be left later."""
        self._closing.set()
        if self._nodes is not None:
            await self._nodes.aclose()
        else:
            await trio.lowlevel.checkpoint()
        if self._lifetime is None:
            self._options.observer.close()

    def _check_not_closed(self) -> None:
        if self._closing.is_set():
            raise trio.ClosedResourceError("the client was closed before it was open")

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection
    async def _connected(self) -> AsyncIterator[None]:
        options = self._options
        with closing(options.observer):
            async with background_tasks() as tasks:
                connect = options.connect
                if connect is None:
                    connect = await self._embedded_node(tasks) if options.embedded else dial_tcp
                self._nodes = nodes = Nodes(tasks, Dialer(connect, options.tls, options.timeouts), options)
                try:
                    session = Session(nodes, options, tasks)
                    await open_first(session)
                    self._check_not_closed()
                    self._open_session = session
                    yield
                finally:
                    nodes.close()

    async def _embedded_node(self, tasks: BackgroundTasks) -> Connect:
        from trio_esdb.embedded import EmbeddedNode  # a client of a real node never loads it

        node: EmbeddedNode = await tasks.start(EmbeddedNode().run)
        return node.connect
