#!/bin/bash
# Installs ballproof into .venv beside this folder. Argument: the version of the competition's interface, v1.
set -eu
[ "${1:-}" = v1 ] || { echo "expected v1 as the first argument, got '${1:-}'" >&2; exit 1; }
cd "$(dirname "$0")/.."
python3 scripts/bootstrap.py install
