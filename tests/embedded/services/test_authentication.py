"""Who a client is: passwords, and the ways of not giving one."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest

from tests.conformance.driver import basic
from tests.support.peer import OPERATIONS, STREAMS, Peer, connected, read_request
from trio_esdb._wire import Outcome, Status
from trio_esdb.embedded import EmbeddedNode

USERS = "/event_store.client.users.Users/"
GOSSIP = "/event_store.client.gossip.Gossip/Read"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A connection to a node with users."""
    async with EmbeddedNode(users={"ann": "pass: wörd", "": "empty"}) as node, connected(node) as peer:
        yield peer


async def outcome_of(peer: Peer, path: str = GOSSIP) -> Outcome:
    return (await peer.ask(path, {}))[1]


async def test_the_default_users_and_others(peer: Peer) -> None:
    for name, password in (("admin", "changeit"), ("ops", "changeit"), ("ann", "pass: wörd"), ("", "empty")):
        for _ in range(2):  # the second time from memory
            assert (await outcome_of(peer.user(name, password))).ok
            for wrong in ("", "changeit ", "Changeit", password + "\0"):
                outcome = await outcome_of(peer.user(name, wrong))
                assert (outcome.status, outcome.message) == (Status.UNAUTHENTICATED, "Unauthenticated")
                assert dict(outcome.trailers) == {}


@pytest.mark.parametrize(
    "path",
    [
        "/event_store.client.server_features.ServerFeatures/GetSupportedMethods",
        "/event_store.client.monitoring.Monitoring/Stats",
        f"{STREAMS}Append",
        f"{STREAMS}BatchAppend",
        f"{STREAMS}Read",
        f"{OPERATIONS}MergeIndexes",
        f"{USERS}Details",
        f"{USERS}NoSuchMethod",
        "/no.such.Service/Method",
    ],
)
async def test_wrong_credentials_are_refused_whatever_is_called(peer: Peer, path: str) -> None:
    call = peer.user("admin", "wrong").call(path)  # no request is waited for
    assert (await call.end()).status is Status.UNAUTHENTICATED


@pytest.mark.parametrize("name", ["nobody", "Admin", "ADMIN", " admin", "$admins", "admin\0", "a" * 5000])
async def test_users_that_do_not_exist(peer: Peer, name: str) -> None:
    assert (await outcome_of(peer.user(name))).status is Status.UNAUTHENTICATED


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ANONYMOUS: list[tuple[str, ...]] = [
    (),
    ("",),
    ("basic " + encoded("admin:changeit"),),
    ("BASIC " + encoded("admin:changeit"),),
    ("Bearer abc",),
    ("Digest x",),
    ("nonsense",),
    ("Basic" + encoded("admin:changeit"),),
    ("Basic " + encoded("nocolon"),),
    ("Basic " + encoded("admin:wrong"), "Basic " + encoded("admin:changeit")),
    ("Basic " + encoded("admin:changeit"), "Basic " + encoded("admin:changeit")),
]


@pytest.mark.parametrize("headers", ANONYMOUS)
async def test_who_is_anonymous(peer: Peer, headers: tuple[str, ...]) -> None:
    anonymous = peer.authorized(*headers)
    assert (await outcome_of(anonymous)).ok
    outcome = (await anonymous.ask(STREAMS + "Read", read_request("s")))[1]
    assert (outcome.status, outcome.message) == (Status.PERMISSION_DENIED, "Access Denied")
    assert dict(outcome.trailers) == {"exception": "access-denied"}


@pytest.mark.parametrize(
    "value", ["Basic", "Basic ", "Basic not-base64!", "Basic YWJj Z", "Basic YQ", "Basic YQ==YQ==", "Basic é"]
)
async def test_what_is_not_base64_fails_below_grpc(peer: Peer, value: str) -> None:
    outcome = await outcome_of(peer.authorized(value))
    assert outcome.status is Status.UNKNOWN
    assert "500" in outcome.message


@pytest.mark.parametrize("value", ["Basic  " + encoded("admin:changeit"), "Basic YWRtaW46 Y2hhbmdl aXQ="])
async def test_white_space_is_no_part_of_base64(peer: Peer, value: str) -> None:
    assert (await peer.authorized(value).ask(STREAMS + "Read", read_request()))[1].ok


async def test_a_node_without_users_ignores_credentials() -> None:
    async with EmbeddedNode() as node, connected(node) as peer:
        for headers in [*ANONYMOUS, (basic("admin", "wrong"),), ("Basic !",)]:
            assert (await peer.authorized(*headers).ask(STREAMS + "Read", read_request()))[1].ok


async def test_other_passwords_for_the_default_users() -> None:
    async with EmbeddedNode(users={"admin": "secret"}) as node, connected(node) as peer:
        assert (await peer.user("admin", "secret").ask(STREAMS + "Read", read_request()))[1].ok
        assert (await outcome_of(peer.user("admin"))).status is Status.UNAUTHENTICATED
        assert (await outcome_of(peer.user("ops"))).ok
        details, _ = await peer.user("ops").ask(USERS + "Details", {"options": {}})
        assert [(d["user_details"]["login_name"], d["user_details"]["groups"]) for d in details] == [
            ("admin", ["$admins"]),
            ("ops", ["$ops"]),
        ]


@pytest.mark.parametrize(
    ("users", "error", "text"),
    [
        ({"a:b": "secret"}, ValueError, "colon.*'a:b'"),
        ({"ann": "secret\udc80"}, ValueError, "'ann'"),
        ({"\udc80": "secret"}, ValueError, "udc80"),
        ({"ann": 5}, TypeError, "'ann'"),
        ({5: "secret"}, TypeError, "5"),
        ("ann", TypeError, "a mapping"),
        (None, TypeError, "a mapping"),
    ],
)
def test_users_that_make_no_sense(users: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        EmbeddedNode(users=users)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


async def test_no_password_is_kept_in_a_node() -> None:
    async with EmbeddedNode(users={"ann": "very-secret"}) as node, connected(node) as peer:
        assert (await outcome_of(peer.user("ann", "very-secret"))).ok
        seen: set[int] = set()
        waiting: list[object] = [node._context, node._authentication, vars(node)]
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            assert thing not in ("very-secret", b"very-secret")
            if isinstance(thing, dict):
                waiting += [*thing.keys(), *thing.values()]
            elif isinstance(thing, (list, tuple, set, frozenset)):
                waiting += thing
            elif type(thing).__module__.startswith("trio_esdb.embedded"):
                waiting.append(repr(thing))
                waiting += [getattr(thing, slot) for slot in getattr(thing, "__slots__", ()) if hasattr(thing, slot)]
                waiting.append(getattr(thing, "__dict__", {}))
            elif isinstance(thing, (str, bytes)):
                assert not isinstance(thing, str) or "very-secret" not in thing
                assert not isinstance(thing, bytes) or b"very-secret" not in thing
