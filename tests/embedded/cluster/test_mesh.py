"""Messages between processes, and who notices that one is gone."""

from __future__ import annotations

from random import Random

from tests.support.peers import Cut
from trio_esdb.embedded._cluster._mesh import Mesh
from trio_esdb.embedded._cluster._schedule import Schedule
from trio_esdb.embedded._cluster._timings import CLOSED_SEEN, EXIT_SEEN, SILENCE_SEEN, Range


class Notes:
    """A process that notes what it is told."""

    def __init__(self) -> None:
        self.messages: list[object] = []
        self.links: list[tuple[str, object]] = []

    def receive(self, message: object) -> None:
        self.messages.append(message)

    def lost(self, other: int, seen: Range) -> None:
        self.links.append((f"lost {other}", seen))

    def found(self, other: int) -> None:
        self.links.append((f"found {other}", None))


class Three:
    """Three processes on a mesh."""

    def __init__(self) -> None:
        self.now = 0.0
        self.schedule = Schedule(lambda: self.now)
        self.network = Cut()
        self.mesh = Mesh(self.schedule, self.network, Random(0))
        self.notes = {number: Notes() for number in (1, 2, 3)}
        for number, notes in self.notes.items():
            self.mesh.join(number, f"h{number}", notes)
        for notes in self.notes.values():
            notes.links.clear()

    def later(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.schedule.run_due()


def test_messages_come_in_their_order() -> None:
    three = Three()
    for message in range(15):
        three.mesh.send(1, 2, message)
    assert three.notes[2].messages == []
    three.later()
    assert three.notes[2].messages == list(range(15))
    assert three.notes[3].messages == []


def test_what_does_not_pass_is_lost() -> None:
    three = Three()
    three.mesh.send(1, 2, "under way")
    three.network.pairs.add(("h1", "h2"))
    three.mesh.changed()
    three.mesh.send(1, 2, "too late")
    three.mesh.send(2, 1, "the other way")
    three.later()
    assert three.notes[2].messages == []
    assert three.notes[1].messages == ["the other way"]
    assert three.notes[1].links == [("lost 2", SILENCE_SEEN)]
    assert three.notes[2].links == [("lost 1", SILENCE_SEEN)]
    assert three.mesh.linked(1) == [3]
    three.network.pairs.clear()
    three.mesh.changed()
    assert three.notes[1].links[1:] == [("found 2", None)]
    assert three.mesh.linked(1) == [2, 3]


def test_messages_to_a_process_that_stands_still_are_lost() -> None:
    three = Three()
    three.mesh.send(1, 2, "under way")
    three.mesh.stand_still(2, True)
    three.mesh.send(1, 2, "later")
    three.later()
    three.mesh.stand_still(2, False)
    three.later()
    assert three.notes[2].messages == []
    assert three.notes[1].links == [("lost 2", SILENCE_SEEN), ("found 2", None)]


def test_the_end_of_a_process_is_noticed_soon_by_those_that_reached_its_host() -> None:
    three = Three()
    three.network.pairs |= {("h1", "h3"), ("h3", "h1")}
    three.mesh.changed()
    three.mesh.send(1, 2, "sent before")
    three.mesh.leave(1, EXIT_SEEN)
    three.mesh.leave(1)  # once is enough
    three.later()
    assert three.notes[2].messages == ["sent before"]
    assert three.notes[2].links == [("lost 1", EXIT_SEEN)]
    assert three.notes[3].links == [("lost 1", SILENCE_SEEN)]


def test_a_new_process_gets_nothing_that_was_for_the_one_before() -> None:
    three = Three()
    three.mesh.send(2, 1, "for the old one")
    three.mesh.leave(1, CLOSED_SEEN)
    new = Notes()
    three.mesh.join(1, "h1", new)
    three.later()
    assert new.messages == []
    assert new.links == [("found 2", None), ("found 3", None)]
    three.mesh.send(2, 9, "to nobody")
    three.mesh.stand_still(9, True)


def test_things_happen_in_the_order_of_time_and_then_of_asking() -> None:
    three = Three()
    happened: list[str] = []
    earlier: list[float] = []
    three.schedule.on_earlier = lambda: earlier.append(three.schedule.next_due)
    three.schedule.after(2.0, lambda: happened.append("last"))
    for name in ("a", "b"):
        three.schedule.after(1.0, lambda name=name: happened.append(name))  # type: ignore[misc]
    three.schedule.after(1.0, lambda: happened.append("never")).cancel()
    assert earlier == [2.0, 1.0]
    three.later(1.5)
    assert happened == ["a", "b"]
    three.later()
    assert happened == ["a", "b", "last"]


def test_one_go_does_not_last_for_ever() -> None:
    three = Three()
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        three.schedule.after(0.0, again)

    again()
    three.schedule.run_due()
    assert 1 < count < 100
    assert three.schedule.is_due


def test_messages_keep_their_order_while_time_goes_on() -> None:
    """A real clock shows another time each time when it is looked at."""
    random = Random(1)
    time = 0.0

    def now() -> float:
        nonlocal time
        time += random.uniform(0, 0.000_1)
        return time

    schedule = Schedule(now)
    mesh = Mesh(schedule, Cut(), random)
    receiver = Notes()
    mesh.join(1, "a", Notes())
    mesh.join(2, "b", receiver)
    for message in range(300):
        mesh.send(1, 2, message)
        schedule.run_due()
    while len(receiver.messages) < 300:
        schedule.run_due()
    assert receiver.messages == list(range(300))
