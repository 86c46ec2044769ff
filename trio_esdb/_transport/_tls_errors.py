"""What went wrong with TLS, and what can be done about it, in words."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from typing import Any

import trio

_MOST_NAMES = 5
_LONGEST_NAME = 100
_UNTRUSTED = {2, 18, 19, 20, 21}
"""X509_V_ERR_*: no issuer found, self-signed, a self-signed one in the chain, no local issuer, no first signature."""
_SELF_SIGNED = 18
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAME = {62, 64}
_REFUSED_CERTIFICATE = (
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "DECRYPT_ERROR",
)
_GIVE_CERTIFICATE = "give certificate_chain and private_key (userCertFile and userKeyFile in the connection string)"
_GIVE_ROOTS = "give root_certificates (tlsCaFile in the connection string)"


class TLSError(trio.BrokenResourceError):
    """TLS cannot go on. The text says why, and what can be done.

    Attributes:
        final (bool): Whether another attempt would fail in the same way: a certificate or a setting must be changed.
    """

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


def failure_of(exc: ssl.SSLError, tls: ssl.SSLObject) -> TLSError:
    """What an error of ``ssl`` means."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return TLSError(_refused_here(exc, tls), final=True)
    if isinstance(exc, ssl.SSLZeroReturnError):  # only in a handshake; afterwards that is the end of the stream
        return closed_early(tls)
    reason = _reason(exc)
    if "ALERT_" in reason or reason == "TLSV1_UNRECOGNIZED_NAME":
        return _refused_there(reason, tls)
    peer = _peer(tls)
    if reason in ("UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"):
        return TLSError(f"{peer} speaks no version of TLS that is allowed here: TLS 1.2 and later are", final=True)
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return TLSError(f"{peer} showed no certificate, which is demanded here", final=True)
    return TLSError(f"TLS failed: {reason.lower().replace('_', ' ') or exc}")


def _reason(exc: ssl.SSLError) -> str:
    """OpenSSL's name for a reason; older versions of Python have those of some alerts only in the text."""
    reason: str | None = getattr(exc, "reason", None)  # missing if Python code made the exception
    return reason or str(exc).partition("] ")[2].rpartition(" (")[0].upper().replace(" ", "_")


def closed_early(tls: ssl.SSLObject, cause: BaseException | None = None) -> TLSError:
    """The peer closed, or the stream below broke, during the handshake."""
    text = f"{_peer(tls)} closed the connection during the TLS handshake{_because(cause)}"
    return TLSError(text if tls.server_side else f"{text}; if it does not speak TLS, use tls=false")


def plain_text(beginning: bytes, tls: ssl.SSLObject) -> TLSError:
    """The peer's first bytes are not TLS."""
    if tls.server_side:
        return TLSError("the client speaks plain text on a port for TLS", final=True)
    protocol = " (HTTP/1.1)" if beginning.startswith(b"HTTP") else ""
    return TLSError(f"the server speaks plain text{protocol} on this port, not TLS: use tls=false", final=True)


def no_http2(tls_alpn: str | None) -> TLSError:
    """The handshake succeeded without an agreement on HTTP/2."""
    chosen = "" if tls_alpn is None else f" (it chose {tls_alpn})"
    return TLSError(
        f"the server does not speak HTTP/2 over TLS{chosen}: it did not accept h2 by ALPN. Is this the port of a node, "
        "or of a proxy for HTTP/1.1 only?",
        final=True,
    )


def lost(tls: ssl.SSLObject, cause: BaseException | None, *, heard: bool) -> TLSError:
    """The stream below ended or broke after the handshake."""
    if heard or tls.server_side:
        return TLSError(f"{_peer(tls)} closed the connection{_because(cause)}")
    # In TLS 1.3 a server looks at the client's certificate when the handshake is over for the client.
    return TLSError(
        f"the server closed the connection right after the TLS handshake{_because(cause)}; if it demands a client "
        f"certificate, it got none or does not accept it: {_GIVE_CERTIFICATE}"
    )


