"""How long things take in a cluster: each delay as a range in seconds, and what of it was seen on real clusters.

All of it was measured on clusters of three nodes of version 23.10.6 on one machine, with the timers at their defaults.
A cluster draws each delay from its range with its own source of random numbers.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Range(NamedTuple):
    """Seconds, at least and at most."""

    least: float
    most: float

    def draw(self, random: Random) -> float:
        """A delay of this range."""
        return random.uniform(self.least, self.most)


class Mixture(NamedTuple):
    """One of two ranges: what often happens at once sometimes has to be tried again."""

    usual: Range
    other: Range
    share: float
    """How often it is the other one, from 0 to 1."""

    def draw(self, random: Random) -> float:
        """A delay of one of the ranges."""
        return (self.other if random.random() < self.share else self.usual).draw(random)


# -- messages between nodes --------------------------------------------------------------------------------------------

MESSAGE = Range(0.0004, 0.0015)
"""One message from node to node, without what the network adds. An append at a leader took 3 ms or more and a forwarded
one 2.3 ms, client and disk included."""
FORWARDING_TIMEOUT = Range(4.34, 5.25)
"""After which a follower gives up a write that it forwarded: 4338-5250 ms."""

# -- gossip ------------------------------------------------------------------------------------------------------------

GOSSIP = Range(0.05, 2.4)
"""Until another node shows a new state: gossip goes round every 2 s. Nodes were seen to lag by 0.1-2.5 s."""
GOSSIP_OF_YOUNG = Range(0.03, 0.13)
"""The same, while one of the two is young: its first 20 rounds take 100 ms each."""
YOUNG = 2.0
"""How long a process gossips fast: 20 rounds of 100 ms."""
GOSSIP_OF_RESIGNATION = Range(0.04, 0.75)
"""Until others show a leader as resigning: 47, 108, 362, 754 ms."""
GOSSIP_PERIOD = 2.0
"""The time stamps that a node shows for others lag by up to this."""
REMOVAL_OF_DEAD = 1800.0
"""How long a dead member stays in the list. With 8 s it was 8.4-8.7 s."""

# -- a process starts --------------------------------------------------------------------------------------------------

START = Range(1.45, 1.70)
"""From the start of the process until its port opens, all nodes starting at once: 1450-1710 ms."""
START_TLS = Range(2.32, 3.02)
"""The same with TLS: 2320-3030 ms."""
RESTART = Range(0.9, 1.35)
"""The same for one node that starts while the others run: 811-964 ms, 1304-1565 ms."""
START_READ_ONLY = Range(1.1, 1.45)
"""The same for a read-only replica: 1331-1451 ms. It has joined 1.2-2.5 s after its start."""
INITIALIZING = Range(0.03, 0.1)
"""For so long before its port opens others may show it as Initializing: about 100 ms."""
FIRST_CONTACT_FAILS = Range(0.05, 0.15)
"""Until a seed that does not answer is shown as dead: one round of fast gossip."""
LEADER_DISCOVERY = Range(2.6, 2.85)
"""From the port's opening until a node that found no leader asks for an election: 2.6-2.85 s."""
LEADER_FOUND = Range(0.05, 0.12)
"""From the port's opening to PreReplica, where there is a leader: about 100 ms."""
SUBSCRIBING = Range(0.05, 0.11)
"""A starting node in PreReplica: about 100 ms."""
CATCHING_UP = Range(0.01, 0.09)
"""A node in CatchingUp: seen once in polls of 100 ms."""
CLONE = Range(0.9, 1.0)
"""A starting node in Clone: 0.85-1.07 s. It is a follower 1.9-2.6 s after its start."""
LEADERLESS = Range(0.1, 0.4)
"""A starting read-only replica in ReadOnlyLeaderless: 100-300 ms."""
READ_ONLY_SUBSCRIBING = Range(0.02, 0.09)
"""A starting read-only replica in PreReadOnlyReplica: never caught in polls of 100 ms."""

# -- elections ---------------------------------------------------------------------------------------------------------

CLOSED_SEEN = Range(0.03, 0.19)
"""Until a killed node is shown dead: 29-190 ms."""
SILENCE_SEEN = Range(5.43, 5.55)
"""Until a frozen or unreachable node is shown dead: 5438 ms on one survivor, by 6.55 s on the other."""
WITHOUT_LEADER = Range(0.44, 0.52)
"""From then until a survivor is in PreReplica, if there is no new leader yet: 440-520 ms."""
ELECTION = Mixture(Range(0.03, 0.09), Range(0.93, 0.97), 0.85)
"""From the first sight of the dead leader until a survivor asks for an election. Two survivors had a new leader 100-280
ms after a kill in 2 of 8 rounds, after 1060-1210 ms in the others; the first round of messages had timed out there."""
ELECTION_AFTER_SILENCE = Range(0.97, 1.03)
"""The same for a frozen leader: new leader at 6.5 s."""
ELECTION_ROUND = Range(1.0, 1.06)
"""Until a round of an election without a result is begun again: 1 s."""
PRE_LEADER = Mixture(Range(0.01, 0.06), Range(0.46, 0.49), 0.5)
"""A new leader in PreLeader: less than 100 ms in 4 elections, 500 ms in 5."""
PRE_LEADER_AFTER_SILENCE = Range(0.1, 1.0)
"""The same after a frozen leader: Leader at 6.6-7.6 s."""
PRE_LEADER_AFTER_RESIGNATION = Range(0.01, 0.06)
"""The same after a resignation: first append 420-870 ms after it, of which 300-800 are the resigning leader's."""
CLONE_AGAIN = Mixture(Range(0.0, 0.0), Range(0.5, 1.1), 0.35)
"""A survivor of an election in Clone, before it is a follower again: not at all in 5 of 8 cases, else 0.5-1.2 s."""
RESIGNING = Range(0.3, 0.75)
"""A leader in ResigningLeader: 300-800 ms."""
RESIGNED_STAYS = 0.3
"""How often equal priorities let a leader that resigned win again: in 1 of 3 resignations."""
REFUSAL_SEEN = Range(0.01, 0.06)
"""Until a follower that the leader refuses asks for an election. Not measured; it is one exchange of messages."""
QUORUM_LOST = Range(3.0, 3.45)
"""Until a leader without a quorum is Unknown: 3.0-3.5 s."""

# -- a process ends ----------------------------------------------------------------------------------------------------

EXIT = Range(0.1, 0.145)
"""From the end of its last connection until a terminated process without calls is gone: shown dead at 130-215 ms."""
EXIT_AFTER_CALLS = Range(0.4, 0.45)
"""The same if calls had to be cut off: 5009 ms to 5456 ms."""
EXIT_SEEN = Range(0.02, 0.07)
"""Until others see that it is gone: 5456-5522 ms."""
WAKES = Range(0.02, 0.1)
"""Until others show a frozen node as alive again: 50-90 ms."""
DEPOSITION_SEEN = Range(0.29, 0.34)
"""From its first gossip until a deposed leader knows it. It dropped its subscriptions to groups 390-410 ms after it had
been woken."""
TRUNCATION_SEEN = Range(0.08, 0.13)
"""From then until it knows that its log is ahead and begins to shut down: about 100 ms."""
SHUTTING_DOWN = Range(0.09, 0.11)
"""It in ShuttingDown, before its port closes: 100 ms."""
SHUT_DOWN_SEEN = Range(0.05, 1.8)
"""From then until others show it as dead: 90 ms and 1.84 s."""
