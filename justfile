# The commands of this project. Each recipe makes .venv first, or updates it if pyproject.toml has changed. The machine
# needs only Python 3.11 or newer with pip.

set positional-arguments

python := ".venv/bin/python"
pytest := python + " -m pytest"
seeds := "2000"

[private]
default:
    @just --list --unsorted

# Show an embedded node, a writer and a subscriber; with `--address 'esdb://HOST:PORT?Tls=false'`, use a server instead
demo *options: (_venv "user" ".[cli]")
    @{{ python }} -m trio_esdb demo "$@"

# Run all tests with branch coverage; with arguments, run pytest with these arguments only
test *options: _dev
    {{ pytest }} {{ if options == "" { "--numprocesses=2 --cov" } else { '"$@"' } }}

# Run the project's own simulations with 2000 seeds each; `seeds=100` before the recipe's name runs so many
simulate *options: _dev
    TRIO_ESDB_SEEDS={{ seeds }} {{ pytest }} --numprocesses=2 tests/simulation "$@"

# All checks that a change must pass: lint, format, types, floors, generated code, documentation
check: _dev && gen-check docs-check docs
    {{ python }} -m ruff check .
    {{ python }} -m ruff format --check .
    {{ python }} -m mypy
    {{ python }} .venv/bin/lint-imports --no-logo

# Generate gen/trio_esdb_proto from protos/
gen: _dev
    {{ python }} protos/generate.py

# Check that gen/trio_esdb_proto is what protos/ generates
gen-check: _dev
    {{ python }} protos/generate.py --check

# Run an embedded node on TCP until Ctrl-C, e.g. `just serve --port 2113 --tls certs --users`
serve *options: (_venv "serve" ".[cli,tls-server]")
    @{{ python }} -m trio_esdb serve "$@"

# Replay the recorded conversations of a real node against the embedded node, or against a fresh node at HOST:PORT
conformance address="": _dev
    {{ if address == "" { "" } else { "ESDB_TEST_URI='esdb://" + address + "?Tls=false'" } }} {{ pytest }} tests/conformance

# Compare the speed with that of other clients and write benchmarks/RESULTS.md
bench *options: _bench
    {{ python }} -m benchmarks "$@"

# Do a short benchmark, which takes two minutes
bench-quick *options: _bench
    {{ python }} -m benchmarks --quick "$@"

# Compare this tree with another checkout of the project, which has an environment of its own in .venv
bench-versus checkout *options: _bench
    {{ python }} -m benchmarks.versus "$@"

# Run the examples of the documentation and check its links
docs-check: _dev
    {{ pytest }} -q tests/repo/test_examples.py tests/repo/test_links.py

# Build the pages and the API reference; docs/_build/html/docs/index.html is the first page
docs: (_venv "docs" ".[cli]" "--group" "docs")
    {{ python }} -m sphinx -q --fresh-env --nitpicky --fail-on-warning --keep-going -b html -c docs . docs/_build/html

_dev: (_venv "dev" ".[cli]" "--group" "dev")

_bench: (_venv "bench" ".[cli]" "--group" "bench")

# Make .venv if there is none, and install the project in editable mode with `what`, unless the stamp says it is done
[no-exit-message]
_venv stamp +what:
    #!/bin/sh
    set -eu
    shift
    fail() { echo "trio_esdb: $*" >&2; exit 1; }
    recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
    facts() { pwd; cat pyproject.toml; }

    stamp=.venv/installed-{{ stamp }}
    if recent {{ python }}; then
        if facts | cmp -s - "$stamp"; then exit 0; fi
    else
        for found in ${PYTHON:-python3 python python3.13 python3.12 python3.11} ""; do
            if [ -n "$found" ] && recent "$found"; then break; fi
        done
        [ -n "$found" ] || fail "Python 3.11 or newer is needed, and ${PYTHON:-python3} is not (PYTHON=/path/to/python names another)"
        "$found" -c 'import venv' 2>/dev/null || fail "$found has no venv module (Debian: apt install python3-venv)"
        if ! "$found" -c 'import ensurepip' 2>/dev/null && ! "$found" -c 'import pip' 2>/dev/null; then
            fail "$found has neither ensurepip nor pip (Debian: apt install python3-venv)"
        fi
        echo "making .venv with $("$found" --version)" >&2
        if "$found" -c 'import ensurepip' 2>/dev/null; then
            "$found" -m venv --clear .venv
        else  # Debian has ensurepip in another package; any pip can install into an environment
            "$found" -m venv --clear --without-pip .venv
            "$found" -m pip --python .venv install --quiet pip
        fi
    fi
    echo "installing into .venv: $*" >&2
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    {{ python }} -m pip install --quiet --upgrade 'pip>=25.1'
    {{ python }} -m pip install --quiet --editable "$@"
    facts > "$stamp"
