"""Typed calls: what a call is, its headers, and the errors that its failures become."""

from ._attempts import Attempts, settles
from ._deadlines import ended_at, wait_for_own_deadline
from ._error_table import error_from
from ._headers import RequestHeaders
from ._methods import Method
from ._operation import Operation, Reply, Requirement
from ._policy import LEADER_MOVED, POLICY, Action, CallKind, Trouble, trouble_of

__all__ = [
    "LEADER_MOVED",
    "POLICY",
    "Action",
    "Attempts",
    "CallKind",
    "Method",
    "Operation",
    "Reply",
    "RequestHeaders",
    "Requirement",
    "Trouble",
    "ended_at",
    "error_from",
    "settles",
    "trouble_of",
    "wait_for_own_deadline",
]
