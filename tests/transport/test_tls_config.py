"""What a user may say about TLS, and what is refused where it is said."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.tls import certificate, roots, server_context, tls_pair
from trio_esdb import InvalidArgumentError, InvalidTypeError
from trio_esdb._transport import _pem
from trio_esdb._transport._tls_config import TLSConfig, make_tls_config

PEM = roots()
DER = ssl.PEM_cert_to_DER_cert(PEM.decode())
CHAIN = b"".join(pem.bytes() for pem in certificate("client.example").cert_chain_pems)
KEY = certificate("client.example").private_key_pem.bytes()
OTHER_KEY = certificate("other.example").private_key_pem.bytes()


def other_form(encoding: Encoding, password: bytes | None = None) -> bytes:
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    return load_pem_private_key(KEY, None).private_bytes(encoding, PrivateFormat.PKCS8, how)


def trusted(config: TLSConfig) -> int:
    return config.context().cert_store_stats()["x509"]


# -- roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(PEM, id="pem"),
        pytest.param(bytearray(PEM), id="bytearray"),
        pytest.param(PEM.decode(), id="text"),
        pytest.param(DER, id="der"),
        pytest.param("# Autorität\n".encode() + PEM, id="comment"),
        pytest.param(f"# Autorität\n{PEM.decode()}", id="comment in text"),
        pytest.param(PEM.replace(b"\n", b"\r\n"), id="crlf"),
    ],
)
def test_roots_are_bytes_or_text(given: Any) -> None:
    assert trusted(make_tls_config(root_certificates=given)) == 1


@pytest.mark.parametrize("content", [PEM, DER], ids=["pem", "der"])
def test_roots_are_in_a_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca 100%.crt"
    file.write_bytes(content)
    assert trusted(make_tls_config(root_certificates=file)) == 1
    assert trusted(make_tls_config(root_certificates=str(file))) == 1
    assert trusted(make_tls_config(ca_file=str(file))) == 1


def test_roots_may_be_several() -> None:
    assert trusted(make_tls_config(root_certificates=PEM + roots(trustme.CA()))) == 2
    assert trusted(make_tls_config(root_certificates=DER + ssl.PEM_cert_to_DER_cert(roots(trustme.CA()).decode()))) == 2


def test_an_argument_goes_before_the_connection_string(tmp_path: Path) -> None:
    assert trusted(make_tls_config(root_certificates=PEM, ca_file=str(tmp_path / "missing"))) == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(b"", "^root_certificates is empty$", id="no bytes"),
        pytest.param("", "^root_certificates is empty$", id="no text"),
        pytest.param(b" \n", "^root_certificates is empty$", id="blanks"),
        pytest.param(b"nonsense", "^root_certificates is neither PEM nor DER: ", id="nonsense"),
        pytest.param(DER[:-1], "^root_certificates is neither PEM nor DER: ", id="half of DER"),
        pytest.param(KEY, "^root_certificates holds PEM, but no certificate$", id="a key"),
        pytest.param(PEM[:200], "^root_certificates is a broken certificate: ", id="half of PEM"),
        pytest.param(PEM.replace(b"M", b"!"), "^root_certificates is a broken certificate: ", id="no base64"),
        pytest.param(
            "missing.crt", "^root_certificates: the file 'missing.crt' cannot be read: No such file", id="path"
        ),
        pytest.param("a\0b", "^root_certificates: the file .* cannot be read: that is not a path$", id="zero"),
        pytest.param("/", "^root_certificates: the file '/' cannot be read: it is no regular file$", id="folder"),
    ],
)
def test_roots_that_cannot_be_used(given: Any, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason) as caught:
        make_tls_config(root_certificates=given)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("given", [17, True, [PEM], object()])
def test_roots_of_a_wrong_type(given: Any) -> None:
    text = "^root_certificates must be bytes, a str in PEM, or the path of a file, not "
    with pytest.raises(InvalidTypeError, match=text):
        make_tls_config(root_certificates=given)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    pipe, empty, large, hidden = (tmp_path / name for name in ("pipe", "empty", "large", "hidden"))
    os.mkfifo(pipe)  # opening it would wait for ever
    empty.touch()
    with large.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    for path, reason in (
        (pipe, "it is no regular file"),
        (empty, "is empty"),
        (large, "it is larger than 16777216 bytes"),
        (hidden, "No such file or directory"),
    ):
        with pytest.raises(InvalidArgumentError, match=rf"^tlsCaFile: the file '{path}' .*{reason}$"):
            make_tls_config(ca_file=str(path))


# -- certificates of the client --------------------------------------------------------------------------------------


def write(folder: Path, chain: bytes = CHAIN, key: bytes = KEY) -> tuple[str, str]:
    (folder / "client.crt").write_bytes(chain)
    (folder / "client.key").write_bytes(key)
    return str(folder / "client.crt"), str(folder / "client.key")


async def shown(config: TLSConfig) -> set[str]:
    """The names in the certificate that a client shows."""
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=PEM.decode())
    _, server = await tls_pair(context, config.context())
    found = server._object.getpeercert()
    assert found is not None
    return {str(name) for _, name in found["subjectAltName"]}  # type: ignore[misc]


async def test_a_certificate_is_bytes_text_or_files(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    for config in (
        make_tls_config(root_certificates=PEM, certificate_chain=CHAIN, private_key=KEY),
        make_tls_config(root_certificates=PEM, certificate_chain=CHAIN.decode(), private_key=KEY.decode()),
        make_tls_config(root_certificates=PEM, certificate_chain=chain, private_key=Path(key)),
        make_tls_config(root_certificates=PEM, user_cert_file=chain, user_key_file=key),
        make_tls_config(
            root_certificates=PEM, certificate_chain=CHAIN, private_key=KEY, user_cert_file="x", user_key_file="y"
        ),
    ):
        assert await shown(config) == {"client.example"}


def test_the_certificates_that_link_to_a_root_come_along() -> None:
    ca = trustme.CA()
    leaf = ca.create_child_ca().issue_cert("client.example")
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    make_tls_config(root_certificates=PEM, certificate_chain=chain, private_key=leaf.private_key_pem.bytes())
    both = leaf.private_key_and_cert_chain_pem.bytes()  # in one file, as some tools write them
    make_tls_config(root_certificates=PEM, certificate_chain=both, private_key=both)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"certificate_chain": CHAIN}, "private_key is missing: .*certificate_chain is"),
        ({"private_key": KEY}, "certificate_chain is missing: .*private_key is"),
        ({"user_cert_file": "x"}, "userKeyFile is missing: .*userCertFile is"),
        ({"user_key_file": "x"}, "userCertFile is missing: .*userKeyFile is"),
        ({"certificate_chain": CHAIN, "user_key_file": "x"}, "private_key is missing"),
        ({"certificate_chain": CHAIN, "private_key": OTHER_KEY}, "private_key does not belong to .*certificate_chain$"),
        ({"certificate_chain": KEY, "private_key": KEY}, "certificate_chain must be in PEM"),
        ({"certificate_chain": CHAIN, "private_key": CHAIN}, "private_key must be in PEM"),
        ({"certificate_chain": DER, "private_key": KEY}, "certificate_chain must be in PEM"),
        ({"certificate_chain": CHAIN, "private_key": other_form(Encoding.DER)}, "private_key must be in PEM"),
        ({"certificate_chain": CHAIN[:300], "private_key": KEY}, "certificate_chain and private_key cannot be used: "),
        ({"certificate_chain": CHAIN, "private_key": KEY[:100]}, "certificate_chain and private_key cannot be used: "),
        ({"certificate_chain": b"", "private_key": KEY}, "certificate_chain is empty"),
        ({"certificate_chain": CHAIN, "private_key": ""}, "private_key is empty"),
        ({"certificate_chain": "missing", "private_key": KEY}, "certificate_chain: the file 'missing' cannot be read"),
        ({"certificate_chain": CHAIN, "private_key": "missing"}, "private_key: a file cannot be read: No such file"),
        ({"user_cert_file": "missing", "user_key_file": "y"}, "userCertFile: the file 'missing' cannot be read"),
        ({"certificate_chain": CHAIN, "private_key": 7}, "private_key must be bytes, .* not int"),
        (
            {"certificate_chain": CHAIN, "private_key": other_form(Encoding.PEM, b"secret")},
            "private_key is encrypted, .*decrypt it",
        ),
    ],
)
def test_certificates_and_keys_that_cannot_be_used(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^{reason}") as caught:
        make_tls_config(root_certificates=PEM, **given)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["userCertFile", "userKeyFile"])
def test_the_option_is_named_whose_file_cannot_be_used(tmp_path: Path, name: str) -> None:
    chain, key = write(tmp_path)
    Path(chain if name == "userCertFile" else key).write_bytes(b"nonsense")
    with pytest.raises(InvalidArgumentError, match=rf"^{name} must be in PEM"):
        make_tls_config(user_cert_file=chain, user_key_file=key)


def test_an_old_form_of_encrypted_keys_is_known_too() -> None:
    traditional = certificate("client.example").private_key_pem.bytes()
    key = load_pem_private_key(traditional, None).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(InvalidArgumentError, match=r"^private_key is encrypted"):
        make_tls_config(certificate_chain=CHAIN, private_key=key)


# -- rotation --------------------------------------------------------------------------------------------------------


async def test_files_are_read_anew_for_each_connection(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    ca = tmp_path / "ca.crt"
    ca.write_bytes(PEM)
    config = make_tls_config(ca_file=str(ca), user_cert_file=chain, user_key_file=key)
    first = config.context()
    assert config.context() is first
    assert await shown(config) == {"client.example"}

    later = certificate("later.example")
    write(tmp_path, b"".join(pem.bytes() for pem in later.cert_chain_pems), later.private_key_pem.bytes())
    assert config.context() is not first
    assert await shown(config) == {"later.example"}

    ca.write_bytes(PEM + roots(trustme.CA()))
    assert trusted(config) == 2


def test_a_rotation_that_is_not_finished_yet(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    config = make_tls_config(root_certificates=PEM, user_cert_file=chain, user_key_file=key)
    write(tmp_path, key=OTHER_KEY)
    with pytest.raises(InvalidArgumentError, match=r"^userKeyFile does not belong to the certificate in userCertFile$"):
        config.context()
    Path(key).unlink()
    with pytest.raises(InvalidArgumentError, match=r"^userKeyFile: .* cannot be read"):
        config.context()
    write(tmp_path)
    config.context()


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    bare = "".join(KEY.decode().splitlines()[1:-1])  # taken for a path, since it does not look like PEM
    for key in (bare, bare.encode(), f"{KEY.decode()[:150]}", KEY[:100], other_form(Encoding.PEM, b"x")):
        with pytest.raises(InvalidArgumentError) as caught:
            make_tls_config(certificate_chain=CHAIN, private_key=key)
        told = f"{caught.value!r} {caught.value.__cause__!r}"
        assert bare[:20] not in told
    config = make_tls_config(root_certificates=PEM, certificate_chain=CHAIN, private_key=KEY)
    assert repr(config) == "<TLSConfig: roots of <bytes>, a client certificate>"
    assert not hasattr(config, "__dict__")
    slots = [getattr(config, name) for name in TLSConfig.__slots__]
    assert bare[:20] not in repr(slots)


def test_how_a_configuration_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(PEM)
    assert repr(make_tls_config()) == "<TLSConfig: roots of the system>"
    assert repr(make_tls_config(ca_file=str(file))) == f"<TLSConfig: roots of <the file '{file}'>>"
    assert repr(make_tls_config(verify=False)) == "<TLSConfig: certificates are not checked>"
    given = make_tls_config(ssl_context=ssl.create_default_context())
    assert repr(given) == "<TLSConfig: an ssl_context of the user>"


def no_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)


def no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: False)


def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)


@pytest.mark.parametrize("lacking", [no_memfd, no_proc, no_room])
def test_where_files_in_memory_are_lacking_a_file_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: Callable[[pytest.MonkeyPatch], None]
) -> None:
    lacking(monkeypatch)
    monkeypatch.setattr(_pem.tempfile, "tempdir", str(tmp_path))
    seen: list[tuple[int, bytes]] = []
    load = ssl.SSLContext.load_cert_chain

    def spy(self: ssl.SSLContext, chain: str, key: str, password: Any) -> None:
        seen.extend((stat.S_IMODE(Path(path).stat().st_mode), Path(path).read_bytes()) for path in (chain, key))
        load(self, chain, key, password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    make_tls_config(root_certificates=PEM, certificate_chain=CHAIN, private_key=KEY)
    assert seen == [(0o600, CHAIN), (0o600, KEY)]
    with pytest.raises(InvalidArgumentError):
        make_tls_config(root_certificates=PEM, certificate_chain=CHAIN, private_key=OTHER_KEY)
    assert list(tmp_path.iterdir()) == []


def test_bytes_need_no_file_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("this system has no files in memory")
    monkeypatch.setattr(_pem.tempfile, "mkstemp", None)
    before = len(os.listdir("/proc/self/fd"))
    make_tls_config(root_certificates=PEM, certificate_chain=CHAIN, private_key=KEY)
    assert len(os.listdir("/proc/self/fd")) == before


# -- the context -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"root_certificates": PEM}, {"verify": False}])
def test_what_every_context_demands(given: dict[str, Any]) -> None:
    context = make_tls_config(**given).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    checks = given.get("verify", True)
    assert context.check_hostname is checks
    assert context.verify_mode == (ssl.CERT_REQUIRED if checks else ssl.CERT_NONE)


def test_roots_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "roots.pem"
    file.write_bytes(PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    config = make_tls_config()
    assert trusted(config) == 1
    assert config.context() is config.context()


async def test_the_certificate_of_a_server_may_be_its_root() -> None:
    """Without the authority that signed it; users fetch it from the server itself."""
    leaf = certificate().cert_chain_pems[0].bytes()
    client, _ = await tls_pair(client=make_tls_config(root_certificates=leaf).context())
    assert client.alpn == "h2"


def test_roots_that_lack_what_strict_wants_are_accepted() -> None:
    flags = make_tls_config(root_certificates=PEM).context().verify_flags
    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert not flags & ssl.VERIFY_X509_STRICT


async def test_certificates_need_not_be_checked() -> None:
    server = server_context(trustme.CA().issue_cert("elsewhere.example"))
    client, _ = await tls_pair(server, make_tls_config(verify=False).context())
    assert client.alpn == "h2"


async def test_a_context_of_the_users_own() -> None:
    context = ssl.create_default_context(cadata=PEM.decode())
    config = make_tls_config(ssl_context=context)
    assert config.context() is context
    assert context.options & ssl.OP_NO_RENEGOTIATION
    client, _ = await tls_pair(client=context)
    assert client.alpn == "h2"
    config.warn()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"root_certificates": PEM}, "root_certificates"),
        ({"certificate_chain": CHAIN, "private_key": KEY}, "private_key, certificate_chain"),
        ({"ca_file": "x"}, "tlsCaFile"),
        ({"user_cert_file": "x"}, "userCertFile"),
        ({"user_key_file": "x"}, "userKeyFile"),
        ({"verify": False}, "tlsVerifyCert=false"),
    ],
)
def test_a_context_stands_for_everything_else(given: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^ssl_context cannot be given together with {name}: "):
        make_tls_config(ssl_context=ssl.create_default_context(), **given)


def test_contexts_that_cannot_be_used() -> None:
    with pytest.raises(InvalidTypeError, match=r"^ssl_context must be an ssl.SSLContext, not str$"):
        make_tls_config(ssl_context="context")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"^ssl_context is one for servers"):
        make_tls_config(ssl_context=server_context())
