"""Checks of the arguments that persistent subscriptions have, before anything is sent.

A server checks almost none of them: it takes settings with which a group never works, and a few requests it never
answers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from trio_esdb._errors import InvalidArgumentError, InvalidTypeError
from trio_esdb._model import CONSUMER_STRATEGIES, Filter, SubscriptionSettings

from ._arguments import check_stream_name

_MOST_COUNT = 2**31 - 1
_MOST_SECONDS = _MOST_COUNT / 1000
"""Servers keep these times as milliseconds in 31 bits."""
_ALL = "$all"
_LEAST = {
    "max_retry_count": 0,
    "min_checkpoint_count": 1,
    "max_checkpoint_count": 1,
    "max_subscriber_count": 0,
    "live_buffer_size": 1,
    "history_buffer_size": 1,
    "read_batch_size": 1,
}


def check_group_name(group_name: str) -> str:
    """The name of a group."""
    if not isinstance(group_name, str):
        raise InvalidTypeError(f"group_name must be a str, not {type(group_name).__name__}")
    if not group_name:
        raise InvalidArgumentError("group_name must not be empty")
    try:
        group_name.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"group_name must be encodable as UTF-8: {group_name!r}") from None
    return group_name


def check_source_name(stream_name: str, otherwise: str) -> str:
    """The name of the stream that a group reads. ``otherwise`` is what to call for all streams."""
    check_stream_name(stream_name)
    if stream_name == _ALL:
        raise InvalidArgumentError(f"stream_name must be one stream; for all streams use {otherwise}")
    return stream_name


def check_settings(settings: SubscriptionSettings) -> SubscriptionSettings:
    """The settings of a group. A server would take many that it could not work with."""
    check_each_setting(settings)
    if settings.read_batch_size >= settings.history_buffer_size:
        raise InvalidArgumentError(
            f"read_batch_size must be less than history_buffer_size, but {settings.read_batch_size} is not less than "
            f"{settings.history_buffer_size}"
        )
    if settings.min_checkpoint_count > settings.max_checkpoint_count:
        raise InvalidArgumentError(
            f"min_checkpoint_count must not be greater than max_checkpoint_count, but "
            f"{settings.min_checkpoint_count} is greater than {settings.max_checkpoint_count}"
        )
    return settings


def check_each_setting(settings: SubscriptionSettings) -> None:
    """Check the settings, each for itself."""
    for name, least in _LEAST.items():
        _check_count(name, getattr(settings, name), least)
    _check_seconds("message_timeout", settings.message_timeout, 0.001)
    _check_seconds("checkpoint_after", settings.checkpoint_after, 0)
    for name in ("resolve_links", "extra_statistics"):
        if not isinstance(getattr(settings, name), bool):
            raise InvalidTypeError(f"{name} must be True or False, not {type(getattr(settings, name)).__name__}")
    if settings.consumer_strategy not in CONSUMER_STRATEGIES:
        allowed = ", ".join(CONSUMER_STRATEGIES)
        raise InvalidArgumentError(f"consumer_strategy must be one of {allowed}, not {settings.consumer_strategy!r}")


def least_checkpoint(least: int | None, most: int) -> int:
    """The smallest checkpoint because of time, if it is not given: the usual one, or the largest if that is less."""
    usual = SubscriptionSettings().min_checkpoint_count
    if least is not None:
        return least
    return most if isinstance(most, int) and 0 < most < usual else usual


def changed(settings: SubscriptionSettings, changes: dict[str, Any]) -> SubscriptionSettings:
    """The settings with these changes; None is no change."""
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})


def check_group_filter(filter: Filter | None) -> Filter | None:
    """A filter as groups can have it: servers keep prefixes in one text, with commas between them."""
    for prefix in () if filter is None else filter.prefixes:
        if "," in prefix:
            raise InvalidArgumentError(
                f"a prefix must have no comma for a persistent subscription, because servers would split it: {prefix!r}"
            )
    return filter


def check_stop_at(stop_at: int | None) -> int | None:
    """How far to replay: the number in the parked stream of the first event that is not replayed."""
    if stop_at is not None:
        _check_count("stop_at", stop_at, 1, 2**63 - 1)
    return stop_at


def _check_count(name: str, value: int, least: int, most: int = _MOST_COUNT) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise InvalidArgumentError(f"{name} must be from {least} to {most}, not {value}")


def _check_seconds(name: str, value: float, least: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if math.isnan(value) or not least <= value <= _MOST_SECONDS:
        raise InvalidArgumentError(f"{name} must be from {least:g} to {_MOST_SECONDS:.0f} seconds, not {value}")


def check_grace(grace: float) -> float:
    """How long leaving may take, in seconds."""
    _check_seconds("grace", grace, 0)
    return float(grace)
