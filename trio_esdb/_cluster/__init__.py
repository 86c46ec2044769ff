"""Which node to talk to, and the connections to it."""

from ._session import Session

__all__ = ["Session"]
