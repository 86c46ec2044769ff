"""Which seeds are run: those of the decorator, those of the environment, and first those that failed the last time.

The seeds that failed are kept in a folder ``.trio_esdb`` in the current folder, a file for each test. Where it cannot
be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from hashlib import blake2s
from pathlib import Path

from trio_esdb._errors import InvalidArgumentError

FOLDER = ".trio_esdb"
_MOST = 20
"""How many seeds are kept of a test."""


def number_in_environment(name: str, least: int) -> int | None:
    """A whole number that the environment gives; None if it does not.

    Raises:
        InvalidArgumentError: It gives something else.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise InvalidArgumentError(f"{name} must be a whole number from {least} on, not {text!r}")
    return int(text)


class FailingSeeds:
    """The seeds with which a test failed the last time.

    Args:
        test: The full name of the test.
    """

    def __init__(self, test: str) -> None:
        readable = "".join(char if char.isalnum() or char in "._-" else "_" for char in test)[-80:]
        self._path = Path(FOLDER, "failing-seeds", f"{readable}-{blake2s(test.encode(), digest_size=4).hexdigest()}")

    def read(self) -> list[int]:
        """The seeds, the last one first; what is not a number is ignored."""
        try:
            words = self._path.read_text("ascii").split()
        except (OSError, ValueError):
            return []
        return [int(word) for word in dict.fromkeys(words) if word.isdigit()]

    def add(self, seed: int) -> None:
        """This seed failed."""
        self._write([seed, *(other for other in self.read() if other != seed)][:_MOST])

    def remove(self, seed: int) -> None:
        """This seed failed before, and does not any more."""
        self._write([other for other in self.read() if other != seed])

    def _write(self, seeds: Iterable[int]) -> None:
        text = "".join(f"{seed}\n" for seed in seeds)
        with contextlib.suppress(OSError):
            if not text:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            ignore = Path(FOLDER, ".gitignore")
            if not ignore.exists():
                ignore.write_text("*\n")
            part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            part.write_text(text)
            part.replace(self._path)
