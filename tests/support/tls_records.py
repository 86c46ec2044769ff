"""Records of TLS 1.3 made by hand, for what ``ssl`` cannot be told to send: key updates, empty records."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.tls import server_context

APPLICATION_DATA = 23
HANDSHAKE = 22
ALERT = 21
UPDATE_REQUESTED = bytes([24, 0, 0, 1, 1])
"""A KeyUpdate that wants one in return."""


def logged_context(folder: Path) -> ssl.SSLContext:
    """A server's context whose secrets are written down, and which sends nothing of its own after the handshake."""
    context = server_context()
    context.keylog_filename = str(folder / "secrets")
    context.num_tickets = 0
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class Forger:
    """Goes on in a server's place, after a handshake with ``logged_context``."""

    def __init__(self, folder: Path) -> None:
        lines = (line.split() for line in (folder / "secrets").read_text().splitlines())
        self._secret = next(bytes.fromhex(words[2]) for words in lines if words[0] == "SERVER_TRAFFIC_SECRET_0")
        self._start()

    def record(self, content: bytes, kind: int = APPLICATION_DATA) -> bytes:
        """The next record."""
        inner = content + bytes([kind])
        head = bytes([APPLICATION_DATA, 3, 3]) + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + AESGCM(self._key).encrypt(nonce, inner, head)

    def key_update(self) -> bytes:
        """A request for a key update; what follows is encrypted by the next key."""
        record = self.record(UPDATE_REQUESTED, HANDSHAKE)
        self._secret = self._derived(b"traffic upd", 48)
        self._start()
        return record

    def _start(self) -> None:
        self._key, self._iv, self._number = self._derived(b"key", 32), self._derived(b"iv", 12), 0

    def _derived(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label of RFC 8446 for TLS_AES_256_GCM_SHA384; one block is enough."""
        label = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\x00"
        return hmac.new(self._secret, info + b"\x01", hashlib.sha384).digest()[:size]
