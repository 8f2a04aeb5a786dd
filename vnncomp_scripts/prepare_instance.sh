#!/bin/bash
# Clears what an earlier problem may have left running; analyses nothing. Arguments: v1, category, ONNX file, VNN-LIB file.
set -eu
[ "${1:-}" = v1 ] || { echo "expected v1 as the first argument, got '${1:-}'" >&2; exit 1; }
[ -r "$3" ] && [ -r "$4" ] || { echo "cannot read $3 or $4" >&2; exit 1; }
pkill -KILL -f "bin/ballproof verify" || true
