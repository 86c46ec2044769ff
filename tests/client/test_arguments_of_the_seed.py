"""The arguments of esdbclient 0.12, in its order: programs that come from there give some of them by position."""

from __future__ import annotations

import inspect

import pytest

from trio_esdb import ESDBClient, InvalidArgumentError

POSITIONAL = {
    "append_events": ["stream_name", "expected_position", "events", "timeout"],
    "append_event": ["stream_name", "expected_position", "event", "timeout"],
    "read_stream_events": ["stream_name", "stream_position", "backwards", "limit", "timeout"],
    "read_all_events": ["commit_position", "backwards", "filter_exclude", "filter_include", "limit", "timeout"],
    "get_stream_position": ["stream_name", "timeout"],
    "get_commit_position": ["timeout", "filter_exclude", "filter_include", "filter_by_stream_name"],
    "get_stream_metadata": ["stream_name", "timeout"],
    "set_stream_metadata": ["stream_name", "metadata", "expected_position", "timeout"],
    "delete_stream": ["stream_name", "expected_position", "timeout"],
    "tombstone_stream": ["stream_name", "expected_position", "timeout"],
    "subscribe_all_events": ["commit_position", "filter_exclude", "filter_include", "timeout"],
    "subscribe_stream_events": ["stream_name", "stream_position", "timeout"],
}


@pytest.mark.parametrize("name", POSITIONAL)
def test_order(name: str) -> None:
    parameters = list(inspect.signature(getattr(ESDBClient, name)).parameters.values())[1:]
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == POSITIONAL[name]


@pytest.mark.parametrize("name", ["root_certificates", "private_key", "certificate_chain"])
def test_what_needs_tls_is_refused_without_it(name: str) -> None:
    ESDBClient("esdb://embedded", **{name: None})
    with pytest.raises(InvalidArgumentError, match=f"{name} cannot be used without TLS"):
        ESDBClient("esdb://embedded", **{name: "-----BEGIN CERTIFICATE-----"})


def test_order_of_the_constructor() -> None:
    parameters = inspect.signature(ESDBClient).parameters.values()
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == ["uri", "root_certificates", "private_key", "certificate_chain"]
