"""The Users service, and the users as events."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.support.peer import STREAMS, UNKNOWN, Peer, connected, read_request
from trio_esdb._wire import Outcome, Status
from trio_esdb.embedded import EmbeddedNode

USERS = "/event_store.client.users.Users/"
DENIED = (Status.PERMISSION_DENIED, "Access Denied", {"exception": "access-denied"})
FIRST_TICKS = 17_672_256_000_000_000
"""2026-01-01, when the node's clock starts."""


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A connection to a node with users."""
    async with EmbeddedNode(users={"ann": "Secret1!"}) as node, connected(node) as peer:
        yield peer


@pytest.fixture
def admin(peer: Peer) -> Peer:
    return peer.user("admin")


@pytest.fixture
def ann(peer: Peer) -> Peer:
    return peer.user("ann", "Secret1!")


async def ask(peer: Peer, method: str, **options: Any) -> tuple[Status, str, dict[str, Any]]:
    _, outcome = await peer.ask(USERS + method, {"options": options})
    return outcome.status, outcome.message, dict(outcome.trailers)


async def done(peer: Peer, method: str, **options: Any) -> None:
    messages, outcome = await peer.ask(USERS + method, {"options": options})
    assert (messages, outcome.status) == ([{}], Status.OK), outcome


async def details(peer: Peer, name: str = "") -> list[dict[str, Any]]:
    messages, outcome = await peer.ask(USERS + "Details", {"options": {"login_name": name}})
    assert outcome.ok, outcome
    return [message["user_details"] for message in messages]


async def events(peer: Peer, stream: str) -> list[tuple[str, str, bytes | str]]:
    messages, outcome = await peer.ask(STREAMS + "Read", read_request(stream))
    assert outcome.ok
    found = [message["event"]["event"] for message in messages if "event" in message]
    return [(event["metadata"]["type"], event["metadata"]["content-type"], event["data"]) for event in found]


async def logs_in(peer: Peer, name: str, password: str) -> bool:
    _, outcome = await peer.user(name, password).ask(STREAMS + "Read", read_request("s"))
    assert outcome.ok or outcome.status is Status.UNAUTHENTICATED
    return outcome.ok


def unknown(name: str) -> tuple[Status, str, dict[str, str]]:
    return Status.NOT_FOUND, f"User '{name}' is not found.", {"exception": "user-not-found", "login-name": name}


async def test_the_details_of_a_user(admin: Peer) -> None:
    await trio.sleep(90)
    await done(admin, "Create", login_name="bob", password="x", full_name="Bob B", groups=["readers", "$ops"])
    assert await details(admin, "bob") == [
        {
            "login_name": "bob",
            "full_name": "Bob B",
            "groups": ["readers", "$ops"],
            "last_updated": {"ticks_since_epoch": FIRST_TICKS + 900_000_000},
        }
    ]
    await trio.sleep(10)
    await done(admin, "Disable", login_name="bob")
    (bob,) = await details(admin, "bob")
    assert bob["disabled"] is True
    assert bob["last_updated"] == {"ticks_since_epoch": FIRST_TICKS + 1_000_000_000}


async def test_all_users_by_name(admin: Peer, ann: Peer) -> None:
    await done(admin, "Create", login_name="Zoe", password="x")
    await done(admin, "Create", login_name="bob", password="x")
    await done(admin, "Delete", login_name="bob")
    await done(admin, "Create", login_name="bob", password="y", full_name="Another")
    await done(admin, "Create", login_name="gone", password="x")
    await done(admin, "Delete", login_name="gone")
    for peer, name in ((admin, ""), (ann, " \t")):
        assert [user["login_name"] for user in await details(peer, name)] == ["Zoe", "admin", "ann", "bob", "ops"]
    messages, _ = await ann.ask(USERS + "Details", {})
    assert len(messages) == 5


async def test_hundreds_of_users(admin: Peer) -> None:
    names = [f"user-{number:03}" for number in range(230)]
    for name in reversed(names):
        await done(admin, "Create", login_name=name, password="")
    assert [user["login_name"] for user in await details(admin)][3:] == names


async def test_users_with_very_long_names(admin: Peer) -> None:
    long = "x" * 1_000_000
    for name in ("b1", "b2"):
        await done(admin, "Create", login_name=name, password="", full_name=long)
    assert [user["full_name"] == long for user in await details(admin)] == [False, False, True, True, False]


async def test_an_update_replaces_name_and_groups_but_no_password(admin: Peer) -> None:
    await done(admin, "Create", login_name="bob", password="x", full_name="Bob", groups=["readers"])
    await done(admin, "Update", login_name="bob", password="y", groups=["writers"])
    (bob,) = await details(admin, "bob")
    assert bob.get("full_name", "") == ""
    assert bob["groups"] == ["writers"]
    assert await logs_in(admin, "bob", "x")
    assert not await logs_in(admin, "bob", "y")


async def test_a_name_is_taken_once(admin: Peer) -> None:
    await done(admin, "Create", login_name="bob", password="x", full_name="Bob")
    await done(admin, "Create", login_name="bob", password="x", full_name="Other", groups=["$admins"])
    (bob,) = await details(admin, "bob")
    assert (bob["full_name"], bob.get("groups")) == ("Bob", None)
    conflict = Status.FAILED_PRECONDITION, "Conflict.", {"exception": "user-conflict", "login-name": "bob"}
    assert await ask(admin, "Create", login_name="bob", password="y", full_name="Bob") == conflict
    await done(admin, "Disable", login_name="bob")
    await done(admin, "Create", login_name="bob", password="x")
    assert not await logs_in(admin, "bob", "x")


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "ä", "名", "$admins", "system", "x" * 300, "a\nb"])
async def test_odd_names(admin: Peer, name: str) -> None:
    await done(admin, "Create", login_name=name, password="")
    assert await logs_in(admin, name, "")
    await done(admin, "ChangePassword", login_name=name, new_password="x")
    assert await logs_in(admin, name, "x")
    await done(admin, "Delete", login_name=name)
    assert not await logs_in(admin, name, "x")


@pytest.mark.parametrize("method", ["Update", "Delete", "Disable", "Enable", "ResetPassword", "ChangePassword"])
async def test_users_that_do_not_exist(admin: Peer, method: str) -> None:
    assert await ask(admin, method, login_name="bob") == unknown("bob")
    await done(admin, "Create", login_name="bob", password="")
    await done(admin, "Delete", login_name="bob")
    assert await ask(admin, method, login_name="bob") == unknown("bob")
    without_name = Status.NOT_FOUND, "User '' is not found.", {"exception": "user-not-found"}
    assert await ask(admin, method, login_name="") == without_name


async def test_no_details_of_a_user_that_does_not_exist(ann: Peer) -> None:
    assert await ask(ann, "Details", login_name="bob") == unknown("bob")


async def test_disabling_and_enabling(admin: Peer) -> None:
    assert await logs_in(admin, "ann", "Secret1!")
    for _ in range(2):
        await done(admin, "Disable", login_name="ann")
        assert not await logs_in(admin, "ann", "Secret1!")
    for _ in range(2):
        await done(admin, "Enable", login_name="ann")
        assert await logs_in(admin, "ann", "Secret1!")


async def test_passwords(admin: Peer, ann: Peer) -> None:
    await done(ann, "ChangePassword", login_name="ann", current_password="Secret1!", new_password="Secret2!")
    assert (await logs_in(ann, "ann", "Secret1!"), await logs_in(ann, "ann", "Secret2!")) == (False, True)
    for peer in (admin, ann.user("ann", "Secret2!")):
        answer = await ask(peer, "ChangePassword", login_name="ann", current_password="Secret1!", new_password="x")
        assert answer == DENIED
    await done(admin, "ChangePassword", login_name="ann", current_password="Secret2!", new_password="Secret3!")
    await done(admin, "ResetPassword", login_name="ann", new_password="")
    assert (await logs_in(ann, "ann", "Secret3!"), await logs_in(ann, "ann", "")) == (False, True)
    # Whoever knows the password of another user may change it.
    await done(ann.user("ann", ""), "ChangePassword", login_name="ops", current_password="changeit", new_password="x")
    assert await logs_in(ann, "ops", "x")


async def test_a_disabled_user_keeps_the_password(admin: Peer) -> None:
    await done(admin, "Disable", login_name="ann")
    await done(admin, "ChangePassword", login_name="ann", current_password="Secret1!", new_password="Secret2!")
    assert (await details(admin, "ann"))[0]["disabled"] is True
    await done(admin, "Enable", login_name="ann")
    assert await logs_in(admin, "ann", "Secret2!")


ALLOWED: dict[str, tuple[str, ...]] = {
    "Create": ("admin",),
    "Update": ("admin",),
    "Delete": ("admin",),
    "Disable": ("admin",),
    "Enable": ("admin",),
    "ResetPassword": ("admin",),
    "ChangePassword": ("admin", "ops", "ann"),
    "Details": ("admin", "ops", "ann"),
}


@pytest.mark.parametrize("who", ["admin", "ops", "ann", "nobody"])
@pytest.mark.parametrize("method", ALLOWED)
async def test_who_may_manage_users(admin: Peer, ann: Peer, peer: Peer, method: str, who: str) -> None:
    caller = {"admin": admin, "ops": peer.user("ops"), "ann": ann, "nobody": peer}[who]
    options = {"login_name": "ann"}
    if method == "ChangePassword":
        options |= {"current_password": "Secret1!", "new_password": "Secret1!"}
    elif method == "Create":
        options |= {"password": "Secret1!"}
    answer = await ask(caller, method, **options)
    assert answer == ((Status.OK, "", {}) if who in ALLOWED[method] else DENIED)
    _, outcome = await caller.ask(USERS + method, {})
    if who not in ALLOWED[method]:
        assert (outcome.status, outcome.message) == DENIED[:2]
    elif method != "Details":
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, UNKNOWN)


async def test_users_are_managed_by_the_group_not_by_the_name(admin: Peer) -> None:
    await done(admin, "Create", login_name="chief", password="x", groups=["$admins"])
    chief = admin.user("chief", "x")
    await done(chief, "Update", login_name="admin", full_name="Nobody", groups=[])
    assert await ask(admin, "Enable", login_name="ann") == DENIED
    assert (await admin.ask(STREAMS + "Read", read_request()))[1].ok  # rights to streams go by the name, too
    await done(chief, "Enable", login_name="ann")


async def test_groups_count_at_once(admin: Peer, ann: Peer) -> None:
    async def reads() -> bool:
        return (await ann.ask(STREAMS + "Read", read_request()))[1].ok

    assert not await reads()
    await done(admin, "Update", login_name="ann", groups=["$admins"])
    assert await reads()
    await done(admin, "Update", login_name="ann")
    assert not await reads()


# -- the events


async def test_what_a_user_is_on_disk(admin: Peer) -> None:
    await done(admin, "Create", login_name="bob", password="päss", full_name='B "b"\u2028ä', groups=["a", "b"])
    (event,) = await events(admin, "$user-bob")
    assert event[:2] == ("$UserCreated", "application/json")
    data = json.loads(event[2])
    salt, hash = base64.b64decode(data["salt"]), base64.b64decode(data["hash"])
    assert (len(salt), hash) == (16, hashlib.pbkdf2_hmac("sha1", "päss".encode(), salt, 1000, 20))
    assert event[2] == (
        '{\n  "loginName": "bob",\n  "fullName": "B \\"b\\"\\u2028ä",\n  "groups": [\n    "a",\n    "b"\n  ],\n'
        f'  "hash": "{data["hash"]}",\n  "salt": "{data["salt"]}",\n  "disabled": false\n}}'
    )
    assert await events(admin, "$$$user-bob") == [
        ("$metadata", "application/json", '{"$acl":{"$w":"$admins","$d":"$admins","$mw":"$admins"}}')
    ]
    await done(admin, "Create", login_name="eve", password="päss")
    assert json.loads((await events(admin, "$user-eve"))[0][2])["hash"] != data["hash"]
    users = [name for _, _, name in await events(admin, "$users")]
    assert users == ["admin", "ops", "ann", "bob", "eve"]
    assert {event[:2] for event in await events(admin, "$users")} == {("$User", "application/octet-stream")}


async def test_changes_are_notified(admin: Peer) -> None:
    stream = "$users-password-notifications"
    await done(admin, "Enable", login_name="ann")
    assert await events(admin, stream) == []
    for method in ("Update", "Disable", "ResetPassword", "Delete"):
        await done(admin, method, login_name="ann")
    changed = ("$PasswordChanged", "application/json", '{\n  "loginName": "ann"\n}')
    assert await events(admin, stream) == [changed] * 4
    assert await events(admin, "$$" + stream) == [("$metadata", "application/json", '{"$maxAge":3600}')]
    assert [type for type, _, _ in await events(admin, "$user-ann")] == []
    await trio.sleep(3601)
    assert await events(admin, stream) == []
    await done(admin, "Disable", login_name="ops")
    assert len(await events(admin, stream)) == 1
    assert len(await admin.numbers("$$" + stream)) == 1


async def test_the_first_events() -> None:
    for empty in (False, True):
        async with EmbeddedNode(users={"ann": ""}, empty=empty) as node, connected(node) as peer:
            messages, _ = await peer.user("admin").ask(STREAMS + "Read", read_request())
            found = [message["event"]["event"] for message in messages]
            streams = [event["stream_identifier"]["stream_name"] for event in found]
            assert streams == [
                *([] if empty else ["$$$scavenges"]),
                *("$$$user-admin", "$$$user-ops", "$$$user-ann", "$user-admin", "$user-ops", "$user-ann"),
                *("$users", "$users", "$users"),
            ]
            assert {event["metadata"]["created"] for event in found} == {str(FIRST_TICKS)}


async def put(peer: Peer, stream: str, data: bytes) -> None:
    await peer.append(stream, peer.event(data))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"loginName":5}', b'{"loginName":"ann","groups":"x"}', b'{"loginName":"ann","disabled":1}']
)
async def test_a_broken_user(admin: Peer, data: bytes) -> None:
    await put(admin, "$user-ann", data)
    assert not await logs_in(admin, "ann", "Secret1!")
    for method in ("Details", "Update", "Delete", "Create"):
        status, message, _ = await ask(admin, method, login_name="ann")
        assert status is Status.INVALID_ARGUMENT
        assert message.startswith("A real node never answers")
    assert (await ask(admin, "Details"))[:2] == (Status.UNKNOWN, "Unexpected Error: Error")


@pytest.mark.parametrize("data", [b'{"loginName":"ann"}', b'{"loginName":"ann","salt":"abc","hash":"aGFzaA=="}'])
async def test_a_user_without_a_password_of_use(admin: Peer, data: bytes) -> None:
    await put(admin, "$user-ann", data)
    assert not await logs_in(admin, "ann", "")
    assert (await details(admin, "ann"))[0]["login_name"] == "ann"


async def test_the_stream_of_a_user_that_is_another(admin: Peer, ann: Peer) -> None:
    await put(admin, "$user-ann", b'{"loginName":"bob","fullName":null,"groups":null}')
    outcome: Outcome = (await ann.ask(STREAMS + "Read", read_request("s")))[1]
    assert (outcome.status, outcome.message) == (Status.UNKNOWN, "Internal server error")
    conflict = Status.FAILED_PRECONDITION, "Conflict.", {"exception": "user-conflict", "login-name": "ann"}
    assert await ask(admin, "Disable", login_name="ann") == conflict


async def test_a_user_whose_stream_is_gone_for_ever(admin: Peer) -> None:
    assert (await admin.remove("$user-ann", how="Tombstone")).ok
    assert not await logs_in(admin, "ann", "Secret1!")
    assert await ask(admin, "Details", login_name="ann") == unknown("ann")
    conflict = Status.FAILED_PRECONDITION, "Conflict.", {"exception": "user-conflict", "login-name": "ann"}
    assert await ask(admin, "Create", login_name="ann", password="x") == conflict
    assert (await admin.remove("$user-bob", how="Tombstone")).ok
    assert (await ask(admin, "Create", login_name="bob"))[:2] == (Status.UNKNOWN, "Unexpected Error: Error")


async def test_without_the_list_of_users(admin: Peer) -> None:
    await put(admin, "$users", b"not a user")
    assert len(await details(admin)) == 3
    assert (await admin.remove("$users")).ok
    assert (await ask(admin, "Details"))[:2] == (Status.NOT_FOUND, "User '' is not found.")
    assert len(await details(admin, "ann")) == 1
    assert (await admin.remove("$users", how="Tombstone")).ok
    assert (await ask(admin, "Details"))[:2] == (Status.UNKNOWN, "Unexpected Error: Error")
    assert (await ask(admin, "Create", login_name="bob"))[0] is Status.FAILED_PRECONDITION


async def test_without_the_stream_of_notifications(admin: Peer) -> None:
    assert (await admin.remove("$users-password-notifications", how="Tombstone")).ok
    assert (await ask(admin, "Disable", login_name="ann"))[:2] == (Status.UNKNOWN, "Unexpected Error: Error")
    assert not await logs_in(admin, "ann", "Secret1!")


async def test_changes_wait_for_a_large_append(peer: Peer, admin: Peer) -> None:
    options = {"stream_identifier": {"stream_name": b"s"}, "any": {}}
    large = admin.call(STREAMS + "Append").send({"options": options})
    large.send(*({"proposed_message": admin.event()} for _ in range(3000))).half_close()
    created = admin.call(USERS + "Create").send({"options": {"login_name": "bob", "password": "x"}}).half_close()
    assert (await created.end()).ok
    assert (await large.end()).ok
    assert await logs_in(peer, "bob", "x")
