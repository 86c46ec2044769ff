"""Scenarios of the Streams service."""

from __future__ import annotations

from .driver import Talk, scenario

S = "/event_store.client.streams.Streams/"
JSON = "application/json"
BIN = "application/octet-stream"
MAX_REVISION = (1 << 64) - 1


# -- requests ----------------------------------------------------------------
def options(stream: str, expect) -> dict:
    """expect: an int revision, or 'no_stream' / 'any' / 'stream_exists'."""
    revision = {"revision": expect} if isinstance(expect, int) else ({expect: {}} if expect else {})
    return {"stream_identifier": {"stream_name": stream.encode()}, **revision}


def proposed(t: Talk, key, type="Happened", data=b'{"n":1}', meta=b"", content=JSON, form="string", metadata=None):
    return {
        "id": t.uid_msg(key, form),
        "metadata": {"type": type, "content-type": content} if metadata is None else metadata,
        "custom_metadata": meta,
        "data": data,
    }


def append(t: Talk, stream: str, expect, *events: dict, metadata=None):
    return t.ask(
        S + "Append",
        {"options": options(stream, expect)},
        *({"proposed_message": e} for e in events),
        metadata=metadata,
    )


def many(t: Talk, n: int, start=0, **kw):
    return [proposed(t, i, data=b'{"n":%d}' % i, **kw) for i in range(start, start + n)]


def read_req(
    stream=None,
    *,
    at="start",
    backwards=False,
    count=None,
    subscribe=False,
    links=False,
    filter=None,
    uuid="string",
    control=None,
) -> dict:
    """at: 'start', 'end', an int revision, or (commit, prepare) on $all."""
    if stream is not None:
        where = {"revision": at} if isinstance(at, int) else {at: {}}
        source = {"stream": {"stream_identifier": {"stream_name": stream.encode()}, **where}}
    else:
        where = (
            {"position": {"commit_position": at[0], "prepare_position": at[1]}} if isinstance(at, tuple) else {at: {}}
        )
        source = {"all": where}
    o = {
        **source,
        "read_direction": 1 if backwards else 0,
        "resolve_links": links,
        **({"subscription": {}} if subscribe else {"count": MAX_REVISION >> 1 if count is None else count}),
        **({"filter": filter} if filter else {"no_filter": {}}),
    }
    if uuid:
        o["uuid_option"] = {uuid: {}}
    if control is not None:
        o["control_option"] = {"compatibility": control}
    return {"options": o}


def read(t: Talk, stream=None, **kw):
    return t.ask(S + "Read", read_req(stream, **kw))


def subscribe(t: Talk, stream=None, **kw):
    call = t.open(S + "Read")
    call.send(read_req(stream, subscribe=True, **kw)).half_close()
    return call


def types(*prefixes, by="event_type", regex=None, window=None, interval=1):
    f = {by: {"regex": regex} if regex else {"prefix": list(prefixes)}, "checkpointIntervalMultiplier": interval}
    f.update({"max": window} if window else {"count": {}})
    return f


def position(messages: list[dict], i=-1) -> tuple[int, int]:
    p = messages[i]["success"]["position"]
    return p.get("commit_position", 0), p.get("prepare_position", 0)


# -- appending ---------------------------------------------------------------
@scenario("append/new-stream")
def _(t):
    append(t, t.stream(), "no_stream", proposed(t, "a"))
    append(t, t.stream(), 0, proposed(t, "b"), proposed(t, "c"))
    read(t, t.stream())


@scenario("append/any-and-exists")
def _(t):
    append(t, t.stream(), "any", proposed(t, "a"))
    append(t, t.stream(), "any", proposed(t, "b"))
    append(t, t.stream(), "stream_exists", proposed(t, "c"))
    append(t, t.stream("other"), "stream_exists", proposed(t, "d"))
    read(t, t.stream())


