"""`trio-esdb serve --tls DIR`: the folder, what is printed, what clients see."""

from __future__ import annotations

import argparse
import datetime
import http.client
import shutil
import signal
import ssl
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import trio
import trustme

from tests.support.processes import Program, loopbacks, serving
from trio_esdb import ESDBError
from trio_esdb._cli._folder import certificates_in, objection
from trio_esdb._cli._where import uri_of

GOSSIP = "/event_store.client.gossip.Gossip/Read"


def modes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ask(uri: str, host: str | None = None) -> int:
    """Call a node by what it has printed, without our client; the length of the answer."""
    found = urlsplit(uri)
    roots = Path(parse_qs(found.query)["tlsCaFile"][0]).read_bytes()
    target = f"{host or found.hostname}:{found.port}"
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(roots)) as channel:
        return len(channel.unary_unary(GOSSIP)(b"", timeout=20))


async def test_an_empty_folder_is_filled_and_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "my certificates"
    for _ in range(2):
        async with Program.running(serving("--port", "0", "--tls", str(folder))) as program:
            uri = await program.uri()
            authority = folder / "ca" / "ca.crt"
            assert uri.startswith("esdb://127.0.0.1:")
            assert uri.endswith("?tls=true&tlsCaFile=" + str(authority).replace(" ", "%20"))
            assert await program.line() == f"the certificate that clients must trust is {authority}"
            for host in ("127.0.0.1", "localhost"):
                assert await trio.to_thread.run_sync(ask, uri, host) > 20
            before = authority.read_bytes()
            program.send(signal.SIGTERM)
            assert await program.ended() == (0, "", "")
        assert modes(folder) == {"ca/ca.crt": 0o644, "ca/ca.key": 0o600, "node.crt": 0o644, "node.key": 0o600}
        assert authority.read_bytes() == before


@pytest.mark.parametrize("host", loopbacks())
async def test_names_of_the_node_are_in_its_certificate(tmp_path: Path, host: str) -> None:
    options = ("--host", host, "--port", "0", "--tls", str(tmp_path), "--advertise", "db.example:99")
    async with Program.running(serving(*options)) as program:
        await program.uri()
        program.send(signal.SIGTERM)
        status, _, complaint = await program.ended()
    assert (status, complaint) == (0, "")
    (certificates,) = certificates_in(tmp_path, ())
    for name in ("localhost", "127.0.0.1", "::1", "db.example"):
        assert objection(certificates, name) is None
    assert "it is for" in (objection(certificates, "other.example") or "")


async def test_a_name_that_is_not_in_the_certificate_is_told(tmp_path: Path) -> None:
    certificates_in(tmp_path, ("localhost", "127.0.0.1"))
    async with Program.running(serving("--port", "0", "--tls", str(tmp_path), "--advertise", "db.example")) as program:
        await program.uri()
        program.send(signal.SIGTERM)
        status, _, complaint = await program.ended()
    assert status == 0
    assert complaint.startswith("trio-esdb: clients that connect to 'db.example' will refuse the node: ")
    assert "it is for localhost, 127.0.0.1" in complaint


async def test_what_is_open_when_the_server_ends_is_unavailable(tmp_path: Path) -> None:
    """As without TLS: GOAWAY lets clients go on for a while, then the connections are reset."""
    async with Program.running(serving("--port", "0", "--tls", str(tmp_path), "--grace", "0.5")) as program:
        uri = urlsplit(await program.uri())
        roots = (tmp_path / "ca" / "ca.crt").read_bytes()
        with grpc.secure_channel(uri.netloc, grpc.ssl_channel_credentials(roots)) as channel:
            subscribe = bytes.fromhex("0a130a070a031a01731a00320042004a0212005200")
            call = channel.unary_stream("/event_store.client.streams.Streams/Read")(subscribe)
            await trio.to_thread.run_sync(next, call)
            program.send(signal.SIGTERM)

            def end() -> grpc.StatusCode:
                with pytest.raises(grpc.RpcError) as failed:
                    for _ in call:
                        pass
                code: grpc.StatusCode = failed.value.code()
                return code

            assert await trio.to_thread.run_sync(end) is grpc.StatusCode.UNAVAILABLE
        status, _, complaint = await program.ended()
        assert (status, complaint) == (0, "")


