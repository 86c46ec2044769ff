"""Whom a client trusts over TLS, and who it says it is."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError

from ._pem import Source, load_certificate, load_roots

PEM = bytes | str | os.PathLike[str]
"""Certificates or a key: bytes or text in PEM, or the path of a file. Bytes and files of roots may also be DER."""

_log = logging.getLogger("trio_esdb")


class TLSConfig:
    """Makes the TLS context of each connection, from files as they are at that moment.

    A context is used again as long as the files are the same.
    """

    __slots__ = ("_certificate", "_context", "_given", "_key", "_roots", "_seen", "_verify", "_warned")

    def __init__(
        self, roots: Source | None, certificate: Source | None, key: Source | None, *, verify: bool = True
    ) -> None:
        self._roots = roots
        self._certificate = certificate
        self._key = key
        self._verify = verify
        self._warned = False
        self._given = False
        self._context: ssl.SSLContext | None = None
        self._seen = b""

    @classmethod
    def of_context(cls, context: ssl.SSLContext) -> TLSConfig:
        """The configuration of a user who has a context; HTTP/2's needs are set on it."""
        config = cls(None, None, None)
        config._given = True
        config._context = _for_http2(context)
        return config

    def __repr__(self) -> str:
        if self._given:
            return "<TLSConfig: an ssl_context of the user>"
        roots = "the system" if self._roots is None else self._roots
        trusted = f"roots of {roots}" if self._verify else "certificates are not checked"
        return f"<TLSConfig: {trusted}{'' if self._certificate is None else ', a client certificate'}>"

    def context(self) -> ssl.SSLContext:
        """The context for a new connection.

        Raises:
            InvalidArgumentError: A file cannot be read, or what it holds cannot be used.
        """
        if self._given:
            assert self._context is not None
            return self._context
        roots, chain, key = (
            None if source is None else source.read() for source in (self._roots, self._certificate, self._key)
        )
        seen = hashlib.sha256()
        for data in (roots, chain, key):
            seen.update(hashlib.sha256(data or b"").digest())
        if self._context is None or seen.digest() != self._seen:
            context = self._trusting(roots)
            if self._certificate is not None and self._key is not None:
                assert chain is not None
                assert key is not None
                load_certificate(context, self._certificate.argument, chain, self._key.argument, key)
            self._context, self._seen = context, seen.digest()
        return self._context

    def _trusting(self, roots: bytes | None) -> ssl.SSLContext:
        if roots is None:
            context = ssl.create_default_context()
        else:
            assert self._roots is not None
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            load_roots(context, self._roots.argument, roots)
            # A server's own certificate may be given as the root, and roots of older tools lack what STRICT wants.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return _for_http2(context)

    def warn(self) -> None:
        """Log once that certificates are not checked, if so."""
        if not self._verify and not self._warned:
            self._warned = True
            _log.warning(
                "certificates of nodes are not checked (tlsVerifyCert=false): anybody on the way can read and change "
                "what is sent, passwords too"
            )


def _for_http2(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["h2"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def make_tls_config(
    *,
    root_certificates: PEM | None = None,
    private_key: PEM | None = None,
    certificate_chain: PEM | None = None,
    ca_file: str | None = None,
    user_cert_file: str | None = None,
    user_key_file: str | None = None,
    verify: bool = True,
    ssl_context: ssl.SSLContext | None = None,
) -> TLSConfig:
    """Check what a user said about TLS.

    Everything is read once, so that what is missing or broken is known here. Arguments go before the options of the
    connection string that say the same.

    Args:
        root_certificates: The certificates to trust; those of the system if neither this nor ``ca_file`` is given.
        private_key: The key of the client's certificate, in PEM, not encrypted.
        certificate_chain: The client's certificate, and those that link it to a root, in PEM.
        ca_file: The path of the option ``tlsCaFile``.
        user_cert_file: The path of the option ``userCertFile``.
        user_key_file: The path of the option ``userKeyFile``.
        verify: The option ``tlsVerifyCert``.
        ssl_context: A context of the user's own, instead of everything else. ALPN is set on it.

    Raises:
        InvalidArgumentError: One of them cannot be used; the text names it.
    """
    given = {
        "root_certificates": root_certificates,
        "private_key": private_key,
        "certificate_chain": certificate_chain,
        "tlsCaFile": ca_file,
        "userCertFile": user_cert_file,
        "userKeyFile": user_key_file,
        "tlsVerifyCert=false": None if verify else False,
    }
    if ssl_context is not None:
        return TLSConfig.of_context(_check_context(ssl_context, [name for name in given if given[name] is not None]))
    roots = ca_file if root_certificates is None else root_certificates
    from_arguments = private_key is not None or certificate_chain is not None
    chain_argument, key_argument = (
        ("certificate_chain", "private_key") if from_arguments else ("userCertFile", "userKeyFile")
    )
    chain, key = given[chain_argument], given[key_argument]
    if (chain is None) != (key is None):
        missing, there = (chain_argument, key_argument) if chain is None else (key_argument, chain_argument)
        raise InvalidArgumentError(f"{missing} is missing: a certificate and its key are given together ({there} is)")
    config = TLSConfig(
        None if roots is None else Source("tlsCaFile" if root_certificates is None else "root_certificates", roots),
        None if chain is None else Source(chain_argument, chain),
        None if key is None else Source(key_argument, key, secret=from_arguments),
        verify=verify,
    )
    config.context()
    return config


def _check_context(context: ssl.SSLContext, others: list[str]) -> ssl.SSLContext:
    if not isinstance(context, ssl.SSLContext):
        raise InvalidTypeError(f"ssl_context must be an ssl.SSLContext, not {type(context).__name__}")
    if others:
        raise InvalidArgumentError(
            f"ssl_context cannot be given together with {', '.join(others)}: set what they say on the context"
        )
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise InvalidArgumentError("ssl_context is one for servers: make it with ssl.create_default_context()")
    return context