@scenario("append/wrong-expected-version")
def _(t):
    append(t, t.stream(), 5, proposed(t, "x"))
    append(t, t.stream(), 0, proposed(t, "x0"))
    append(t, t.stream(), "no_stream", *many(t, 3))
    append(t, t.stream(), "no_stream", proposed(t, "y"))
    append(t, t.stream(), 0, proposed(t, "z"))
    append(t, t.stream(), 1, proposed(t, "z1"))
    append(t, t.stream(), 3, proposed(t, "w"))
    append(t, t.stream(), 100, proposed(t, "w1"))
    append(t, t.stream(), MAX_REVISION >> 1, proposed(t, "v"))
    append(t, t.stream(), MAX_REVISION, proposed(t, "v2"))
    read(t, t.stream())


@scenario("append/no-expectation-given")
def _(t):
    append(t, t.stream(), None, proposed(t, "a"))
    read(t, t.stream())


@scenario("append/idempotent-same-expectation")
def _(t):
    e = many(t, 4)
    append(t, t.stream(), "no_stream", e[0])
    append(t, t.stream(), 0, e[1], e[2])
    append(t, t.stream(), 0, e[1], e[2])
    append(t, t.stream(), "no_stream", e[0])
    append(t, t.stream(), 2, e[3])
    append(t, t.stream(), 0, e[1], e[2])
    read(t, t.stream())


@scenario("append/idempotent-any")
def _(t):
    e = many(t, 4)
    append(t, t.stream(), "any", e[0], e[1])
    append(t, t.stream(), "any", e[0], e[1])
    append(t, t.stream(), "any", e[1])
    append(t, t.stream(), "any", e[2])
    append(t, t.stream(), "any", e[0], e[1])
    append(t, t.stream(), "stream_exists", e[2])
    append(t, t.stream(), "any", e[1], e[2])
    read(t, t.stream())


@scenario("append/same-id-other-stream")
def _(t):
    e = proposed(t, "shared")
    append(t, t.stream("a"), "no_stream", e)
    append(t, t.stream("b"), "no_stream", e)
    append(t, t.stream("a"), 0, e)
    read(t, t.stream("a"))
    read(t, t.stream("b"))


@scenario("append/nothing")
def _(t):
    append(t, t.stream(), "no_stream")
    read(t, t.stream())
    append(t, t.stream(), "any")
    append(t, t.stream(), "stream_exists")
    append(t, t.stream(), "any", proposed(t, "a"))
    append(t, t.stream(), 0)
    append(t, t.stream(), 4)
    append(t, t.stream(), "no_stream")
    append(t, t.stream(), "any")
    read(t, t.stream())


@scenario("append/content-and-metadata")
def _(t):
    append(
        t,
        t.stream(),
        "any",
        proposed(t, "json", data=b'{"a": 1}', meta=b'{"m": 2}'),
        proposed(t, "bin", data=bytes(range(256)), meta=b"\x00\xff", content=BIN),
        proposed(t, "empty", data=b"", meta=b""),
        proposed(t, "notjson", data=b"not json at all"),
        proposed(t, "structured", form="structured"),
        proposed(t, "unicode", type="Üñï-çødé ✓", data='{"t":"✓"}'.encode()),
    )
    read(t, t.stream())
    read(t, t.stream(), uuid="structured")


@scenario("append/bad-metadata")
def _(t):
    append(t, t.stream(), "any", proposed(t, "a", metadata={"content-type": JSON}))
    append(t, t.stream(), "any", proposed(t, "b", metadata={"type": "T"}))
    append(t, t.stream(), "any", proposed(t, "c", metadata={}))
    append(t, t.stream(), "any", proposed(t, "d", metadata={"type": "T", "content-type": "text/plain"}))
    append(t, t.stream(), "any", proposed(t, "e", metadata={"type": "T", "content-type": JSON, "extra": "kept?"}))
    append(t, t.stream(), "any", proposed(t, "f", metadata={"type": "", "content-type": JSON}))
    append(t, t.stream(), "any", {"id": {}, "metadata": {"type": "T", "content-type": JSON}, "data": b"{}"})
    append(t, t.stream(), "any", {"metadata": {"type": "T", "content-type": JSON}, "data": b"{}"})
    append(
        t,
        t.stream(),
        "any",
        {"id": {"string": "not-a-uuid"}, "metadata": {"type": "T", "content-type": JSON}, "data": b"{}"},
    )
    read(t, t.stream())


