"""Typed calls: the methods of a server, and the errors that their failures become."""

from ._failures import error_from
from ._methods import Method

__all__ = ["Method", "error_from"]
