"""The policy for trouble: what becomes of a call that failed, by the kind of trouble and the kind of call.

``POLICY`` is the one place where this is decided; the table in ``docs/trouble.md`` is made from it. Three facts are
behind it:

- A server begins to work on a call when it has the whole request. A call whose request was not handed to the network
  whole, or that the server says it has not looked at, was certainly not done. It can always be sent again.
- Reads change nothing.
- A server recognizes an append that it has done by the ids of its events, where the expected position says in which
  place of the stream to look: a number, or that the stream has no events. For ``StreamState.ANY`` and ``EXISTS`` it
  looks into a memory of recent ids. Only the node that wrote them has that memory, until it is restarted, so a repeat
  after a fail-over would write the events a second time. Deletions are recognized in no way.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from trio_esdb._errors import ConsumerTooSlowError, DiscoveryError, NotLeaderError, ServerError, UnavailableError
from trio_esdb._wire import Outcome, Status


class CallKind(Enum):
    """What kinds of calls the policy tells apart; the value is the heading of the kind in the table."""

    UNARY_READ = "reads of one value"
    """Reads that end with a single event at the most, and have the default deadline as other calls with one answer."""
    READ = "reads of events"
    EXACT_WRITE = "appends, position a number or None"
    """Appends, also of metadata, that the server recognizes if they are sent twice."""
    OTHER_WRITE = "other writes"
    """Appends with ``StreamState.ANY`` or ``EXISTS``; deletions."""
    SUBSCRIPTION = "subscriptions"
    GROUP = "persistent subscriptions"


class Trouble(Enum):
    """What may happen to a call; the value is how the table names it."""

    NEVER_SENT = "never sent"
    """There is no connection, or the request has not left it whole, or the server has not looked at it."""
    UNUSABLE = "connection cannot be used"
    """Certificates or settings of TLS, or no HTTP/2 on the port."""
    NOT_LEADER = "not the leader"
    NOT_READY = "node not ready"
    """Or too busy; nothing was done."""
    LOST = "lost after sending"
    """The connection broke, the stream was reset or cancelled, or something between says that the server is gone."""
    SERVER_TIMEOUT = "server gave up waiting"
    """ABORTED because the cluster did not confirm in time, or a deadline of the server's own."""
    OWN_DEADLINE = "timeout passed"
    DRAINING = "node is closing"
    """GOAWAY, and the call is one that the server means to finish."""
    FINAL = "final answer"
    NO_FIRST_ANSWER = "no first answer"
    CALM = "server wants less"
    """ENHANCE_YOUR_CALM, or HTTP 429."""
    TOO_SLOW = "consumer too slow"
    DROPPED = "dropped by the group"
    CLEAN_END = "ended without error"
    """The status OK of a call that has no end."""
    LEADER_MOVED = "another leader"
    """What the client learned elsewhere; nothing was said to this call."""
    UNAUTHENTICATED = "not authenticated"


class Action(Enum):
    """What is done; the value is how the table says it."""

    REPEAT = "repeat"
    """The call is sent again as it was."""
    CONTINUE = "go on"
    """A new call begins after the last event that was handed over; if there was none, as it was."""
    MOVE = "move"
    """The call is sent again on another connection."""
    ASK_CREDENTIALS = "ask once"
    """The function that gives the credentials is asked once more, then the call is repeated; without one, raise."""
    FINISH = "finish"
    """The call goes on where it is; only new calls go to another connection."""
    RAISE = "raise"


def _row(
    read: Action, reads: Action, exact: Action, other: Action, subscription: Action, group: Action
) -> Mapping[CallKind, Action]:
    return dict(zip(CallKind, (read, reads, exact, other, subscription, group), strict=True))


_REPEAT, _GO_ON, _MOVE, _ASK, _FINISH, _RAISE = Action

