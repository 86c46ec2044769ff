"""A user, as the last event of the user's stream describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._dotnet._json import BadJson
from .._dotnet._json_values import Value, read_object, write_indented
from .._store import ADMINS
from ._passwords import PasswordHash, hash_password

OPERATORS = "$ops"
"""The group whose members may use the Operations service."""

_DEFAULT_PASSWORD = "changeit"
_DEFAULT_USERS = (("admin", "Event Store Administrator", ADMINS), ("ops", "Event Store Operations", OPERATORS))


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the node."""

    login_name: str
    full_name: str
    groups: tuple[str, ...]
    password: PasswordHash
    disabled: bool = False

    def to_json(self) -> bytes:
        """The data of the user's event."""
        members: dict[str, Value] = {
            "loginName": self.login_name,
            "fullName": self.full_name,
            "groups": list(self.groups),
            "hash": self.password.hash,
            "salt": self.password.salt,
            "disabled": self.disabled,
        }
        return write_indented(members).encode()


def read_account(data: bytes) -> Account:
    """Read the data of a user's event. Raises BadJson."""
    members = read_object(data.decode("utf-8", "replace"))
    groups = members.get("groups") or []
    disabled = members.get("disabled", False)
    if not isinstance(groups, list) or not isinstance(disabled, bool):
        raise BadJson("not a user")
    return Account(
        _text(members.get("loginName")),
        _text(members.get("fullName")),
        tuple(map(_text, groups)),
        PasswordHash(_text(members.get("hash")), _text(members.get("salt"))),
        disabled,
    )


def first_accounts(users: bool | Mapping[str, str]) -> list[Account]:
    """The users of a fresh node: its default users, and one without groups for each further name.

    Args:
        users: Whether there are any; or passwords by login names. Default users without one keep their default
            password.

    Raises:
        TypeError: It is something else.
        ValueError: Nobody could log in by a name, because it contains a colon; or a name or a password is no text.
    """
    if users is False:
        return []
    passwords = {} if users is True else users
    if not isinstance(passwords, Mapping):
        raise TypeError(f"users= must be True, False, or a mapping of names to passwords, not a {type(users).__name__}")
    for name, password in passwords.items():
        if not isinstance(name, str) or not isinstance(password, str):
            raise TypeError(f"users= must map names to passwords, both str; look at the user {name!r}")
        if ":" in name:
            raise ValueError(f"a name in users= has a colon, so that nobody could log in by it: {name!r}")
        if not (_is_text(name) and _is_text(password)):
            raise ValueError(f"users= must hold texts without lone surrogates; look at the user {name!r}")
    accounts = [
        Account(name, full_name, (group,), hash_password(passwords.get(name, _DEFAULT_PASSWORD)))
        for name, full_name, group in _DEFAULT_USERS
    ]
    defaults = {account.login_name for account in accounts}
    return accounts + [
        Account(name, name, (), hash_password(password)) for name, password in passwords.items() if name not in defaults
    ]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Value) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadJson("not a text")
    return value
