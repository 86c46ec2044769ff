"""The Users service: admins manage users; every user sees all of them, and may change a password that is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

from trio_esdb._transport._handlers import AsyncHandler, Failure, Handler, Later, Never, ServerCall, SyncHandler
from trio_esdb._wire import Status
from trio_esdb_proto.event_store.client.users import (
    ChangePasswordReq,
    CreateReq,
    DeleteReq,
    DetailsReq,
    DetailsResp,
    DetailsRespUserDetails,
    DetailsRespUserDetailsDateTime,
    DisableReq,
    EnableReq,
    ResetPasswordReq,
    UpdateReq,
)

from .._dotnet._texts import WHITE_SPACE
from ._access import Check, require_manager, require_user
from ._accounts import Account
from ._context import NodeContext
from ._failures import handler_failed, no_users, try_again
from ._leadership import is_written
from ._response_writer import ResponseWriter
from ._turns import in_turns
from ._unary import always_answered, answered_by, only_request, parse, unanswered
from ._users import Users
from ._writes import Steps

Change = tuple[str, Steps[None]]
"""The name of the user, and the writes that make a change."""
T = TypeVar("T")


def user_methods(context: NodeContext) -> dict[str, Handler]:
    """The methods of the Users service by their names, in the order of a real node."""
    users = context.users

    def changing(read: Callable[[Users, bytes], Change], check: Check = require_manager) -> Handler:
        return missing if users is None else _method(context, partial(read, users), check)

    missing = always_answered(_without_users) if context.membership.is_single else unanswered()
    return {
        "Create": changing(_create),
        "Update": changing(_update),
        "Delete": changing(_delete),
        "Disable": changing(_disable),
        "Enable": changing(_enable),
        "Details": missing if users is None else _details_method(users),
        "ChangePassword": changing(_change_password, require_user),
        "ResetPassword": changing(_reset_password),
    }


def _without_users() -> bytes:
    raise no_users()


def _method(context: NodeContext, read: Callable[[bytes], Change], check: Check) -> SyncHandler:
    def respond(request: bytes, call: ServerCall) -> bytes | Later | Never:
        check(call.caller)
        name, steps = read(request)
        if not is_written(context.membership):
            return Never()
        if context.writes.must_wait():
            return Later(partial(_change_later, context, name, steps))
        context.writes.take_steps_now(steps)
        return b""

    return answered_by(respond)


async def _change_later(context: NodeContext, name: str, steps: Steps[None]) -> bytes:
    try:
        await context.writes.take_steps(steps)
    except Failure as failure:
        if failure.status is Status.UNAVAILABLE:
            await trio.sleep_forever()  # as on a real node, where nobody waits for this answer to a write
        raise try_again(name) if failure.status is Status.ABORTED else failure from None
    return b""


def _needed(options: T | None) -> T:
    if options is None:
        raise handler_failed()
    return options


def _create(users: Users, request: bytes) -> Change:
    options = _needed(parse(CreateReq, request).options)
    name = options.login_name
    return name, users.create(name, options.password, options.full_name, options.groups)


def _update(users: Users, request: bytes) -> Change:
    options = _needed(parse(UpdateReq, request).options)
    return options.login_name, users.update(options.login_name, options.full_name, options.groups)


def _delete(users: Users, request: bytes) -> Change:
    name = _needed(parse(DeleteReq, request).options).login_name
    return name, users.delete(name)


def _disable(users: Users, request: bytes) -> Change:
    name = _needed(parse(DisableReq, request).options).login_name
    return name, users.disable(name)


def _enable(users: Users, request: bytes) -> Change:
    name = _needed(parse(EnableReq, request).options).login_name
    return name, users.enable(name)


def _change_password(users: Users, request: bytes) -> Change:
    options = _needed(parse(ChangePasswordReq, request).options)
    name = options.login_name
    return name, users.change_password(name, options.current_password, options.new_password)


def _reset_password(users: Users, request: bytes) -> Change:
    options = _needed(parse(ResetPasswordReq, request).options)
    return options.login_name, users.reset_password(options.login_name, options.new_password)


def _details_method(users: Users) -> AsyncHandler:
    async def run(call: ServerCall) -> None:
        request = await only_request(call)
        require_user(call.caller)
        options = parse(DetailsReq, request).options
        name = "" if options is None else options.login_name
        asked_for_all = not name.strip(WHITE_SPACE)
        found = await in_turns(users.everyone()) if asked_for_all else [users.details(name)]
        writer = ResponseWriter(call)
        for account, updated in found:
            writer.add(_details(account, updated))
            if writer.full:
                await writer.flush()
        await writer.flush()

    return AsyncHandler(run)


def _details(account: Account, updated: int) -> bytes:
    details = DetailsRespUserDetails(
        login_name=account.login_name,
        full_name=account.full_name,
        groups=list(account.groups),
        last_updated=DetailsRespUserDetailsDateTime(ticks_since_epoch=updated),
        disabled=account.disabled,
    )
    return bytes(DetailsResp(user_details=details))
