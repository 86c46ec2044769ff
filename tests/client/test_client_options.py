"""The arguments of a client: what they mean, how they override the connection string, and what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import pprint
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from tests.support.scripted import URI, Scripted
from trio_esdb import (
    BasicCredentials,
    BearerToken,
    ESDBClient,
    InvalidArgumentError,
    InvalidTypeError,
    Timeouts,
)
from trio_esdb._cluster import ClientOptions, NodePreference

PLAIN = "esdb://localhost?tls=false"
SECURE = "esdb://localhost"
ADMIN = BasicCredentials("admin", "s3cret")
TOKEN = BearerToken("s3cret")
CA = trustme.CA()
ROOTS = CA.cert_pem.bytes()
LEAF = CA.issue_cert("user@example.org")
KEY, CHAIN = LEAF.private_key_pem.bytes(), b"".join(blob.bytes() for blob in LEAF.cert_chain_pems)


def options(uri: str = PLAIN, **arguments: Any) -> ClientOptions:
    return ESDBClient(uri, **arguments)._options


async def provider() -> BasicCredentials:
    return ADMIN


# -- what the string says, and what overrides it --------------------------------------------------------------------


def test_the_defaults() -> None:
    found = options()
    assert found.node == ("localhost", 2113, "localhost:2113", "")
    assert found.seeds == (found.node,)
    assert not found.cluster
    assert not found.embedded
    assert found.tls is found.connect is found.credentials is found.max_connections is None
    assert found.limits.receive_message == 17 * 1024 * 1024
    assert found.timeouts == Timeouts()
    assert (found.default_deadline, found.keep_alive_interval, found.keep_alive_timeout) == (10, 10, 10)
    assert found.discovery_interval == 0.1
    assert found.retry is True
    assert not found.keep_alive_without_calls
    assert not found.credentials_allowed
    assert found.idle_connection_timeout == 60


def test_the_string_is_heard() -> None:
    found = options(
        PLAIN + "&defaultDeadline=500&keepAliveInterval=-1&keepAliveTimeout=2500&connectionName=me&discoveryInterval=20"
    )
    assert (found.default_deadline, found.keep_alive_interval, found.keep_alive_timeout) == (0.5, math.inf, 2.5)
    assert found.connection_name == "me"
    assert found.discovery_interval == 0.02


@pytest.mark.parametrize("name", ["default_deadline", "keep_alive_interval", "keep_alive_timeout"])
@pytest.mark.parametrize(("given", "meaning"), [(3, 3.0), (0.5, 0.5), (math.inf, math.inf), (None, math.inf)])
def test_times_of_arguments_override_those_of_the_string(name: str, given: float | None, meaning: float) -> None:
    uri = PLAIN + "&defaultDeadline=500&keepAliveInterval=500&keepAliveTimeout=500"
    found = options(uri, **{name: given})
    assert getattr(found, name) == meaning
    times = (found.default_deadline, found.keep_alive_interval, found.keep_alive_timeout)
    assert sorted(times)[:2] == [0.5, 0.5]


def test_the_name_of_the_argument_overrides_that_of_the_string() -> None:
    assert options(PLAIN + "&connectionName=a", connection_name="b").connection_name == "b"


def test_a_name_is_made_from_the_random_source() -> None:
    one, again, other = (options(random=random.Random(seed)).connection_name for seed in (7, 7, 8))
    assert one == again != other
    assert len(one) == 36
    assert options().connection_name != options().connection_name


def test_what_is_only_an_argument() -> None:
    source = random.Random(5)
    found = options(
        max_message_size=5000,
        keep_alive_without_calls=True,
        max_connections=3,
        idle_connection_timeout=2.5,
        timeouts=Timeouts(connect=3),
        retry=False,
        random=source,
    )
    assert found.limits.receive_message == 5000
    assert found.keep_alive_without_calls
    assert found.max_connections == 3
    assert found.idle_connection_timeout == 2.5
    assert found.timeouts.connect == 3
    assert found.retry is False
    assert found.random is source
    assert options(idle_connection_timeout=None).idle_connection_timeout == math.inf


def test_a_node_inside_the_process() -> None:
    found = options("esdb://embedded?defaultDeadline=500&connectionName=me")
    assert found.embedded
    assert found.node == ("embedded", 2113, "embedded", "")
    assert (found.default_deadline, found.connection_name) == (0.5, "me")
    assert found.tls is None


# -- credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [ADMIN, TOKEN, provider])
def test_credentials_need_tls_or_a_permission(given: Any) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=r"credentials: .*tls=false.*; use TLS, or permit it with plain_text_credentials=True",
    ) as caught:
        ESDBClient(PLAIN, credentials=given)
    assert "s3cret" not in str(caught.value)
    for found in (
        options(SECURE, credentials=given),
        options(PLAIN, credentials=given, plain_text_credentials=True),
        options("esdb://embedded", credentials=given),
    ):
        assert found.credentials is given
        assert found.credentials_allowed


def test_the_user_of_the_string() -> None:
    user = BasicCredentials("u", "p")
    assert options("esdb://u:p@localhost").credentials == user
    assert options("esdb://u:p@embedded").credentials == user
    assert options("esdb://u:p@localhost?tls=false").credentials is None
    assert not options("esdb://u:p@localhost?tls=false").credentials_allowed
    assert options("esdb://u:p@localhost?tls=false", plain_text_credentials=True).credentials == user
    assert options("esdb://u:p@localhost", credentials=ADMIN).credentials is ADMIN


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("s3cret", "str"),
        (("admin", "s3cret"), "tuple"),
        (b"s3cret", "bytes"),
        (BasicCredentials, "a class"),
        ({}, "dict"),
    ],
)
def test_what_are_no_credentials(given: Any, named: str) -> None:
    with pytest.raises(
        InvalidTypeError, match=f"credentials must be BasicCredentials, a BearerToken or an async .*, not {named}$"
    ) as caught:
        ESDBClient(SECURE, credentials=given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "arguments"),
    [
        ("esdb://admin:s3cret@localhost", {}),
        ("esdb://admin:s3cret@localhost?tls=false", {"plain_text_credentials": True}),
        ("esdb://admin:s3cret@embedded", {}),
        ("esdb://localhost", {"credentials": ADMIN}),
        ("esdb://localhost", {"credentials": TOKEN}),
        ("esdb://localhost", {"private_key": KEY, "certificate_chain": CHAIN}),
        ("esdb://localhost", {"private_key": KEY.decode(), "certificate_chain": CHAIN.decode()}),
    ],
)
def test_nothing_that_can_be_printed_shows_a_secret(uri: str, arguments: Any) -> None:
    client = ESDBClient(uri, **arguments)
    values = vars(client)
    encoded = ADMIN.authorization().removeprefix("Basic ")
    inside = {field.name: getattr(client._options, field.name) for field in dataclasses.fields(ClientOptions)}
    for text in (
        repr(client),
        str(client),
        repr(values),
        pprint.pformat(values),
        repr(inside),
        repr(copy.copy(client._options)),
        repr([vars(value) for value in inside.values() if hasattr(value, "__dict__")]),
    ):
        assert "s3cret" not in text
        assert encoded not in text
        assert KEY.decode().splitlines()[1] not in text
        assert "PRIVATE" not in text


async def test_no_log_shows_a_secret(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    uri = URI.replace("://", "://admin:s3cret@")
    async with ESDBClient(uri, connect=server.connect, plain_text_credentials=True) as client:
        assert "s3cret" not in repr(client)
    assert caplog.records
    assert "s3cret" not in caplog.text
    assert ADMIN.authorization() not in caplog.text


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"root_certificates": ROOTS},
        {"root_certificates": ROOTS.decode()},
        {"root_certificates": ROOTS, "private_key": KEY, "certificate_chain": CHAIN},
        {"ssl_context": ssl.create_default_context()},
    ],
)
def test_tls(arguments: Any) -> None:
    assert options(SECURE, **arguments).tls is not None
    assert options(SECURE + "?tlsVerifyCert=true", **arguments).tls is not None


def test_certificates_of_the_seed_are_positional() -> None:
    assert ESDBClient(SECURE, ROOTS, KEY, CHAIN)._options.tls is not None


def test_files(tmp_path: Path) -> None:
    for name, data in (("ca.crt", ROOTS), ("user key", KEY), ("user+cert", CHAIN)):
        (tmp_path / name).write_bytes(data)
    uri = f"{SECURE}?tlsCaFile={tmp_path}/ca.crt&userKeyFile={tmp_path}/user%20key&userCertFile={tmp_path}/user+cert"
    assert "ca.crt" in repr(options(uri).tls)
    assert "client certificate" in repr(options(uri).tls)
    assert options(SECURE, root_certificates=tmp_path / "ca.crt").tls is not None
    # What an argument overrides is not even read.
    assert options(SECURE + "?tlsCaFile=/does/not/exist", root_certificates=ROOTS).tls is not None
    with pytest.raises(InvalidArgumentError, match=r"tlsCaFile.*/does/not/exist"):
        ESDBClient(SECURE + "?tlsCaFile=/does/not/exist")
    with pytest.raises(InvalidArgumentError, match=r"root_certificates.*/does/not/exist"):
        ESDBClient(SECURE, root_certificates="/does/not/exist")


def test_certificates_that_cannot_be_used() -> None:
    other = CA.issue_cert("other.example.org").private_key_pem.bytes()
    for arguments, complaint in (
        ({"root_certificates": b"nothing"}, "root_certificates"),
        ({"private_key": KEY}, "certificate_chain is missing"),
        ({"certificate_chain": CHAIN}, "private_key is missing"),
        ({"private_key": other, "certificate_chain": CHAIN}, "private_key"),
        (
            {"ssl_context": ssl.create_default_context(), "root_certificates": ROOTS},
            "ssl_context cannot be given together",
        ),
        ({"ssl_context": "default"}, "ssl_context must be an ssl.SSLContext"),
    ):
        with pytest.raises(InvalidArgumentError, match=complaint) as caught:
            ESDBClient(SECURE, **arguments)  # type: ignore[arg-type]
        assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"root_certificates": ROOTS},
        {"private_key": KEY},
        {"certificate_chain": CHAIN},
        {"ssl_context": ssl.create_default_context()},
    ],
)
def test_certificates_need_tls(arguments: Any) -> None:
    (name,) = arguments
    with pytest.raises(InvalidArgumentError, match=f"{name} cannot be used without TLS: the uri says tls=false"):
        ESDBClient(PLAIN, **arguments)
    with pytest.raises(
        InvalidArgumentError, match=f"{name} cannot be used without TLS: esdb://embedded is a node inside"
    ):
        ESDBClient("esdb://embedded", **arguments)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["default_deadline", "keep_alive_interval", "keep_alive_timeout", "idle_connection_timeout"]
)
def test_times_that_are_refused(name: str) -> None:
    for value in (0, -1, -0.5, math.nan, -math.inf, 1.1e9, 10**400):
        with pytest.raises(
            InvalidArgumentError, match=f"{name} must be a positive number of seconds up to 1e9, or None"
        ):
            ESDBClient(PLAIN, **{name: value})  # type: ignore[arg-type]
    for wrong in ("5", True, [5], 1j):
        with pytest.raises(
            InvalidTypeError, match=f"{name} must be a number of seconds or None, not {type(wrong).__name__}"
        ):
            ESDBClient(PLAIN, **{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"connect": 5}, "connect must be a function of a host and a port"),
        ({"connect": "localhost"}, "connect must be a function of a host and a port"),
        ({"max_message_size": "5"}, "max_message_size must be an int, not str"),
        ({"max_message_size": 5.0}, "max_message_size must be an int, not float"),
        ({"max_message_size": True}, "max_message_size must be an int, not bool"),
        ({"max_message_size": 0}, "max_message_size must be from 1024 to 1073741824, not 0"),
        ({"max_message_size": 1023}, "max_message_size must be from"),
        ({"max_message_size": 2**30 + 1}, "max_message_size must be from"),
        ({"max_message_size": 2**32}, "max_message_size must be from"),
        ({"max_connections": 0}, "max_connections must be at least 1, not 0"),
        ({"max_connections": 1.5}, "max_connections must be an int, not float"),
        ({"plain_text_credentials": 1}, "plain_text_credentials must be True or False, not int"),
        ({"plain_text_credentials": None}, "plain_text_credentials must be True or False, not NoneType"),
        ({"keep_alive_without_calls": "no"}, "keep_alive_without_calls must be True or False, not str"),
        ({"retry": 3}, "retry must be True.* not int"),
        ({"retry": None}, "retry must be True.* not NoneType"),
        ({"timeouts": 5}, "timeouts must be a Timeouts, not int"),
        ({"timeouts": {"connect": 5}}, "timeouts must be a Timeouts, not dict"),
        ({"random": 7}, "random must be a random.Random, not int"),
        ({"random": random}, "random must be a random.Random, not module"),
        ({"connection_name": 7}, "connection_name must be a str, not int"),
        ({"connection_name": ""}, "connection_name must be 1 to 200 printable ASCII characters.* not ''"),
        ({"connection_name": " a"}, "connection_name must be 1 to 200 printable ASCII characters"),
        ({"connection_name": "a\nb"}, "connection_name must be 1 to 200 printable ASCII characters"),
        ({"connection_name": "é"}, "connection_name must be 1 to 200 printable ASCII characters"),
    ],
)
def test_what_is_refused(arguments: Any, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint):
        ESDBClient(PLAIN, **arguments)


# -- it is used --------------------------------------------------------------------------------------------------------


async def test_tls_goes_over_the_streams_of_connect() -> None:
    """The client speaks TLS to whatever `connect` gives: here a ClientHello comes out."""
    mine, theirs = trio.testing.memory_stream_pair()

    async def connect(host: str, port: int) -> trio.abc.Stream:
        assert (host, port) == ("node.example.org", 2114)
        return mine

    async def enter() -> None:
        async with ESDBClient("esdb://node.example.org:2114", connect=connect, timeouts=Timeouts(tls=5)):
            pytest.fail("it connected")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        hello = await theirs.receive_some()
        assert hello[:2] == b"\x16\x03"
        assert b"node.example.org" in hello
        assert b"\x02h2" in hello
        nursery.cancel_scope.cancel()


# -- clusters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "seeds", "cluster"),
    [
        ("esdb://a?tls=false", ["a:2113"], False),
        ("esdb+discover://a?tls=false", ["a:2113"], True),
        ("esdb://a?tls=false&dnsDiscover=true", ["a:2113"], True),
        ("esdb://a,b:7,[::1]?tls=false", ["a:2113", "b:7", "[::1]:2113"], True),
        ("kdb+discover://a,b?tls=false", ["a:2113", "b:2113"], True),
        ("esdb://a,A,a:2113?tls=false", ["a:2113"], True),
    ],
)
def test_seeds(uri: str, seeds: list[str], cluster: bool) -> None:
    found = options(uri)
    assert [seed.address for seed in found.seeds] == seeds
    assert found.node == found.seeds[0]
    assert found.cluster is cluster


def test_what_the_string_says_of_the_search() -> None:
    found = options(PLAIN)
    assert (found.node_preference, found.max_discover_attempts) == (NodePreference.LEADER, 10)
    assert (found.discovery_interval, found.gossip_timeout) == (0.1, 5)
    found = options(
        PLAIN + "&nodePreference=READ-ONLY-REPLICA&maxDiscoverAttempts=3&discoveryInterval=500&gossipTimeout=0.5"
    )
    assert (found.node_preference, found.max_discover_attempts) == (NodePreference.READ_ONLY_REPLICA, 3)
    assert (found.discovery_interval, found.gossip_timeout) == (0.5, 0.5)


@pytest.mark.parametrize("option", ["maxDiscoverAttempts=0", "maxDiscoverAttempts=-1", "gossipTimeout=0"])
def test_a_search_without_end_or_time_is_refused(option: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{option.partition('=')[0]} must be"):
        options(f"esdb+discover://a?tls=false&{option}")


@pytest.mark.parametrize(("given", "meaning"), [(30, 30.0), (0.5, 0.5), (None, math.inf), (math.inf, math.inf)])
def test_how_often_the_leader_is_looked_for(given: float | None, meaning: float) -> None:
    assert options(leader_check=given).leader_check == meaning


@pytest.mark.parametrize("given", [0, -1, math.nan, "5", True])
def test_times_for_that_which_cannot_be_used(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="leader_check must be"):
        options(leader_check=given)


def test_the_seeds_are_shown() -> None:
    client = ESDBClient("esdb://ann:s3cret@a,b:7?tls=false")
    assert repr(client) == "<trio_esdb.ESDBClient: a:2113, b:7, not open>"
