"""The headers of a request belong to its connection."""

from __future__ import annotations

import pytest

from trio_esdb._rpc import Method, RequestHeaders


@pytest.mark.parametrize("method", Method)
def test_what_they_say(method: Method) -> None:
    headers = dict(RequestHeaders("node:2113").of(method))
    assert headers == {
        ":method": "POST",
        ":scheme": "http",
        ":path": method.value,
        ":authority": "node:2113",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "trio-esdb",
        "requires-leader": "true",
    }


def test_the_scheme_is_the_connections_and_the_leader_the_calls() -> None:
    made = RequestHeaders("node:2113", scheme="https")
    anywhere = dict(made.of(Method.READ, requires_leader=False))
    assert (anywhere[":scheme"], anywhere["requires-leader"]) == ("https", "false")
    assert dict(made.of(Method.READ))["requires-leader"] == "true"


def test_the_same_call_has_the_same_object() -> None:
    """Which the encoder of header blocks looks up."""
    made = RequestHeaders("node:2113")
    assert made.of(Method.READ) is made.of(Method.READ)
    assert made.of(Method.READ) is not made.of(Method.APPEND)
    assert RequestHeaders("node:2113").of(Method.READ) is not made.of(Method.READ)
