"""Scenarios of authentication and access control; they need a node with authentication.

The node's default users must have their default passwords (admin and ops: changeit).
"""

from __future__ import annotations

import base64
import json

from .driver import Talk, basic, scenario
from .others import OPS as OPERATIONS
from .others import F, G, M
from .persistent import P, consume, create, info
from .streams import S, append, batch, delete, many, proposed, read, set_metadata, subscribe, tombstone
from .users import U

J = "/event_store.client.projections.Projections/"

ADMIN, OPS = ("admin", "changeit"), ("ops", "changeit")


def acting(t: Talk, who: tuple[str, str] | None, header: str | None = None) -> None:
    """From here on speak as this user; None sends no credentials; header is sent as it is."""
    value = header if header is not None else who and basic(*who)
    t.metadata = (("authorization", value),) if value else ()
    t.say(f"as {who[0] if who else 'header ' + header if header else 'nobody'}")


def person(t: Talk, name: str, *groups: str) -> tuple[str, str]:
    acting(t, ADMIN)
    login = f"{t.stream()}-{name}"
    t.ask(
        U + "Create",
        {"options": {"login_name": login, "password": "Secret1!", "full_name": name, "groups": list(groups)}},
    )
    return login, "Secret1!"


def acl(t: Talk, stream: str, key: str, **rights) -> None:
    acting(t, ADMIN)
    set_metadata(t, stream, "any", json.dumps({"$acl": {"$" + k: v for k, v in rights.items()}}).encode(), key)


def try_all(t: Talk, stream: str) -> None:
    """One call of every kind."""
    append(t, stream, "any", proposed(t, f"try-{len(t.steps)}"))
    read(t, stream, count=1)
    read(t, count=1, at="end", backwards=True)
    read(t, "$$" + stream, count=1)
    sub = subscribe(t, stream)
    sub.recv(1)
    sub.cancel()
    call = t.open(S + "BatchAppend")
    call.send(batch(t, f"b-{len(t.steps)}", stream, "any", proposed(t, f"try-{len(t.steps)}"), deadline=20))
    call.recv(1)
    call.cancel()
    delete(t, stream + "-none", "any")
    tombstone(t, stream + "-nil", "no_stream")


@scenario("access/nobody")
def _(t):
    acting(t, ADMIN)
    append(t, t.stream(), "any", *many(t, 2))
    acting(t, None)
    try_all(t, t.stream())
    append(t, "$" + t.stream(), "any", proposed(t, "sys"))
    read(t, "$users", count=1)


@scenario("access/nobody-elsewhere")
def _(t):
    acting(t, None)
    t.ask(F + "GetSupportedMethods", {})
    t.ask(G + "Read", {})
    create(t, "g", t.stream())
    info(t, "g", t.stream())
    t.ask(P + "List", {"options": {"list_all_subscriptions": {}}})
    consume(t, "g", t.stream()).recv_end()
    t.ask(U + "Details", {"options": {}})
    t.ask(U + "Create", {"options": {"login_name": "x", "password": "y", "full_name": "z"}})
    t.ask(J + "Statistics", {"options": {"all": {}}})
    t.ask(OPERATIONS + "MergeIndexes", {})
    call = t.open(M + "Stats")
    call.send({"use_metadata": False, "refresh_time_period_in_ms": 300}).half_close()
    mark = len(t.steps)
    got = call.recv(1)
    if got:
        del t.steps[mark:]
        t.say("statistics came")
    call.cancel()


@scenario("access/wrong-credentials")
def _(t):
    for who, header in (
        (("admin", "wrong"), None),
        (("nobody-at-all", "x"), None),
        (("admin", ""), None),
        (None, "Basic not-base64!"),
        (None, "Basic " + base64.b64encode(b"nocolon").decode()),
        (None, "Bearer abc"),
        (None, "nonsense"),
    ):
        acting(t, who, header)
        append(t, t.stream(), "any", proposed(t, len(t.steps)))
        read(t, t.stream(), count=1)
        t.ask(G + "Read", {})


@scenario("access/ops-user")
def _(t):
    acting(t, OPS)
    append(t, t.stream(), "any", proposed(t, "a"))
    read(t, count=1, at="end", backwards=True)
    create(t, "g", t.stream())
    t.ask(U + "Details", {"options": {}})
    t.ask(OPERATIONS + "SetNodePriority", {"priority": 0})
    t.ask(OPERATIONS + "StopScavenge", {"options": {"scavenge_id": "nope"}})


@scenario("access/stream-acl")
def _(t):
    ann, bob = person(t, "ann"), person(t, "bob")
    append(t, t.stream(), "any", *many(t, 2))
    acl(t, t.stream(), "acl", r=ann[0], w=[ann[0], bob[0]], d="$admins", mr=bob[0], mw="$admins")
    for who in (ann, bob, None, ADMIN):
        acting(t, who)
        try_all(t, t.stream())
        if who != ADMIN:
            body = json.dumps({"$acl": {"$r": ann[0]}, "x": 1}).encode()
            set_metadata(t, t.stream(), "any", body, f"mw-{who and who[0]}")
        delete(t, t.stream(), 9_999)


@scenario("access/disabled-user")
def _(t):
    ann = person(t, "ann")
    for change in ("Disable", "Enable"):
        acting(t, ADMIN)
        t.ask(U + change, {"options": {"login_name": ann[0]}})
        acting(t, ann)
        append(t, t.stream(), "any", proposed(t, change))


@scenario("access/persistent-subscription")
def _(t):
    ann = person(t, "ann")
    acting(t, ADMIN)
    append(t, t.stream(), "any", *many(t, 1))
    create(t, "g", t.stream())
    create(t, "g-" + t.stream())
    acting(t, ann)
    call = consume(t, "g", t.stream())
    call.recv(2)
    call.cancel()
    consume(t, "g-" + t.stream()).recv_end(patience=2)
    info(t, "g", t.stream())
    acl(t, t.stream(), "acl", r="$admins")
    acting(t, ann)
    consume(t, "g", t.stream()).recv_end(patience=2)
