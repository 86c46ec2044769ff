"""What a client costs before it has done anything: time and memory of its import, and its size on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .processes import ROOT, Failed

_IMPORTS = {"ours": "import trio_esdb", "kurrent": "import kurrentdbclient"}
_FIRST_READS = {
    "ours": """
import trio, trio_esdb
async def main():
    async with trio_esdb.ESDBClient("esdb://{address}?Tls=false") as client:
        await client.get_stream_events("bench-200-packed-100")
trio.run(main)
""",
    "kurrent": """
import kurrentdbclient
with kurrentdbclient.KurrentDBClient("esdb://{address}?Tls=false") as client:
    client.get_stream("bench-200-packed-100")
""",
}
_PROGRAM = """
import os, sys, time, resource
if {core} is not None:
    os.sched_setaffinity(0, {{{core}}})
def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
memory, modules, cpu, wall = resident(), len(sys.modules), time.process_time(), time.perf_counter()
{code}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
import json
print(json.dumps(dict(seconds=wall, cpu=cpu, bytes=resident() - memory, modules=len(sys.modules) - modules)))
"""
PIP = ("install", "--no-compile", "--quiet", "--disable-pip-version-check", "--no-warn-script-location", "--target")
PURE = ("--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none")


def imports(address: str, core: int | None, rounds: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Each client's import, and its import up to the first events read, in processes of their own, in turn."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for what, codes in (("import", _IMPORTS), ("first read", _FIRST_READS)):
        for turn in range(-1, rounds):  # the first one writes bytecode
            for client, code in codes.items():
                sample = _run(code.replace("{address}", address), core)
                if turn >= 0:
                    found.setdefault(what, {}).setdefault(client, []).append(sample)
    return found


def import_of(root: Path, python: str, core: int | None) -> dict[str, float]:
    """What the import of trio_esdb costs in another checkout, in a process of its own."""
    return _run(_IMPORTS["ours"], core, root, python)


def _run(code: str, core: int | None, root: Path = ROOT, python: str = sys.executable) -> dict[str, float]:
    program = _PROGRAM.format(core=core, code=code)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [python, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1][:300])
    sample: dict[str, float] = json.loads(done.stdout)
    return sample


def installed_sizes(kurrentdbclient: str) -> dict[str, dict[str, Any]]:
    """Bytes of all files that pip puts into an empty folder, bytecode apart: the client and all that it needs."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        built = _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT))
        wheels = [str(path) for path in Path(folder).glob("*.whl")]
        if not built or not wheels:
            return {"trio_esdb": {"error": "its wheel could not be built"}}
        found["trio_esdb"] = _installed_size(*wheels)
        found["trio_esdb, from pure-Python wheels alone"] = _installed_size(*PURE, *wheels)
    found["kurrentdbclient"] = _installed_size(f"kurrentdbclient=={kurrentdbclient}")
    return found


def _installed_size(*what: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if not _pip(*PIP, folder, *what):
            return {"error": "pip could not install it"}
        parts: dict[str, int] = {}
        for path in Path(folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                top = path.relative_to(folder).parts[0].removesuffix(".py")
                name = top.split("-")[0] if top.endswith((".dist-info", ".data")) else top
                parts[name] = parts.get(name, 0) + os.stat(path).st_size
        return {"bytes": sum(parts.values()), "parts": dict(sorted(parts.items(), key=lambda item: -item[1]))}


def _pip(*arguments: str) -> bool:
    command = [sys.executable, "-m", "pip", *arguments]
    return not subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).returncode
