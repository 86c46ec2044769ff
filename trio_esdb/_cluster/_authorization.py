"""Who the calls of a client are made for: the client's credentials, those of a call, or what a function gives.

The function (the *provider*) is asked when a connection has its first call, and again when a node refused what it gave.
Its answer belongs to the connection. It runs in the task of the call that needs it, so the call's own deadline bounds
it and what it raises comes out there. Calls that need the answer meanwhile wait for it. If the call that asks is
cancelled, the next one asks; if the provider raises, all that wait raise the same.
"""

from __future__ import annotations

import trio

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import BasicCredentials, BearerToken, Credentials, CredentialsAsked, CredentialsProvider
from trio_esdb._rpc import Operation

from ._node_link import NodeLink
from ._options import ClientOptions


class MustAsk(Exception):
    """The provider has to be asked for credentials."""


class Authorization:
    """Gives the credentials of calls.

    Args:
        options: What the client was told.
    """

    def __init__(self, options: ClientOptions) -> None:
        given = options.credentials
        self.fixed: Credentials | None = None
        """What the client was told."""
        self.provider: CredentialsProvider | None = None
        """The function that it was given instead."""
        if isinstance(given, BasicCredentials | BearerToken):
            self.fixed = given
        else:
            self.provider = given
        self._allowed = options.credentials_allowed
        self._emit = options.observer.emit
        self._asking = trio.Lock()
        self._failures = 0
        self._failure: Exception | None = None

    def of(self, link: NodeLink, operation: Operation) -> Credentials | None:
        """The credentials of a call on this connection; None if it has none.

        Raises:
            MustAsk: The provider must be asked before.
            InvalidArgumentError: The call has credentials of its own, which must not be sent in plain text.
        """
        own = operation.credentials
        if own is None:
            if self.provider is None:
                return self.fixed
            if link.credentials is None:
                raise MustAsk
            return link.credentials
        if not self._allowed:
            raise InvalidArgumentError(
                "credentials: the connection has no TLS, so anybody on the way could read them; use TLS, or permit it "
                "with plain_text_credentials=True"
            )
        return own

    @trio.lowlevel.enable_ki_protection
    async def ask(self, link: NodeLink) -> None:
        """Let a connection have the provider's answer.

        Raises:
            InvalidTypeError: The provider gave something else than credentials.
            Exception: What the provider raised.
        """
        provider, failures = self.provider, self._failures
        assert provider is not None
        async with self._asking:
            if link.credentials is not None:
                return
            if self._failures != failures:
                assert self._failure is not None
                raise self._failure
            again = link.credentials_refused
            self._emit(
                CredentialsAsked(
                    address=link.address, reason="the node refused the last ones" if again else "a new connection"
                )
            )
            try:
                found = await provider()
                if not isinstance(found, BasicCredentials | BearerToken):
                    raise InvalidTypeError(
                        "the credentials function must give BasicCredentials or a BearerToken, not "
                        f"{type(found).__name__}"
                    )
            except Exception as exc:
                exc.add_note("raised by the credentials function of an ESDBClient")
                if self._asking.statistics().tasks_waiting:
                    self._failures += 1
                    self._failure = exc
                raise
            link.credentials = found

    def renew(self, link: NodeLink, operation: Operation, refused: Credentials | None) -> bool:
        """A node has refused the credentials of a call; whether others can be had."""
        if self.provider is None or operation.credentials is not None:
            return False
        if link.credentials is refused:  # else another call has them already
            link.credentials = None
            link.credentials_refused = True
        return True
