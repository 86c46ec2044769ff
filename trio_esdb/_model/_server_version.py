"""The version of a server."""

from __future__ import annotations

from typing import NamedTuple


class ServerVersion(NamedTuple):
    """The version of a server. Versions can be compared with each other and with tuples: ``version >= (24, 2)``.

    Attributes:
        major (int): The year.
        minor (int): The number of the release in its year.
        patch (int): The number of the correction.
    """

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
