"""The methods of PersistentSubscriptions with one request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from trio_esdb._transport._handlers import Handler, Later, Never, ServerCall, SyncHandler
from trio_esdb_proto.event_store.client.persistent_subscriptions import (
    DeleteReq,
    GetInfoReq,
    GetInfoResp,
    ListReq,
    ListResp,
    ReplayParkedReq,
)

from ._access import require_operator, require_user
from ._consuming import read_method
from ._context import NodeContext
from ._failures import group_failed, handler_failed, not_ready
from ._group_info import info_of
from ._group_requests import read_create, read_update, source_name
from ._groups import Groups
from ._leadership import FORWARDING, LEADER, is_answered
from ._unary import always_answered, answered_by, parse
from ._writes import Steps

_EMPTY = b""
_NOT_STARTED = "Persistent Subscriptions cannot be restarted as it is in the wrong state."


def group_methods(context: NodeContext, groups: Groups) -> dict[str, Handler]:
    """The methods by their names, in the order of a real node."""
    membership = context.membership

    def changing(change: Callable[[Groups, bytes], Steps[None]]) -> SyncHandler:
        def respond(request: bytes, call: ServerCall) -> bytes | Later | Never:
            require_operator(call.caller)
            if not is_answered(membership):
                return Never()
            steps = _answered(change(groups, request))
            writes = context.writes
            return Later(partial(writes.take_steps, steps)) if writes.must_wait() else writes.take_steps_now(steps)

        return answered_by(respond)

    def told(tell: Callable[[Groups, bytes], bytes]) -> SyncHandler:
        def respond(request: bytes, call: ServerCall) -> Later:
            require_user(call.caller)
            if membership.state is not LEADER:
                raise not_ready()
            return Later(partial(_told, tell, groups, request))

        return answered_by(respond)

    def replay(request: bytes, call: ServerCall) -> bytes | Never:
        require_operator(call.caller)
        if membership.state in FORWARDING:
            return Never()
        return _replay(groups, request)

    def restart() -> bytes:
        if membership.state is not LEADER:
            raise group_failed("", "", _NOT_STARTED)
        groups.restart()
        return _EMPTY

    return {
        "Create": changing(_create),
        "Update": changing(_update),
        "Delete": changing(_delete),
        "Read": read_method(context, groups),
        "GetInfo": told(_info),
        "ReplayParked": answered_by(replay),
        "List": told(_list),
        "RestartSubsystem": always_answered(restart, require_operator),
    }


async def _told(tell: Callable[[Groups, bytes], bytes], groups: Groups, request: bytes) -> bytes:
    """Tell the state of groups, after the acks that came before the question: a real node has one queue for both."""
    await trio.lowlevel.checkpoint()
    return tell(groups, request)


def _answered(steps: Steps[None]) -> Steps[bytes]:
    yield from steps
    return _EMPTY


def _create(groups: Groups, request: bytes) -> Steps[None]:
    return groups.create(read_create(request))


def _update(groups: Groups, request: bytes) -> Steps[None]:
    return groups.update(read_update(request))


def _delete(groups: Groups, request: bytes) -> Steps[None]:
    options = parse(DeleteReq, request).options
    if options is None:
        raise handler_failed()
    return groups.delete(source_name(options.stream_identifier, options.all), options.group_name)


def _info(groups: Groups, request: bytes) -> bytes:
    options = parse(GetInfoReq, request).options
    if options is None:
        raise handler_failed()
    running = groups.get(source_name(options.stream_identifier, options.all), options.group_name)
    return bytes(GetInfoResp(subscription_info=info_of(running)))


def _replay(groups: Groups, request: bytes) -> bytes:
    options = parse(ReplayParkedReq, request).options
    if options is None:
        raise handler_failed()
    stream = source_name(options.stream_identifier, options.all)
    if options.stop_at is None and options.no_limit is None:
        raise handler_failed()
    if options.stop_at is not None and options.stop_at < 0:
        raise group_failed(stream, options.group_name, "Cannot stop replaying parked message at a negative version.")
    groups.get(stream, options.group_name).replay(options.stop_at)
    return _EMPTY


def _list(groups: Groups, request: bytes) -> bytes:
    options = parse(ListReq, request).options
    if options is None or (options.list_all_subscriptions is None and options.list_for_stream is None):
        raise handler_failed()
    if options.list_for_stream is None:
        found = groups.all()
    else:
        found = groups.of_stream(source_name(options.list_for_stream.stream, options.list_for_stream.all))
    return bytes(ListResp(subscriptions=[info_of(running) for running in found]))
