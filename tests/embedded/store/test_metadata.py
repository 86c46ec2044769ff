"""How a stream's metadata is read and rewritten."""

from __future__ import annotations

import pytest

from tests.support.stores import NOW, SECOND, at_once, event, set_metadata, store_with, visible
from trio_esdb.embedded._store import ANY, HarmfulMetadata, Right, StreamMetadata
from trio_esdb.embedded._store._metadata import NO_METADATA, parse_metadata, undeleted

ONE = StreamMetadata(max_count=1)


def with_acl(**rights: tuple[str, ...]) -> StreamMetadata:
    return StreamMetadata(max_count=1, acl={Right("$" + right): roles for right, roles in rights.items()})


READ: list[tuple[bytes, StreamMetadata]] = [
    (b'{"$maxCount":1}', ONE),
    (b'{"$tb":5}', StreamMetadata(truncate_before=5)),
    (b'{"$tb":0}', StreamMetadata(truncate_before=0)),
    (b'{"$maxAge":60}', StreamMetadata(max_age=60 * SECOND)),
    (b'{"$cacheControl":60,"$tmp":true,"other":[1,{"a":null}]}', NO_METADATA),
    (b"{}", NO_METADATA),
    # what counts as absent
    (b'{"$maxCount":0,"$tb":-1,"$maxAge":-5,"$cacheControl":0}', NO_METADATA),
    (b'{"$maxAge":-1,"$maxCount":1}', ONE),
    (b'{"$MaxCount":1}', NO_METADATA),
    # what spoils all of it
    (b'{"$maxCount":1.0}', NO_METADATA),
    (b'{"$maxCount":1e0}', NO_METADATA),
    (b'{"$maxCount":"1"}', NO_METADATA),
    (b'{"$maxCount":null}', NO_METADATA),
    (b'{"$maxCount":}', NO_METADATA),
    (b'{"$tb":1,"$maxCount":2.5}', NO_METADATA),
    (b'{"$tb":9223372036854775808,"$maxCount":1}', NO_METADATA),
    (b'{"$maxCount":1,"$tmp":1}', NO_METADATA),
    (b'{"$maxCount":1,"$cacheControl":"x"}', NO_METADATA),
    (b'{"$maxCount":1,"$maxAge":922337203686}', NO_METADATA),
    (b'{"$maxCount":1,"$maxAge":922337203685}', StreamMetadata(max_count=1, max_age=922337203685 * SECOND)),
    (b'{"$maxCount":1', NO_METADATA),
    (b'{"$maxCount":1,"a":', NO_METADATA),
    (b'{"$maxCount":1,"a":{', NO_METADATA),
    (b'{"$maxCount":1,"a":"', NO_METADATA),
    (b'{"$maxCount":1 "a":2}', NO_METADATA),
    (b'[{"$maxCount":1}]', NO_METADATA),
    (b"1", NO_METADATA),
    (b"", NO_METADATA),
    (b"not json", NO_METADATA),
    # comments are tokens to this reader, wherever it looks itself
    (b'/* c */{"$maxCount":1}', NO_METADATA),
    (b'{/* c */"$maxCount":1}', NO_METADATA),
    (b'{"$maxCount":/* c */1}', NO_METADATA),
    (b'{"a":/* c */1,"$maxCount":1}', NO_METADATA),
    (b'{"a":{"b":/* c */1},"$maxCount":1}', ONE),
    (b'{"$maxCount":1}/* c */', ONE),
    (b'{"a":[' + b"//\n" * 300_000 + b'],"$maxCount":1}', ONE),
    (b'{"a":[' + b"1,//\n" * 100_000 + b'],"$maxCount":1}', NO_METADATA),  # more than is read here
    # what passes although it is no JSON
    (b'{"$maxCount":1}}', ONE),
    (b'{"$maxCount":1} and so on', ONE),
    (b'{"$maxCount":1,}', ONE),
    (b"{'$maxCount':1}", ONE),
    (b"{$maxCount:1}", ONE),
    (b'{"$maxCount" : 0x1}', ONE),
    (b'{"$maxCount":01}', ONE),
    (b'{"a":,"$maxCount":1}', ONE),
    (b'{"a":undefined,"b":NaN,"c":-Infinity,"$maxCount":1}', ONE),
    (b'{"$maxCount":3,"$maxCount":1}', ONE),
    (b'{"$maxCount":1,"$maxCount":0}', NO_METADATA),
    (b'\n\t {"$maxCount"\r\n:\t1}', ONE),
    (b'{"\\u0024maxCount":1}', ONE),
    # marks of an encoding
    (b'\xef\xbb\xbf{"$maxCount":1}', ONE),
    (b"\xff\xfe" + '{"$maxCount":1}'.encode("utf-16-le"), ONE),
    (b"\xfe\xff" + '{"$maxCount":1}'.encode("utf-16-be"), ONE),
    (b"\xff\xfe\x00\x00" + '{"$maxCount":1}'.encode("utf-32-le"), ONE),
    (b"\x00\x00\xfe\xff" + '{"$maxCount":1}'.encode("utf-32-be"), ONE),
    (b'{"\xff":"\xfe","$maxCount":1}', ONE),
    # access lists
    (b'{"$maxCount":1,"$acl":{}}', with_acl()),
    (b'{"$maxCount":1,"$acl":{"$r":"a"}}', with_acl(r=("a",))),
    (
        b'{"$maxCount":1,"$acl":{"$r":"","$w":[],"$d":["a","b"],"$mr":"c","$mw":"$all "}}',
        with_acl(r=("",), w=(), d=("a", "b"), mr=("c",), mw=("$all ",)),
    ),
    (b'{"$maxCount":1,"$acl":{"$r":"a","$r":"b"}}', with_acl(r=("b",))),
    (b'{"$maxCount":1,"$acl":{"$r":"a"},"$acl":{"$w":"b"}}', with_acl(w=("b",))),
    (b'{"$maxCount":1,"$acl":{"$r":1,"$r":"b"}}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":null}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":[]}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":"a"}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$x":"y"}}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$r":null}}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$r":1}}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$r":["a",1]}}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$r":[["a"]]}}', NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$r":["a",]}}', with_acl(r=("a",))),
    (b'{"$maxCount":1,"$acl":{"$r":["a"', NO_METADATA),
    (b"{'$maxCount':1,'$acl':{'$r':['a'/* c */]}}", NO_METADATA),
    (b"{'$maxCount':1,'$acl':{/* c */'$r':'a'}}", NO_METADATA),
    (b'{"$maxCount":1,"$acl":{"$r":"2020-01-01T00:00:00Z"}}', NO_METADATA),  # read as a moment
    (b"{'$maxCount':1,'$acl':{'$r':'2020-01-01T00:00:00+01'}}", NO_METADATA),
    (b"{'$maxCount':1,5:6}", ONE),
    (b"{'$maxCount':1,'a':{'b':1]}}", NO_METADATA),
]


@pytest.mark.parametrize(("text", "metadata"), READ)
def test_reading(text: bytes, metadata: StreamMetadata) -> None:
    assert parse_metadata(text) == metadata


REWRITTEN: list[tuple[bytes, bytes | None]] = [
    (b'{"$tb":9223372036854775807}', b'{"$tb":3}'),
    (b"{}", b'{"$tb":3}'),
    (b'{"a":1,"$tb":7,"b":2}', b'{"a":1,"$tb":3,"b":2}'),
    (b'{"a":1,"b":2,"a":3}', b'{"a":3,"b":2,"$tb":3}'),
    (b'{"$tb":null}', b'{"$tb":3}'),
    (b' { "list" : [1, 2.50, {}] } ', b'{"list":[1,2.5,{}],"$tb":3}'),
    (b"{a:'x\"y'}", b'{"a":"x\\"y","$tb":3}'),
    (b'{"a":[1,],"b":[,],"c":}', None),
    (b'{"a":[1,],"b":[,],"c":,}', b'{"a":[1],"b":[undefined],"c":undefined,"$tb":3}'),
    (b'{"a":1}/* c */ // d', b'{"a":1,"$tb":3}'),
    (b'/* c */{"a":/* c */1// d\n}', b'{"a":1,"$tb":3}'),
    (b'{"a":1}}', None),
    (b'{"a":1}x', None),
    (b'\xef\xbb\xbf{"a":1}', None),
    (b"[]", None),
    (b"", None),
    (b"// nothing else", None),
    (b'{"a":1', None),
    (b'{"a":[' + b"1," * 20_000 + b"1]}", None),  # more than is written here
    # how values come out again
    (b'{"n":[1.0,1e2,1E-7,0.1,123456789012345678901234567890,-0,-0.0,1e400]}',
     b'{"n":[1.0,100.0,1E-07,0.1,123456789012345678901234567890,0,-0.0,"Infinity"],"$tb":3}'),
    (b'{"n":[NaN,Infinity,-Infinity,true,false,null,0x1F,010]}',
     b'{"n":["NaN","Infinity","-Infinity",true,false,null,31,8],"$tb":3}'),
    ('{"s":"é✓\\u00e9\\/\\n\\u0001\\u2028\U0001f600\\ud83d\\ude00"}'.encode(),
     '{"s":"é✓é/\\n\\u0001\\u2028\U0001f600\U0001f600","$tb":3}'.encode()),
    (b'{"s":"\\ud83d","t":"\\ude00x"}', '{"s":"\ufffd","t":"\ufffdx","$tb":3}'.encode()),
    (b'{"s":"a\nb\x00c"}', b'{"s":"a\\nb\\u0000c","$tb":3}'),
    # moments
    (b'{"d":"2020-01-02T03:04:05Z"}', b'{"d":"2020-01-02T03:04:05Z","$tb":3}'),
    (b'{"d":"2020-01-02T03:04:05.1200000Z"}', b'{"d":"2020-01-02T03:04:05.12Z","$tb":3}'),
    (b'{"d":"2020-01-02T03:04:05.000"}', b'{"d":"2020-01-02T03:04:05","$tb":3}'),
    (b'{"d":"2020-01-02T03:04:05+02:00"}', b'{"d":"2020-01-02T01:04:05+00:00","$tb":3}'),
    (b'{"d":"2020-01-02T03:04:05-0530"}', b'{"d":"2020-01-02T08:34:05+00:00","$tb":3}'),
    (b'{"d":"2020-01-02T03:04:05.5+01"}', b'{"d":"2020-01-02T02:04:05.5+00:00","$tb":3}'),
    (b'{"d":"2020-02-30T03:04:05.10Z"}', b'{"d":"2020-02-30T03:04:05.10Z","$tb":3}'),
    (b'{"d":"0001-01-01T00:00:00.10+01:00"}', b'{"d":"0001-01-01T00:00:00.10+01:00","$tb":3}'),
    (b'{"d":"2020-01-02"}', b'{"d":"2020-01-02","$tb":3}'),
    (b'{"d":"x2020-01-02T03:04:05.10Z"}', b'{"d":"x2020-01-02T03:04:05.10Z","$tb":3}'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "again"), REWRITTEN)
def test_rewriting(text: bytes, again: bytes | None) -> None:
    assert undeleted(text, 3) == again


def test_metadata_not_written_as_json_says_nothing() -> None:
    store = store_with("s", 3)
    store.append("$$s", ANY, [event(90, type="$metadata", data=b'{"$maxCount":1}', is_json=False)], NOW)
    assert visible(store, "s") == [0, 1, 2]
    store.append("$$s", ANY, [event(91, type="whatever", data=b'{"$maxCount":1}')], NOW)  # its type is no matter
    assert visible(store, "s") == [2]
    store.append("$$s", ANY, [event(92), event(93, data=b"")], NOW)
    assert visible(store, "s") == [0, 1, 2]


def test_metadata_of_metadata_is_no_matter() -> None:
    store = store_with("$$s", 3)
    set_metadata(store, "$$s", b'{"$maxCount":2}')
    assert visible(store, "$$s") == [2]
    assert store.metadata("$$s") == ONE
    assert store.metadata("s") == store.metadata("none") == NO_METADATA


def test_metadata_is_in_force_at_once() -> None:
    store = store_with("s", 3)
    for count in (1, 2, 3, 1):
        set_metadata(store, "s", b'{"$maxCount":%d}' % count)
        assert len(visible(store, "s")) == count
        assert store.metadata("s").max_count == count
    store.delete("s", ANY, NOW)
    assert store.metadata("s").is_deleted


AGES = [(b"63902908800", True), (b"63902908801", False), (b"922337203685", False), (b"922337203686", True)]


@pytest.mark.parametrize(("seconds", "is_taken"), AGES)
@pytest.mark.parametrize("in_turns", [False, True])
def test_ages_on_which_a_node_would_fail(seconds: bytes, is_taken: bool, in_turns: bool) -> None:
    """As many seconds as have passed since the year 1 are the most; from 2^63 ticks on a node ignores the metadata."""
    store = store_with("s", 3)
    now = 63_902_908_800 * SECOND - 62_135_596_800 * SECOND
    before = store.end

    def write(data: bytes, *, is_json: bool = True) -> None:
        proposed = [event(90 + store.end, data=data, is_json=is_json)]
        if in_turns:
            at_once(store.append_in_turns("$$s", ANY, proposed, now))
        else:
            store.append("$$s", ANY, proposed, now)

    data = b'{"$maxAge":%s}' % seconds
    if is_taken:
        write(data)
        assert visible(store, "s") == [0, 1, 2]
    else:
        with pytest.raises(HarmfulMetadata, match=rf"^\$maxAge is {seconds.decode()} seconds.* before the year 1"):
            write(data)
        assert store.end == before
        write(data, is_json=False)
    store.append("s", ANY, [event(80, data=data)], now)
