"""Credentials: what can be sent, how it is sent, and that no secret is shown."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import traceback
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb import BasicCredentials, BearerToken, Credentials, InvalidArgumentError, InvalidTypeError

SENDABLE = st.characters(exclude_categories=["Cs", "Cc"])


def test_basic_is_name_and_password_in_base64_of_utf8() -> None:
    assert BasicCredentials("admin", "changeit").authorization() == "Basic YWRtaW46Y2hhbmdlaXQ="
    assert BasicCredentials("jürgen", "pä:ss wörd").authorization() == "Basic asO8cmdlbjpww6Q6c3Mgd8O2cmQ="
    assert BasicCredentials("admin", "changeit").username == "admin"


def test_bearer_is_the_token() -> None:
    assert BearerToken("eyJhbGciOi.J9-_~+/==").authorization() == "Bearer eyJhbGciOi.J9-_~+/=="


@pytest.mark.parametrize(
    ("username", "password", "complaint"),
    [
        ("", "s3cret", "username must not be empty"),
        ("admin", "", "password must not be empty"),
        ("ad:min", "s3cret", "username must not contain ':'"),
        (":", "s3cret", "username must not contain ':'"),
        ("admin\n", "s3cret", "username must not contain control characters"),
        ("ad\x00min", "s3cret", "username must not contain control characters"),
        ("admin", "s3cret\r\n", "password must not contain control characters"),
        ("admin", "\ts3cret", "password must not contain control characters"),
        ("admin", "s3cret\x7f", "password must not contain control characters"),
        ("admin", "s3cret\x85", "password must not contain control characters"),
        ("\ud800", "s3cret", "username must be encodable as UTF-8"),
        ("admin", "s3cret\udfff", "password must be encodable as UTF-8"),
    ],
)
def test_what_cannot_be_sent(username: str, password: str, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint) as caught:
        BasicCredentials(username, password)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None  # an error of the codec would keep the password
    assert type(caught.value) is InvalidArgumentError


@pytest.mark.parametrize(
    "token", ["Bearer s3cret", "s3 cret", "s3cret\n", " s3cret", "s3crét", "s3cret\x00", "s3cret\x7f"]
)
def test_tokens_that_cannot_be_sent(token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="without blanks and without the word Bearer") as caught:
        BearerToken(token)
    assert "s3" not in str(caught.value)


def test_an_empty_token() -> None:
    with pytest.raises(InvalidArgumentError, match="token must not be empty"):
        BearerToken("")


@pytest.mark.parametrize("value", [None, b"s3cret", 3, ["s3cret"]])
def test_what_is_not_a_text(value: Any) -> None:
    for make in (
        lambda: BasicCredentials(value, "s3cret"),
        lambda: BasicCredentials("u", value),
        lambda: BearerToken(value),
    ):
        with pytest.raises(InvalidTypeError, match=f"must be a str, not {type(value).__name__}") as caught:
            make()
        assert "s3cret" not in str(caught.value)


def test_equality() -> None:
    assert BasicCredentials("a", "b") == BasicCredentials("a", "b")
    assert BasicCredentials("a", "b") != BasicCredentials("a", "c")
    assert BasicCredentials("a", "b") != BasicCredentials("c", "b")
    assert BearerToken("a") == BearerToken("a")
    assert BearerToken("a") != BearerToken("b")
    assert BearerToken("a") != BasicCredentials("a", "a")
    assert BasicCredentials("a", "a") != "Basic YTph"
    assert len({BasicCredentials("a", "b"), BasicCredentials("a", "b"), BearerToken("a"), BearerToken("a")}) == 2


@dataclasses.dataclass
class Holder:
    credentials: Credentials


@pytest.mark.parametrize("credentials", [BasicCredentials("admin", "s3cret"), BearerToken("s3cret")])
def test_the_secret_is_not_shown(credentials: Credentials) -> None:
    holder = Holder(credentials)
    encoded = credentials.authorization().partition(" ")[2]
    shown = [
        repr(credentials),
        str(credentials),
        f"{credentials}",
        repr(vars(holder)),
        repr(dataclasses.asdict(holder)),
    ]
    for text in shown:
        assert "s3cret" not in text
        assert encoded not in text
    assert not hasattr(credentials, "__dict__")


def test_copies_are_equal() -> None:
    for credentials in (BasicCredentials("admin", "s3cret"), BearerToken("s3cret")):
        assert (
            copy.deepcopy(credentials)
            == copy.copy(credentials)
            == pickle.loads(pickle.dumps(credentials))
            == credentials
        )


def test_the_repr_names_the_user() -> None:
    assert repr(BasicCredentials("admin", "s3cret")) == "BasicCredentials('admin', <password>)"
    assert repr(BearerToken("s3cret")) == "BearerToken(<token>)"


@given(st.text(SENDABLE, min_size=1).filter(lambda name: ":" not in name), st.text(SENDABLE, min_size=1))
def test_any_text_arrives(username: str, password: str) -> None:
    header = BasicCredentials(username, password).authorization()
    assert b64decode(header.removeprefix("Basic ")).decode().split(":", 1) == [username, password]
    assert header.isascii()


@given(st.text(), st.text())
def test_no_error_keeps_the_values(username: str, password: str) -> None:
    secret = f"s3cret{password}s3cret"
    errors: list[Exception] = []
    try:
        BasicCredentials(username, secret)
    except InvalidArgumentError as exc:
        errors.append(exc)
    for error in errors:
        assert "s3cret" not in "".join(traceback.format_exception(error))
        assert error.__context__ is None
