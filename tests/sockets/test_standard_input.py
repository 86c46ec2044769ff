"""Standard input in lines: how bytes become lines, and what it may be."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.support.clock import PATIENCE
from trio_esdb._cli import _input
from trio_esdb._cli._input import Lines


def lines_of(*pieces: bytes) -> list[str | None]:
    lines = Lines()
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.end())


TEXT = b"nodes\n\nkill 1\r\n\xff\xfe\n" + b"x" * 1000 + b"\n" + b"y" * 1001 + b"\nheal"
EXPECTED = ["nodes", "", "kill 1\r", "\ufffd\ufffd", "x" * 1000, None, "heal"]


def test_lines() -> None:
    assert lines_of(TEXT) == EXPECTED
    assert lines_of(*(bytes([byte]) for byte in TEXT)) == EXPECTED
    for size in (2, 3, 999, 1000, 1001, 1002):
        assert lines_of(*(TEXT[start : start + size] for start in range(0, len(TEXT), size))) == EXPECTED


def test_the_end() -> None:
    assert lines_of() == []
    assert lines_of(b"") == []
    assert lines_of(b"\n") == [""]
    assert lines_of(b"a\n") == ["a"]
    assert lines_of(b"a" * 5000) == [None], "also where nothing ends it"


def test_a_line_that_never_ends_is_not_kept() -> None:
    lines = Lines()
    for _ in range(1000):
        assert list(lines.feed(b"x" * 4096)) == []
        assert len(lines._rest) <= 1000
    assert list(lines.feed(b"x\nheal\n")) == [None, "heal"]


def test_a_character_in_two_pieces() -> None:
    assert lines_of(b"\xc3", b"\xa4\n") == ["ä"]


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe instead of standard input; its own numbers, for a test that closes them."""
    reading, writing = os.pipe()
    monkeypatch.setattr(_input, "_INPUT", reading)
    yield reading, writing
    for number in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(number)


async def test_a_pipe(descriptors: tuple[int, int]) -> None:
    _, writing = descriptors
    with trio.fail_after(PATIENCE):
        os.write(writing, b"abc")
        assert await _input.read() == b"abc"
        os.close(writing)
        assert await _input.read() == b""


async def test_a_read_can_be_given_up(descriptors: tuple[int, int]) -> None:
    with trio.move_on_after(0.05) as given_up:
        await _input.read()
    assert given_up.cancelled_caught
    os.write(descriptors[1], b"ends the thread")


async def test_a_pipe_that_somebody_else_has_made_non_blocking(descriptors: tuple[int, int]) -> None:
    reading, writing = descriptors
    os.set_blocking(reading, False)

    async def write_later() -> None:
        await trio.sleep(0.05)
        os.write(writing, b"abc")

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_later)
            assert await _input.read() == b"abc"


async def test_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "commands").write_bytes(b"nodes\n")
    for path, content in ((tmp_path / "commands", b"nodes\n"), (Path(os.devnull), b""), (tmp_path, b"")):
        number = os.open(path, os.O_RDONLY)
        monkeypatch.setattr(_input, "_INPUT", number)
        assert await _input.read() == content
        assert await _input.read() == b""
        os.close(number)
    assert await _input.read() == b"", "it was closed"


async def test_no_standard_input(monkeypatch: pytest.MonkeyPatch, descriptors: tuple[int, int]) -> None:
    """The number may be that of something else then, which must not be read."""
    os.write(descriptors[1], b"of somebody else")
    monkeypatch.setattr(sys, "stdin", None)
    assert await _input.read() == b""


async def test_a_terminal_in_whose_background_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    master, terminal = pty.openpty()
    monkeypatch.setattr(_input, "_INPUT", terminal)
    monkeypatch.setattr(_input, "_TRY_AGAIN", 0.01)
    tries = 0

    def read(number: int, size: int) -> bytes:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(errno.EIO, "as for a process in the background that ignores SIGTTIN")
        return usual(number, size)

    usual = os.read
    monkeypatch.setattr(os, "read", read)
    os.write(master, b"nodes\n")
    with trio.fail_after(PATIENCE):
        assert await _input.read() == b"nodes\n"
    os.close(master)
    os.close(terminal)


async def test_an_error_of_something_else(monkeypatch: pytest.MonkeyPatch, descriptors: tuple[int, int]) -> None:
    def read(_number: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "a broken disk")

    monkeypatch.setattr(os, "read", read)
    assert await _input.read() == b""


def test_the_signal_is_ignored_for_a_while() -> None:
    before = signal.getsignal(signal.SIGTTIN)
    with _input.unstoppable():
        assert signal.getsignal(signal.SIGTTIN) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTTIN) is before


def test_a_system_without_that_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGTTIN")
    with _input.unstoppable():
        pass


async def test_answers_are_written_whole(monkeypatch: pytest.MonkeyPatch, descriptors: tuple[int, int]) -> None:
    reading, writing = descriptors
    monkeypatch.setattr(_input, "_OUTPUT", writing)
    usual = os.write
    monkeypatch.setattr(os, "write", lambda number, data: usual(number, data[:7]))
    await _input.write("node 1 is killed \udcff")
    assert os.read(reading, 100) == b"node 1 is killed \\udcff\n"


async def test_answers_that_nobody_reads_do_not_hold_the_loop(
    monkeypatch: pytest.MonkeyPatch, descriptors: tuple[int, int]
) -> None:
    reading, writing = descriptors
    monkeypatch.setattr(_input, "_OUTPUT", writing)
    with trio.move_on_after(0.05) as given_up:
        await _input.write("x" * 1_000_000)
    assert given_up.cancelled_caught
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        await _input.write("x")
