"""What is compared of each situation: which states come in which order, and when, in milliseconds from the action.

`timelines.json` holds one recording of each situation; more rounds were measured, so the ranges are wider than that.
Each range is what was recorded over all rounds, with 100 ms more on both sides, because the recorder looks each 100 ms,
and with 50 ms for the answer. Where the recordings themselves differ by chance (when a follower is in step again, how
long an election takes on a busy machine), the range says so. The recordings must lie in the ranges too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .timelines import Timeline, follows

SURVIVORS = ("new", "other", "a", "b")


@dataclass(frozen=True)
class Stages:
    """The states of `subject` that each of the viewers shows, in this order."""

    viewers: tuple[str, ...]
    subject: str
    stages: str

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        found = []
        for viewer in self.viewers:
            if viewer in timeline.views and (self.subject in timeline.views):
                shown = timeline.shown(viewer, self.subject, start)
                if not follows([state for _, state in shown], self.stages):
                    found.append(f"{viewer} shows {self.subject} as {shown}, not as {self.stages}")
        return found


@dataclass(frozen=True)
class Shown:
    """When each of the viewers first shows `subject` in one of the states, after `after`."""

    viewers: tuple[str, ...]
    subject: str
    states: tuple[str, ...]
    low: float
    high: float
    measured: str
    after: float = 0
    may_be_missed: bool = False

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        found = []
        for viewer in self.viewers:
            if viewer in timeline.views and self.subject in timeline.views:
                at = timeline.when(viewer, self.subject, *self.states, after=self.after)
                if not (self.may_be_missed if at is None else self.low <= at <= self.high):
                    what = f"{viewer} shows {self.subject} as {'|'.join(self.states)} at {at}"
                    found.append(f"{what}, not in {self.low:.0f} to {self.high:.0f} ({self.measured})")
        return found


@dataclass(frozen=True)
class Settled:
    """From when on all nodes show the same."""

    low: float
    high: float
    measured: str

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        at = timeline.settled()
        if at is not None and self.low <= at <= self.high:
            return []
        return [f"all show the same from {at}, not in {self.low:.0f} to {self.high:.0f} ({self.measured})"]


@dataclass(frozen=True)
class Answers:
    """What appends on a way are answered, in the order in which they were sent."""

    way: str
    stages: str

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        answers = [answer for _, answer, _ in timeline.appends.get(self.way, ())]
        kinds = [each for number, each in enumerate(answers) if number == 0 or answers[number - 1] != each]
        return [] if not answers or follows(kinds, self.stages) else [f"{self.way}: {kinds}, not {self.stages}"]


@dataclass(frozen=True)
class Begins:
    """When the first append was sent that got an answer, after `after`."""

    way: str
    answer: str
    low: float
    high: float
    measured: str
    after: float = 0

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        if self.way not in timeline.appends:
            return []
        sent = [at for at, answer, _ in timeline.appends[self.way] if answer == self.answer and at > self.after]
        if sent and self.low <= sent[0] <= self.high:
            return []
        return [
            f"{self.way}: {self.answer} from {sent[:1]}, not in {self.low:.0f} to {self.high:.0f} ({self.measured})"
        ]


@dataclass(frozen=True)
class Told:
    """What open calls of a node are told, and when. Nothing: they stay open."""

    part: str
    words: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...] = ()

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        found = []
        for name, told in timeline.calls.items():
            if name.startswith(f"{self.part}: ") and "persistent" not in name:
                words = tuple("closed" if word == "reset" else word for _, word in told if word != "GOAWAY")
                times = [at for at, word in told if word != "GOAWAY"]
                right = all(low <= at <= high for at, (low, high) in zip(times, self.ranges, strict=False))
                if words != self.words or not right:
                    found.append(f"{name}: {told}, not {self.words} in {self.ranges}")
        return found


@dataclass(frozen=True)
class Took:
    """How long an answer takes, on all ways."""

    answer: str
    low: float
    high: float
    measured: str

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        return [
            f"{way}: {answer} after {took:.0f}, not in {self.low:.0f} to {self.high:.0f} ({self.measured})"
            for way, log in timeline.appends.items()
            for _, answer, took in log
            if answer == self.answer and not self.low <= took <= self.high
        ]


@dataclass(frozen=True)
class Written:
    """Which of the appends that got this answer are in the stream at the end: all, none, or some."""

    answer: str
    which: str

    def differences(self, timeline: Timeline, start: float | None) -> list[str]:
        """What is otherwise in a timeline."""
        number, of_these = timeline.written.get(self.answer, (0, 0))
        if of_these == {"all": number, "none": 0}[self.which]:
            return []
        return [f"of {number} appends with {self.answer}, {of_these} are written, not {self.which}"]


Rule = Stages | Shown | Settled | Answers | Begins | Told | Took | Written


@dataclass(frozen=True)
class Situation:
    """What is compared."""

    rules: tuple[Rule, ...] = field(default=())
    start: float | None = 0
    """From when on states are compared; None is from the beginning of the recording."""

    def differences(self, timeline: Timeline) -> list[str]:
        """What is otherwise in a timeline; empty if it is as it should be."""
        return [each for rule in self.rules for each in rule.differences(timeline, self.start)]


FORWARDED = Took("Forwarding timeout", 4300, 6650, "4340 to 5250, up to 6511 on a busy machine")
NOT_READY = Took("Not Ready", 0, 100, "1 to 11, 95 on a node that wakes")
CERTAIN = (Written("Forwarding timeout", "none"), Written("Not Ready", "none"), Written("not leader", "none"))

BECOMES_LEADER = "Follower, PreReplica?, Unknown?, PreReplica?, PreLeader?, Leader"
SEEN_TO_BECOME_LEADER = "Follower, PreReplica?, Unknown?, PreReplica?, PreLeader|Leader*"
"""Others may call it the leader before they hear that it is not quite there yet."""
STAYS_FOLLOWER = "Follower, PreReplica|Unknown|CatchingUp|Clone*, Follower?"
"""On the node itself it can pass through all of these within 100 ms."""
ELECTED = (
    Stages(("new",), "new", BECOMES_LEADER),
    Stages(("other",), "new", SEEN_TO_BECOME_LEADER),
    Stages(("new", "other"), "other", STAYS_FOLLOWER),
)
LED = ("Leader", "PreLeader")
ENDED = ("Leader dead", "ShuttingDown dead")

STARTS = "gone, Initializing?, DiscoverLeader, Unknown?, PreReplica|CatchingUp|Clone|Unknown*, Follower"
SEEN_TO_START = (
    "gone, Manager dead|Manager|Initializing*, DiscoverLeader, Unknown?, PreReplica|CatchingUp|Clone|Unknown|Follower*"
)

LEADER_SEEN_TO_START = "gone, Manager dead|Manager|Initializing*, DiscoverLeader, Unknown?, PreLeader|Leader*"
JOINS = "Initializing?, DiscoverLeader?, PreReplica|CatchingUp|Clone|Unknown*, Follower"
REPLICA_JOINS = "Initializing?, ReadOnlyLeaderless?, PreReadOnlyReplica?, ReadOnlyReplica"

ELECTING = ("Unknown", "PreLeader", "PreReplica", "CatchingUp", "Clone", "Follower", "Leader")
"""The first of these that is seen: some pass within 100 ms."""


def startup(answers: tuple[float, float], election: tuple[float, float], settled: float) -> Situation:
    """Three nodes that start at once: when they answer, when they vote, and when all show the same."""
    alone = ("a", "b", "leader")
    return Situation(
        (
            Stages(("a",), "a", STARTS),
            Stages(("b",), "b", STARTS),
            Stages(("leader",), "leader", "gone, Initializing?, DiscoverLeader, Unknown?, PreLeader?, Leader"),
            Stages(
                ("a", "b"),
                "leader",
                "gone, Manager dead|Manager|Initializing*, DiscoverLeader, Unknown?, PreLeader|Leader*",
            ),
            Stages(("b", "leader"), "a", SEEN_TO_START),
            Stages(("a", "leader"), "b", SEEN_TO_START),
            *(Shown((each,), each, ("Initializing", "DiscoverLeader"), *answers, "first answer") for each in alone),
            *(Shown((each,), each, ELECTING, *election, "election") for each in alone),
            Shown(alone, "leader", LED, election[0], election[1] + 500, "one leader shown by all"),
            # Real nodes took from 7.2 s on, and shared two processors; the embedded ones need not wait for each other.
            Settled(election[0] + 500, settled, "7.2 to 9.7 s"),
        ),
        start=None,
    )


WITH_TLS = startup((2050, 3200), (4550, 6500), 9850)
SITUATIONS = {
    "kill": Situation(
        (
            Stages(("new", "other"), "old", "Leader, Leader dead?, Unknown dead"),
            Stages(("old",), "old", "Leader, gone"),
            *ELECTED,
            Shown(("new", "other"), "old", ("Leader dead", "Unknown dead"), 0, 340, "29 to 190"),
            Shown(("new", "other"), "new", LED, 0, 1790, "103 to 1640"),
            Shown(("old",), "old", ("gone",), 0, 150, "18"),
            Settled(0, 4500, "300 to 4000"),
            Answers("to old", "OK, closed?, refused"),
            Answers("to other, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to new, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to other, requires-leader", "not leader: old, Not Ready?, not leader: new"),
            Answers("to new, requires-leader", "not leader: old, Not Ready?, OK"),
            Begins("to new, requires-leader", "OK", 0, 1850, "130 to 1650"),
            Begins("to other, requires-leader", "not leader: new", 0, 1850, "110 to 1640"),
            Told("old", ("closed",), ((0, 50),)),
            Told("other", ()),
            Told("new", ()),
            FORWARDED,
            NOT_READY,
            *CERTAIN,
        )
    ),
    "terminate": Situation(
        (
            Stages(("new", "other"), "old", "Leader, Leader dead?, Unknown dead"),
            Stages(("old",), "old", "Leader, gone"),
            *ELECTED,
            Shown(("new", "other"), "old", ("Leader dead", "Unknown dead"), 5000, 5800, "5456 to 5522"),
            Shown(("new", "other"), "new", LED, 5100, 7290, "6459 to 6523"),
            Shown(("old",), "old", ("gone",), 0, 150, "15"),
            Settled(5100, 10_000, "7224"),
            Answers("to old", "OK, closed?, refused"),
            Answers("to other, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to new, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to other, requires-leader", "not leader: old, Not Ready?, not leader: new"),
            Answers("to new, requires-leader", "not leader: old, Not Ready?, OK"),
            Told("old", ("closed",), ((4900, 5100),)),
            Told("other", ()),
            Told("new", ()),
            FORWARDED,
            NOT_READY,
            *CERTAIN,
        )
    ),
    "terminate, no call open": Situation(
        (
            Stages(("new", "other"), "old", "Leader, Leader dead?, Unknown dead"),
            Stages(("old",), "old", "Leader, gone"),
            *ELECTED,
            Shown(("new", "other"), "old", ("Leader dead", "Unknown dead"), 30, 365, "133 to 214"),
            Shown(("new", "other"), "new", LED, 40, 1970, "187 to 1218; in a kill up to 1640 after it is shown dead"),
            Begins("to new, requires-leader", "OK", 40, 2070, "770 to 1211"),
            Settled(40, 4500, "1.2 s"),
            NOT_READY,
        )
    ),
    "freeze and wake": Situation(
        (
            Stages(
                ("new", "other"),
                "old",
                "Leader, Leader dead?, Unknown dead?, Leader, ShuttingDown?, Leader dead|ShuttingDown dead",
            ),
            Stages(("old",), "old", "Leader, silent, Leader, Unknown?, ShuttingDown?, gone"),
            *ELECTED,
            Shown(("new", "other"), "old", ("Leader dead", "Unknown dead"), 4300, 6800, "5438 to 6589"),
            Shown(("new", "other"), "new", LED, 5300, 7750, "6.5 s, Leader 6.6 to 7.6"),
            Shown(("new", "other"), "old", ("Leader",), 8000, 8500, "two leaders from 8027", after=7900),
            Shown(
                ("new", "other"), "old", ("Leader dead", "ShuttingDown dead"), 8000, 10_700, "0.3 to 2.4 s", after=8000
            ),
            Shown(("old",), "old", ("gone",), 8000, 10_700, "8641", after=8000),
            Answers("to old", "OK, Request canceled, Not Ready?, closed?, refused"),
            Answers("to other, forwarded", "OK?, Forwarding timeout, Not Ready?, OK"),
            Answers("to new, forwarded", "OK?, Forwarding timeout, Not Ready?, OK"),
            Answers("to other, requires-leader", "not leader: old, Not Ready?, not leader: new"),
            Answers("to new, requires-leader", "not leader: old, Not Ready?, OK"),
            Written("Request canceled", "none"),
            FORWARDED,
            NOT_READY,
            *CERTAIN,
        )
    ),
    "resign": Situation(
        (
            Stages(("old",), "old", "Leader, ResigningLeader, Unknown?, PreLeader?, Leader"),
            Stages(("a", "b"), "old", "Leader, ResigningLeader?, Unknown?, PreLeader?, Leader"),
            Stages(("a", "b", "old"), "a", STAYS_FOLLOWER),
            Stages(("a", "b", "old"), "b", STAYS_FOLLOWER),
            Shown(("old",), "old", ("ResigningLeader",), 0, 200, "90"),
            Shown(("old",), "old", LED, 250, 1100, "400 to 950", after=200),
            Shown(("a", "b"), "old", LED, 250, 2950, "up to 2.7 s", after=200, may_be_missed=True),
            Settled(250, 4500, "2.8 s"),
            Answers("to old", "OK, Not Ready, OK"),
            Begins("to old", "OK", 250, 1050, "420 to 870", after=150),
            Answers("to a, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to a, requires-leader", "not leader: old, Not Ready?, not leader: old?"),
            Told("old", ()),
            Told("a", ()),
            FORWARDED,
            NOT_READY,
            *CERTAIN,
        )
    ),
    "resign with another priority": Situation(
        (
            Stages(("old",), "old", "Leader, ResigningLeader, Unknown?, PreReplica|CatchingUp|Clone*, Follower"),
            Stages(
                ("new", "other"), "old", "Leader, ResigningLeader?, Unknown?, PreReplica|CatchingUp|Clone*, Follower"
            ),
            *ELECTED,
            Shown(("old",), "old", ("ResigningLeader",), 0, 200, "46"),
            Shown(("new",), "new", LED, 250, 1100, "400 to 950"),
            Shown(("old", "other"), "new", LED, 250, 2950, "407 to 447, up to 2.7 s"),
            Settled(250, 4500, "2.2 s"),
            Answers("to old", "OK, Not Ready, not leader: new"),
            Answers("to new, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to other, forwarded", "OK, Forwarding timeout?, Not Ready?, OK"),
            Answers("to new, requires-leader", "not leader: old, Not Ready?, OK"),
            Answers("to other, requires-leader", "not leader: old, Not Ready?, not leader: new"),
            Begins("to new, requires-leader", "OK", 250, 1100, "448; 420 to 870"),
            Told("old", ()),
            Told("other", ()),
            Told("new", ()),
            FORWARDED,
            NOT_READY,
            *CERTAIN,
        )
    ),
    "quorum lost": Situation(
        (
            Stages(("old",), "old", "Leader, Unknown"),
            Stages(("old",), "a", "Follower, Follower dead"),
            Stages(("old",), "b", "Follower, Follower dead"),
            Shown(("old",), "a", ("Follower dead",), 0, 340, "132"),
            Shown(("old",), "b", ("Follower dead",), 0, 340, "132"),
            Shown(("old",), "old", ("Unknown",), 2850, 3650, "3.0 to 3.5 s"),
            # A real node looks once a second for writes whose time is over; the embedded one draws the time of each.
            Answers("to old", "OK, Commit phase timeout, Commit phase timeout|Request canceled*, Not Ready"),
            Begins("to old", "Not Ready", 2850, 3750, "3235"),
            Written("Commit phase timeout", "none"),
            Written("Request canceled", "none"),
            Took("Commit phase timeout", 2000, 2600, "2086 to 2519"),
            Took("Request canceled", 0, 3000, "14 to 2936"),
            Answers("to a, forwarded", "OK, closed?, refused"),
            Answers("to a, requires-leader", "not leader: old, closed?, refused"),
            Told("old", ()),
            Told("a", ("closed",), ((0, 100),)),
            NOT_READY,
            *CERTAIN,
        )
    ),
    "quorum returns": Situation(
        (
            Stages(("a",), "a", STARTS),
            Stages(("b",), "b", STARTS),
            Stages(("old",), "old", "Unknown, PreLeader?, Leader"),
            Stages(("a", "b"), "old", "gone, Manager dead|Manager?, Unknown, PreLeader|Leader*"),
            Shown(("a",), "a", ("Initializing", "DiscoverLeader"), 800, 1900, "1515 to 1724; alone 811 to 1565"),
            Shown(("b",), "b", ("Initializing", "DiscoverLeader"), 800, 1900, "1515 to 1724; alone 811 to 1565"),
            Shown(("old", "a", "b"), "old", LED, 3500, 5500, "3.2 s after they answer"),
            Settled(4000, 9750, "7.6 s"),
            Written("Commit phase timeout", "all"),
            Written("Request canceled", "all"),
        )
    ),
    **{
        f"rejoin, {number}": Situation(
            (
                Stages(("returning",), "returning", f"gone, {JOINS}"),
                Stages(("leader", "other"), "returning", f"Unknown dead|Follower dead, {JOINS}"),
                Stages(("leader", "other", "returning"), "leader", "gone?, Manager dead|Manager?, Leader"),
                Shown(("returning",), "returning", ("Follower",), 1750, 2750, "1.9 to 2.6 s"),
                Shown(("leader", "other"), "returning", ("Follower",), 1750, 3250, "1.9 to 2.6 s"),
            )
        )
        for number in (1, 2)
    },
    "startup": startup((1350, 1900), (4050, 5350), 9750),
    "startup with TLS": WITH_TLS,
    "startup with TLS, on disk": WITH_TLS,
    "startup with TLS, existing databases": WITH_TLS,
    "read-only replica joins": Situation(
        (
            Stages(("replica",), "replica", f"gone, {REPLICA_JOINS}"),
            Stages(("a", "b", "leader"), "replica", f"not listed|ReadOnlyReplica dead, {REPLICA_JOINS}"),
            Stages(("a", "b", "leader"), "leader", "Leader"),
            Shown(("replica",), "replica", ("ReadOnlyReplica",), 1100, 2650, "1.2 to 2.5 s"),
            Shown(("a", "b", "leader"), "replica", ("ReadOnlyReplica",), 1100, 2850, "1.2 to 2.5 s"),
        )
    ),
}
