"""The users of a node, each kept in a stream of its own.

A user NAME is what the last event of the stream `$user-NAME` says; to delete the user is to soft delete the stream. The
stream `$users` names all users that were ever created. A change of how a user may log in is followed by an event in a
stream of notifications: by it the nodes of a cluster forget the passwords that they have verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .._dotnet._json import BadJson
from .._dotnet._json_values import write_indented
from .._store import (
    ANY,
    METADATA_TYPE,
    NO_STREAM,
    Append,
    Delete,
    NeverAnswered,
    Proposal,
    Record,
    Store,
    StreamDeleted,
    Turns,
    WrongExpectation,
    metastream_of,
)
from ._accounts import Account, read_account
from ._failures import access_denied, never_answered, unexpected_result, user_conflict, user_not_found
from ._passwords import hash_password
from ._writes import Steps

_USERS_STREAM = "$users"
_NOTIFICATIONS_STREAM = "$users-password-notifications"
_USER_METADATA = b'{"$acl":{"$w":"$admins","$d":"$admins","$mw":"$admins"}}'
_NOTIFICATIONS_METADATA = b'{"$maxAge":3600}'
_LISTED_TYPE = "$User"
_PAGE = 100
_LARGE = 10_000
"""The bytes of a user that are read in a turn of their own."""


class _Refused(Exception):
    """The store refused a write."""


class Users:
    """The users in a store.

    What fails raises Failure with what a node answers. The methods that change users give the writes of a change one
    after the other (see ``Writes``).

    Args:
        store: The store.
        now: The node's clock, in ticks since the Unix epoch.
        new_id: Makes the ids of events.
    """

    __slots__ = ("_new_id", "_now", "_store")

    def __init__(self, store: Store, now: Callable[[], int], new_id: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._new_id = new_id

    # -- reading

    def last_event(self, name: str) -> Record | None:
        """The event that describes a user; None if there is no such user."""
        return self._store.read_event(_stream_of(name), -1, self._now())

    def details(self, name: str) -> tuple[Account, int]:
        """A user, and when the last change was made, in ticks since the Unix epoch."""
        record = self._event_of(name)
        return _account_in(record), record.created

    def everyone(self) -> Turns[list[tuple[Account, int]]]:
        """The same of all users, ordered by their names."""
        found: dict[str, tuple[Account, int]] = {}
        start, is_end = 0, False
        while not is_end:
            try:
                page = self._store.read_stream(_USERS_STREAM, start, _PAGE, self._now())
            except StreamDeleted:
                raise _failed() from None
            if page.outcome == "no_stream":
                raise user_not_found("")
            for entry in page.records:
                name = entry.data.decode("utf-8", "replace")
                if entry.type != _LISTED_TYPE or name in found:
                    continue
                record = self.last_event(name)
                if record is not None:
                    try:
                        found[name] = read_account(record.data), record.created
                    except BadJson:
                        raise _failed() from None
                    if len(record.data) > _LARGE:
                        yield
            start, is_end = page.next_number, page.is_end
            yield
        return [found[name] for name in sorted(found)]

    # -- changing

    def write_first(self, accounts: Iterable[Account]) -> Steps[None]:
        """Write the users of a fresh node. A real one creates its two default users side by side, step by step."""
        accounts = list(accounts)
        for account in accounts:
            yield from self._append(metastream_of(_stream_of(account.login_name)), ANY, METADATA_TYPE, _USER_METADATA)
        for account in accounts:
            yield from self._append(_stream_of(account.login_name), NO_STREAM, "$UserCreated", account.to_json())
        for account in accounts:
            yield from self._list(account.login_name)

    def create(self, name: str, password: str, full_name: str, groups: Sequence[str]) -> Steps[None]:
        """Create a user. Nothing happens if there is one of this name and with this password."""
        record = self.last_event(name)
        if record is not None:
            if not _account_in(record).password.matches(password):
                raise user_conflict(name)
            return
        account = Account(name, full_name, tuple(groups), hash_password(password))
        stream = _stream_of(name)
        last = self._store.last_number(stream)
        try:
            yield from self._append(metastream_of(stream), ANY, METADATA_TYPE, _USER_METADATA)
        except _Refused:
            raise _failed() from None
        try:
            yield from self._append(stream, last, "$UserCreated", account.to_json())
            yield from self._list(name)
        except _Refused:
            raise user_conflict(name) from None

    def update(self, name: str, full_name: str, groups: Sequence[str]) -> Steps[None]:
        """Replace the full name and the groups of a user."""
        yield from self._change(name, lambda account: replace(account, full_name=full_name, groups=tuple(groups)))

    def enable(self, name: str) -> Steps[None]:
        """Let a user log in again."""
        yield from self._change(name, lambda account: replace(account, disabled=False), notify=False)

    def disable(self, name: str) -> Steps[None]:
        """Let a user log in no more."""
        yield from self._change(name, lambda account: replace(account, disabled=True))

    def reset_password(self, name: str, password: str) -> Steps[None]:
        """Give a user another password."""
        yield from self._change(name, lambda account: replace(account, password=hash_password(password)))

    def change_password(self, name: str, current: str, password: str) -> Steps[None]:
        """Give a user another password, if the current one is this."""

        def change(account: Account) -> Account:
            if not account.password.matches(current):
                raise access_denied()
            return replace(account, password=hash_password(password))

        yield from self._change(name, change)

    def delete(self, name: str) -> Steps[None]:
        """Delete a user. The name can be used again."""
        record = self._event_of(name)
        _account_in(record)
        try:
            yield Delete(record.stream, record.number)
        except StreamDeleted:
            raise _failed() from None
        except NeverAnswered as exc:
            raise never_answered(str(exc)) from None
        yield from self._notify(name)

    # -- inside

    def _event_of(self, name: str) -> Record:
        record = self.last_event(name)
        if record is None:
            raise user_not_found(name)
        return record

    def _change(self, name: str, change: Callable[[Account], Account], *, notify: bool = True) -> Steps[None]:
        record = self._event_of(name)
        changed = change(_account_in(record))
        try:
            yield from self._append(_stream_of(changed.login_name), record.number, "$UserUpdated", changed.to_json())
        except _Refused:
            raise user_conflict(name) from None
        if notify:
            yield from self._notify(name)

    def _list(self, name: str) -> Steps[None]:
        yield from self._append(_USERS_STREAM, ANY, _LISTED_TYPE, name.encode(), is_json=False)

    def _notify(self, name: str) -> Steps[None]:
        try:
            if self._store.read_event(_NOTIFICATIONS_STREAM, -1, self._now()) is None:
                yield from self._append(
                    metastream_of(_NOTIFICATIONS_STREAM), ANY, METADATA_TYPE, _NOTIFICATIONS_METADATA
                )
            data = write_indented({"loginName": name}).encode()
            yield from self._append(_NOTIFICATIONS_STREAM, ANY, "$PasswordChanged", data)
        except _Refused:
            raise _failed() from None

    def _append(self, stream: str, expected: int, type: str, data: bytes, *, is_json: bool = True) -> Steps[None]:
        event = Proposal(self._new_id(), type, data, b"", is_json)
        try:
            outcome = yield Append(stream, expected, [event])
        except StreamDeleted:
            raise _Refused from None
        if isinstance(outcome, WrongExpectation):
            raise _Refused


def _stream_of(name: str) -> str:
    return "$user-" + name


def _account_in(record: Record) -> Account:
    try:
        return read_account(record.data)
    except BadJson:
        raise never_answered(f"the last event of {record.stream!r} does not describe a user.") from None


def _failed() -> Exception:
    return unexpected_result("Error", "Error")
