"""Who a call is made for.

The secrets are in slots and not in the ``repr``, so printing ``vars``, ``dataclasses.asdict`` or anything else of an
object that has credentials does not show them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError


class BasicCredentials:
    """A user name and a password.

    Args:
        username: The name of the user, without ``:``, which separates it from the password when it is sent.
        password: The password.

    Raises:
        InvalidArgumentError: One of them is empty, or cannot be sent. The message does not show it.
    """

    __slots__ = ("_authorization", "_username")

    def __init__(self, username: str, password: str) -> None:
        encoded = b":".join((_encoded("username", username), _encoded("password", password)))
        if ":" in username:
            raise InvalidArgumentError("username must not contain ':', which ends the name where the server reads it")
        self._username = username
        self._authorization = "Basic " + b64encode(encoded).decode("ascii")

    @property
    def username(self) -> str:
        """The name of the user."""
        return self._username

    def authorization(self) -> str:
        """The value of the ``authorization`` header. It contains the secret.

        Returns:
            ``"Basic "`` and the name and the password in Base64.
        """
        return self._authorization

    def __repr__(self) -> str:
        return f"BasicCredentials({self._username!r}, <password>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BasicCredentials) and self._authorization == other._authorization

    def __hash__(self) -> int:
        return hash(self._authorization)


class BearerToken:
    """A token that an identity provider has issued, such as a JWT.

    Args:
        token: The token, without the word ``Bearer``.

    Raises:
        InvalidArgumentError: It is empty, or cannot be sent. The message does not show it.
    """

    __slots__ = ("_authorization",)

    def __init__(self, token: str) -> None:
        if not isinstance(token, str):
            raise InvalidTypeError(f"token must be a str, not {type(token).__name__}")
        if not token:
            raise InvalidArgumentError("token must not be empty")
        if not all("!" <= character <= "~" for character in token):
            raise InvalidArgumentError(
                "token must consist of ASCII characters, without blanks and without the word Bearer"
            )
        self._authorization = f"Bearer {token}"

    def authorization(self) -> str:
        """The value of the ``authorization`` header. It contains the secret.

        Returns:
            ``"Bearer "`` and the token.
        """
        return self._authorization

    def __repr__(self) -> str:
        return "BearerToken(<token>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BearerToken) and self._authorization == other._authorization

    def __hash__(self) -> int:
        return hash(self._authorization)


Credentials = BasicCredentials | BearerToken
"""Who a call is made for: a user name with a password, or a token."""

CredentialsProvider = Callable[[], Awaitable[Credentials]]
"""An async function that gives the credentials which are valid now."""


def _encoded(name: str, value: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidArgumentError(f"{name} must not be empty")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in value):
        raise InvalidArgumentError(f"{name} must not contain control characters, such as line breaks")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidArgumentError(f"{name} must be encodable as UTF-8")  # the codec's own error would show the value
    return value.encode()