@scenario("append/bad-shape")
def _(t):
    t.ask(S + "Append")
    t.ask(S + "Append", {"proposed_message": proposed(t, "a")})
    t.ask(S + "Append", {})
    t.ask(S + "Append", {"options": {}}, {"proposed_message": proposed(t, "b")})
    t.ask(S + "Append", {"options": options("", "any")}, {"proposed_message": proposed(t, "c")})
    t.ask(
        S + "Append",
        {"options": options(t.stream(), "any")},
        {"proposed_message": proposed(t, "d")},
        {"options": options(t.stream("x"), "any")},
    )
    t.ask(S + "Append", {"options": options(t.stream(), "any")}, {})
    read(t, t.stream())


@scenario("append/too-large")
def _(t):
    append(t, t.stream(), "any", proposed(t, "a", data=b"x" * (1024 * 1024 - 2000), content=BIN))
    append(t, t.stream(), "any", proposed(t, "b", data=b"x" * (1024 * 1024 + 1), content=BIN))
    append(t, t.stream(), "any", *[proposed(t, i, data=b"x" * 300_000, content=BIN) for i in range(5)])
    append(t, t.stream(), "any", proposed(t, "c", data=b"x" * (5 * 1024 * 1024), content=BIN))
    append(t, t.stream(), "any", proposed(t, "d"))
    read(t, t.stream(), backwards=True, at="end", count=1)


@scenario("append/system-streams")
def _(t):
    append(t, "$" + t.stream(), "any", proposed(t, "a"))
    append(t, t.stream(), "any", proposed(t, "b", type="$systemish"))
    append(t, "$all", "any", proposed(t, "c"))
    append(t, "$$" + t.stream(), "any", proposed(t, "d", type="$metadata", data=b'{"$maxCount":2}'))
    append(t, "$$$$x", "any", proposed(t, "e"))
    read(t, "$$" + t.stream())
    read(t, "$" + t.stream())
    read(t, t.stream())


# -- reading -----------------------------------------------------------------
@scenario("read/stream-ranges")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 6))
    for kw in (
        {},
        {"count": 2},
        {"at": 3},
        {"at": 3, "count": 2},
        {"at": 5},
        {"at": 6},
        {"at": 60},
        {"at": "end"},
        {"backwards": True, "at": "end"},
        {"backwards": True, "at": "end", "count": 2},
        {"backwards": True, "at": 3},
        {"backwards": True, "at": 3, "count": 2},
        {"backwards": True, "at": 0},
        {"backwards": True, "at": "start"},
        {"backwards": True, "at": 60},
        {"count": 0},
        {"backwards": True, "at": "end", "count": 0},
        {"at": MAX_REVISION},
        {"count": MAX_REVISION},
    ):
        read(t, t.stream(), **kw)


@scenario("read/missing-stream")
def _(t):
    read(t, t.stream())
    read(t, t.stream(), at="end", backwards=True, count=1)
    read(t, t.stream(), at=7)
    read(t, "$$" + t.stream())


@scenario("read/bad-shape")
def _(t):
    append(t, t.stream(), "any", proposed(t, "a"))
    t.ask(S + "Read", {})
    t.ask(S + "Read", {"options": {}})
    r = read_req(t.stream())["options"]
    for missing in ("count", "no_filter"):  # without uuid_option the real node never answers
        t.ask(S + "Read", {"options": {k: v for k, v in r.items() if k != missing}})
    t.ask(S + "Read", {"options": {**r, "stream": {"stream_identifier": {"stream_name": t.stream().encode()}}}})
    t.ask(S + "Read", {"options": {**r, "stream": {"stream_identifier": {"stream_name": b""}, "start": {}}}})
    read(t, t.stream(), filter=types("H"))
    read(t, t.stream(), subscribe=True, backwards=True)


@scenario("read/links")
def _(t):
    append(t, t.stream("a"), "no_stream", *many(t, 3))

    def link(n, key, name="a"):
        return proposed(t, key, type="$>", data=f"{n}@{t.stream(name)}".encode(), content=BIN)

    append(
        t,
        t.stream("l"),
        "no_stream",
        link(0, "l0"),
        link(2, "l2"),
        link(9, "gone"),
        link(0, "nostream", "zz"),
        proposed(t, "plain"),
        proposed(t, "badlink", type="$>", data=b"nonsense"),
    )
    read(t, t.stream("l"))
    read(t, t.stream("l"), links=True)
    read(t, t.stream("l"), links=True, backwards=True, at="end", count=3)
    sub = subscribe(t, t.stream("l"), links=True)
    sub.recv(8)
    sub.quiet()
    sub.cancel()


