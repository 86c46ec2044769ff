"""Scenarios of the corners of access control; they need a node with TLS and authentication, like access.py."""

from __future__ import annotations

import json

from .access import ADMIN, acting, person
from .driver import Talk, scenario
from .edges import link, unsaid
from .edges_persistent import some_info
from .persistent import PARK, consume, create, nack, replay
from .streams import S, append, batch, delete, live, many, proposed, read, set_metadata, subscribe, tombstone


def quietly(t: Talk, who, stream: str, key: str, body: dict) -> None:
    """Write metadata as admin, then go on as this user."""
    with unsaid(t, f"admin writes metadata of {stream}: {json.dumps(body)}"):
        acting(t, ADMIN)
        set_metadata(t, stream, "any", json.dumps(body).encode(), key)
    acting(t, who)


@scenario("access/rights-lost-while-subscribed")
def _(t):
    ann = person(t, "ann")
    append(t, t.stream(), "any", *many(t, 1))
    acting(t, ann)
    sub = subscribe(t, t.stream())
    sub.recv_until(live)
    quietly(t, ann, t.stream(), "m1", {"$acl": {"$r": [ann[0]]}})
    append(t, t.stream(), "any", *many(t, 1, start=1))
    sub.recv(1)
    quietly(t, ann, t.stream(), "m2", {"$acl": {"$r": "$admins"}})
    sub.recv_end(patience=2)
    read(t, t.stream())
    acting(t, ADMIN)
    own = subscribe(t, t.stream())
    own.recv_until(live)
    quietly(t, ADMIN, t.stream(), "m3", {"$acl": {"$r": []}})
    own.quiet(0.4)
    own.cancel()


@scenario("access/rights-to-read-metadata-and-delete")
def _(t):
    ann = person(t, "ann")
    append(t, t.stream(), "any", *many(t, 1))
    quietly(t, ann, t.stream(), "m1", {"$acl": {"$mr": ann[0], "$mw": "$admins", "$d": []}})
    read(t, "$$" + t.stream())
    set_metadata(t, t.stream(), "any", b"{}", "no")
    delete(t, t.stream(), "any")
    tombstone(t, t.stream(), "any")
    delete(t, "$$" + t.stream(), "any")
    quietly(t, ann, t.stream(), "m2", {"$acl": {"$mr": "$admins", "$mw": ann[0], "$d": ann[0], "$r": [], "$w": []}})
    read(t, "$$" + t.stream())
    append(t, t.stream(), "any", proposed(t, "w"))
    append(t, t.stream(), "any")
    set_metadata(t, t.stream(), "any", b'{"$acl":{"$d":"' + ann[0].encode() + b'"}}', "yes")
    read(t, "$$" + t.stream())
    delete(t, t.stream(), "any")  # the rights go with the metadata
    append(t, t.stream(), "any", proposed(t, "again"))
    read(t, t.stream())
    acting(t, ADMIN)
    delete(t, "$$" + t.stream(), "any")
    tombstone(t, "$$" + t.stream(), "any")
    acting(t, None)
    read(t, "$$" + t.stream())
    set_metadata(t, t.stream(), "any", b"{}", "nobody")


@scenario("access/odd-acls")
def _(t):
    ann = person(t, "ann", "readers")
    append(t, t.stream(), "any", *many(t, 1))
    odd = (
        {"$acl": {"$r": ""}},
        {"$acl": {"$r": []}},
        {"$acl": {}},
        {"$acl": {"$r": ["nobody-like-this", "readers"]}},
        {"$acl": {"$r": ["$all"]}},
        {"$acl": {"$r": "$all "}},
        {"$acl": {"$r": "$admins", "$x": 1}},
        {"$acl": {"$r": "$admins"}, "$maxCount": 1.5},
        {"$acl": {"$r": None}},
        {"$acl": {"$r": "$ops"}},
        {"$acl": {"$w": "$admins"}},
        {"$acl": {"$r": ann[0].upper()}},
    )
    for i, body in enumerate(odd):
        quietly(t, ann, t.stream(), f"m{i}", body)
        read(t, t.stream(), count=1)


@scenario("access/links-and-targets")
def _(t):
    ann = person(t, "ann")
    append(t, t.stream("secret"), "any", *many(t, 1))
    append(t, t.stream("l"), "any", link(t, f"0@{t.stream('secret')}", "l"))
    quietly(t, ann, t.stream("secret"), "m", {"$acl": {"$r": "$admins"}})
    read(t, t.stream("secret"))
    read(t, t.stream("l"), links=True)
    acting(t, ADMIN)
    create(t, "g", t.stream("l"), resolve_links=True)
    acting(t, ann)
    call = consume(t, "g", t.stream("l"))
    call.recv(2)
    call.cancel()


@scenario("access/persistent-rights-lost")
def _(t):
    ann = person(t, "ann")
    append(t, t.stream(), "any", *many(t, 2))
    create(t, "g", t.stream())
    acting(t, ann)
    call = consume(t, "g", t.stream())
    nack(call, call.recv(3)[1:2], PARK)
    quietly(t, ann, t.stream(), "m1", {"$acl": {"$r": "$admins", "$w": "$all"}})
    append(t, t.stream(), "any", *many(t, 1, start=2))
    call.recv(1, patience=1.5)
    call.cancel()
    consume(t, "g", t.stream()).recv_end(patience=2)
    some_info(t, "g", t.stream(), "event_source", "parked_message_count")
    replay(t, "g", t.stream())
    read(t, f"$persistentsubscription-{t.stream()}::g-parked")


@scenario("access/batches")
def _(t):
    ann = person(t, "ann")
    append(t, t.stream("closed"), "any", *many(t, 1))
    quietly(t, ann, t.stream("closed"), "m", {"$acl": {"$w": "$admins"}})
    call = t.open(S + "BatchAppend")
    for cid, stream in (("c1", "open"), ("c2", "closed"), ("c3", "open")):
        call.send(batch(t, cid, t.stream(stream), "any", proposed(t, cid), deadline=20))
        call.recv(1)
    no_name = batch(t, "c4", t.stream("open"), "any", proposed(t, "c4"), deadline=20)
    no_name["options"].pop("stream_identifier")
    call.send(no_name)
    call.recv(1, patience=1.5)
    call.send(batch(t, "c5", "$" + t.stream(), "any", proposed(t, "c5"), final=False, deadline=20))
    call.recv(1, patience=1.5)
    call.send({"correlation_id": t.uid_msg("c5"), "proposed_messages": [proposed(t, "c5b")], "is_final": True})
    call.quiet(0.4)
    call.cancel()
    read(t, t.stream("open"))
