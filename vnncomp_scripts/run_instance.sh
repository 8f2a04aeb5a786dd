#!/bin/bash
# Decides one problem. Arguments: v1, category, ONNX file, VNN-LIB file, results file, seconds.
set -eu
[ "${1:-}" = v1 ] || { echo "expected v1 as the first argument, got '${1:-}'" >&2; exit 1; }
tool="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/ballproof"
# a problem that cannot be read or modelled is an answer too
"$tool" verify "$3" "$4" --timeout "$6" --results "$5" || echo unknown > "$5"
