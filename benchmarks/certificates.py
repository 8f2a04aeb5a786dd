"""Proofs of a benchmark of VNN-COMP: python benchmarks/certificates.py FOLDER OUT.jsonl [--timeout 57] [--every 1] [--plain]

Every problem that is not known to be `sat` is given to `ballproof verify --certificate` (`--plain`: to `verify` alone), and its
proof to `ballproof check` as it is and with `--deployed`. One line of JSON a problem; a run that is started again goes on.
`--sum` prints the figures of the lines there are.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BALLPROOF = [sys.executable, "-m", "ballproof"]
CHECKER = [sys.executable, "-m", "ballproof.certificate.check"]


def problems(folder: Path) -> list[tuple[Path, Path]]:
    """Those of the list that no tool gave a valid counterexample for."""
    with (folder / "expected.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["expected"] != "sat"]
    return [(found(folder / r["onnx"]), found(folder / r["vnnlib"])) for r in rows]


def found(path: Path) -> Path:
    return path if path.exists() else path.with_name(path.name + ".gz")


def timed(command: list[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    start = time.monotonic()
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told, round(time.monotonic() - start, 2)


def row(network: Path, asked: Path, timeout: float, plain: bool) -> dict[str, Any]:
    files = [str(network), str(asked)]
    with tempfile.TemporaryDirectory() as place:
        proof = Path(place) / "proof.gz"
        more = [] if plain else ["--certificate", str(proof)]
        told, seconds = timed([*BALLPROOF, "verify", *files, "--timeout", str(timeout), *more, "--json"])
        answer = json.loads(told.stdout.splitlines()[-1]) if told.returncode == 0 else {"result": told.stderr[-200:]}
        line = {"network": network.name, "property": asked.name, "result": answer["result"], "seconds": seconds}
        line |= {"engine": answer.get("engine"), "proof": bool(answer.get("certificate"))}
        if not line["proof"]:
            return line
        line["bytes"] = proof.stat().st_size
        for name, flags in (("check", []), ("check_deployed", ["--deployed"])):
            told, seconds = timed([*CHECKER, str(proof), *files, *flags])
            line |= {name: seconds, f"{name}_passed": told.returncode == 0}
        return line


def figures(lines: list[dict[str, Any]]) -> dict[str, Any]:
    unsat = [line for line in lines if line["result"] == "unsat"]
    own = [line for line in unsat if line["proof"]]
    told: dict[str, Any] = {"problems": len(lines), "unsat": len(unsat), "proofs": len(own)}
    if own:
        told |= {name: sum(line[f"{name}_passed"] for line in own) for name in ("check", "check_deployed")}
        told["slower_to_check"] = sum(line["check"] > line["seconds"] for line in own)
        told |= {"median_bytes": statistics.median(line["bytes"] for line in own), "largest": max(x["bytes"] for x in own)}
        told |= {f"{name}_together": round(sum(x[name] for x in own), 1) for name in ("seconds", "check", "check_deployed")}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--timeout", type=float, default=57.0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--sum", action="store_true")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    if asked.sum:
        print(json.dumps(figures(lines)))
        return
    done = {(line["network"], line["property"]) for line in lines}
    for network, claim in problems(asked.folder)[:: asked.every]:
        if (network.name, claim.name) not in done:
            with asked.out.open("a") as file:
                file.write(json.dumps(row(network, claim, asked.timeout, asked.plain)) + "\n")


if __name__ == "__main__":
    main()
