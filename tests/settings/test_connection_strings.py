"""Connection strings, good and bad: nothing in them is ever ignored, and no error shows a password."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kurrentdbclient.connection_spec import ConnectionSpec

from tests.settings import strings
from tests.settings.strings import CREDENTIALS, ROWS, Row
from trio_esdb import BasicCredentials, InvalidArgumentError, InvalidTypeError
from trio_esdb._settings import DEFAULT_PORT, OPTIONS, SCHEMES, Host, Settings, parse

some = settings(max_examples=200)


def shown(row: Row) -> str:
    return row.uri if len(row.uri) < 90 else row.uri[:90] + "..."


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row.meaning, Settings)], ids=shown)
def test_good(row: Row) -> None:
    assert parse(row.uri) == row.meaning


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row.meaning, str)], ids=shown)
def test_bad(row: Row) -> None:
    assert isinstance(row.meaning, str)
    with pytest.raises(InvalidArgumentError, match=row.meaning) as caught:
        parse(row.uri)
    assert type(caught.value) is InvalidArgumentError
    assert str(caught.value).startswith("uri")
    assert caught.value.__context__ is None  # it could keep a part of the string
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("row", [row for row in CREDENTIALS if isinstance(row.meaning, str)], ids=shown)
def test_no_error_shows_a_part_of_a_password(row: Row) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse(row.uri)
    for part in ("chan", "ange", "nge", "geit", "it@", "12", "34"):
        assert part not in str(caught.value)


def test_the_table_is_large_and_has_no_row_twice() -> None:
    assert len(ROWS) == len({row.uri for row in ROWS}) >= 150


# -- another client ------------------------------------------------------------------------------------------------


def theirs(uri: str) -> ConnectionSpec | None:
    try:
        return ConnectionSpec(uri)
    except ValueError:
        return None


def ours(uri: str) -> Settings | None:
    try:
        return parse(uri)
    except InvalidArgumentError:
        return None


def agree(mine: Settings | None, spec: ConnectionSpec | None) -> bool:
    """Whether two parsers found the same. A time that kurrentdbclient leaves to gRPC is the usual one here."""
    if mine is None or spec is None:
        return mine is spec is None
    user = spec.username or spec.password
    if mine.credentials != (BasicCredentials(spec.username or "?", spec.password or "?") if user else None):
        return False
    options = spec.options
    usual = Settings()

    def time(value: int | None, unit: float, default: float) -> float:
        return default if value is None else value * unit

    return mine == Settings(
        hosts=mine.hosts,
        credentials=mine.credentials,
        discover=spec.scheme.endswith("+discover"),
        tls=options.tls,
        tls_verify_cert=options.tls_verify_cert,
        tls_ca_file=options.tls_ca_file,
        user_cert_file=options.user_cert_file,
        user_key_file=options.user_key_file,
        connection_name=mine.connection_name and options.connection_name,
        node_preference={"readonlyreplica": "readOnlyReplica"}.get(options.node_preference, options.node_preference),
        max_discover_attempts=options.max_discover_attempts,
        discovery_interval=options.discovery_interval / 1000,
        gossip_timeout=options.gossip_timeout,
        default_deadline=time(options.default_deadline, 1, usual.default_deadline),
        keep_alive_interval=time(options.keep_alive_interval, 0.001, usual.keep_alive_interval),
        keep_alive_timeout=time(options.keep_alive_timeout, 0.001, usual.keep_alive_timeout),
    ) and [host.address for host in mine.hosts] == list(spec.targets)


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_a_difference_from_kurrentdbclient_has_a_reason(row: Row) -> None:
    assert agree(ours(row.uri), theirs(row.uri)) == (not row.difference)


def test_every_reason_is_one_line_and_is_used() -> None:
    used = {row.difference for row in ROWS if row.difference}
    assert all(reason.startswith("there, ") and "\n" not in reason for reason in used)
    named = {value for value in vars(strings).values() if isinstance(value, str) and value.startswith("there, ")}
    assert named - used == set()


# -- any string -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri", [None, b"esdb://localhost?tls=false", 2113, ["esdb://admin:changeit@localhost"], object()]
)
def test_what_is_not_a_text(uri: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"uri must be a str such as esdb://localhost:2113, ") as caught:
        parse(uri)
    assert "changeit" not in str(caught.value)


@given(
    st.text(max_size=30)
    | st.text(alphabet="abcTls=false:/?#&@[]%.,+-0123456789 \n", max_size=40)
    | st.lists(st.sampled_from([*"@:/?#&=,%[]", "a", "::1", "tls=false", "%40", "%zz", "embedded"]), max_size=9).map(
        "".join
    )
)
@some
def test_any_text_is_read_or_refused(text: str) -> None:
    for uri in (
        text,
        "esdb://" + text,
        f"esdb://{text}?tls=false",
        f"esdb://admin:changeit@{text}",
        f"esdb://a?{text}",
    ):
        found = ours(uri)
        if found is None:
            continue
        assert found.embedded or all(1 <= host.port <= 65535 for host in found.hosts)
        for host in found.hosts:  # what errors show can be connected to
            assert parse(f"esdb://{host.address}") == Settings(hosts=(host,))


HOSTS = st.builds(
    Host,
    st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,8}[a-z0-9])?(\.[a-z]{1,5}){0,3}", fullmatch=True)
    | st.ip_addresses(v=6).map(str),
    st.integers(1, 65535),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
USERS = st.builds(BasicCredentials, TEXTS.filter(lambda name: ":" not in name), TEXTS)
MILLISECONDS = st.integers(100, 2**31 - 1)


@st.composite
def strings_with_meaning(draw: st.DrawFn) -> tuple[str, Settings]:
    """A string with some options in any order and any case, and what it says."""
    hosts = draw(st.lists(HOSTS, min_size=1, max_size=4))
    user = draw(st.none() | st.tuples(TEXTS.filter(lambda name: ":" not in name), TEXTS))
    discover = draw(st.booleans())
    options: dict[str, tuple[str, Any]] = {
        "tlsCaFile": (file := draw(TEXTS), file),
        "tlsVerifyCert": ("FALSE", False),
        "connectionName": ("a & b = 100%", "a & b = 100%"),
        "defaultDeadline": (str(time := draw(MILLISECONDS)), time / 1000),
        "keepAliveInterval": ("-1", math.inf),
        "keepAliveTimeout": (str(time), time / 1000),
        "nodePreference": ("Read-Only_Replica", "readOnlyReplica"),
        "maxDiscoverAttempts": (str(time), time),
        "discoveryInterval": ("0", 0.0),
        "gossipTimeout": ("0.5", 0.5),
    }
    names = draw(st.lists(st.sampled_from(sorted(options)), unique=True))
    spelt = [draw(st.sampled_from([name, name.lower(), name.upper()])) for name in names]
    query = "&".join(f"{name}={quote(options[given][0], safe='')}" for name, given in zip(spelt, names, strict=True))
    uri = (
        draw(st.sampled_from(SCHEMES))
        + ("+discover" if discover else "")
        + "://"
        + (f"{quote(user[0], safe='')}:{quote(user[1], safe='')}@" if user else "")
        + ",".join(host.address for host in hosts)
        + draw(st.sampled_from(["", "/"]))
        + draw(st.sampled_from(["?"] if query else ["", "?"]))
        + query
    )
    fields = {OPTIONS[name.lower()].field or "": options[name][1] for name in names}
    credentials = BasicCredentials(*user) if user else None
    return uri, Settings(hosts=tuple(hosts), discover=discover, credentials=credentials, **fields)


@given(strings_with_meaning())
@some
def test_any_meaning_can_be_said(said: tuple[str, Settings]) -> None:
    uri, meaning = said
    assert parse(uri) == meaning


SPECIAL = st.sampled_from([*"@/?#:%[]&=,;+ \n\x00", "://", "%4", "%zz", "%ff", "tls=", "?tls=false&", "\ud800"])


@st.composite
def strings_with_a_secret(draw: st.DrawFn) -> str:
    """A string whose password was not encoded, and which was damaged elsewhere as well."""
    password = "s3cret" + "".join(piece + "s3cret" for piece in draw(st.lists(SPECIAL, max_size=3)))
    user, scheme = (
        draw(st.sampled_from(["admin", "a@b", "a/b", ""])),
        draw(st.sampled_from(["esdb://", "kdb:/", "esbd://", ""])),
    )
    tail = draw(
        st.sampled_from(
            ["@localhost", "@localhost:2113?tls=false", "@", "@a,b:x", "@h?connectionName=a@b", "@h#", "@h/p"]
        )
    )
    uri = f"{scheme}{user}:{password}{tail}"
    pieces = re.findall(
        "s3cret|.", uri, re.DOTALL
    )  # nothing is put inside the secret, where it would not be recognised
    at = draw(st.integers(0, len(pieces)))
    return "".join([*pieces[:at], draw(SPECIAL | st.just("")), *pieces[at:]])


@given(strings_with_a_secret())
@settings(max_examples=1000)
def test_no_secret_in_any_error(uri: str) -> None:
    errors: list[Exception] = []
    try:
        found = repr(parse(uri))
    except InvalidArgumentError as exc:
        errors.append(exc)
        found = ""
    assert "s3cret" not in found
    for error in errors:
        assert "s3cret" not in str(error)
        assert error.__context__ is None


def test_the_repr_of_settings_hides_the_password() -> None:
    found = parse("esdb://admin:changeit@localhost")
    assert "changeit" not in repr(found)
    assert "credentials=BasicCredentials('admin', <password>)" in repr(found)
    assert "changeit" not in repr(found._asdict())
    assert not hasattr(found, "__dict__")


def test_addresses_are_written_as_in_strings() -> None:
    assert Host("localhost").address == "localhost:2113"
    assert Host("::1", 7).address == "[::1]:7"
    assert Host("10.0.0.1").address == f"10.0.0.1:{DEFAULT_PORT}"
