"""StreamMetadata: a dict that knows what servers act on."""

from __future__ import annotations

import copy
import json
import pickle
from collections import UserDict
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

from trio_esdb import ESDBError, InvalidArgumentError, InvalidMetadataError, InvalidTypeError, StreamMetadata
from trio_esdb._model import metadata_from_json, metadata_to_json

MAX_AGE = 63_871_286_400
"""Seconds from the year 1 to 2025: a server that subtracts more from the present time leaves its calendar."""


def test_names_for_keys() -> None:
    metadata = StreamMetadata({"mine": [1, 2]})
    metadata.max_age = timedelta(days=1)
    metadata.max_count = 10
    metadata.truncate_before = 0
    metadata.cache_control = timedelta(seconds=5)
    metadata.acl = {"$r": "$all", "$w": ["ouro", "$admins"]}
    assert metadata == {
        "mine": [1, 2],
        "$maxAge": 86400,
        "$maxCount": 10,
        "$tb": 0,
        "$cacheControl": 5,
        "$acl": {"$r": "$all", "$w": ["ouro", "$admins"]},
    }
    assert metadata.max_age == timedelta(days=1)
    assert (metadata.max_count, metadata.truncate_before) == (10, 0)
    assert metadata.cache_control == timedelta(seconds=5)
    assert metadata.acl == {"$r": "$all", "$w": ["ouro", "$admins"]}
    assert json.loads(metadata_to_json(metadata)) == metadata


@pytest.mark.parametrize("name", ["max_age", "max_count", "truncate_before", "cache_control", "acl"])
def test_none_removes_a_key(name: str) -> None:
    metadata = StreamMetadata({"$maxAge": 1, "$maxCount": 1, "$tb": 1, "$cacheControl": 1, "$acl": {}, "mine": 1})
    assert getattr(metadata, name) is not None
    setattr(metadata, name, None)
    assert getattr(metadata, name) is None
    assert len(metadata) == 5
    setattr(metadata, name, None)
    assert len(metadata) == 5
    assert getattr(StreamMetadata(), name) is None


@pytest.mark.parametrize("value", ["5", 5.0, True, None, [], {}, -1, -(10**30)])
def test_what_a_server_does_not_act_on_is_none(value: object) -> None:
    keys = ("$maxAge", "$maxCount", "$tb", "$cacheControl")
    metadata = StreamMetadata(dict.fromkeys(keys, value))
    assert (metadata.max_age, metadata.max_count) == (None, None)
    assert (metadata.truncate_before, metadata.cache_control) == (None, None)
    assert StreamMetadata({"$acl": value}).acl == ({} if value == {} else None)


def test_a_count_or_age_of_nothing_is_none() -> None:
    assert StreamMetadata({"$maxCount": 0}).max_count is None
    assert StreamMetadata({"$maxAge": 0}).max_age is None
    assert StreamMetadata({"$tb": 0}).truncate_before == 0


def test_an_age_beyond_all_time() -> None:
    for seconds in (2**63 - 1, 10**14, timedelta.max // timedelta(seconds=1) + 1):
        age = StreamMetadata({"$maxAge": seconds}).max_age
        assert age == timedelta.max - timedelta(microseconds=999_999)


def test_the_largest_age() -> None:
    metadata = StreamMetadata()
    metadata.max_age = timedelta(seconds=MAX_AGE)
    assert metadata == {"$maxAge": MAX_AGE}
    assert json.loads(metadata_to_json(metadata)) == metadata
    assert metadata.max_age == timedelta(seconds=MAX_AGE)


def test_copies() -> None:
    metadata = StreamMetadata({"$maxCount": 5, "mine": {"a": 1}})
    for other in (copy.copy(metadata), copy.deepcopy(metadata), pickle.loads(pickle.dumps(metadata))):
        assert type(other) is StreamMetadata
        assert other == metadata
        assert other.max_count == 5


BAD: list[tuple[str, Any, type[ESDBError], str]] = [
    ("max_age", 5, InvalidTypeError, "max_age must be a datetime.timedelta, not int"),
    ("max_age", timedelta(0), InvalidArgumentError, "max_age must be a whole number of seconds and at least 1"),
    ("max_age", timedelta(seconds=-5), InvalidArgumentError, "max_age must be a whole number of seconds"),
    ("max_age", timedelta(seconds=1.5), InvalidArgumentError, "max_age must be a whole number of seconds"),
    ("max_age", timedelta(seconds=MAX_AGE + 1), InvalidArgumentError, f"must be at most {MAX_AGE} seconds, not"),
    ("max_age", timedelta.max - timedelta(microseconds=999_999), InvalidArgumentError, "servers fail on more"),
    ("cache_control", "5", InvalidTypeError, "cache_control must be a datetime.timedelta, not str"),
    ("cache_control", timedelta(0), InvalidArgumentError, "cache_control must be a whole number"),
    ("max_count", 0, InvalidArgumentError, f"max_count must be from 1 to {2**63 - 1}, not 0"),
    ("max_count", "5", InvalidTypeError, "max_count must be an int, not str"),
    ("max_count", True, InvalidTypeError, "max_count must be an int, not bool"),
    ("max_count", 2**63, InvalidArgumentError, "max_count must be from 1 to"),
    ("truncate_before", -1, InvalidArgumentError, "truncate_before must be from 0 to"),
    ("truncate_before", 1.0, InvalidTypeError, "truncate_before must be an int, not float"),
    ("acl", {"r": "$all"}, InvalidArgumentError, "acl: 'r' is not one of"),
    ("acl", {"$r": 5}, InvalidTypeError, "acl: .r must be a name or a list of names, not 5"),
    ("acl", {"$r": ["a", 5]}, InvalidTypeError, "acl: .r must be a name or a list of names"),
    ("acl", ["$all"], InvalidTypeError, "acl must be a mapping, not list"),
    ("acl", "$all", InvalidTypeError, "acl must be a mapping, not str"),
]


@pytest.mark.parametrize(("name", "value", "kind", "complaint"), BAD)
def test_bad_values_are_named(name: str, value: Any, kind: type[ESDBError], complaint: str) -> None:
    metadata = StreamMetadata()
    with pytest.raises(kind, match=complaint):
        setattr(metadata, name, value)
    assert metadata == {}


# To and from JSON


def test_from_json() -> None:
    metadata = metadata_from_json(b'{"$maxCount": 5, "mine": {"a": [1, "\\u00fc"]}}', "s")
    assert type(metadata) is StreamMetadata
    assert metadata == {"$maxCount": 5, "mine": {"a": [1, "ü"]}}
    assert metadata_from_json(b"{}", "s") == {}


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"[]", b"5", b"null", b'"text"', b'{"a": 1', b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000],
)
def test_what_is_no_json_object(data: bytes) -> None:
    with pytest.raises(InvalidMetadataError, match="the metadata of stream 'order-1' is not a JSON object") as caught:
        metadata_from_json(data, "order-1")
    assert caught.value.data is data


