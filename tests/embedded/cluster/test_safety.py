"""Whatever happens to the processes and the network: no two leaders of one epoch, and nothing confirmed is lost."""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.support.peers import Peers

_COMMANDS = ("kill", "start", "freeze", "wake", "part", "cut one way", "heal", "resign", "write", "latency")
_step = st.tuples(st.sampled_from(_COMMANDS), st.integers(1, 5), st.sampled_from((0.0, 0.001, 0.05, 0.6, 3.0, 8.0)))


class Checked:
    """Peers, and what was confirmed by any of them."""

    def __init__(self, voters: int, seed: int) -> None:
        self.peers = Peers(voters, 1, seed=seed)
        self.confirmed: list[int] = []

    def do(self, command: str, number: int, seconds: float) -> None:
        peers = self.peers
        number = (number - 1) % len(peers.numbers) + 1
        running = number in peers.running
        match command:
            case "kill" if running:
                peers.kill(number)
            case "start" if not running:
                peers.start(number)
            case "freeze" if running and number not in peers.still:
                peers.freeze(number)
            case "wake" if number in peers.still:
                peers.wake(number)
            case "part" | "cut one way":
                peers.part({number}, one_way=command == "cut one way")
            case "heal":
                peers.heal()
            case "latency":
                peers.network.latency = 0.0 if peers.network.latency else 0.02
            case "resign" if running:
                peers.running[number].resign()
            case "write":
                for leader in peers.leading:
                    if leader not in peers.still:
                        peers.write(leader)
        peers.run(seconds)
        self.check()

    def check(self) -> None:
        for number in self.peers.numbers:
            ids = self.peers.ids(number)
            known = min(len(ids), len(self.confirmed))
            assert ids[:known] == self.confirmed[:known], f"node {number} disagrees"
            self.confirmed += ids[known:]

    def recover(self) -> None:
        peers = self.peers
        peers.network.latency = 0.0
        peers.heal()
        for _ in range(2):  # a deposed leader may end by itself
            for number in peers.numbers:
                if number in peers.still:
                    peers.wake(number)
                elif number not in peers.running:
                    peers.start(number)
            peers.run(15)
        self.check()
        assert len(peers.leading) == 1
        written = peers.write(peers.leading[0])
        peers.run(1)
        self.check()
        for number in peers.numbers:
            assert peers.ids(number) == self.confirmed
        assert self.confirmed[-1] == written
        assert sorted(peers.states().values()) == sorted(
            ["Leader", *["Follower"] * (len(peers.shape.voters) - 1), "ReadOnlyReplica"]
        )
        peers.run(10)
        for number in peers.numbers:
            views = peers.view(number)
            assert views == {n: f"{state} alive" for n, state in peers.states().items()}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((3, 3, 5)), st.integers(0, 1000), st.lists(_step, min_size=5, max_size=25))
def test_no_confirmed_record_is_lost_and_the_cluster_recovers(
    voters: int, seed: int, steps: list[tuple[str, int, float]]
) -> None:
    checked = Checked(voters, seed)
    checked.peers.run(8)
    for step in steps:
        checked.do(*step)
    note(str(checked.peers.history[-30:]))
    checked.recover()
