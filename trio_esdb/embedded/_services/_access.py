"""Who may do what. On a node without users everybody may do everything, and calls have no caller."""

from __future__ import annotations

from collections.abc import Callable

from trio_esdb._transport._handlers import Caller

from .._store import ADMINS, ALL_STREAMS, EVERYBODY, Right, is_metastream, original_of
from ._accounts import OPERATORS
from ._context import NodeContext
from ._failures import access_denied

Check = Callable[[Caller | None], None]
"""Raises Failure if a caller may not call a method."""

_RIGHTS_TO_METADATA = {Right.READ: Right.META_READ, Right.WRITE: Right.META_WRITE}


def may(context: NodeContext, caller: Caller | None, right: Right, stream: str) -> bool:
    """Whether a caller may read, write or delete a stream, which may be a metastream or ALL_STREAMS."""
    if caller is None:
        return True
    if caller.name is None or (stream == ALL_STREAMS and right is not Right.READ):
        return False
    if is_metastream(stream):
        if right not in _RIGHTS_TO_METADATA:
            return False
        right, stream = _RIGHTS_TO_METADATA[right], original_of(stream)
    if is_admin(caller):
        return True
    roles = context.store.roles(right, stream, context.now())
    return EVERYBODY in roles or caller.name in roles or not caller.groups.isdisjoint(roles)


def require(context: NodeContext, caller: Caller | None, right: Right, stream: str) -> None:
    """Raise Failure if a caller may not read, write or delete a stream."""
    if not may(context, caller, right, stream):
        raise access_denied()


def is_admin(caller: Caller) -> bool:
    """Whether a caller has all rights to streams."""
    return ADMINS in caller.groups or caller.name == "admin"


def require_anybody(caller: Caller | None) -> None:
    """Do nothing: the method is for everybody, without a name too."""


def require_user(caller: Caller | None) -> None:
    """Raise Failure if a caller is anonymous."""
    if caller is not None and caller.name is None:
        raise access_denied()


def require_operator(caller: Caller | None) -> None:
    """Raise Failure if a caller may not use the Operations service."""
    if caller is not None and not (is_admin(caller) or OPERATORS in caller.groups or caller.name == "ops"):
        raise access_denied()


def require_manager(caller: Caller | None) -> None:
    """Raise Failure if a caller may not manage users."""
    if caller is not None and ADMINS not in caller.groups:
        raise access_denied()
