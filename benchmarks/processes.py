"""The processes of a run: a node on one core, clients on another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent
_PATIENCE = 60.0
"""Seconds after which a client that has not answered is given up."""


class Failed(Exception):
    """A client could not do a job."""


def cores() -> tuple[int | None, int | None]:
    """A processor for the node and one for the clients, where there are two and a process can be held on one."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[-1]) if len(found) > 1 else (None, None)


def certificates(folder: Path) -> tuple[str, str]:
    """Paths of a certificate for localhost, with its key, and of the certificate of the authority that signed it."""
    import trustme

    authority, node = folder / "ca.pem", folder / "node.pem"
    made = trustme.CA()
    made.cert_pem.write_to_path(authority)
    made.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(node)
    return str(node), str(authority)


class Node(AbstractContextManager["Node"]):
    """A replay node, or a node that somebody else runs at ``address``."""

    def __init__(self, core: int | None, *, address: str = "", certificate: str = "") -> None:
        self.address = address
        self.replays = not address
        self._process: subprocess.Popen[str] | None = None
        if self.replays:
            command = [sys.executable, "-m", "benchmarks.replay"]
            command += [] if core is None else ["--core", str(core)]
            command += ["--certificate", certificate] if certificate else []
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self.address = f"{'localhost' if certificate else '127.0.0.1'}:{int(self._line())}"

    def cpu(self) -> float | None:
        """The processor time that the node has used, where that can be asked."""
        if self._process is None:
            return None
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Client(AbstractContextManager["Client"]):
    """A client's program, run in the checkout ``root``."""

    def __init__(self, command: list[str], root: Path = ROOT) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by __exit__
        self._process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "GRPC_VERBOSITY": "NONE", "NODE_NO_WARNINGS": "1"},
        )
        if self._answer() != "ready\n":
            raise Failed(self._last_words())

    def perform(self, job: dict[str, Any], node: Node) -> dict[str, Any]:
        """Do a job; what was measured, with the share of that time for which the node needed a processor."""
        assert self._process.stdin is not None
        node_before = node.cpu()
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._last_words()) from None
        line = self._answer()
        if not line:
            raise Failed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        node_after = node.cpu()
        if node_after is not None and node_before is not None:
            answer["node"] = (node_after - node_before) / answer["seconds"]
        return answer

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        alarm = threading.Timer(_PATIENCE, self._process.kill)
        alarm.start()
        try:
            return self._process.stdout.readline()
        finally:
            alarm.cancel()

    def _last_words(self) -> str:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1][:300] if lines else f"it ended with {self._process.returncode} or took too long"
