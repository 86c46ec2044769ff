"""How clients log in: HTTP's Basic authentication, as a real node reads it.

A client that names no user, or in a way that a node does not know, is anonymous. One that names a user wrongly is
refused, whatever it calls.

A right password is hashed once for each event of its user; after that a keyed digest of it is compared. So changes take
effect at once, while on a real node an old password may work for another second.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from trio_esdb._transport._handlers import Caller, HttpFailure

from .._dotnet._json import BadJson
from .._store import Record
from ._accounts import read_account
from ._failures import broken_account, unauthenticated
from ._users import Users

ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True)
class _Verified:
    """A password that was right for a user as this event describes it."""

    record: Record
    digest: bytes
    caller: Caller


class Authentication:
    """Knows callers by their ``authorization`` headers.

    Args:
        users: The users that can log in.
    """

    __slots__ = ("_key", "_users", "_verified")

    def __init__(self, users: Users) -> None:
        self._users = users
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, _Verified] = {}

    def caller(self, authorization: Sequence[str]) -> Caller:
        """Who makes a call with these headers.

        Raises:
            Failure: There is no such user, or the password is wrong.
            HttpFailure: The header cannot be decoded.
        """
        credentials = _read(authorization)
        if credentials is None:
            return ANONYMOUS
        name, password = credentials
        record = self._users.last_event(name)
        known = self._verified.get(name)
        if known is not None and known.record is not record:
            del self._verified[name]
            known = None
        digest = hashlib.blake2b(password.encode(), key=self._key).digest()
        if known is None:
            if record is None:
                raise unauthenticated()
            known = self._verified[name] = _Verified(record, digest, _verify(record, name, password))
        if not hmac.compare_digest(known.digest, digest):
            raise unauthenticated()
        return known.caller


def _verify(record: Record, name: str, password: str) -> Caller:
    """The user of this event, if the password is right. Raises Failure."""
    try:
        account = read_account(record.data)
    except BadJson:
        raise unauthenticated() from None
    if account.login_name != name:
        raise broken_account()
    if account.disabled or not account.password.matches(password):
        raise unauthenticated()
    return Caller(name, frozenset(account.groups))


def _read(authorization: Sequence[str]) -> tuple[str, str] | None:
    """User and password; None where a node does not look for any. Raises HttpFailure."""
    if len(authorization) != 1:
        return None
    words = authorization[0].split()
    if words[:1] != ["Basic"]:
        return None
    if len(words) == 1:
        raise HttpFailure(500)
    try:  # .NET skips white space in base64
        text = binascii.a2b_base64("".join(words[1:]), strict_mode=True).decode("utf-8", "replace")
    except ValueError:
        raise HttpFailure(500) from None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None