async def test_health_checks_over_https(tmp_path: Path) -> None:
    async with Program.running(serving("--port", "0", "--tls", str(tmp_path))) as program:
        address = urlsplit(await program.uri()).netloc
        context = ssl.create_default_context(cafile=tmp_path / "ca" / "ca.crt")

        def status(alpn: list[str]) -> int:
            context.set_alpn_protocols(alpn)
            connection = http.client.HTTPSConnection(address, timeout=10, context=context)
            connection.request("GET", "/health/live")
            return connection.getresponse().status

        for alpn in (["http/1.1"], []):
            assert await trio.to_thread.run_sync(status, alpn) == 204
        program.send(signal.SIGTERM)
        assert (await program.ended())[0] == 0


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def issue(folder: Path, **more: datetime.datetime) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("localhost", **more)
    (folder / "ca/ca.crt").write_bytes(authority.cert_pem.bytes())
    (folder / "node.key").write_bytes(made.private_key_pem.bytes())
    (folder / "node.crt").write_bytes(made.cert_chain_pems[0].bytes())


def expired(folder: Path) -> None:
    issue(folder, not_after=datetime.datetime(2020, 2, 3))


def too_early(folder: Path) -> None:
    issue(folder, not_before=datetime.datetime(2990, 2, 3))


def of_another(folder: Path) -> None:
    (folder / "ca/ca.crt").write_bytes(trustme.CA().cert_pem.bytes())


def other_key(folder: Path) -> None:
    (folder / "node.key").write_bytes(trustme.CA().private_key_pem.bytes())


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (remove("node.key"), "has ca/ca.crt, node.crt, ca/ca.key but not node.key: add that"),
        (remove("node.crt"), "has ca/ca.crt, node.key, ca/ca.key but not node.crt"),
        (remove("ca/ca.crt"), "has node.crt, node.key, ca/ca.key but not ca/ca.crt"),
        (expired, r"has expired \(2020-02-03 00:00 UTC\)"),
        (too_early, r"is not valid yet \(2990-02-03 00:00 UTC\)"),
        (of_another, "signed by an authority that is not trusted"),
        (other_key, "private_key does not belong to the certificate in certificate_chain"),
        (write("node.crt", b"nothing"), "certificate_chain must be in PEM"),
        (write("node.key", b""), "private_key: a file is empty"),
        (write("ca/ca.crt", b"-----BEGIN CERTIFICATE-----\n"), "root_certificates is a broken certificate"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], object], text: str) -> None:
    certificates_in(tmp_path, ("localhost",))
    spoil(tmp_path)
    before = modes(tmp_path)
    with pytest.raises(ESDBError, match=text) as refused:
        certificates_in(tmp_path, ("localhost",))
    assert str(tmp_path) in str(refused.value)
    assert modes(tmp_path) == before, "nothing is made then"


def test_the_key_of_the_authority_is_not_needed(tmp_path: Path) -> None:
    certificates_in(tmp_path, ("localhost",))
    (tmp_path / "ca" / "ca.key").unlink()
    certificates_in(tmp_path, ("localhost",))
    assert "ca/ca.key" not in modes(tmp_path)


def test_each_node_of_a_cluster_has_a_certificate(tmp_path: Path) -> None:
    made = certificates_in(tmp_path, ("localhost",), 3)
    assert sorted(modes(tmp_path)) == [
        "ca/ca.crt",
        "ca/ca.key",
        *(f"node{number}/node.{ending}" for number in (1, 2, 3) for ending in ("crt", "key")),
    ]
    assert len({(tmp_path / f"node{number}/node.crt").read_bytes() for number in (1, 2, 3)}) == 3
    assert all(objection(each, "localhost") is None for each in made)
    before = modes(tmp_path)
    assert len(certificates_in(tmp_path, ("localhost",), 2)) == 2
    with pytest.raises(ESDBError, match=r"but not node4/node\.crt, node4/node\.key: add that"):
        certificates_in(tmp_path, ("localhost",), 4)
    with pytest.raises(ESDBError, match=r"but not node\.crt, node\.key: add that"):
        certificates_in(tmp_path, ("localhost",))
    assert modes(tmp_path) == before


