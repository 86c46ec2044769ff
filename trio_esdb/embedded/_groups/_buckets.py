"""The bucket of a text, by which pinned strategies choose a consumer.

The hash is an early form of xxHash that EventStoreDB uses, with a seed of its own. It is not the published XXH32: words
are mixed in another order, and the last 16 bytes of a long text are always mixed once more. Confirmed on 24.10.4.
"""

from __future__ import annotations

BUCKETS = 1024
_MASK = 0xFFFF_FFFF
_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
_SEED = 0xC58F1A7B


def bucket_of(text: str) -> int:
    """The bucket of a text, from 0 to BUCKETS - 1."""
    return hash_of(text.encode("utf-16-le", "surrogatepass")) % BUCKETS


def hash_of(data: bytes) -> int:
    """The 32-bit hash of these bytes."""
    return _of_few(data) if len(data) < 16 else _of_many(data)


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _of_few(data: bytes) -> int:
    step, found, at, size = _SEED + _P1 & _MASK, _P5, 0, len(data)
    while size - at > 4:
        found = found + _word(data, at) + step & _MASK
        step = step + 1 & _MASK
        found = (found + _rotated(found, 17) * _P4) * _P1 & _MASK
        at += 4
    for byte in data[at:]:
        found = (found + byte + step) * _P1 & _MASK
        step = step + 1 & _MASK
    found = found + size & _MASK
    found = (found ^ found >> 15) * _P2 & _MASK
    found = (found ^ found >> 13) * _P3 & _MASK
    return found ^ found >> 16


def _of_many(data: bytes) -> int:
    size, at = len(data), 0
    lane = _SEED + _P1 & _MASK
    lanes = [lane]
    for factor, extra in ((_P2, size), (_P3, 0), (_P4, 0)):
        lane = lane * factor + extra & _MASK
        lanes.append(lane)

    def mix(place: int, rotations: tuple[int, ...], multiply_after: bool) -> None:
        for index, rotation in enumerate(rotations):
            value = lanes[index]
            value = (value + _rotated(value, rotation)) * _P1 + _word(data, place + 4 * index) & _MASK
            if multiply_after:
                value = value * _P2 & _MASK
                value = (value + _rotated(value, (11, 17, 19, 13)[index])) * _P3 & _MASK
            lanes[index] = value

    while size - at > 16:
        mix(at, (13, 11, 17, 19), False)
        at += 16
    mix(size - 16, (17, 19, 13, 11), True)
    found = lanes[0] + _rotated(lanes[1], 3) + _rotated(lanes[2], 6) + _rotated(lanes[3], 9) & _MASK
    found ^= found >> 11
    found = (found + (_P4 + size) * _P1) & _MASK
    found = (found ^ found >> 15) * _P2 & _MASK
    return found ^ found >> 13
