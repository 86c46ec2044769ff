"""The order service as it is often written first: it works, until a node is lost at the wrong moment.

It differs in two points from the good one. An append does not say at which place it expects to be, so it cannot fail;
and the event is made anew for each attempt, so nobody can know it again. If the answer is lost after the event was
written, it is written a second time.
"""

from __future__ import annotations

import trio
from order_service import TEMPORARY, OrderService

from trio_esdb import NewEvent, StreamState


class NaiveOrderService(OrderService):
    """Appends until there is an answer."""

    async def append(self, stream: str, position: int | None, event: NewEvent) -> bool:
        while True:
            try:
                await self.client.append_event(stream, StreamState.ANY, NewEvent(event.type, event.data))
            except TEMPORARY:
                await trio.sleep(1)
            else:
                return True
