"""The version of a connection's server: asked when a call needs to know it, and only once a connection.

The question carries no credentials, since servers answer it to anybody. A server that does not know the question is
older than 21.10. If it is refused for another reason, the version stays unknown and nothing is concluded from that.
"""

from __future__ import annotations

import copy

import trio

from trio_esdb._convert import server_version
from trio_esdb._errors import ServerError, UnavailableError, UnimplementedError
from trio_esdb._rpc import CallKind, Method, Operation, error_from
from trio_esdb._transport import unary_call
from trio_esdb._wire import Outcome, Status

from ._node_link import NodeLink, VersionQuestion

QUESTION = Operation(Method.FEATURES, [b""], "asking for the server's version", CallKind.UNARY_READ)
_LARGEST_REPLY = 1024 * 1024
"""Bytes. The answer names all methods of the server."""


@trio.lowlevel.enable_ki_protection
async def ask_version(link: NodeLink, patience: float) -> None:
    """Ask the server of a connection for its version, unless another task does so; then wait until that is over.

    The connection must have room for a call.

    Args:
        link: The connection. Afterwards it has a ``version`` or a ``version_error``, if it was not lost.
        patience: How many seconds the answer may take.

    Raises:
        UnavailableError: There was no answer.
    """
    question = link.version_question
    if question is not None:
        await question.over.wait()
        if question.failure is not None:
            raise copy.copy(question.failure)
        return  # if the task that asked was cancelled, the next one must ask
    question = link.version_question = VersionQuestion()
    try:
        with trio.CancelScope(deadline=trio.current_time() + patience):
            headers = link.headers.of(Method.FEATURES, requires_leader=False)
            _take_answer(link, *await unary_call(link, headers, QUESTION.requests, largest_reply=_LARGEST_REPLY))
            return
        raise QUESTION.error(
            UnavailableError,
            f"no answer within {patience:g} seconds (timeouts.first_answer)",
            link.address,
            status="UNAVAILABLE",
            applied=False,
        )
    except UnavailableError as exc:
        question.failure = copy.copy(exc)
        raise
    finally:
        link.version_question = None
        question.over.set()


def _take_answer(link: NodeLink, message: bytes, outcome: Outcome) -> None:
    try:
        if not outcome.ok:
            error = error_from(QUESTION, outcome, link.address)
            error.applied = False
            raise error
        link.version = server_version(message)
    except UnavailableError:
        raise
    except ServerError as exc:
        link.version_error = exc.with_traceback(None)


def check_version(link: NodeLink, operation: Operation) -> None:
    """Refuse a call that the server of this connection cannot do.

    Raises:
        UnimplementedError: The server is too old.
    """
    requirement = operation.requires
    if requirement is None:
        return
    if link.version is None:
        if link.version_error is None or link.version_error.status != Status.UNIMPLEMENTED.name:
            return
        found = "does not tell its version, so it is older than 21.10"
    elif link.version >= requirement.version:
        return
    else:
        found = f"has version {link.version}"
    raise operation.error(
        UnimplementedError,
        f"{requirement.feature} needs a server of version {requirement.version} or later, and this one {found}",
        link.address,
        status="UNIMPLEMENTED",
        applied=False,
    )
