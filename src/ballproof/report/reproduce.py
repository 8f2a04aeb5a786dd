"""How to get a run again: the command, the versions, the seed, and what the numbers are about, by hash."""

from __future__ import annotations

import shlex

from ballproof.files import sha256
from ballproof.runs import IDENTITY, Run

HASHED = ("model.safetensors", "results.json", "results.parquet", "rows.jsonl", "adversarial.npz", "log.jsonl")
"""The files of a run whose hashes are told, where they are."""


def reproduce(run: Run) -> tuple[tuple[str, str], ...]:
    """Terms and texts."""
    config = run.config
    argv = config.get("argv")
    command = f"ballproof {shlex.join(argv)}" if argv else f"not started on the command line; ballproof.{config['command']}"
    found = [("command", command), ("settings", ", ".join(f"{k}={v}" for k, v in config["settings"].items()))]
    found.append(("versions", ", ".join(f"{k} {v}" for k, v in config["versions"].items())))
    if "seed" in config["settings"]:
        found.append(("seed", str(config["settings"]["seed"])))
    if run.has(IDENTITY):
        found += [(f"{name} sha256", digest) for name, digest in run.read_json(IDENTITY).items()]
    found += [(f"{name} sha256", sha256(run.path / name)) for name in HASHED if run.has(name)]
    return tuple(found)
