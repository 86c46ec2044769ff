"""Persistent subscriptions as consumers use them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

from trio_esdb._convert._deliveries import group_read_request
from trio_esdb._errors import InvalidTypeError
from trio_esdb._model import Credentials, RetryPolicy
from trio_esdb._rpc import CallKind, Method, Operation

from ._area import Area
from ._arguments import check_count, check_how, check_timeout
from ._consumer import Consumer
from ._group_arguments import check_grace, check_group_name, check_source_name
from ._group_channel import Consuming, GroupChannel

_BUFFER_SIZE = 10


class ConsumingArea(Area):
    """Calls that get events from groups."""

    def read_subscription(
        self,
        group_name: str,
        timeout: float | None = None,
        *,
        buffer_size: int = _BUFFER_SIZE,
        reconnect: bool = True,
        grace: float = 2.0,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[GroupChannel]:
        """Consume the events of a group of all streams: ``async with client.read_subscription("group") as events``.

        Entering the block connects the consumer. Leaving it hands out no more events, waits until the server has taken
        what was acked and refused, and disconnects; it takes no longer than ``grace``.

        Args:
            group_name: The name of the group.
            timeout: Seconds in which the consumer must be connected when the block is entered, instead of the client's
                default.
            buffer_size: How many events the server may give to this consumer before it has acked them. All of them must
                be handled within the group's ``message_timeout``, or they come again.
            reconnect: Whether the consumer connects again after it was disconnected: because the group was updated,
                another node leads now, or the connection was lost. Events that were not acked come again.
            grace: Seconds that leaving may take; also how long ``flush`` waits where the server may not be asked.
            retry: Whether and how connecting is repeated, if not as the client was told.
            credentials: Who the call is made for, if not for the user of the client.

        Raises:
            InvalidArgumentError: An argument cannot be used.
            SubscriptionNotFoundError: On entering: there is no such group.
            MaximumSubscribersError: On entering: the group takes no more consumers.
            ESDBError: On entering: as for ``append_events``.
        """
        return self._consume(group_name, None, timeout, buffer_size, reconnect, grace, retry, credentials)

    def read_stream_subscription(
        self,
        group_name: str,
        stream_name: str,
        timeout: float | None = None,
        *,
        buffer_size: int = _BUFFER_SIZE,
        reconnect: bool = True,
        grace: float = 2.0,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AbstractAsyncContextManager[GroupChannel]:
        """Consume the events of a group of a stream. See ``read_subscription``.

        Args:
            group_name: The name of the group.
            stream_name: The name of the stream.
            timeout: As for ``read_subscription``.
            buffer_size: As for ``read_subscription``.
            reconnect: As for ``read_subscription``.
            grace: As for ``read_subscription``.
            retry: As for ``read_subscription``.
            credentials: As for ``read_subscription``.

        Raises:
            ESDBError: As for ``read_subscription``.
        """
        check_source_name(stream_name, "read_subscription")
        return self._consume(group_name, stream_name, timeout, buffer_size, reconnect, grace, retry, credentials)

    def _consume(
        self,
        group_name: str,
        stream_name: str | None,
        timeout: float | None,
        buffer_size: int,
        reconnect: bool,
        grace: float,
        retry: RetryPolicy | bool | None,
        credentials: Credentials | None,
    ) -> Consuming:
        from trio_esdb._convert._groups import info_request  # the generated classes are loaded when they are needed

        check_group_name(group_name)
        check_count("buffer_size", buffer_size)
        check_how(retry, credentials)
        check_grace(grace)
        if not isinstance(reconnect, bool):
            raise InvalidTypeError(f"reconnect must be True or False, not {type(reconnect).__name__}")
        where = "all streams" if stream_name is None else f"stream {stream_name!r}"
        session = self._session
        options = session.options
        operation = Operation(
            Method.READ_GROUP,
            [group_read_request(group_name, stream_name, buffer_size)],
            f"consuming from group {group_name!r} of {where}",
            CallKind.GROUP,
            stream_name or "",
            retry=retry,
            credentials=credentials,
            leader=True,
        )
        return Consuming(
            partial(
                Consumer,
                session,
                operation,
                info_request(group_name, stream_name),
                f"{options.connection_name}-{session.new_consumer()}",
                reconnect=reconnect,
                grace=grace,
            ),
            check_timeout(timeout),
        )