def _refused_here(exc: ssl.SSLCertVerificationError, tls: ssl.SSLObject) -> str:
    code = getattr(exc, "verify_code", None)
    host = tls.server_hostname
    subject = "the client's certificate" if tls.server_side else f"the certificate of {host or 'the server'}"
    chain = _chain(tls)
    if code == _SELF_SIGNED:
        text = f"{subject} is self-signed and not trusted"
        return text if tls.server_side else f"{text}; to trust it, {_GIVE_ROOTS}"
    if code in _UNTRUSTED:
        text = f"{subject} is signed by an authority that is not trusted"
        return text if tls.server_side else f"{text}; to trust the authority, {_GIVE_ROOTS}"
    if code in _WRONG_NAME:
        names = _names(chain) or "other names"
        return f"the certificate that the server has is not valid for {host!r}: it is for {names}"
    if code == _EXPIRED:
        return f"{subject} has expired{_date(chain, 'notAfter')}; renew it (or is the clock of this machine wrong?)"
    if code == _NOT_YET_VALID:
        return f"{subject} is not valid yet{_date(chain, 'notBefore')}; is the clock of this machine wrong?"
    return f"{subject} is not accepted: {getattr(exc, 'verify_message', None) or exc}"


def _refused_there(reason: str, tls: ssl.SSLObject) -> TLSError:
    peer = _peer(tls)
    alert = reason.partition("ALERT_")[2] or reason.removeprefix("TLSV1_")
    said = alert.lower().replace("_", " ")
    if tls.server_side:
        return TLSError(f"the client ended TLS: {said}", final=True)
    if alert == "CERTIFICATE_REQUIRED":
        return TLSError(f"the server demands a client certificate: {_GIVE_CERTIFICATE}", final=True)
    if alert in _REFUSED_CERTIFICATE:
        return TLSError(f"the server does not accept the client certificate ({said})", final=True)
    if alert == "NO_APPLICATION_PROTOCOL":
        return no_http2(None)
    if alert == "PROTOCOL_VERSION":
        return TLSError("the server allows no version of TLS that is allowed here: TLS 1.2 and later are", final=True)
    if alert == "UNRECOGNIZED_NAME":
        return TLSError(f"the server has no certificate for the name {tls.server_hostname!r}", final=True)
    if alert == "HANDSHAKE_FAILURE":
        return TLSError(
            "the server refused the TLS handshake: it accepts none of the ciphers, or it demands a client certificate "
            f"({_GIVE_CERTIFICATE})",
            final=True,
        )
    return TLSError(f"{peer} ended TLS: {said}")


def _peer(tls: ssl.SSLObject) -> str:
    return "the client" if tls.server_side else "the server"


def _because(cause: BaseException | None) -> str:
    reason = cause and (cause.__cause__ or cause)
    return f" ({reason})" if reason and str(reason) else ""


def _chain(tls: ssl.SSLObject) -> list[dict[str, Any]]:
    """The certificates that the peer sent, the one of its own first; none where they cannot be read.

    ``ssl`` has no public way to read those that were refused.
    """
    try:
        return [certificate.get_info() for certificate in tls._sslobj.get_unverified_chain()]  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError, ssl.SSLError):
        return []


def _names(chain: list[dict[str, Any]]) -> str:
    """The names that a certificate is for. The peer chose them, so their length is limited."""
    if not chain:
        return ""
    common = [pair for part in chain[0].get("subject", ()) for pair in part if pair[0] == "commonName"]
    names = [value for _, value in chain[0].get("subjectAltName") or common]
    shown = [ascii(name[:_LONGEST_NAME])[1:-1] for name in names[:_MOST_NAMES]]
    return ", ".join([*shown, f"and {len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else shown)


def _date(chain: list[dict[str, Any]], field: str) -> str:
    """When the first certificate that is out of its time leaves it, or enters it."""
    now = time.time()
    for info in chain:
        try:
            moment = ssl.cert_time_to_seconds(info[field])
            if (moment < now) == (field == "notAfter"):
                return f" ({datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC)"
        except (KeyError, ValueError, OverflowError, OSError):
            continue
    return ""