@scenario("read/all-with-type-filter")
def _(t):
    tag = "RdAllF"
    r0 = append(t, t.stream("a"), "no_stream", *many(t, 3, type=tag + "One"))
    r1 = append(t, t.stream("b"), "no_stream", *many(t, 2, start=3, type=tag + "Two"))
    append(t, t.stream("c"), "no_stream", *many(t, 1, start=5, type="Z" + tag))
    read(t, filter=types(tag))
    read(t, filter=types(tag), backwards=True, at="end")
    read(t, filter=types(tag), count=2)
    read(t, filter=types(tag), backwards=True, at="end", count=2)
    read(t, filter=types(regex=f"^{tag}(One|Two)$"))
    read(t, filter=types(regex=f"^(?!{tag}One).*{tag}.*$"))
    read(t, filter=types(tag + "Two", "Z" + tag))
    read(t, filter=types(tag), at=position(r0))
    read(t, filter=types(tag), at=position(r0), backwards=True)
    read(t, filter=types(tag), at=position(r1))
    read(t, filter=types(tag), at=position(r1), backwards=True)


@scenario("read/all-bad-filter")
def _(t):
    append(t, t.stream(), "any", proposed(t, "a"))
    read(t, filter=types(regex="("), count=1)
    read(t, filter={"count": {}, "checkpointIntervalMultiplier": 1}, count=1)
    read(t, filter={"event_type": {"prefix": ["RdBad"]}, "checkpointIntervalMultiplier": 1}, count=1)
    read(t, filter={"event_type": {"prefix": ["RdBad"]}, "count": {}, "checkpointIntervalMultiplier": 0}, count=1)
    read(
        t,
        filter={
            "event_type": {"regex": "^RdBad$", "prefix": ["RdBad"]},
            "count": {},
            "checkpointIntervalMultiplier": 1,
        },
        count=1,
    )


@scenario("read/all-positions")
def _(t):
    tag = "RdAllP"
    rs = [append(t, t.stream(), "any", proposed(t, i, type=tag)) for i in range(3)]
    p = [position(r) for r in rs]
    read(t, at=p[1], count=1)
    read(t, at=p[1], count=1, backwards=True)
    read(t, at=p[2], count=5)
    read(t, at=(p[1][0] + 1, p[1][1] + 1), count=1, filter=types(tag))
    read(t, at=(p[1][0] + 1, p[1][1] + 1), count=1)
    read(t, at=(p[1][0], p[1][0] + 5), count=1)
    read(t, at=(p[1][1], 0), count=1)
    read(t, at=(1 << 40, 1 << 40), count=1)
    read(t, at=(1 << 40, 1 << 40), count=1, backwards=True)
    read(t, at="end", count=1)
    read(t, at="start", count=1, backwards=True)
    read(t, at=(MAX_REVISION, MAX_REVISION), count=1, backwards=True)
    read(t, at=(MAX_REVISION, MAX_REVISION), count=1)


# -- subscriptions -----------------------------------------------------------
def live(m):
    return "caught_up" in m


@scenario("subscribe/stream-from-start")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    sub = subscribe(t, t.stream())
    sub.recv_until(live)
    append(t, t.stream(), 2, *many(t, 2, start=3))
    sub.recv(2)
    sub.quiet()
    sub.cancel()


@scenario("subscribe/stream-from-revision-and-end")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    for at in (0, 1, 2, 10, "end"):
        sub = subscribe(t, t.stream(), at=at)
        sub.recv_until(live)
        sub.quiet()
        sub.cancel()
    sub = subscribe(t, t.stream(), at="end")
    sub.recv_until(live)
    append(t, t.stream(), 2, *many(t, 2, start=3))
    sub.recv(2)
    sub.quiet()
    sub.cancel()


