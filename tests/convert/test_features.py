"""What servers tell of themselves."""

from __future__ import annotations

import pytest

from tests.support.makers import block, number
from trio_esdb import ProtocolError, ServerVersion
from trio_esdb._convert import server_version
from trio_esdb_proto.event_store.client.server_features import SupportedMethod, SupportedMethods


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("21.10.11", (21, 10, 11)),
        ("23.10.6.0", (23, 10, 6)),
        ("24.10.4", (24, 10, 4)),
        ("25.1", (25, 1, 0)),
        ("25.0.1-rc.1", (25, 0, 1)),
        ("26.1.0+abc", (26, 1, 0)),
        ("0.0.0.0", (0, 0, 0)),
    ],
)
def test_versions(text: str, version: tuple[int, int, int]) -> None:
    methods = [SupportedMethod("read", "streams", ["position", "events"]), SupportedMethod("append", "streams")] * 60
    found = server_version(bytes(SupportedMethods(methods=methods, event_store_server_version=text)))
    assert found == ServerVersion(*version) == version


@pytest.mark.parametrize(
    "text", ["", "x", "24", "24.", "v24.10.4", ".24.10", "24.x", "1234567.1", "24.1234567", "\u0662\u0664.\u0661\u0660"]
)
def test_a_text_that_is_no_version(text: str) -> None:
    with pytest.raises(ProtocolError, match="a version that is none"):
        server_version(bytes(SupportedMethods(event_store_server_version=text)))


@pytest.mark.parametrize("raw", [b"\x0a", block(2, b"24.10.4")[:-1], b"\x02\xff", block(1, b"") * 10_001])
def test_a_response_that_is_malformed(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        server_version(raw)


def test_a_response_may_have_other_fields() -> None:
    assert server_version(number(2, 7) + block(9, b"?") + block(2, b"1.2.3") + block(2, b"24.10.4")) == (24, 10, 4)
    with pytest.raises(ProtocolError, match="none: '\ufffd'"):
        server_version(block(2, b"\xff"))


def test_versions_can_be_compared() -> None:
    assert ServerVersion(24, 2) > ServerVersion(23, 10, 99) > (23, 10)
    assert ServerVersion(24, 10) >= (24, 10)
    assert str(ServerVersion(24, 2, 1)) == "24.2.1"