@pytest.mark.parametrize("kind", [dict, StreamMetadata, MappingProxyType, UserDict])
def test_any_mapping_becomes_json(kind: Any) -> None:
    assert metadata_to_json(kind({"$maxCount": 5, "name": "ü"})) == b'{"$maxCount":5,"name":"\\u00fc"}'


def circle() -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    metadata["again"] = metadata
    return metadata


def nest(depth: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(depth):
        metadata = {"a": metadata}
    return metadata


BAD_METADATA: list[tuple[Any, type[ESDBError], str]] = [
    (None, InvalidTypeError, "metadata must be a mapping, not NoneType"),
    ([("a", 1)], InvalidTypeError, "metadata must be a mapping, not list"),
    ("{}", InvalidTypeError, "metadata must be a mapping, not str"),
    ({5: 1}, InvalidTypeError, "metadata: keys must be str, not 5"),
    ({"a": b"bytes"}, InvalidArgumentError, "metadata cannot be written as JSON"),
    ({"a": {1, 2}}, InvalidArgumentError, "metadata cannot be written as JSON"),
    ({"a": float("nan")}, InvalidArgumentError, "metadata cannot be written as JSON"),
    ({"a": float("inf")}, InvalidArgumentError, "metadata cannot be written as JSON"),
    (circle(), InvalidArgumentError, "metadata cannot be written as JSON"),
    (nest(100_000), InvalidArgumentError, "metadata cannot be written as JSON"),
    ({"$maxCount": "5"}, InvalidTypeError, r"metadata\['\$maxCount'\] must be an int, not str"),
    ({"$maxCount": 0}, InvalidArgumentError, r"metadata\['\$maxCount'\] must be from 1 to"),
    ({"$maxAge": 1.5}, InvalidTypeError, r"metadata\['\$maxAge'\] must be an int, not float"),
    ({"$maxAge": 0}, InvalidArgumentError, r"metadata\['\$maxAge'\] must be from 1 to"),
    ({"$maxAge": MAX_AGE + 1}, InvalidArgumentError, rf"metadata\['\$maxAge'\] must be from 1 to {MAX_AGE}, not"),
    ({"$tb": -1}, InvalidArgumentError, r"metadata\['\$tb'\] must be from 0 to"),
    ({"$cacheControl": True}, InvalidTypeError, r"metadata\['\$cacheControl'\] must be an int, not bool"),
    ({"$acl": ["$all"]}, InvalidTypeError, "acl must be a mapping, not list"),
    ({"$acl": {"$x": "a"}}, InvalidArgumentError, "acl: '.x' is not one of"),
]


@pytest.mark.parametrize(("metadata", "kind", "complaint"), BAD_METADATA, ids=[bad[2] for bad in BAD_METADATA])
def test_what_json_or_a_server_does_not_take(metadata: Any, kind: type[ESDBError], complaint: str) -> None:
    with pytest.raises(kind, match=complaint):
        metadata_to_json(metadata)


def test_what_a_server_takes() -> None:
    whole = {"$maxAge": 1, "$maxCount": 1, "$tb": 0, "$cacheControl": 2**63 - 1, "$acl": {"$r": "a", "$mw": []}}
    assert json.loads(metadata_to_json(whole)) == whole
