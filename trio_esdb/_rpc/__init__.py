"""Typed calls: what a call is, its headers, and the errors that its failures become."""

from ._deadlines import ended_at, wait_for_own_deadline
from ._error_table import error_from
from ._headers import RequestHeaders
from ._methods import Method
from ._operation import Operation, Repeat, Reply

__all__ = [
    "Method",
    "Operation",
    "Repeat",
    "Reply",
    "RequestHeaders",
    "ended_at",
    "error_from",
    "wait_for_own_deadline",
]
