"""Operations and Monitoring, as far as they make sense for a node without a disk. Every node answers them itself."""

from __future__ import annotations

import trio

from trio_esdb._transport._handlers import AsyncHandler, ServerCall, SyncHandler
from trio_esdb_proto.event_store.client.monitoring import StatsReq, StatsResp
from trio_esdb_proto.event_store.client.operations import (
    ScavengeResp,
    ScavengeRespScavengeResult,
    SetNodePriorityReq,
    StartScavengeReq,
    StopScavengeReq,
)

from .._dotnet._guids import guid_text
from ._access import require_operator
from ._context import NodeContext
from ._failures import handler_failed, scavenge_not_found
from ._response_writer import ResponseWriter
from ._unary import always_answered, answered_by, only_request, parse

_EMPTY = b""


def done_at_once() -> SyncHandler:
    """An operation without an effect: merging indexes, restarting subscriptions."""
    return always_answered(lambda: _EMPTY, require_operator)


def resign_method(context: NodeContext) -> SyncHandler:
    """Operations.ResignNode: the answer does not wait for another leader."""

    def respond() -> bytes:
        context.membership.resign()
        return _EMPTY

    return always_answered(respond, require_operator)


def set_priority_method(context: NodeContext) -> SyncHandler:
    """Operations.SetNodePriority: counts in the next election."""

    def respond(request: bytes, call: ServerCall) -> bytes:
        require_operator(call.caller)
        context.membership.set_priority(parse(SetNodePriorityReq, request).priority)
        return _EMPTY

    return answered_by(respond)


def start_scavenge_method(context: NodeContext) -> SyncHandler:
    """Operations.StartScavenge: there is nothing to scavenge, so it ends at once."""

    def respond(request: bytes, call: ServerCall) -> bytes:
        require_operator(call.caller)
        if parse(StartScavengeReq, request).options is None:
            raise handler_failed()
        return bytes(
            ScavengeResp(
                scavenge_id=guid_text(context.new_id()).decode(), scavenge_result=ScavengeRespScavengeResult.Started
            )
        )

    return answered_by(respond)


def stop_scavenge_method() -> SyncHandler:
    """Operations.StopScavenge: no scavenge runs."""

    def respond(request: bytes, call: ServerCall) -> bytes:
        require_operator(call.caller)
        if parse(StopScavengeReq, request).options is None:
            raise handler_failed()
        raise scavenge_not_found()

    return answered_by(respond)


def shutdown_method(context: NodeContext) -> SyncHandler:
    """Operations.Shutdown: answers, then the node ends."""

    def respond() -> bytes:
        context.shut_down()
        return _EMPTY

    return always_answered(respond, require_operator)


def stats_method(context: NodeContext) -> AsyncHandler:
    """Monitoring.Stats: a response at once and after each period. The names are those of a real node."""

    async def run(call: ServerCall) -> None:
        period = parse(StatsReq, await only_request(call)).refresh_time_period_in_ms / 1000
        writer = ResponseWriter(call)
        while True:
            writer.add(bytes(StatsResp(stats=_stats(context))))
            await writer.flush()
            await trio.sleep(period)

    return AsyncHandler(run)


def _stats(context: NodeContext) -> dict[str, str]:
    end = str(context.store.end)
    return {
        "proc-id": "1",
        "proc-cpu": "0",
        "proc-mem": "0",
        "proc-threadsCount": "1",
        "sys-cpu": "0",
        "sys-freeMem": "0",
        "es-checksum": end,
        "es-checksumNonFlushed": end,
        "es-queue-MainQueue-length": "0",
        "es-queue-MainQueue-queueName": "MainQueue",
    }
