"""Streams.Read: plain reads of a stream or of all streams, page by page. Subscriptions are in ``_subscribing``.

A read has a task of its own. It encodes a page, hands the messages to the transport in portions, and waits while the
client takes none of them; what is encoded ahead of a client is a portion and what the transport holds for it. Between
pages, and within pages that look at many events, other tasks have their turns.

A read is not a snapshot: events written before its last page is read are read too. A node of a cluster looks with each
page at whether it may read on for this call.
"""

from __future__ import annotations

from collections.abc import Callable

from trio_esdb._transport._handlers import AsyncHandler, Failure, ServerCall

from .._store import AllPage, BeyondEnd, InvalidPosition, Record, Right, StreamDeleted, StreamPage, TooMuchWork
from ._access import require
from ._context import NodeContext
from ._events import EventEncoder, first_stream_position, last_stream_position, stream_not_found
from ._failures import never_answered, pattern_refused, stream_deleted, unexpected_result
from ._leadership import refuse_read
from ._read_requests import PAGE, AllSource, Position, ReadPlan, StreamSource, read_plan
from ._response_writer import ResponseWriter
from ._subscribing import subscribe
from ._turns import in_turns
from ._unary import only_request


def read_method(context: NodeContext) -> AsyncHandler:
    """Streams.Read."""

    async def run(call: ServerCall) -> None:
        request = await only_request(call)
        plan = read_plan(request, lambda stream: require(context, call.caller, Right.READ, stream))
        if not (plan.subscribe and plan.from_end):
            refuse_read(context.membership, call)
        encoder = encoder_for(context, plan)
        writer = ResponseWriter(call)
        try:
            if plan.subscribe:
                await subscribe(context, call.caller, plan, encoder, writer)
            elif isinstance(plan.source, StreamSource):
                await _read_stream(context, call, plan, plan.source, encoder, writer)
            else:
                await _read_all(context, call, plan, plan.source, encoder, writer)
        except Failure:
            await writer.flush()
            raise
        except TooMuchWork as exc:
            await writer.flush()
            raise pattern_refused(f"takes too long to match the filter's regular expression with {exc}") from None
        await writer.flush()

    return AsyncHandler(run)


def encoder_for(context: NodeContext, plan: ReadPlan) -> EventEncoder:
    """The encoder of the messages that this plan asks for."""

    def resolve(link: Record) -> Record | None:
        return context.store.resolve(link, context.now())

    return EventEncoder(text_ids=plan.text_ids, resolve=resolve if plan.resolve_links else None)


async def _read_stream(
    context: NodeContext,
    call: ServerCall,
    plan: ReadPlan,
    source: StreamSource,
    encoder: EventEncoder,
    writer: ResponseWriter,
) -> None:
    store = context.store
    start = source.number
    assert start is not None
    if plan.count == 0 or (start < 0 and not plan.backwards):
        raise unexpected_result("ReadStreamResult", "Error")
    look: Callable[[str, int, int, int], StreamPage]
    look = store.read_stream_backwards if plan.backwards else store.read_stream
    size = min(PAGE, plan.count)
    left = plan.count
    while True:
        try:
            page = look(source.name, start, size, context.now())
        except StreamDeleted:
            raise stream_deleted(source.name) from None
        if page.outcome == "no_stream":
            writer.add(stream_not_found(source.name))
            return
        if (
            plan.tells_positions
            and not plan.backwards
            and left == plan.count
            and not page.records
            and page.next_number != start
        ):
            writer.add(first_stream_position(page.next_number))
        left -= await _send(page.records, left, encoder, writer)
        if page.is_end or not left:
            break
        start = page.next_number
        await writer.page_done()
        refuse_read(context.membership, call)
    if plan.tells_positions:
        writer.add(last_stream_position(page.last_number))


async def _read_all(
    context: NodeContext,
    call: ServerCall,
    plan: ReadPlan,
    source: AllSource,
    encoder: EventEncoder,
    writer: ResponseWriter,
) -> None:
    wanted = source.wanted
    kind = "ReadAllResult" if wanted is None else "FilteredReadAllResult"
    if plan.count == 0:
        raise never_answered("count is 0, on all streams.")
    if wanted is not None and wanted.window == 0:
        raise never_answered("the filter's window has a max of 0.")
    position = source.position
    assert position is not None
    if position == (-1, -1):
        if not plan.backwards:
            return
        position = (context.store.end, context.store.end)
    left = plan.count
    while True:
        page = await _look_at_all(context, plan, source, position, kind)
        left -= await _send(page.records, left, encoder, writer)
        if page.is_end or not left:
            return
        position = (page.next_commit, page.next_prepare)
        await writer.page_done()
        refuse_read(context.membership, call)


async def _look_at_all(
    context: NodeContext, plan: ReadPlan, source: AllSource, position: Position, kind: str
) -> AllPage:
    wanted = source.wanted
    look = context.store.read_all_backwards if plan.backwards else context.store.read_all
    if position[0] < 0:
        raise unexpected_result(kind, "Error")
    filter, window = (None, None) if wanted is None else (wanted.filter, wanted.window)
    try:
        return await in_turns(look(*position, filter, min(PAGE, plan.count), window))
    except BeyondEnd:
        raise unexpected_result(kind, "Error") from None
    except InvalidPosition:
        raise unexpected_result(kind, "InvalidPosition") from None


async def _send(records: list[Record], limit: int, encoder: EventEncoder, writer: ResponseWriter) -> int:
    """Send the events of a page, `limit` of them at most; how many were sent."""
    for record in records[:limit]:
        writer.add(encoder.message(record))
        if writer.full:
            await writer.flush()
    return min(len(records), limit)
