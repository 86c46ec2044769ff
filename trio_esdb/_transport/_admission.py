"""How many connections a listener keeps, and which one has to go for a new one.

Connections are cheap to open and cost the server a file descriptor each. If all places were kept by clients that say
nothing, others would be locked out. So the place of a silent connection is given to the newcomer.
"""

from __future__ import annotations

from ._serving import ServerLink

_USUAL = 1000
_OTHER_FILES = 64
"""File descriptors that are left to the rest of the process."""


def usual_connections() -> int:
    """How many connections a listener keeps by default: no more than the process may have files open."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return _USUAL
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _USUAL
    return max(1, min(_USUAL, files - _OTHER_FILES))


class Admission:
    """The connections of one listener, ``most`` of them at once."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"a listener must keep at least 1 connection, not {most}")
        self._most = most
        self._links: dict[ServerLink, None] = {}

    def admit(self, link: ServerLink) -> bool:
        """Give a new connection a place; False where every place is taken by a connection with open calls.

        First goes who has not begun to speak HTTP/2, then who has made the fewest calls and has none open now; of
        several the one that is connected longest.
        """
        if len(self._links) >= self._most:
            silent = [each for each in self._links if not each.core.streams]
            if not silent:
                return False
            victim = min(silent, key=lambda each: (each.core.greeted, each.core.calls))
            self.leave(victim)
            victim.close()
        self._links[link] = None
        return True

    def leave(self, link: ServerLink) -> None:
        """A connection has ended."""
        self._links.pop(link, None)
