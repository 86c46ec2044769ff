"""The hash of pinned strategies: values that real nodes showed, and others of every length."""

from __future__ import annotations

from trio_esdb.embedded._groups._buckets import BUCKETS, bucket_of, hash_of


def test_two_names_that_share_a_bucket_on_real_nodes() -> None:
    assert bucket_of("c2") == bucket_of("c3") == 340


def test_names_of_every_length_have_a_bucket() -> None:
    buckets = [bucket_of("x" * length) for length in range(100)]
    assert all(0 <= bucket < BUCKETS for bucket in buckets)
    assert len(set(buckets)) > 80


def test_each_byte_matters() -> None:
    for length in (1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64):
        data = bytes(range(length))
        changed = {hash_of(data[:at] + b"\xff" + data[at + 1 :]) for at in range(length)}
        assert len(changed | {hash_of(data)}) == length + 1