@scenario("subscribe/stream-not-yet-there")
def _(t):
    sub = subscribe(t, t.stream())
    sub.recv(1)
    sub.quiet()
    append(t, t.stream(), "no_stream", *many(t, 2))
    sub.recv(2)
    sub.quiet()
    sub.cancel()
    sub = subscribe(t, t.stream("never"), at="end")
    sub.recv_until(live)
    sub.cancel()


@scenario("subscribe/tombstoned-stream")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    tombstone(t, t.stream(), "any")
    sub = subscribe(t, t.stream())
    sub.recv_end()
    sub = subscribe(t, t.stream(), at="end")
    sub.recv_until(live)
    sub.quiet()
    sub.cancel()


@scenario("subscribe/all-filtered-checkpoints")
def _(t):
    tag = "SubAllC"
    append(t, t.stream("m"), "no_stream", *many(t, 3, type=tag + "Mine"))
    marker = append(t, t.stream("o"), "no_stream", *many(t, 40, start=10, type=tag + "Other"))
    sub = subscribe(t, filter=types(tag + "Mine", window=10, interval=2), at=position(marker))
    sub.recv_until(live)
    append(t, t.stream("o"), "any", *many(t, 45, start=60, type=tag + "Other"))
    sub.recv_until(lambda m: False, patience=1.5)
    append(t, t.stream("m"), "any", *many(t, 2, start=200, type=tag + "Mine"))
    sub.recv(2)
    sub.quiet()
    sub.cancel()


@scenario("subscribe/all-unfiltered-from-position")
def _(t):
    r = append(t, t.stream(), "no_stream", *many(t, 1))
    append(t, t.stream(), 0, *many(t, 2, start=1))
    sub = subscribe(t, at=position(r))
    sub.recv_until(live)
    sub.cancel()
    t.steps = [s for s in t.steps if not others_event(s, t.stream())]


def others_event(step, stream):
    """An event of $all that this scenario did not write (projections and statistics write there too)."""
    event = step.get("body", {}).get("event") if step.get("got") == "message" else None
    return event is not None and event["event"]["stream_identifier"]["stream_name"] != stream


# -- deleting ----------------------------------------------------------------
def delete(t, stream, expect):
    return t.ask(S + "Delete", {"options": options(stream, expect)})


def tombstone(t, stream, expect):
    return t.ask(S + "Tombstone", {"options": options(stream, expect)})


@scenario("delete/then-read-and-recreate")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    delete(t, t.stream(), 2)
    read(t, t.stream())
    read(t, t.stream(), backwards=True, at="end", count=1)
    read(t, "$$" + t.stream())
    append(t, t.stream(), "stream_exists", proposed(t, "exists?"))
    append(t, t.stream(), "no_stream", *many(t, 2, start=10))
    read(t, t.stream())
    read(t, t.stream(), at=1)
    read(t, t.stream(), backwards=True, at="end")
    read(t, "$$" + t.stream())


@scenario("delete/expectations")
def _(t):
    delete(t, t.stream("none"), "no_stream")
    delete(t, t.stream("none2"), "any")
    delete(t, t.stream("none3"), "stream_exists")
    delete(t, t.stream("none4"), 3)
    append(t, t.stream(), "no_stream", *many(t, 3))
    delete(t, t.stream(), "no_stream")
    delete(t, t.stream(), 0)
    delete(t, t.stream(), 7)
    delete(t, t.stream(), "stream_exists")
    delete(t, t.stream(), "any")
    delete(t, t.stream(), 2)
    read(t, t.stream())


@scenario("tombstone/expectations")
def _(t):
    tombstone(t, t.stream("none"), "no_stream")
    tombstone(t, t.stream("none2"), "any")
    tombstone(t, t.stream("none3"), "stream_exists")
    tombstone(t, t.stream("none4"), 3)
    read(t, t.stream("none"))
    append(t, t.stream(), "any", *many(t, 2))
    delete(t, t.stream(), "any")
    tombstone(t, t.stream(), "any")
    read(t, t.stream())


# -- metadata streams --------------------------------------------------------
def set_metadata(t, stream, expect, body: bytes, key):
    return append(t, "$$" + stream, expect, proposed(t, key, type="$metadata", data=body))


