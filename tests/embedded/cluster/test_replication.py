"""How records come to replicas, and when they are confirmed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from trio_esdb.embedded._cluster._replication import Acknowledged, Entries, Following, Leading
from trio_esdb.embedded._store import ANY, Append, Proposal
from trio_esdb.embedded._store._replica import Replica


def replica(seed: int) -> Replica:
    random = Random(seed)
    return Replica(lambda: random.getrandbits(128))


def write(log: Replica, id: int) -> None:
    log.write(Append("s", ANY, [Proposal(id, "t", b"{}", b"", True)]), 0)


def ids(log: Replica) -> list[int]:
    return [record.id for record in log.confirmed.read_stream("s", 0, 100, 0).records]


def leading(log: Replica, epoch: int, node: int = 1) -> Leading:
    log.begin_epoch(node, 0, epoch)
    return Leading(node, epoch, 2, (1, 2, 3), log)


def following(log: Replica, leader: Leading, node: int = 2) -> tuple[Following, Acknowledged]:
    """A replica that the leader has accepted, and what it says then."""
    follower = Following(node, 1, leader.epoch, log)
    return follower, follower.begin(leader.subscribe(follower.request()).agreed)


def deliver(leader: Leading, follower: Following, node: int = 2) -> None:
    """Give the follower all that is for it, and the leader its answers."""
    while messages := [message for to, message in leader.messages() if to == node]:
        for message in messages:
            answer = follower.receive(message)
            if isinstance(answer, Acknowledged):
                leader.acknowledged(answer)


def test_what_a_quorum_has_is_confirmed_and_replicas_learn_it() -> None:
    mine, theirs = replica(1), replica(2)
    leader = leading(mine, 1)
    write(mine, 1)
    leader.written()
    assert ids(mine) == []
    follower, _ = following(theirs, leader)
    deliver(leader, follower)
    assert ids(mine) == ids(theirs) == [1]
    assert theirs.confirmed_end == mine.end


def test_a_record_of_an_earlier_epoch_is_confirmed_only_with_one_of_the_leader_own() -> None:
    """A later leader may still cut it before that, although a quorum has it."""
    mine, theirs = replica(1), replica(2)
    first = leading(mine, 1)
    write(mine, 1)
    unconfirmed = mine.end
    follower, _ = following(theirs, first)
    for _, message in first.messages():
        follower.receive(message)  # the answer is lost
    again = leading(mine, 2)
    again.subscribe(Following(2, 1, 2, theirs).request())
    again.acknowledged(Acknowledged(2, 2, unconfirmed))
    assert ids(mine) == []
    again.acknowledged(Acknowledged(2, 2, mine.end))
    assert ids(mine) == [1]


def test_acknowledgements_of_other_epochs_and_of_strangers_do_not_count() -> None:
    mine = replica(1)
    leader = leading(mine, 3)
    write(mine, 1)
    assert not leader.acknowledged(Acknowledged(2, 3, mine.end))
    leader.subscribe(Following(2, 1, 3, replica(2)).request())
    assert not leader.acknowledged(Acknowledged(2, 2, mine.end))
    leader.forget(2)
    assert not leader.acknowledged(Acknowledged(2, 3, mine.end))
    assert ids(mine) == []


def test_read_only_replicas_do_not_count() -> None:
    mine, theirs = replica(1), replica(4)
    leader = leading(mine, 1)
    write(mine, 1)
    follower, begun = following(theirs, leader, node=4)
    leader.acknowledged(begun)
    deliver(leader, follower, node=4)
    assert ids(mine) == ids(theirs) == []


def test_a_replica_cuts_what_the_leader_has_not() -> None:
    mine, theirs = replica(1), replica(2)
    first = leading(mine, 1)
    deliver(first, following(theirs, first)[0])
    leading(theirs, 2, node=2)
    write(theirs, 7)
    leader = leading(mine, 3)
    write(mine, 8)
    follower, begun = following(theirs, leader)
    assert begun.end == mine.epochs[1].start
    deliver(leader, follower)
    assert ids(mine) == ids(theirs) == [8]
    assert [epoch.number for epoch in theirs.epochs] == [1, 3]


def test_a_lost_message_makes_a_replica_subscribe_again() -> None:
    mine, theirs = replica(1), replica(2)
    leader = leading(mine, 1)
    follower, _ = following(theirs, leader)
    deliver(leader, follower)
    write(mine, 1)
    leader.messages()  # lost
    write(mine, 2)
    ((_, late),) = leader.messages()
    assert follower.receive(late) == follower.request()
    assert follower.receive(late) is None  # it takes nothing before it is accepted
    follower.begin(leader.subscribe(follower.request()).agreed)
    deliver(leader, follower)
    assert ids(theirs) == [1, 2]


def test_messages_that_are_too_late_are_not_taken_twice() -> None:
    mine, theirs = replica(1), replica(2)
    leader = leading(mine, 1)
    follower, _ = following(theirs, leader)
    ((_, message),) = leader.messages()
    assert isinstance(follower.receive(message), Acknowledged)
    end = theirs.end
    assert follower.receive(message) is None
    assert follower.receive(Entries(1, 9, end, (), end)) is None
    assert theirs.end == end


def test_a_large_log_goes_in_portions_and_nothing_is_sent_twice() -> None:
    mine, theirs = replica(1), replica(2)
    leader = leading(mine, 1)
    for id in range(2500):
        write(mine, id)
    follower, _ = following(theirs, leader)
    sizes = []

    def portions(send: Callable[[], list[tuple[int, Entries]]]) -> None:
        while messages := send():
            ((_, message),) = messages
            if message.entries:
                sizes.append(len(message.entries))
            follower.receive(message)

    portions(leader.messages)
    assert len(sizes) == 3
    assert theirs.end == mine.end
    assert sum(sizes) == 2502  # with the epoch, and the metadata that a fresh log begins with
