"""What a program can see of its client."""

from __future__ import annotations

from trio_esdb._cluster import ClientOptions, server_version
from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import (
    CallRepeated,
    CallResumed,
    ClientStatistics,
    Connected,
    ConnectionFailed,
    ConnectionLost,
    RetryPolicy,
    ServerVersion,
)
from trio_esdb._observing import ConnectionEvents

from ._area import Area
from ._arguments import check_how, check_timeout


class ObservingArea(Area):
    """Statistics and connection events of a client."""

    _options: ClientOptions

    def connection_events(self, max_buffer_size: int = 1000) -> ConnectionEvents:
        """Listen to what happens to the connections of the client.

        This can be called before the client is opened, and any number of times; each listener gets all events from the
        call on. The client never waits for a listener: if the buffer is full, the oldest event is dropped and counted.

        Args:
            max_buffer_size: How many events are kept until they are received, at least 1.

        Returns:
            A channel of ``ConnectionEvent``. It ends after the client has been closed.

        Raises:
            InvalidArgumentError: The buffer size is not a positive integer.
        """
        if not isinstance(max_buffer_size, int) or isinstance(max_buffer_size, bool):
            raise InvalidTypeError(f"max_buffer_size must be an int, not {type(max_buffer_size).__name__}")
        if max_buffer_size < 1:
            raise InvalidArgumentError(f"max_buffer_size must be at least 1, not {max_buffer_size}")
        return self._options.observer.listen(max_buffer_size)

    async def get_server_version(
        self, timeout: float | None = None, *, retry: RetryPolicy | bool | None = None
    ) -> ServerVersion:
        """Get the version of the server. Each connection asks for it once.

        In a cluster it is the version of the node that serves calls which do not write.

        Args:
            timeout: The limit for the call in seconds, instead of the client's default.
            retry: Whether and how to ask again after trouble, if not as the client was told.

        Returns:
            The version, which can be compared: ``version >= (24, 2)``.

        Raises:
            InvalidArgumentError: An argument is not valid.
            UnimplementedError: The server does not tell its version; it is older than 21.10.
            DeadlineExceededError: The timeout expired.
            ServerError: The call failed.
        """
        check_how(retry, None)
        return await server_version(self._session, check_timeout(timeout), retry)

    def statistics(self) -> ClientStatistics:
        """The state of the client's connections now, and what happened since the client was made.

        A client that is not open has no connections.

        Returns:
            Connections, open calls, bytes that wait to be sent, and counts.
        """
        counts = self._options.observer.counts
        pools = None if self._open_session is None else self._open_session.nodes.pools
        return ClientStatistics(
            connections=() if pools is None else pools.connections(),
            waiting_calls=0 if pools is None else pools.waiting_calls,
            connections_opened=counts[Connected],
            connections_failed=counts[ConnectionFailed],
            connections_lost=counts[ConnectionLost],
            calls_repeated=counts[CallRepeated],
            calls_resumed=counts[CallResumed],
            bytes_sent=0 if pools is None else pools.bytes_sent,
            bytes_received=0 if pools is None else pools.bytes_received,
        )
