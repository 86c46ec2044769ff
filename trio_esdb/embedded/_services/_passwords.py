"""Password hashes as a node keeps them in the streams of its users: PBKDF2 with SHA-1, 1000 rounds, in base64.

A hash takes less than a millisecond, so it needs no thread.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

_ROUNDS = 1000
_HASH_SIZE = 20
_SALT_SIZE = 16


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What is kept of a password. Both parts are in base64."""

    hash: str = field(repr=False)
    salt: str = field(repr=False)

    def matches(self, password: str) -> bool:
        """Whether this is the password."""
        try:
            salt = b64decode(self.salt)
        except ValueError:
            return False
        return hmac.compare_digest(_hash(password, salt), self.hash.encode())


def hash_password(password: str) -> PasswordHash:
    """The hash of a password, with a random salt."""
    salt = os.urandom(_SALT_SIZE)  # simulations seed it, and not the module secrets
    return PasswordHash(_hash(password, salt).decode(), b64encode(salt).decode())


def _hash(password: str, salt: bytes) -> bytes:
    return b64encode(hashlib.pbkdf2_hmac("sha1", password.encode(), salt, _ROUNDS, _HASH_SIZE))
