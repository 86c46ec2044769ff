"""The certificates of a server: given ones, or some that are made here for tests and development."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias

from trio_esdb._errors import ESDBError, InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    import trustme

PEM: TypeAlias = bytes | str | os.PathLike[str]
"""Certificates or a key: bytes or text in PEM, or the path of a file."""
ClientCertificates: TypeAlias = Literal["ignored", "asked", "required"]
"""What a node wants of its clients: nothing, a certificate if they have one, or a certificate."""

_VERIFY = {"ignored": ssl.CERT_NONE, "asked": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_MISSING = (
    "certificates are made with the package trustme: install it with `pip install 'trio-esdb[tls-server]'`, "
    "or give a certificate and a key of your own"
)


class ClientCertificate(NamedTuple):
    """A certificate for a client, and its key, as the arguments of ``ESDBClient`` of these names take them."""

    certificate_chain: bytes
    private_key: bytes


class Certificates:
    """The certificate of a node, for TLS: ``node.serve_tcp(tls=Certificates("node.crt", "node.key"))``.

    ``Certificates.self_made`` makes some that need no files. A certificate and a key are bytes or text in PEM, or the
    path of a file. All is read when the object is made.

    Args:
        certificate_chain: The certificate, and those that link it to a root.
        private_key: Its key, not encrypted.
        root_certificates: Whose certificates of clients are accepted. They are kept as ``root_certificates`` for
            clients, too: give them those that your certificate is signed by.
        client_certificates: Whether clients are asked for a certificate: ``"ignored"``, ``"asked"``, ``"required"``.

    Raises:
        InvalidArgumentError: Something cannot be read, or does not belong together.
    """

    def __init__(
        self,
        certificate_chain: PEM,
        private_key: PEM,
        root_certificates: PEM | None = None,
        *,
        client_certificates: ClientCertificates = "ignored",
    ) -> None:
        if client_certificates not in _VERIFY:
            allowed = ", ".join(map(repr, _VERIFY))
            raise InvalidArgumentError(f"client_certificates must be one of {allowed}, not {client_certificates!r}")
        if client_certificates != "ignored" and root_certificates is None:
            raise InvalidArgumentError(
                "root_certificates is missing: clients that show a certificate are checked against it"
            )
        from ._pem import Source

        self._chain = Source("certificate_chain", certificate_chain).read()
        self._key = Source("private_key", private_key, secret=True).read()
        roots = None if root_certificates is None else Source("root_certificates", root_certificates).read()
        self.root_certificates: bytes = roots or b""
        """What clients are to trust, for their argument of this name; empty if it was not given."""
        self._verify = _VERIFY[client_certificates]
        self._authority: trustme.CA | None = None
        self.context()

    def __repr__(self) -> str:
        clients = {ssl.CERT_NONE: "", ssl.CERT_OPTIONAL: ", clients asked", ssl.CERT_REQUIRED: ", clients required"}
        made = "given" if self._authority is None else "self-made"
        return f"<trio_esdb.embedded.Certificates: {made}{clients[self._verify]}>"

    @classmethod
    def self_made(cls, *names: str, client_certificates: ClientCertificates = "ignored") -> Self:
        """Make an authority, and a certificate that it has signed.

        It needs the package trustme, which ``pip install 'trio-esdb[tls-server]'`` installs.

        Args:
            names: The host names and IP addresses that the node is reached by; by default those of this machine:
                ``localhost``, ``127.0.0.1`` and ``::1``.
            client_certificates: As for ``Certificates``; those that ``for_client`` makes are accepted.

        Raises:
            ESDBError: trustme is not installed.
            InvalidArgumentError: A name is none.
        """
        authority = new_authority()
        chain, key = issue(authority, names or LOCAL_NAMES)
        made = cls(chain, key, authority.cert_pem.bytes(), client_certificates=client_certificates)
        made._authority = authority
        return made

    def for_client(self, name: str = "client") -> ClientCertificate:
        """Make a certificate for a client, signed by the same authority.

        Args:
            name: The common name in it.

        Raises:
            ESDBError: These certificates are not self-made.
        """
        if self._authority is None:
            raise ESDBError("only self-made certificates have an authority that can sign one for a client")
        made = self._authority.issue_cert(common_name=name)
        return ClientCertificate(made.cert_chain_pems[0].bytes(), made.private_key_pem.bytes())

    def context(self) -> ssl.SSLContext:
        """A new TLS context for a server that shows this certificate."""
        from ._pem import load_certificate, load_roots  # a server without TLS never loads it

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if context.minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        load_certificate(context, "certificate_chain", self._chain, "private_key", self._key)
        if self.root_certificates:
            load_roots(context, "root_certificates", self.root_certificates)
        context.verify_mode = self._verify
        return context


LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""What this machine is called by its own programs."""
TLS: TypeAlias = Certificates | ssl.SSLContext
"""How a node speaks TLS: its certificates, or a context of your own for servers, on which ALPN is set."""


def new_authority() -> trustme.CA:
    """An authority that can sign certificates.

    Raises:
        ESDBError: trustme is not installed.
    """
    try:
        import trustme
    except ImportError as exc:
        raise ESDBError(_MISSING) from exc
    return trustme.CA(organization_name="trio_esdb")


def issue(authority: trustme.CA, names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A certificate for these names, and its key.

    Raises:
        InvalidArgumentError: A name is none.
    """
    for name in names:
        if not isinstance(name, str) or not name or "@" in name or "/" in name:
            raise InvalidArgumentError(f"a certificate is for host names and IP addresses, not {name!r}")
    try:
        made = authority.issue_cert(*names, common_name="eventstoredb-node", organization_name="trio_esdb")
    except ValueError as exc:  # of idna, which it includes
        raise InvalidArgumentError(f"a certificate cannot be for {', '.join(map(repr, names))}: {exc}") from None
    return b"".join(pem.bytes() for pem in made.cert_chain_pems), made.private_key_pem.bytes()


def context_of(tls: TLS | None) -> ssl.SSLContext | None:
    """The context of a server, on which what HTTP/2 needs is set; None for a server without TLS.

    A client of HTTP/1.1 is let in, for health checks.

    Raises:
        InvalidArgumentError: It is neither certificates nor a context, or a context for clients.
    """
    if tls is None:
        return None
    if isinstance(tls, Certificates):
        context = tls.context()
    elif not isinstance(tls, ssl.SSLContext):
        raise InvalidTypeError(f"tls must be Certificates or an ssl.SSLContext, not {type(tls).__name__}")
    elif tls.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise InvalidArgumentError("tls is a context for clients: make it with ssl.PROTOCOL_TLS_SERVER")
    else:
        context = tls
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