POLICY: Mapping[Trouble, Mapping[CallKind, Action]] = {
    Trouble.NEVER_SENT: _row(_REPEAT, _GO_ON, _REPEAT, _REPEAT, _GO_ON, _GO_ON),
    Trouble.UNUSABLE: _row(_RAISE, _RAISE, _RAISE, _RAISE, _GO_ON, _GO_ON),
    Trouble.NOT_LEADER: _row(_MOVE, _MOVE, _MOVE, _MOVE, _MOVE, _MOVE),
    Trouble.NOT_READY: _row(_REPEAT, _GO_ON, _REPEAT, _REPEAT, _GO_ON, _GO_ON),
    Trouble.LOST: _row(_REPEAT, _GO_ON, _REPEAT, _RAISE, _GO_ON, _GO_ON),
    Trouble.SERVER_TIMEOUT: _row(_REPEAT, _GO_ON, _REPEAT, _RAISE, _GO_ON, _GO_ON),
    Trouble.OWN_DEADLINE: _row(_RAISE, _RAISE, _RAISE, _RAISE, _RAISE, _RAISE),
    Trouble.DRAINING: _row(_FINISH, _FINISH, _FINISH, _FINISH, _MOVE, _MOVE),
    Trouble.FINAL: _row(_RAISE, _RAISE, _RAISE, _RAISE, _RAISE, _RAISE),
    # A call with one answer has its deadline.
    Trouble.NO_FIRST_ANSWER: dict.fromkeys((CallKind.READ, CallKind.SUBSCRIPTION, CallKind.GROUP), _GO_ON),
    Trouble.CALM: _row(_REPEAT, _GO_ON, _REPEAT, _RAISE, _GO_ON, _GO_ON),
    Trouble.TOO_SLOW: {CallKind.SUBSCRIPTION: _GO_ON},
    Trouble.DROPPED: {CallKind.GROUP: _GO_ON},
    Trouble.CLEAN_END: {CallKind.SUBSCRIPTION: _GO_ON, CallKind.GROUP: _GO_ON},
    # A group drops its consumers when the leader moves.
    Trouble.LEADER_MOVED: {CallKind.SUBSCRIPTION: _GO_ON},
    Trouble.UNAUTHENTICATED: _row(_ASK, _ASK, _ASK, _ASK, _ASK, _ASK),
}
"""What is done. A kind that is not in a row does not have this trouble; if it came all the same, it would be raised.

Two things are left to ``Attempts``, because they depend on what was before: a subscription that has not begun raises
what is UNUSABLE, and one that ends or is dropped again and again without an event does not go on for ever.
"""

NOT_READY_TEXTS = ("Server Is Not Ready", "Server not ready", "Server Is Busy", "Server Is Too Busy")
"""UNAVAILABLE with one of these texts comes before a server does anything."""
_TIMED_OUT = "Operation timed out"
"""ABORTED with this text: the cluster did not confirm in time. What was written may stay or vanish."""
_DROPPED = "persistent-subscription-dropped"
LEADER_MOVED = Outcome(Status.UNAVAILABLE, "another node of the cluster is the leader now", local=True)
"""The outcome of a subscription that the client ends, so that it goes on where the leader is."""


def trouble_of(outcome: Outcome | None, error: ServerError) -> Trouble:
    """What kind of trouble ended an attempt.

    Whether a deadline of this side was behind it cannot be seen here; that must be asked before (``ended_at``).

    Args:
        outcome: How the call ended; None if there was no connection for it.
        error: The error that was made of it.
    """
    if outcome is None:
        if not isinstance(error, UnavailableError):
            return Trouble.FINAL
        # A search has made its own attempts, as many as the client was told to make.
        return Trouble.UNUSABLE if error.final or isinstance(error, DiscoveryError) else Trouble.NEVER_SENT
    if outcome is LEADER_MOVED:
        return Trouble.LEADER_MOVED
    if outcome.refused or outcome.unsent:
        return Trouble.NEVER_SENT
    if outcome.calm:
        return Trouble.CALM
    if outcome.lost:
        return Trouble.LOST
    if isinstance(error, NotLeaderError):
        return Trouble.NOT_LEADER
    if isinstance(error, ConsumerTooSlowError):
        return Trouble.TOO_SLOW
    match outcome.status:
        case Status.OK:
            return Trouble.CLEAN_END
        case Status.UNAUTHENTICATED:
            return Trouble.UNAUTHENTICATED
        case Status.UNAVAILABLE:
            return Trouble.NOT_READY if outcome.message.startswith(NOT_READY_TEXTS) else Trouble.LOST
        case Status.CANCELLED:
            return Trouble.DROPPED if outcome.trailers.get("exception") == _DROPPED else Trouble.LOST
        case Status.DEADLINE_EXCEEDED:
            return Trouble.SERVER_TIMEOUT
        case Status.ABORTED if outcome.message.startswith(_TIMED_OUT):
            return Trouble.SERVER_TIMEOUT
    return Trouble.FINAL
