"""The Users service: admins manage users; every user sees all of them, and may change a password that is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from trio_esdb._transport._handlers import AsyncHandler, Caller, Handler, Later, ServerCall, SyncHandler
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
from ._failures import handler_failed, no_users
from ._response_writer import ResponseWriter
from ._turns import in_turns
from ._unary import always_answered, answered_by, only_request, parse
from ._users import Users
from ._writes import Steps

T = TypeVar("T")


def user_methods(context: NodeContext) -> dict[str, Handler]:
    """The methods of the Users service by their names, in the order of a real node."""
    users = context.users

    def changing(read: Callable[[Users, bytes], Steps[None]], check: Check = require_manager) -> Handler:
        return always_answered(_without_users) if users is None else _method(context, partial(read, users), check)

    return {
        "Create": changing(_create),
        "Update": changing(_update),
        "Delete": changing(_delete),
        "Disable": changing(_disable),
        "Enable": changing(_enable),
        "Details": always_answered(_without_users) if users is None else _details_method(users),
        "ChangePassword": changing(_change_password, require_user),
        "ResetPassword": changing(_reset_password),
    }


def _without_users() -> bytes:
    raise no_users()


def _method(context: NodeContext, read: Callable[[bytes], Steps[None]], check: Check) -> SyncHandler:
    def respond(request: bytes, caller: Caller | None) -> bytes | Later:
        check(caller)
        steps = read(request)
        if context.writes.must_wait():
            return Later(partial(_change_later, context, steps))
        context.writes.take_steps_now(steps)
        return b""

    return answered_by(respond)


async def _change_later(context: NodeContext, steps: Steps[None]) -> bytes:
    await context.writes.take_steps(steps)
    return b""


def _needed(options: T | None) -> T:
    if options is None:
        raise handler_failed()
    return options


def _create(users: Users, request: bytes) -> Steps[None]:
    options = _needed(parse(CreateReq, request).options)
    return users.create(options.login_name, options.password, options.full_name, options.groups)


def _update(users: Users, request: bytes) -> Steps[None]:
    options = _needed(parse(UpdateReq, request).options)
    return users.update(options.login_name, options.full_name, options.groups)


def _delete(users: Users, request: bytes) -> Steps[None]:
    return users.delete(_needed(parse(DeleteReq, request).options).login_name)


def _disable(users: Users, request: bytes) -> Steps[None]:
    return users.disable(_needed(parse(DisableReq, request).options).login_name)


def _enable(users: Users, request: bytes) -> Steps[None]:
    return users.enable(_needed(parse(EnableReq, request).options).login_name)


def _change_password(users: Users, request: bytes) -> Steps[None]:
    options = _needed(parse(ChangePasswordReq, request).options)
    return users.change_password(options.login_name, options.current_password, options.new_password)


def _reset_password(users: Users, request: bytes) -> Steps[None]:
    options = _needed(parse(ResetPasswordReq, request).options)
    return users.reset_password(options.login_name, options.new_password)


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
