"""Generate the messages in `gen/` from the `.proto` files of this folder.

`python protos/generate.py` writes gen/trio_esdb_proto; with `--check` it only compares, names the files that differ
and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

PROTOS = Path(__file__).resolve().parent
PACKAGE = PROTOS.parent / "gen" / "trio_esdb_proto"
OPTIONS = "client_generation=none,server_generation=none"


def run(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run a module of this interpreter inside this folder and return what it prints."""
    # The compiler calls ruff, which stands beside the interpreter and takes its settings from where it runs.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, input=stdin, cwd=PROTOS, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments[0]} failed:\n{done.stderr.decode()}")
    return done.stdout


def described() -> plugin_pb2.CodeGeneratorRequest:
    """Every `.proto` file of this folder and what they import, as a compiler plug-in is given them."""
    well_known = resources.files("grpc_tools") / "_proto"
    names = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set.pb")
        flags = [f"-I{PROTOS}", f"-I{well_known}", "--include_imports", "--include_source_info"]
        run("grpc_tools.protoc", *flags, f"--descriptor_set_out={out}", *names)
        files = FileDescriptorSet.FromString(out.read_bytes()).file
    request = plugin_pb2.CodeGeneratorRequest(file_to_generate=names, parameter=OPTIONS, proto_file=files)
    for file in request.proto_file:
        if file.name not in names:  # Google's comments are long, and change with the version of protoc
            file.source_code_info.Clear()
            file.source_code_info.SetInParent()
    return request


def generate() -> dict[str, bytes]:
    """The files of the package by their names in it, messages only."""
    answer = run("betterproto2_compiler.plugin", stdin=described().SerializeToString())
    response = plugin_pb2.CodeGeneratorResponse.FromString(answer)
    return {file.name: file.content.encode() for file in response.file}


def present() -> dict[str, bytes]:
    """The files of the package as they stand in `gen/`, without what the interpreter leaves there."""
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Generate gen/trio_esdb_proto from protos/.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    wanted, found = generate(), present()
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if arguments.check:
        for name in differing:
            print(f"differs from what protos/ gives: gen/{PACKAGE.name}/{name}", file=sys.stderr)
        return 1 if differing else 0
    if PACKAGE.exists():
        shutil.rmtree(PACKAGE)
    for name, content in wanted.items():
        target = PACKAGE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    print(f"gen/{PACKAGE.name}: {len(wanted)} files, {len(differing)} of them changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
