"""The headers of a request. They belong to a connection: its transport gives the scheme, its node the authority."""

from __future__ import annotations

from ._methods import Method

Headers = tuple[tuple[str, str], ...]

_REMEMBERED = 64


class RequestHeaders:
    """Makes the headers of the calls on one connection.

    The same call gets the same object each time, which makes its headers cheap to send. What is remembered ends with
    the connection, so credentials do not outlive it.
    """

    def __init__(self, authority: str, *, scheme: str = "http") -> None:
        self._authority = authority
        self._scheme = scheme
        self._known: dict[tuple[Method, bool, str | None], Headers] = {}

    def of(self, method: Method, *, requires_leader: bool = True, authorization: str | None = None) -> Headers:
        """The headers of a call.

        Args:
            method: What is called.
            requires_leader: Whether only the leader of a cluster may answer.
            authorization: The value of the header of that name; None sends none.
        """
        key = method, requires_leader, authorization
        headers = self._known.get(key)
        if headers is None:
            headers = (
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", method.value),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "trio-esdb"),
                ("requires-leader", "true" if requires_leader else "false"),
            )
            if authorization is not None:
                headers += (("authorization", authorization),)
            if len(self._known) >= _REMEMBERED:  # tokens come and go
                self._known.clear()
            self._known[key] = headers
        return headers