def test_the_certificate_of_a_single_node_serves_a_cluster(tmp_path: Path) -> None:
    certificates_in(tmp_path, ("localhost",))
    shared = certificates_in(tmp_path, ("localhost",), 3)
    assert len(shared) == 3
    assert all(objection(each, "localhost") is None for each in shared)
    assert "node.crt" in modes(tmp_path)
    assert "node1/node.crt" not in modes(tmp_path)


def test_the_certificate_of_one_node_of_a_cluster_cannot_be_used(tmp_path: Path) -> None:
    certificates_in(tmp_path, ("localhost",), 3)
    (tmp_path / "node2/node.key").write_bytes((tmp_path / "node1/node.key").read_bytes())
    with pytest.raises(ESDBError, match=r"private_key is node2/node\.key"):
        certificates_in(tmp_path, ("localhost",), 3)
    another = trustme.CA().issue_cert("localhost")
    (tmp_path / "node2/node.key").write_bytes(another.private_key_pem.bytes())
    (tmp_path / "node2/node.crt").write_bytes(another.cert_chain_pems[0].bytes())
    with pytest.raises(ESDBError, match=r"the certificate in .*node2/node\.crt: "):
        certificates_in(tmp_path, ("localhost",), 3)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    certificates_in(tmp_path / "hidden files do not count", ("localhost",))
    with pytest.raises(ESDBError, match="is not empty and has no certificates"):
        certificates_in(tmp_path, ("localhost",))
    shutil.rmtree(tmp_path / "hidden files do not count")
    certificates_in(tmp_path, ("localhost",))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        certificates_in(tmp_path / "file", ("localhost",))


async def test_errors_of_the_folder_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    async with Program.running(serving("--tls", str(tmp_path))) as program:
        status, printed, complaint = await program.ended()
    assert (status, printed) == (1, "")
    assert complaint.startswith(f"trio-esdb: {tmp_path} is not empty")
    assert complaint.count("\n") == 1


WITHOUT_TRUSTME = """\
import sys
sys.modules["trustme"] = None
from trio_esdb.__main__ import main
sys.exit(main(["serve", "--port", "0", "--tls", sys.argv[1]]))
"""


async def test_making_certificates_needs_trustme_and_using_them_does_not(tmp_path: Path) -> None:
    command = (sys.executable, "-W", "error", "-c", WITHOUT_TRUSTME, str(tmp_path))
    async with Program.running(command) as program:
        status, printed, complaint = await program.ended()
    assert (status, printed) == (1, "")
    assert "pip install 'trio-esdb[tls-server]'" in complaint
    assert complaint.count("\n") == 1
    certificates_in(tmp_path, ("localhost",))
    async with Program.running(command) as program:
        uri = await program.uri()
        assert await trio.to_thread.run_sync(ask, uri, "localhost") > 20
        program.send(signal.SIGTERM)
        assert (await program.ended())[0] == 0


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.1", "10.0.0.1"), ("db", "db")]
)
def test_the_address_that_is_printed_can_be_used(host: str, shown: str) -> None:
    options = argparse.Namespace(host=host, tls=None)
    assert uri_of(options, [99]) == f"esdb://{shown}:99?Tls=false"
    options = argparse.Namespace(host=host, tls=Path("/a%b"))
    assert uri_of(options, [99]) == f"esdb://{shown}:99?tls=true&tlsCaFile=/a%25b/ca/ca.crt"
    assert uri_of(options, [99, 100]) == f"esdb://{shown}:99,{shown}:100?tls=true&tlsCaFile=/a%25b/ca/ca.crt"
