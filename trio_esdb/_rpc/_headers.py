"""The headers of a request. They belong to a connection: its transport gives the scheme, its node the authority.

Credentials are not among them: they are given with each call (``ClientLink.start``), and nothing remembers them.
"""

from __future__ import annotations

from ._methods import Method

Headers = tuple[tuple[str, str], ...]
_NAME = "connection-name"


class RequestHeaders:
    """Makes the headers of the calls on one connection.

    The same kind of call gets the same object each time, which makes its headers cheap to send.

    Args:
        authority: The ``:authority`` of all calls, ``host:port``.
        scheme: ``"http"``, or ``"https"`` over TLS. Servers refuse calls whose scheme is not that of the connection.
        connection_name: The name of the client, which servers show to their operators; empty for none.
    """

    def __init__(self, authority: str, *, scheme: str = "http", connection_name: str = "") -> None:
        self.authority = authority
        self._scheme = scheme
        self._name = ((_NAME, connection_name),) if connection_name else ()
        self._known: dict[tuple[Method, bool], Headers] = {}

    def of(self, method: Method, requires_leader: bool = True) -> Headers:
        """The headers of a call.

        Args:
            method: What is called.
            requires_leader: Whether only the leader of a cluster may answer.
        """
        key = method, requires_leader
        headers = self._known.get(key)
        if headers is None:
            headers = self._known[key] = (
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", method.value),
                (":authority", self.authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "trio-esdb"),
                ("requires-leader", "true" if requires_leader else "false"),
                *self._name,
            )
        return headers

    @staticmethod
    def named(headers: Headers, connection_name: str) -> Headers:
        """These headers with another name of the client. They are made anew each time."""
        return (*(header for header in headers if header[0] != _NAME), (_NAME, connection_name))
