"""Certificates and keys: where they come from, and how ``ssl`` gets them."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError

_LARGEST_FILE = 16 * 1024 * 1024
_BEGIN = b"-----BEGIN "
_CERTIFICATE = (
    b"-----BEGIN CERTIFICATE-----",
    b"-----BEGIN X509 CERTIFICATE-----",
    b"-----BEGIN TRUSTED CERTIFICATE-----",
)
_KEY = b"PRIVATE KEY-----"


class Source:
    """Certificates or a key: in memory, or in a file that is read each time.

    Args:
        argument: What the user called it; every error names it.
        value: Bytes, text that holds PEM, or the path of a file.
        secret: Whether nothing of the value may be shown: a key, or what was given for one.

    Raises:
        InvalidTypeError: The value is of another type.
        InvalidArgumentError: The value is empty.
    """

    __slots__ = ("_data", "_path", "_secret", "argument")

    def __init__(self, argument: str, value: object, *, secret: bool = False) -> None:
        self.argument = argument
        self._secret = secret
        self._data: bytes | None = None
        self._path: str | bytes = b""
        if isinstance(value, bytes | bytearray | memoryview):
            self._data = bytes(value)
        elif isinstance(value, str) and _BEGIN.decode() in value:
            self._data = value.encode("utf-8", "replace")
        elif isinstance(value, str | os.PathLike):
            self._path = os.fspath(value)
        else:
            kinds = "bytes, a str in PEM, or the path of a file"
            raise InvalidTypeError(f"{argument} must be {kinds}, not {type(value).__name__}")
        if not (self._path if self._data is None else self._data.strip()):
            raise InvalidArgumentError(f"{argument} is empty")

    def __repr__(self) -> str:
        return "<bytes>" if self._data is not None else f"<{self._shown}>"

    @property
    def _shown(self) -> str:
        # What is given for the path of a key may be the key itself, without its first line.
        return "a file" if self._secret else f"the file {os.fsdecode(self._path)!r}"

    def read(self) -> bytes:
        """What it holds now.

        Raises:
            InvalidArgumentError: The file cannot be read.
        """
        if self._data is not None:
            return self._data
        try:
            # Not opened before it is known to be a file: a pipe would block.
            regular = stat.S_ISREG(os.stat(self._path).st_mode)
            data = b""
            if regular:
                with open(self._path, "rb") as file:
                    data = file.read(_LARGEST_FILE + 1)
        except OSError as exc:
            self._unreadable(exc.strerror)
        except ValueError:
            self._unreadable("that is not a path")
        if not regular:
            self._unreadable("it is no regular file")
        if len(data) > _LARGEST_FILE:
            self._unreadable(f"it is larger than {_LARGEST_FILE} bytes")
        if not data.strip():
            raise InvalidArgumentError(f"{self.argument}: {self._shown} is empty")
        return data

    def _unreadable(self, why: str | None) -> NoReturn:
        raise InvalidArgumentError(f"{self.argument}: {self._shown} cannot be read: {why}") from None


def load_roots(context: ssl.SSLContext, argument: str, data: bytes) -> None:
    """Let a context trust these certificates, PEM or DER.

    Raises:
        InvalidArgumentError: They are neither.
    """
    is_pem = _BEGIN in data
    if is_pem and not any(begin in data for begin in _CERTIFICATE):
        raise InvalidArgumentError(f"{argument} holds PEM, but no certificate")
    try:
        # As text it must be ASCII; the comments in a bundle may be anything.
        context.load_verify_locations(cadata=data.decode("ascii", "replace").replace("\ufffd", "?") if is_pem else data)
    except (ssl.SSLError, ValueError) as exc:
        kind = "a broken certificate" if is_pem else "neither PEM nor DER"
        raise InvalidArgumentError(f"{argument} is {kind}: {_reason(exc)}") from None


def load_certificate(context: ssl.SSLContext, chain_argument: str, chain: bytes, key_argument: str, key: bytes) -> None:
    """Let a context show a certificate, and the certificates that link it to a root.

    Args:
        context: The context, of a client or a server.
        chain_argument: What the user called the certificates.
        chain: The certificate and those that signed it, in PEM.
        key_argument: What the user called the key.
        key: Its private key, in PEM.

    Raises:
        InvalidArgumentError: They cannot be read, or do not belong together.
    """
    if not any(begin in chain for begin in _CERTIFICATE):
        raise InvalidArgumentError(f"{chain_argument} must be in PEM, and hold '-----BEGIN CERTIFICATE-----'")
    if _KEY not in key:
        raise InvalidArgumentError(f"{key_argument} must be in PEM, and hold '-----BEGIN PRIVATE KEY-----'")

    def password() -> NoReturn:  # without it, OpenSSL would ask the terminal
        raise _Encrypted

    try:
        with _as_file(chain) as chain_path, _as_file(key) as key_path:
            context.load_cert_chain(chain_path, key_path, password)
    except _Encrypted:
        raise InvalidArgumentError(
            f"{key_argument} is encrypted, and a password for it cannot be given: decrypt it "
            "(openssl pkey -in FILE -out NEW), or give an ssl_context that has loaded it"
        ) from None
    except ssl.SSLError as exc:
        if exc.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            text = f"{key_argument} does not belong to the certificate in {chain_argument}"
        else:
            text = f"{chain_argument} and {key_argument} cannot be used: {_reason(exc)}"
        raise InvalidArgumentError(text) from None


class _Encrypted(Exception):
    """The key has a password."""


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """The path of a file with these bytes, for as long as the block lasts; nobody else can read it.

    ``ssl`` takes certificates and keys of its own side only from files.
    """
    in_memory = _in_memory(data)
    if in_memory is not None:
        with in_memory:
            yield _path_of(in_memory)
        return
    number, path = tempfile.mkstemp(prefix="pem-")  # readable by its owner only
    try:
        with open(number, "wb") as file:
            file.write(data)
        yield path
    finally:
        os.unlink(path)


def _in_memory(data: bytes) -> BinaryIO | None:
    """A file that is on no disk, where the system has that (Linux) and shows a path of it."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        file = open(os.memfd_create("pem"), "wb")  # noqa: SIM115  # closed by who takes it
    except OSError:
        return None
    if not os.path.exists(_path_of(file)):
        file.close()
        return None
    file.write(data)
    file.flush()
    return file


def _path_of(file: BinaryIO) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _reason(exc: Any) -> str:
    reason = getattr(exc, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else str(exc)
