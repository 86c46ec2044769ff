"""The client, put together from its API areas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

import trio

from trio_esdb._cluster import Connect, Endpoint, Session
from trio_esdb._errors import ESDBError, InvalidArgumentError, InvalidTypeError
from trio_esdb._nursery import BackgroundTasks, background_tasks
from trio_esdb._settings import Settings, parse
from trio_esdb._transport import dial_tcp
from trio_esdb._wire import Limits

from ._metadata import MetadataArea
from ._reading import ReadingArea
from ._subscribing import SubscribingArea
from ._writing import WritingArea

_MAX_MESSAGE_SIZE = Limits().receive_message
_EMBEDDED = "embedded"
"""The host that a user's ``connect`` is told for ``esdb://embedded``."""


class ESDBClient(WritingArea, ReadingArea, SubscribingArea, MetadataArea):
    """A client of EventStoreDB or KurrentDB: ``async with ESDBClient("esdb://localhost:2113?Tls=false") as client``.

    ``uri`` is ``esdb://host:port?Tls=false`` for a node without TLS, or ``esdb://embedded`` for a node inside the
    process, which lives as long as the client. ``connect`` is called instead of dialling whenever a connection is
    needed; it gives any ``trio.abc.Stream``, such as a proxy's or the end of an in-memory connection to an
    ``trio_esdb.embedded.EmbeddedNode``. ``max_message_size`` is the largest message taken from a server, in bytes. The
    three arguments of TLS have their place already, but must be None as yet.

    Entering the block connects, so a wrong address fails there, with UnavailableError. Leaving it resets every call
    that is still open and closes the connections, in bounded time; after that, calls raise trio.ClosedResourceError. A
    program that has a nursery of its own may instead use ``client = await nursery.start(ESDBClient(...).run)``.

    All methods may be called by any number of tasks at once. The caller's cancel scope is the deadline of a call: it is
    sent to the server, and a cancelled call is reset at once.
    """

    def __init__(
        self,
        uri: str,
        root_certificates: None = None,
        private_key: None = None,
        certificate_chain: None = None,
        *,
        connect: Callable[[str, int], Awaitable[trio.abc.Stream]] | None = None,
        max_message_size: int = _MAX_MESSAGE_SIZE,
    ) -> None:
        """InvalidArgumentError if the uri cannot be used; nothing is connected yet."""
        self._settings: Settings = parse(uri)
        for name, value in (
            ("root_certificates", root_certificates),
            ("private_key", private_key),
            ("certificate_chain", certificate_chain),
        ):
            if value is not None:
                raise InvalidArgumentError(f"{name} cannot be used yet: connections with TLS are not supported")
        if connect is not None and not callable(connect):
            raise InvalidTypeError(f"connect must be a function that gives a stream, not {type(connect).__name__}")
        if not isinstance(max_message_size, int) or isinstance(max_message_size, bool):
            raise InvalidTypeError(f"max_message_size must be an int, not {type(max_message_size).__name__}")
        if not 1024 <= max_message_size < 2**32:
            raise InvalidArgumentError(f"max_message_size must be from 1024 to {2**32 - 1}, not {max_message_size}")
        self._connect = connect
        self._limits = Limits(receive_message=max_message_size)
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        self._closing = trio.Event()
        self._open_session: Session | None = None

    async def __aenter__(self) -> Self:
        if self._lifetime is not None:
            raise ESDBError("a client is opened once; make a new one to connect again")
        self._check_not_closed()
        self._lifetime = self._connected()
        await self._lifetime.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        assert self._lifetime is not None
        return await self._lifetime.__aexit__(exc_type, exc, tb)

    async def run(self, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED) -> None:
        """Be open until cancelled or closed by ``aclose``; started with the client itself."""
        async with self:
            task_status.started(self)
            await self._closing.wait()

    async def aclose(self) -> None:
        """Close the client: open calls fail with trio.ClosedResourceError. Its block may still be left later."""
        self._closing.set()
        if self._open_session is not None:
            await self._open_session.aclose()
        else:
            await trio.lowlevel.checkpoint()

    def _check_not_closed(self) -> None:
        if self._closing.is_set():
            raise trio.ClosedResourceError("the client was closed before it was open")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        async with background_tasks() as tasks:
            settings = self._settings
            connect = self._connect
            if connect is None:
                connect = await self._embedded_node(tasks) if settings.host is None else dial_tcp
            node = Endpoint(settings.host or _EMBEDDED, settings.port, settings.address)
            session = Session(tasks, connect, node, self._limits)
            await session.link()
            self._check_not_closed()
            self._open_session = session
            try:
                yield
            finally:
                session.close()

    async def _embedded_node(self, tasks: BackgroundTasks) -> Connect:
        from trio_esdb.embedded import EmbeddedNode  # a client of a real node never loads it

        node: EmbeddedNode = await tasks.start(EmbeddedNode().run)
        return node.connect
