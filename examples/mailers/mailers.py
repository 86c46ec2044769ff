"""A pool of workers that send e-mails for the events of a stream, each at least once and none twice at the same time.

The name of the mail's recipient is the key: mails to the same person are sent one after the other. A mail that cannot
be sent is tried again after a pause, three times; then it is put aside for somebody to look at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import trio

from trio_esdb import ESDBClient, GroupChannel, GroupEvent, NewEvent, Retry, SubscriptionExistsError

Send = Callable[[str, str], Awaitable[None]]
STREAM, GROUP = "mails", "mailers"


async def set_up(client: ESDBClient) -> None:
    """Make the group, if it is not there."""
    with contextlib.suppress(SubscriptionExistsError):
        await client.create_stream_subscription(GROUP, STREAM, message_timeout=60, consumer_strategy="RoundRobin")


async def send_mails(
    client: ESDBClient, send: Send, *, task_status: trio.TaskStatus[GroupChannel] = trio.TASK_STATUS_IGNORED
) -> None:
    """Send mails until the channel, with which this is started, is told to stop."""

    async def handle(event: GroupEvent) -> None:
        with trio.fail_after(20):
            await send(event.metadata.decode(), event.data.decode())

    async with client.read_stream_subscription(GROUP, STREAM, buffer_size=20) as events:
        task_status.started(events)
        await events.process(
            handle,
            workers=10,
            key=lambda event: event.metadata,
            on_error=Retry(delay=5, times=3),
            park_after=20,
            grace=30,
        )


async def main() -> None:
    """Show three mails, one of which cannot be sent."""
    tried = trio.Event()

    async def send(to: str, text: str) -> None:
        if text == "goodbye":
            tried.set()
        if to == "nobody":
            raise OSError("no such person")
        print(f"to {to}: {text}")

    async with ESDBClient("esdb://embedded") as client, trio.open_nursery() as nursery:
        await set_up(client)
        mails = [("ann", "hello"), ("nobody", "are you there?"), ("ann", "goodbye")]
        await client.append_events(STREAM, None, [NewEvent("Mail", text.encode(), to.encode()) for to, text in mails])
        events: GroupChannel = await nursery.start(send_mails, client, send)
        await tried.wait()
        events.stop()


if __name__ == "__main__":
    trio.run(main)
