"""Ids as .NET reads and writes them."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb.embedded._dotnet._guids import BadGuid, from_halves, guid_text, parse_guid, to_halves


@given(st.uuids(allow_nil=True))
def test_ids_in_all_their_forms(value: uuid.UUID) -> None:
    text = str(value)
    parts = value.hex
    hexes = [parts[0:8], parts[8:12], parts[12:16]]
    tail = ",".join(f"0x{parts[at : at + 2]}" for at in range(16, 32, 2))
    forms = [text, value.hex, f"{{{text}}}", f"({text})", f" {text.upper()}\n"]
    forms.append(f"{{0x{hexes[0]}, 0x{hexes[1]},0x{hexes[2]},{{{tail}}}}}")
    assert {parse_guid(form) for form in forms} == {value.int}
    assert guid_text(value.int).decode() == text
    assert from_halves(*to_halves(value.int)) == value.int
    assert all(-(2**63) <= half < 2**63 for half in to_halves(value.int))


LENGTH = "Guid should contain 32 digits with 4 dashes (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)."
BAD_GUIDS = [
    ("", "Unrecognized Guid format."),
    ("  ", "Unrecognized Guid format."),
    ("not-a-uuid", LENGTH),
    ("123", LENGTH),
    ("x" * 32, "Guid string should only contain hexadecimal characters."),
    ("0" * 31 + "_", "Guid string should only contain hexadecimal characters."),
    ("00000000-0000-0000-0000-00000000000x", "Guid string should only contain hexadecimal characters."),
    ("0000000-00000-0000-0000-000000000000", "Dashes are in the wrong position for GUID parsing."),
    ("{00000000-0000-0000-0000-000000000000", LENGTH),
    ("{00000000-0000-0000-0000-000000000000)", LENGTH),
    ("(00000000-0000-0000-0000-000000000000}", LENGTH),
    ("{0x1}", "Unrecognized Guid format."),
    ("urn:uuid:00000000-0000-0000-0000-000000000000", LENGTH),
]


@pytest.mark.parametrize(("text", "message"), BAD_GUIDS)
def test_texts_that_are_no_ids(text: str, message: str) -> None:
    with pytest.raises(BadGuid) as caught:
        parse_guid(text)
    assert str(caught.value) == message
