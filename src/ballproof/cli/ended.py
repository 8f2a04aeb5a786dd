"""What `ballproof verify` tells of a search that was ended from outside: as much as the search itself had told until then.

Loads no library: at that time the limit is over.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from ballproof.cli.watched import Known
from ballproof.errors import InputError
from ballproof.files import sha256
from ballproof.runs import IDENTITY, TOTALS, Run
from ballproof.runs.invocation import INVOCATION


def verify_ended(known: Known, result: str, reason: str) -> int:
    """The verdict that was known already, else `result`; on stdout, in the results file and in the run folder.

    known: `begun`, when it began (`time.monotonic`), and `engine`; `told` and `lines`, a verdict as it is printed; `results`
    and `text`, the file of results and what belongs there; `certificate`, a file that a proof is written to; `run`, the
    folder with what it is to hold.
    """
    told: dict[str, Any] = known.get("told") or {
        "result": result,
        "reason": reason,
        "engine": known.get("engine", ""),
        "bound": None,
        "seconds": round(time.monotonic() - known.get("begun", time.monotonic()), 3),
        "counterexample": None,
        "certificate": None,
    }
    lines = known.get("lines") or [result, f"; {reason}"]
    proof = known.get("certificate")
    if proof and Path(proof).is_file():
        lines += [f"; no certificate: {proof} holds what was written until the end; `ballproof check` tells how much is open"]
    try:
        if known.get("results"):
            Path(known["results"]).write_text(known.get("text") or f"{told['result']}\n")
        if known.get("run"):
            INVOCATION.set(tuple(sys.argv[1:]))
            run = kept(told, **known["run"])
            lines += [f"; run: {run.path}, without a report: `ballproof report` makes one"]
    except (OSError, InputError) as error:
        lines += [f"; not written: {error}"]
    print("\n".join(lines))
    if "--json" in sys.argv:
        print(json.dumps(told))
    return 0


def run_of(out: Path, settings: dict[str, Any], files: tuple[Path, ...]) -> Known:
    """A run folder that is still to be made, in words that can be told to another process."""
    return {"out": str(out), "settings": settings, "files": {f"file {p}": sha256(p) for p in files if p.is_file()}}


def kept(told: dict[str, Any], out: str, settings: dict[str, Any], files: dict[str, str]) -> Run:
    """The run folder with the verdict; one that was begun already with the same settings goes on."""
    run = Run.start(out, "verify", settings, resume=True)
    run.write_json(IDENTITY, files)
    run.write_json(TOTALS, told)
    return run
