"""Decisions that must not conflict: several clerks sell the last seats of a room, and no seat is sold twice.

A clerk reads the stream of the room, decides, and appends with an expected position. If another clerk was faster, the
append fails, and the clerk reads and decides again.

    python examples/seats.py [ADDRESS]
"""

from __future__ import annotations

import sys

import trio

from trio_esdb import ESDBClient, ExpectedPositionError, NewEvent, StreamNotFoundError

ROOM = "room-12"
SEATS = 3


async def sold(client: ESDBClient) -> list[str]:
    """Return the guests that have a seat, in the order of the stream."""
    try:
        return [event.data.decode() for event in await client.get_stream_events(ROOM)]
    except StreamNotFoundError:
        return []


async def sell(client: ESDBClient, guest: str) -> bool:
    """Sell a seat to a guest if one is left."""
    while True:
        guests = await sold(client)
        if len(guests) == SEATS:
            return False
        event = NewEvent(type="SeatSold", data=guest.encode())
        try:
            await client.append_event(ROOM, expected_position=len(guests) - 1 if guests else None, event=event)
        except ExpectedPositionError:
            continue
        return True


async def clerk(client: ESDBClient, guest: str) -> None:
    print(guest, "has a seat" if await sell(client, guest) else "is too late")


async def main(address: str) -> None:
    async with ESDBClient(address) as client:
        async with trio.open_nursery() as nursery:
            for guest in ["Ann", "Bob", "Cem", "Dee", "Eve"]:
                nursery.start_soon(clerk, client, guest)
        print("sold to", *await sold(client))


if __name__ == "__main__":
    trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "esdb://embedded")
