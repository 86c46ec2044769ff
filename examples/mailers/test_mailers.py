"""The tests of ``mailers``: an hour of trouble takes no time under trio's mock clock."""

from __future__ import annotations

import trio
import trio.testing
from mailers import GROUP, STREAM, send_mails, set_up

from trio_esdb import ESDBClient, NewEvent
from trio_esdb.embedded import EmbeddedNode


class PostOffice:
    """Sends mails, which takes a second; it is closed until somebody opens it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.tries = 0
        self.open = True

    async def send(self, to: str, text: str) -> None:
        self.tries += 1
        await trio.sleep(1)
        if not self.open:
            raise OSError("closed")
        self.sent.append((to, text))


async def write(client: ESDBClient, *mails: tuple[str, str]) -> None:
    await client.append_events(STREAM, None, [NewEvent("Mail", text.encode(), to.encode()) for to, text in mails])


def test_mails_to_one_person_keep_their_order() -> None:
    async def main() -> None:
        office = PostOffice()
        async with EmbeddedNode() as node, ESDBClient("esdb://node?tls=false", connect=node.connect) as client:
            await set_up(client)
            await set_up(client)
            await write(client, *((to, str(number)) for number in range(5) for to in ("ann", "bob")))
            async with trio.open_nursery() as nursery:
                events = await nursery.start(send_mails, client, office.send)
                await trio.sleep(10)
                events.stop()
            assert sorted(office.sent, key=lambda mail: mail[0]) == [
                (to, str(number)) for to in ("ann", "bob") for number in range(5)
            ]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_mail_is_tried_four_times_and_put_aside() -> None:
    async def main() -> None:
        office = PostOffice()
        office.open = False
        async with EmbeddedNode() as node, ESDBClient("esdb://node?tls=false", connect=node.connect) as client:
            await set_up(client)
            await write(client, ("ann", "hello"))
            async with trio.open_nursery() as nursery:
                events = await nursery.start(send_mails, client, office.send)
                await trio.sleep(3600)
                assert office.tries == 4
                assert (await client.get_subscription_info(GROUP, STREAM)).parked_message_count == 1
                office.open = True
                await client.replay_parked_events(GROUP, STREAM)
                await trio.sleep(5)
                events.stop()
            assert office.sent == [("ann", "hello")]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_what_a_worker_had_not_finished_is_done_by_the_next_one() -> None:
    async def main() -> None:
        office = PostOffice()
        async with EmbeddedNode() as node, ESDBClient("esdb://node?tls=false", connect=node.connect) as client:
            await set_up(client)
            await write(client, ("ann", "hello"), ("bob", "hello"))
            with trio.move_on_after(0.5):
                await send_mails(client, office.send)
            async with trio.open_nursery() as nursery:
                events = await nursery.start(send_mails, client, office.send)
                await trio.sleep(5)
                events.stop()
            assert sorted(office.sent) == [("ann", "hello"), ("bob", "hello")]
            assert office.tries == 4

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
