"""Makes the options of a client from its arguments and its connection string. An argument overrides the string."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterable
from random import Random
from ssl import SSLContext
from types import EllipsisType, UnionType
from typing import TYPE_CHECKING, Any

from trio_esdb._cluster import ClientOptions, Endpoint, NodePreference, endpoint
from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import (
    BasicCredentials,
    BearerToken,
    Credentials,
    CredentialsProvider,
    RetryPolicy,
    Timeouts,
    is_time,
)
from trio_esdb._observing import Instrument, Observer
from trio_esdb._settings import CONNECTION_NAME_ALLOWED, DEFAULT_PORT, Settings, is_connection_name, parse
from trio_esdb._transport._dial import Connect
from trio_esdb._wire import Limits

if TYPE_CHECKING:
    from trio_esdb._transport._tls_config import TLSConfig

PEM = bytes | str | os.PathLike[str]
"""Certificates or a key: bytes or text in PEM, or the path of a file. Bytes and files of roots may also be DER."""
_USUAL_LIMITS = Limits()
_USUAL_TIMEOUTS = Timeouts()
USUAL_MESSAGE_SIZE = _USUAL_LIMITS.receive_message
_LEAST_MESSAGE_SIZE = 1024
_GREATEST_MESSAGE_SIZE = 1024**3
"""A message must fit a flow-control window of HTTP/2 (2 GiB), with room for what a window holds besides."""
_LEADER_CHECK = 30.0
_EMBEDDED = "embedded"
"""The host that a user's ``connect`` is given for ``esdb://embedded``."""

Seconds = float | EllipsisType | None
"""A time; None is no limit, and ``...`` is the time of the connection string."""


def make_options(
    uri: str,
    *,
    root_certificates: PEM | None,
    private_key: PEM | None,
    certificate_chain: PEM | None,
    ssl_context: SSLContext | None,
    connect: Connect | None,
    connection_name: str | None,
    credentials: Credentials | CredentialsProvider | None,
    plain_text_credentials: bool,
    max_message_size: int,
    timeouts: Timeouts | None,
    default_deadline: Seconds,
    retry: RetryPolicy | bool,
    keep_alive_interval: Seconds,
    keep_alive_timeout: Seconds,
    keep_alive_without_calls: bool,
    max_connections: int | None,
    idle_connection_timeout: float | None,
    leader_check: float | None,
    random: Random | None,
    instruments: Iterable[Instrument],
) -> ClientOptions:
    """The options of a client; see ``ESDBClient`` for the arguments.

    Raises:
        InvalidArgumentError: An argument or the connection string cannot be used.
    """
    settings = parse(uri)
    seeds = tuple(dict.fromkeys(endpoint(host.name, host.port) for host in settings.hosts))
    if settings.embedded:
        seeds = (Endpoint(_EMBEDDED, DEFAULT_PORT, _EMBEDDED),)
    if connect is not None and not callable(connect):
        raise InvalidTypeError(
            f"connect must be a function of a host and a port that gives a stream, not {type(connect).__name__}"
        )
    tls = _tls_config(
        settings,
        root_certificates=root_certificates,
        private_key=private_key,
        certificate_chain=certificate_chain,
        ssl_context=ssl_context,
    )
    _check_bool("plain_text_credentials", plain_text_credentials)
    allowed = settings.tls or settings.embedded or plain_text_credentials
    credentials = _check_credentials(credentials)
    if credentials is not None and not allowed:
        raise InvalidArgumentError(
            "credentials: the connection string says tls=false, so anybody on the way could read them; use TLS, or "
            "permit it with plain_text_credentials=True"
        )
    if credentials is None and allowed:
        credentials = settings.credentials
    _check_integer("max_message_size", max_message_size, _LEAST_MESSAGE_SIZE, _GREATEST_MESSAGE_SIZE)
    if max_connections is not None:
        _check_integer("max_connections", max_connections, 1, None)
    _check_type("retry", retry, RetryPolicy | bool, "True, False or a RetryPolicy")
    _check_bool("keep_alive_without_calls", keep_alive_without_calls)
    random = Random() if random is None else _check_type("random", random, Random, "a random.Random")
    name = _connection_name(connection_name, settings, random)
    return ClientOptions(
        node=seeds[0],
        seeds=seeds,
        cluster=settings.cluster,
        node_preference=NodePreference(settings.node_preference),
        max_discover_attempts=settings.max_discover_attempts,
        gossip_timeout=settings.gossip_timeout,
        leader_check=_seconds("leader_check", leader_check, _LEADER_CHECK),
        embedded=settings.embedded,
        connect=connect,
        tls=tls,
        connection_name=name,
        credentials=credentials,
        credentials_allowed=allowed,
        limits=_USUAL_LIMITS if max_message_size == USUAL_MESSAGE_SIZE else Limits(receive_message=max_message_size),
        timeouts=_USUAL_TIMEOUTS if timeouts is None else _check_type("timeouts", timeouts, Timeouts, "a Timeouts"),
        default_deadline=_seconds("default_deadline", default_deadline, settings.default_deadline),
        retry=retry,
        discovery_interval=settings.discovery_interval,
        keep_alive_interval=_seconds("keep_alive_interval", keep_alive_interval, settings.keep_alive_interval),
        keep_alive_timeout=_seconds("keep_alive_timeout", keep_alive_timeout, settings.keep_alive_timeout),
        keep_alive_without_calls=keep_alive_without_calls,
        max_connections=max_connections,
        idle_connection_timeout=_seconds("idle_connection_timeout", idle_connection_timeout, math.inf),
        random=random,
        observer=Observer(name, _check_instruments(instruments)),
    )


