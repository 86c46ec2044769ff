"""One election, message by message."""

from __future__ import annotations

from random import Random

from trio_esdb.embedded._cluster._election import (
    Accept,
    Ballot,
    Candidate,
    Elected,
    Election,
    Message,
    PrepareOk,
    ViewChange,
    best_of,
)


def candidate(
    node: int, *, epoch: int = 1, writer: int = 100, stays: bool = True, led: bool = False, priority: int = 0
) -> Candidate:
    return Candidate(epoch, writer, stays, led, priority, node, node)


def election(node: int, voters: int = 3, ballot: Ballot | None = None) -> Election:
    return Election(node, range(1, voters + 1), Ballot() if ballot is None else ballot, Random(0))


def run(elections: dict[int, Election], sent: list[tuple[int, list[Message]]]) -> None:
    """Give each message to all others until there is none left."""
    while sent:
        sender, messages = sent.pop(0)
        for message in messages:
            for node, other in elections.items():
                if node != sender:
                    sent.append((node, other.receive(message, candidate(node))))


def test_a_quorum_that_asks_elects_the_best() -> None:
    elections = {node: election(node) for node in (1, 2, 3)}
    run(elections, [(node, elections[node].ask(candidate(node))) for node in (1, 2)])
    assert {node: each.elected for node, each in elections.items()} == dict.fromkeys((1, 2, 3), Elected(1, 2))


def test_one_node_alone_elects_nobody_and_promises_nothing() -> None:
    alone = election(1)
    for view in (1, 2, 3):
        assert alone.ask(candidate(1)) == [ViewChange(1, view)]
    assert alone.promised == 0
    assert alone.elected == Elected(0, 0)


def test_a_node_that_wants_no_election_has_no_part_in_one() -> None:
    content = election(2)
    assert content.receive(ViewChange(1, 1), candidate(2)) == []
    assert content.receive(PrepareOk(1, 1, candidate(1)), candidate(2)) == []
    assert content.receive(Accept(1, 1, 1), candidate(2)) == []
    assert content.promised == 0


def test_it_learns_the_leader_from_the_votes_of_a_quorum() -> None:
    content = election(2)
    content.receive(Accept(1, 4, 3), candidate(2))
    assert content.elected.leader == 0
    content.receive(Accept(3, 4, 3), candidate(2))
    assert content.elected == Elected(4, 3)
    assert content.promised == 4


def test_votes_for_different_leaders_are_no_quorum() -> None:
    content = election(5, voters=5)
    for sender, leader in ((1, 1), (2, 2), (3, 1)):
        content.receive(Accept(sender, 1, leader), candidate(5))
    assert content.elected.leader == 0


def test_a_node_votes_once_in_a_view() -> None:
    voter = election(3)
    voter.ask(candidate(3))
    voter.receive(ViewChange(1, 1), candidate(3))
    assert voter.receive(Accept(1, 1, 1), candidate(3)) == [Accept(3, 1, 1)]
    other = election(3, voters=5)
    other.ask(candidate(3))
    assert PrepareOk(3, 1, candidate(3)) in other.receive(PrepareOk(1, 1, candidate(1)), candidate(3))
    assert other.receive(Accept(1, 1, 1), candidate(3)) == [Accept(3, 1, 1)]
    assert other.receive(Accept(2, 1, 2), candidate(3)) == []


def test_promises_and_votes_outlast_the_process() -> None:
    ballot = Ballot()
    first = election(3, voters=5, ballot=ballot)
    first.ask(candidate(3))
    first.receive(PrepareOk(1, 1, candidate(1)), candidate(3))
    first.receive(Accept(1, 1, 1), candidate(3))
    assert ballot == Ballot(1, 1)
    again = election(3, voters=5, ballot=ballot)
    assert again.promised == 1
    assert again.receive(PrepareOk(2, 1, candidate(2)), candidate(3)) == []
    assert again.ask(candidate(3)) == [ViewChange(3, 2)]


def test_messages_of_lower_views_count_no_more() -> None:
    voter = election(1, ballot=Ballot(7))
    voter.ask(candidate(1))
    assert voter.receive(PrepareOk(2, 6, candidate(2)), candidate(1)) == []
    assert voter.receive(Accept(2, 6, 2), candidate(1)) == []
    assert voter.receive(ViewChange(2, 3), candidate(1)) == [ViewChange(1, 8)]  # which brings the other up to date


def test_who_asks_follows_one_who_is_ahead() -> None:
    voter = election(1)
    voter.ask(candidate(1))
    answers = voter.receive(ViewChange(2, 9), candidate(1))
    assert answers == [ViewChange(1, 9), PrepareOk(1, 9, candidate(1))]
    assert voter.promised == 9


def test_only_news_is_learnt() -> None:
    voter = election(1)
    assert voter.learn(Elected(3, 2))
    assert not voter.learn(Elected(3, 2))
    assert not voter.learn(Elected(2, 1))
    assert voter.receive(Accept(2, 3, 2), candidate(1)) == []
    assert not voter.is_open


def test_the_best_is_who_has_the_newest_log_then_who_may_stay_then_who_led_then_the_priority() -> None:
    worst_to_best = [
        candidate(9, writer=90, priority=9),
        candidate(8, stays=False, priority=8),
        candidate(1),
        candidate(2),
        candidate(1, priority=3),
        candidate(1, led=True),
        candidate(1, writer=200),
        candidate(1, epoch=2, writer=50),
    ]
    for index, better in enumerate(worst_to_best[1:]):
        for seed in range(20):
            pair = [better, worst_to_best[index]]
            assert best_of(pair, Random(seed)) is better or {each.priority for each in pair} == {0}


def test_where_all_else_is_equal_a_leader_that_resigned_may_win_again() -> None:
    resigned, other = candidate(1, stays=False, led=True), candidate(2)
    winners = {best_of([resigned, other], Random(seed)).node for seed in range(30)}
    assert winners == {1, 2}
    lowered = candidate(1, stays=False, led=True, priority=-5)
    assert {best_of([lowered, other], Random(seed)).node for seed in range(30)} == {2}
