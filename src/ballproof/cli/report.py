"""`ballproof report`: one page about one or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ballproof.cli.common import Json, tell


def report(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    out: Annotated[Path | None, Parameter(help="The page; default report.html in the first run.")] = None,
    json: Json = False,
) -> None:
    """Write one self-contained HTML page about runs: what was asked, what was proven, pictures, and what it all means."""
    from ballproof.errors import InputError
    from ballproof.report import write_report
    from ballproof.runs import Run

    if not runs:
        raise InputError("`RUN` is missing: name one or more run folders")
    for run in runs:
        Run.read(run)
    page = write_report(list(runs), out or runs[0] / "report.html")
    tell(json, {"report": str(page)}, [f"report: {page}"])
