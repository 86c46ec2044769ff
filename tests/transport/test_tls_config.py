"""What a user may say about TLS, and what is refused where it is said."""

from __future__ import annotations

import pytest

from tests.support.tls import certificate, roots
from trio_esdb import InvalidArgumentError
from trio_esdb._transport._tls_config import make_tls_config


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(InvalidArgumentError, match="private_key is missing"):
        make_tls_config(root_certificates=roots(), certificate_chain=certificate().cert_chain_pems[0].bytes())
