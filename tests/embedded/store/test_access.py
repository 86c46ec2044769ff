"""Who has which right to a stream: its access list, the default lists, and what holds without any."""

from __future__ import annotations

from itertools import count

import pytest

from trio_esdb.embedded._store import ANY, NO_STREAM, Proposal, Right, Store

_ids = count(1)


def put(store: Store, stream: str, data: bytes, *, is_json: bool = True) -> None:
    store.append(stream, ANY, [Proposal(next(_ids), "T", data, b"", is_json)], 0)


def readers(store: Store, stream: str) -> tuple[str, ...]:
    return store.roles(Right.READ, stream, 0)


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize(
    ("stream", "roles"), [("s", ("$all",)), ("$s", ("$admins",)), ("$all", ("$admins",)), ("$settings", ("$admins",))]
)
def test_without_any_list(stream: str, roles: tuple[str, ...], right: Right) -> None:
    assert Store().roles(right, stream, 0) == roles


def test_a_list_says_who_has_the_rights_that_it_names() -> None:
    store = Store()
    put(store, "$$s", b'{"$acl":{"$r":"ann","$w":["bob","writers"],"$d":[],"$mr":""}}')
    got = {right: store.roles(right, "s", 0) for right in Right}
    assert got == {
        Right.READ: ("ann",),
        Right.WRITE: ("bob", "writers"),
        Right.DELETE: (),
        Right.META_READ: ("",),
        Right.META_WRITE: ("$all",),
    }
    put(store, "$$$s", b'{"$acl":{"$w":"ann"}}')
    assert store.roles(Right.WRITE, "$s", 0) == ("ann",)
    assert readers(store, "$s") == ("$admins",)


def test_a_list_goes_with_its_metadata() -> None:
    store = Store()
    put(store, "$$s", b'{"$acl":{"$r":"ann"}}')
    put(store, "$$s", b"{}")
    assert readers(store, "s") == ("$all",)
    put(store, "$$s", b'{"$acl":{"$r":"ann"}}')
    put(store, "s", b"{}")
    store.delete("s", 0, 0)
    assert readers(store, "s") == ("$all",)


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"$acl":{"$r":"ann","$x":"y"}}',
        b'{"$acl":{"$r":null}}',
        b'{"$acl":{"$r":"ann"},"$maxCount":1.5}',
        b'{"$acl":{"$r":"ann"}',
        b'{"$Acl":{"$r":"ann"}}',
        b'{"$acl":{"$r":"2020-01-01T00:00:00Z"}}',
    ],
)
def test_spoilt_metadata_has_no_list(metadata: bytes) -> None:
    store = Store()
    put(store, "$$s", metadata)
    assert readers(store, "s") == ("$all",)


def test_a_list_without_being_json_is_none() -> None:
    store = Store()
    put(store, "$$s", b'{"$acl":{"$r":"ann"}}', is_json=False)
    assert readers(store, "s") == ("$all",)


def test_the_settings_give_other_defaults() -> None:
    store = Store()
    put(store, "$settings", b'{"$userStreamAcl":{"$r":"staff","$w":[]},"$systemStreamAcl":{"$r":["ops"]}}')
    assert readers(store, "s") == ("staff",)
    assert store.roles(Right.WRITE, "s", 0) == ()
    assert store.roles(Right.DELETE, "s", 0) == ("$all",)
    assert readers(store, "$s") == ("ops",)
    assert readers(store, "$all") == ("ops",)
    assert store.roles(Right.WRITE, "$s", 0) == ("$admins",)
    put(store, "$$s", b'{"$acl":{"$r":"ann"}}')
    assert readers(store, "s") == ("ann",)
    put(store, "$settings", b'{"$userStreamAcl":{"$w":"staff"}}')
    assert (readers(store, "t"), store.roles(Right.WRITE, "t", 0)) == (("$all",), ("staff",))
    assert readers(store, "$s") == ("$admins",)
    store.delete("$settings", ANY, 0)
    assert store.roles(Right.WRITE, "t", 0) == ("$all",)


@pytest.mark.parametrize(
    ("settings", "roles"),
    [
        (b'{"other":[1,{"a":/* c */2}],"$userStreamAcl":{"$r":"staff"}} and so on', ("staff",)),
        (b"\xef\xbb\xbf{'$userStreamAcl':{'$r':['staff',]}}", ("staff",)),
        (b'{"$userStreamAcl":{"$r":"x"},"$userStreamAcl":{"$r":"staff"}}', ("staff",)),
        (b'{"$userStreamAcl":{"$r":"staff"},"$systemStreamAcl":null}', ("$all",)),
        (b'{"$userStreamAcl":{"$r":"staff"},"$systemStreamAcl":{"$z":"a"}}', ("$all",)),
        (b'{"$userStreamAcl":{"$r":"staff"}', ("$all",)),
        (b'{"$userStreamAcl":[]}', ("$all",)),
        (b"[]", ("$all",)),
        (b"", ("$all",)),
    ],
)
def test_reading_the_settings(settings: bytes, roles: tuple[str, ...]) -> None:
    store = Store()
    put(store, "$settings", settings)
    assert readers(store, "s") == roles


def test_the_settings_are_those_of_the_last_event() -> None:
    store = Store()
    put(store, "$settings", b'{"$userStreamAcl":{"$r":"staff"}}')
    assert readers(store, "s") == ("staff",)
    put(store, "$settings", b"broken")
    assert readers(store, "s") == ("$all",)
    store.append("$settings", 1, [], 0)
    assert readers(store, "s") == ("$all",)
    assert store.append("other", NO_STREAM, [], 0)