def _tls_config(settings: Settings, **arguments: Any) -> TLSConfig | None:
    if settings.tls:
        from trio_esdb._transport._tls_config import make_tls_config  # a client without TLS never loads it

        return make_tls_config(
            **arguments,
            ca_file=settings.tls_ca_file,
            user_cert_file=settings.user_cert_file,
            user_key_file=settings.user_key_file,
            verify=settings.tls_verify_cert,
        )
    for name, value in arguments.items():
        if value is not None:
            why = "esdb://embedded is a node inside the process" if settings.embedded else "the uri says tls=false"
            raise InvalidArgumentError(f"{name} cannot be used without TLS: {why}")
    return None


def _check_credentials(credentials: Any) -> Any:
    if credentials is None or isinstance(credentials, BasicCredentials | BearerToken):
        return credentials
    if not callable(credentials) or isinstance(credentials, type):
        raise InvalidTypeError(  # without the value, which may be a password
            "credentials must be BasicCredentials, a BearerToken or an async function that gives one of them, "
            f"not {'a class' if isinstance(credentials, type) else type(credentials).__name__}"
        )
    return credentials


def _connection_name(name: str | None, settings: Settings, random: Random) -> str:
    if name is None:
        return settings.connection_name or str(uuid.UUID(int=random.getrandbits(128), version=4))
    _check_type("connection_name", name, str, "a str")
    if not is_connection_name(name):
        raise InvalidArgumentError(f"connection_name must be {CONNECTION_NAME_ALLOWED}, not {name!r}")
    return name


def _check_instruments(instruments: Iterable[Instrument]) -> tuple[Instrument, ...]:
    if not isinstance(instruments, Iterable):
        raise InvalidTypeError(f"instruments must be a list of Instrument, not {type(instruments).__name__}")
    checked = tuple(instruments)
    for each in checked:
        if not isinstance(each, Instrument):
            what = f"the class {each.__name__}" if isinstance(each, type) else type(each).__name__
            raise InvalidTypeError(f"instruments: each must be an object of a subclass of Instrument, not {what}")
    return checked


def _seconds(name: str, value: Seconds, default: float) -> float:
    if value is ...:
        return default
    if value is None:
        return math.inf
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be a number of seconds or None, not {type(value).__name__}")
    if not is_time(value):
        raise InvalidArgumentError(
            f"{name} must be a positive number of seconds up to 1e9, or None for no limit, not {value}"
        )
    return float(value)


def _check_bool(name: str, value: bool) -> None:
    _check_type(name, value, bool, "True or False")


def _check_integer(name: str, value: int, least: int, greatest: int | None) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < least or (greatest is not None and value > greatest):
        allowed = f"at least {least}" if greatest is None else f"from {least} to {greatest}"
        raise InvalidArgumentError(f"{name} must be {allowed}, not {value}")


def _check_type(name: str, value: Any, kind: type | UnionType, expected: str) -> Any:
    if not isinstance(value, kind):
        raise InvalidTypeError(f"{name} must be {expected}, not {type(value).__name__}")
    return value