@scenario("metadata/max-count")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 5))
    set_metadata(t, t.stream(), "no_stream", b'{"$maxCount":2}', "m1")
    read(t, t.stream())
    read(t, t.stream(), at=1)
    read(t, t.stream(), backwards=True, at="end")
    set_metadata(t, t.stream(), 0, b'{"$maxCount":4}', "m2")
    read(t, t.stream())
    read(t, "$$" + t.stream())
    read(t, "$$" + t.stream(), backwards=True, at="end", count=1)


@scenario("metadata/max-age")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    set_metadata(t, t.stream(), "any", b'{"$maxAge":1000}', "m1")
    read(t, t.stream())


@scenario("metadata/of-missing-stream-and-wrong-version")
def _(t):
    set_metadata(t, t.stream(), "no_stream", b'{"a":1}', "m1")
    set_metadata(t, t.stream(), "no_stream", b'{"a":2}', "m2")
    set_metadata(t, t.stream(), 0, b'{"a":3}', "m3")
    read(t, "$$" + t.stream())
    read(t, t.stream())
    append(t, t.stream(), "no_stream", proposed(t, "first"))
    set_metadata(t, t.stream(), "any", b"not json", "m4")
    read(t, t.stream())


# -- batch append ------------------------------------------------------------
def batch(t, cid, stream, expect, *events, final=True, deadline=None):
    o = {
        "stream_identifier": {"stream_name": stream.encode()},
        **({"stream_position": expect} if isinstance(expect, int) else {expect: {}} if expect else {}),
    }
    if deadline is not None:
        o["deadline"] = {"seconds": deadline}
    body = {"correlation_id": t.uid_msg(cid), "proposed_messages": list(events), "is_final": final}
    if expect is not False:
        body["options"] = o
    return body


@scenario("batch-append/several")
def _(t):
    call = t.open(S + "BatchAppend")
    for cid, stream, expect, n in (
        ("c1", "a", "no_stream", 2),
        ("c2", "a", 1, 1),
        ("c3", "b", "any", 1),
        ("c4", "a", "stream_exists", 1),
    ):
        call.send(batch(t, cid, t.stream(stream), expect, *many(t, n, start=int(cid[1]) * 10), deadline=20))
        call.recv(1)
    call.half_close()
    call.quiet()
    call.cancel()
    read(t, t.stream("a"))


@scenario("batch-append/chunked")
def _(t):
    call = t.open(S + "BatchAppend")
    call.send(batch(t, "c", t.stream(), "no_stream", *many(t, 2), final=False, deadline=20))
    call.quiet()
    call.send({"correlation_id": t.uid_msg("c"), "proposed_messages": many(t, 2, start=2), "is_final": True})
    call.recv(1)
    call.half_close()
    call.quiet()
    call.cancel()
    read(t, t.stream())


@scenario("batch-append/bad-requests")
def _(t):
    call = t.open(S + "BatchAppend")
    call.send({"correlation_id": t.uid_msg("n"), "proposed_messages": [proposed(t, "n")], "is_final": True})
    call.recv(1, patience=1.5)
    call.cancel()
    call = t.open(S + "BatchAppend")
    call.send(batch(t, "m", t.stream(), None, proposed(t, "m"), deadline=20))
    call.recv(1, patience=1.5)
    call.cancel()
    call = t.open(S + "BatchAppend")
    call.send(batch(t, "b", t.stream(), "any", proposed(t, "b", metadata={"type": "T"}), deadline=20))
    call.recv(1, patience=1.5)
    call.cancel()
    call = t.open(S + "BatchAppend")
    call.send(batch(t, "z", t.stream(), "any", proposed(t, "z"), deadline=0))
    call.recv(1, patience=1.5)
    call.cancel()
    call = t.open(S + "BatchAppend")
    call.send(batch(t, "nodl", t.stream(), "any", proposed(t, "nodl")))
    call.recv(1, patience=1.5)
    call.half_close()
    call.quiet()
    call.cancel()


@scenario("batch-append/idempotent")
def _(t):
    call = t.open(S + "BatchAppend")
    e = many(t, 2)
    for cid in ("c1", "c2"):
        call.send(batch(t, cid, t.stream(), "no_stream", *e, deadline=20))
        call.recv(1)
    call.half_close()
    call.quiet()
    call.cancel()
    read(t, t.stream())
