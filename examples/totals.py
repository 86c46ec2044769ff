"""A view that is kept up to date: the total of each customer, from a subscription to all streams.

The view stores the position of the last event that it has counted, together with the totals. If both are stored in one
transaction of a database, each event counts exactly once, however often the program stops and starts again.

    python examples/totals.py [ADDRESS]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field

import trio

from trio_esdb import ESDBClient, NewEvent, StreamState


@dataclass
class Totals:
    """What each customer has paid, up to a position in the log of all streams."""

    position: int | None = None
    paid: Counter[str] = field(default_factory=Counter)


async def keep_up(client: ESDBClient, totals: Totals, enough: int) -> None:
    """Count payments until the sum of all is large enough."""
    payments = client.subscribe_all_events(totals.position, filter_include=["OrderPaid"])
    async with payments as events:
        async for event in events:
            payment = json.loads(event.data)
            totals.paid[payment["customer"]] += payment["amount"]
            totals.position = event.resume_commit_position
            if totals.paid.total() >= enough:
                return


async def pay(client: ESDBClient, customer: str, *amounts: int) -> None:
    for amount in amounts:
        data = json.dumps({"customer": customer, "amount": amount}).encode()
        event = NewEvent(type="OrderPaid", data=data)
        await client.append_event(f"customer-{customer}", expected_position=StreamState.ANY, event=event)


async def main(address: str) -> None:
    totals = Totals()
    async with ESDBClient(address) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_up, client, totals, 60)
            nursery.start_soon(pay, client, "Ann", 10, 20)
            nursery.start_soon(pay, client, "Bob", 30)
        print("stopped at", dict(sorted(totals.paid.items())))

        await pay(client, "Ann", 5)
        await keep_up(client, totals, 65)
        print("went on to", dict(sorted(totals.paid.items())))


if __name__ == "__main__":
    trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "esdb://embedded")
