#!/usr/bin/env bash
# Every problem of every VNN-COMP folder, 57 s each, two at a time with one thread; goes on where it was stopped.
#   benchmarks/vnncomp_table.sh ../shared/data/vnncomp runs/table [BENCHMARK...]
set -u
data=$1 out=$2
shift 2
mkdir -p "$out"
(($#)) || set -- $(ls "$data")
for name in "$@"; do
  python -m ballproof vnncomp "$data/$name" --timeout 57 --workers 2 --threads 1 --out "$out/$name" --resume --json |
    tail -n 1 >"$out/$name.json.part" && mv "$out/$name.json.part" "$out/$name.json"
  printf '%s %s\n' "$name" "$(cat "$out/$name.json")"
done
