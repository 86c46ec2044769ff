"""Who may do what with a stream: access lists, and the defaults for streams that have none.

A right belongs to users and groups by name. A stream's metadata may have an access list. For a right that it does not
name, the list in the stream `$settings` counts, and without that everybody has all rights to ordinary streams, and
admins to those whose names begin with a dollar sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .._dotnet._json import BadJson, as_date
from .._dotnet._json_values import Value, read_members

ADMINS = "$admins"
"""The group whose members have all rights."""
EVERYBODY = "$all"
"""In an access list: every user."""
ALL_STREAMS = "$all"
"""The name under which access lists are looked up for reading all streams."""
SETTINGS_STREAM = "$settings"
"""Its last event has the access lists of streams without one of their own."""


class Right(Enum):
    """What one may do with a stream. The values are the keys of an access list."""

    READ = "$r"
    WRITE = "$w"
    DELETE = "$d"
    META_READ = "$mr"
    META_WRITE = "$mw"


Acl = Mapping[Right, tuple[str, ...]]
"""An access list: for the rights that it names, the users and groups that have them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The default access lists that `$settings` gives."""

    user_streams: Acl | None = None
    system_streams: Acl | None = None


NO_SETTINGS = Settings()

_RIGHTS = {right.value: right for right in Right}
_USER_STREAM_ACL, _SYSTEM_STREAM_ACL = "$userStreamAcl", "$systemStreamAcl"
_SETTINGS_KEYS = frozenset((_USER_STREAM_ACL, _SYSTEM_STREAM_ACL))


def roles_of(right: Right, stream: str, own: Acl | None, settings: Settings) -> tuple[str, ...]:
    """The users and groups that have this right to a stream, given its own access list and the default ones."""
    is_system = stream.startswith("$")
    default = settings.system_streams if is_system else settings.user_streams
    for acl in (own, default):
        if acl is not None and right in acl:
            return acl[right]
    return (ADMINS if is_system else EVERYBODY,)


def read_acl(value: Value) -> Acl:
    """An access list from its JSON. Raises BadJson for an unknown right, or a role that is not a text."""
    if not isinstance(value, tuple):
        raise BadJson("no access list")
    acl = {}
    for key, roles in value:
        right = _RIGHTS.get(key)
        if right is None:
            raise BadJson("not a right")
        acl[right] = tuple(map(_role, roles if isinstance(roles, list) else (roles,)))
    return acl


def _role(value: Value) -> str:
    if not isinstance(value, str) or as_date(value) is not None:  # to Json.NET a moment is not a text
        raise BadJson("a role that is no text")
    return value


def parse_settings(text: str) -> Settings:
    """What the last event of `$settings` says. A mistake in an access list spoils all of it."""
    found: dict[str, Acl] = {}
    try:
        for key, value in read_members(text, _SETTINGS_KEYS):
            if key in _SETTINGS_KEYS:
                found[key] = read_acl(value)
    except BadJson:
        return NO_SETTINGS
    return Settings(found.get(_USER_STREAM_ACL), found.get(_SYSTEM_STREAM_ACL))
