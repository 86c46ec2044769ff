"""Connection strings, good and bad: nothing in them is ever ignored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_esdb import InvalidArgumentError, InvalidTypeError
from trio_esdb._settings import DEFAULT_PORT, Settings, parse

EMBEDDED = Settings(None)
some = settings(max_examples=200)

GOOD: list[tuple[str, Settings, str]] = [
    ("esdb://localhost:2113?Tls=false", Settings("localhost", 2113), "localhost:2113"),
    ("esdb://localhost?Tls=false", Settings("localhost", 2113), "localhost:2113"),
    ("esdb://localhost/?Tls=false", Settings("localhost", 2113), "localhost:2113"),
    ("esdb://localhost:2114/?Tls=false", Settings("localhost", 2114), "localhost:2114"),
    ("esdb://LocalHost:1?tls=FALSE", Settings("localhost", 1), "localhost:1"),
    ("ESDB://localhost:65535?TLS=False", Settings("localhost", 65535), "localhost:65535"),
    ("esdb://node-1.example.org:2113?Tls=false", Settings("node-1.example.org"), "node-1.example.org:2113"),
    ("esdb://node_1.internal.?Tls=false", Settings("node_1.internal."), "node_1.internal.:2113"),
    ("esdb://127.0.0.1:2113?Tls=false", Settings("127.0.0.1"), "127.0.0.1:2113"),
    ("esdb://[::1]:2113?Tls=false", Settings("::1"), "[::1]:2113"),
    ("esdb://[::1]?Tls=false", Settings("::1"), "[::1]:2113"),
    ("esdb://[2001:DB8::00:7]:99?Tls=false", Settings("2001:db8::7", 99), "[2001:db8::7]:99"),
    ("esdb://[::10.0.0.1]?Tls=false", Settings("::a00:1"), "[::a00:1]:2113"),
    ("esdb://[fe80::1%eth0]:2113?Tls=false", Settings("fe80::1%eth0"), "[fe80::1%eth0]:2113"),
    ("esdb://" + "n" * 63 + ".org?Tls=false", Settings("n" * 63 + ".org"), "n" * 63 + ".org:2113"),
    ("esdb://embedded:2113?Tls=false", Settings("embedded"), "embedded:2113"),
    ("esdb://embedded.example.org?Tls=false", Settings("embedded.example.org"), "embedded.example.org:2113"),
    ("esdb://embedded", EMBEDDED, "embedded"),
    ("esdb://Embedded", EMBEDDED, "embedded"),
    ("esdb://embedded/", EMBEDDED, "embedded"),
    ("esdb://embedded?", EMBEDDED, "embedded"),
    ("esdb://embedded?Tls=false", EMBEDDED, "embedded"),
]


@pytest.mark.parametrize(("uri", "meaning", "address"), GOOD)
def test_good(uri: str, meaning: Settings, address: str) -> None:
    found = parse(uri)
    assert found == meaning
    assert found.address == address
    # What errors tell can be connected to.
    assert parse(f"esdb://{address}?Tls=false") == meaning


NO_HOST = "it must be a host name, an IPv4 address or an IPv6 address in brackets"
NO_PORT = "the port must be a number from 1 to 65535"
NO_TLS = "TLS, which is the default, is not supported yet; add .Tls=false"

BAD: list[tuple[str, str]] = [
    ("", "uri must begin with esdb://"),
    ("localhost:2113", "uri must begin with esdb://"),
    ("localhost", "uri must begin with esdb://"),
    ("esdb:localhost:2113?Tls=false", "uri must begin with esdb://"),
    (" esdb://localhost:2113?Tls=false", "uri must begin with esdb://"),
    ("http://localhost:2113", "uri must begin with esdb://"),
    ("kurrentdb://localhost:2113?Tls=false", "uri must begin with esdb://"),
    ("esdb+discover://localhost:2113?Tls=false", "uri must begin with esdb://"),
    ("://localhost?Tls=false", "uri must begin with esdb://"),
    ("esdb://", NO_HOST),
    ("esdb://?Tls=false", NO_HOST),
    ("esdb:///?Tls=false", NO_HOST),
    ("esdb://:2113?Tls=false", NO_HOST),
    ("esdb://local host?Tls=false", NO_HOST),
    ("esdb://local\nhost?Tls=false", NO_HOST),
    ("esdb://local\thost?Tls=false", NO_HOST),
    ("esdb:// localhost?Tls=false", NO_HOST),
    ("esdb://localhost ?Tls=false", NO_HOST),
    ("esdb://localhost\n?Tls=false", NO_HOST),
    ("esdb://bücher.example?Tls=false", NO_HOST),
    ("esdb://node..org?Tls=false", NO_HOST),
    ("esdb://.org?Tls=false", NO_HOST),
    ("esdb://-node?Tls=false", NO_HOST),
    ("esdb://node-.org?Tls=false", NO_HOST),
    ("esdb://node%41?Tls=false", NO_HOST),
    ("esdb://" + "n" * 64 + "?Tls=false", NO_HOST),
    ("esdb://" + "n." * 128 + "?Tls=false", NO_HOST),
    ("esdb://" + "n." * 200 + "org?Tls=false", NO_HOST),
    ("esdb://::1?Tls=false", NO_HOST),
    ("esdb://::1:2113?Tls=false", NO_HOST),
    ("esdb://2001:db8::7?Tls=false", NO_HOST),
    ("esdb://[::1?Tls=false", NO_HOST),
    ("esdb://::1]?Tls=false", NO_HOST),
    ("esdb://[]:2113?Tls=false", NO_HOST),
    ("esdb://[localhost]:2113?Tls=false", NO_HOST),
    ("esdb://[127.0.0.1]:2113?Tls=false", NO_HOST),
    ("esdb://[::g]:2113?Tls=false", NO_HOST),
    ("esdb://[::1%]:2113?Tls=false", NO_HOST),
    ("esdb://[::1]node:2113?Tls=false", NO_HOST),
    ("esdb://node[::1]:2113?Tls=false", NO_HOST),
    ("esdb://[[::1]]:2113?Tls=false", NO_HOST),
    ("esdb://localhost:?Tls=false", NO_PORT),
    ("esdb://localhost:0?Tls=false", NO_PORT),
    ("esdb://localhost:65536?Tls=false", NO_PORT),
    ("esdb://localhost:-1?Tls=false", NO_PORT),
    ("esdb://localhost:+2113?Tls=false", NO_PORT),
    ("esdb://localhost:2_113?Tls=false", NO_PORT),
    ("esdb://localhost:2113 ?Tls=false", NO_PORT),
    ("esdb://localhost:2113\n?Tls=false", NO_PORT),
    ("esdb://localhost:\u0662\u0661?Tls=false", NO_PORT),
    ("esdb://localhost:port?Tls=false", NO_PORT),
    ("esdb://localhost:2113:2114?Tls=false", NO_HOST),
    ("esdb://localhost:" + "9" * 5000 + "?Tls=false", NO_PORT),
    ("esdb://[::1]:?Tls=false", NO_PORT),
    ("esdb://embedded:?Tls=false", NO_PORT),
    ("esdb://node1,node2?Tls=false", "several nodes are not supported yet"),
    ("esdb://node1:2113,node2:2113,node3:2113?Tls=false", "several nodes are not supported yet"),
    ("esdb://node1,?Tls=false", "several nodes are not supported yet"),
    ("esdb://localhost/database?Tls=false", "uri must end after the address and its options"),
    ("esdb://localhost//?Tls=false", "uri must end after the address and its options"),
    ("esdb://embedded/x", "uri must end after the address and its options"),
    ("esdb://localhost?Tls=false#", "uri must end after the address and its options"),
    ("esdb://localhost?Tls=false#node", "uri must end after the address and its options"),
    ("esdb://localhost#?Tls=false", "uri must end after the address and its options"),
    ("esdb://localhost", NO_TLS),
    ("esdb://localhost:2113", NO_TLS),
    ("esdb://localhost?", NO_TLS),
    ("esdb://localhost?Tls=true", NO_TLS),
    ("esdb://embedded?Tls=true", NO_TLS),
    ("esdb://embedded:2113", NO_TLS),
    ("esdb://localhost?Tls=no", "Tls must be true or false, not 'no'"),
    ("esdb://localhost?Tls=", "Tls must be true or false, not ''"),
    ("esdb://localhost?Tls=false ", "Tls must be true or false, not 'false '"),
    ("esdb://localhost?Tls=false\n", "Tls must be true or false"),
    ("esdb://localhost?Tls=false?Tls=false", "Tls must be true or false"),
    ("esdb://localhost?Tls", "Tls must be given once, as Tls=false"),
    ("esdb://localhost?Tls=false&Tls=false", "Tls must be given once, as Tls=false"),
    ("esdb://localhost?Tls=false&tls=true", "Tls must be given once, as Tls=false"),
    ("esdb://localhost?&Tls=false", "the option '' is not supported yet"),
    ("esdb://localhost?Tls=false&", "the option '' is not supported yet"),
    ("esdb://localhost?Tls =false", "the option 'Tls ' is not supported yet"),
    ("esdb://localhost?Tls%3Dfalse", "the option 'Tls%3Dfalse' is not supported yet"),
    ("esdb://localhost?Tls=false&TlsVerifyCert=false", "the option 'TlsVerifyCert' is not supported yet"),
    ("esdb://localhost?Tls=false&ConnectionName=me", "the option 'ConnectionName' is not supported yet"),
    ("esdb://localhost?Tls=false&NodePreference=leader", "the option 'NodePreference' is not supported yet"),
    ("esdb://localhost?Tls=false&DefaultDeadline=5", "the option 'DefaultDeadline' is not supported yet"),
    ("esdb://localhost?Tls=false&GossipTimeout=5", "the option 'GossipTimeout' is not supported yet"),
    ("esdb://localhost?Tls=false&MaxDiscoverAttempts=5", "the option 'MaxDiscoverAttempts' is not supported yet"),
    ("esdb://localhost?Tls=false&DiscoveryInterval=5", "the option 'DiscoveryInterval' is not supported yet"),
    ("esdb://localhost?Tls=false&KeepAliveInterval=5", "the option 'KeepAliveInterval' is not supported yet"),
    ("esdb://localhost?KeepAliveTimeout=5&Tls=false", "the option 'KeepAliveTimeout' is not supported yet"),
    ("esdb://embedded?nodes=3", "the option 'nodes' is not supported yet"),
]


@pytest.mark.parametrize(("uri", "complaint"), BAD)
def test_bad(uri: str, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint) as caught:
        parse(uri)
    assert type(caught.value) is InvalidArgumentError
    assert "uri" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "uri",
    [
        "esdb://admin:changeit@localhost:2113?Tls=false",
        "esdb://admin@localhost:2113?Tls=false",
        "esdb://@localhost?Tls=false",
        "esdb://admin:changeit@embedded",
        "esdb://admin:change/it@localhost:99999?Tls=false",
        "esdb://admin:change?it@localhost,other?Tls=false",
        "esdb://admin:change#it@?Tls=false",
        "esdb://admin:change:it@localhost:port",
        "esdb://localhost?Tls=false&user=admin:changeit@",
    ],
)
def test_credentials(uri: str) -> None:
    with pytest.raises(InvalidArgumentError, match="credentials are not supported yet") as caught:
        parse(uri)
    assert "change" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["esdb+discover://", "kurrentdb://", "esdb:", ""])
def test_a_password_is_never_repeated(scheme: str) -> None:
    with pytest.raises(InvalidArgumentError, match="uri must begin with esdb://") as caught:
        parse(scheme + "admin:changeit@localhost:2113")
    assert "changeit" not in str(caught.value)


@pytest.mark.parametrize("uri", [None, b"esdb://localhost?Tls=false", 2113, ["esdb://localhost?Tls=false"], object()])
def test_what_is_not_a_text(uri: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"uri must be a str such as esdb://localhost:2113\?Tls=false, or"):
        parse(uri)


@given(st.text(max_size=30) | st.text(alphabet="abcTls=false:/?#&@[]%.,-0123456789 \n", max_size=40))
@some
def test_any_text_is_read_or_refused(text: str) -> None:
    for uri in (text, "esdb://" + text, "esdb://" + text + "?Tls=false"):
        try:
            found = parse(uri)
        except InvalidArgumentError:
            continue
        assert found.host is None or parse(f"esdb://{found.address}?Tls=false") == found
        assert 1 <= found.port <= 65535


@given(
    host=st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,8}[a-z0-9])?(\.[a-z]{1,5}){0,3}", fullmatch=True),
    port=st.integers(1, 65535),
)
@some
def test_any_host_and_port(host: str, port: int) -> None:
    assert parse(f"esdb://{host}:{port}?Tls=false") == Settings(host, port)


@given(st.ip_addresses(v=6))
@some
def test_any_ipv6_address(address: Any) -> None:
    for text in (str(address), address.exploded, str(address).upper()):
        found = parse(f"esdb://[{text}]?Tls=false")
        assert found == Settings(str(address), DEFAULT_PORT)
        assert found.address == f"[{address}]:2113"
