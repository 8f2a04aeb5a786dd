"""`ballproof report`: one page about one or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ballproof.cli.common import Json, tell
from ballproof.cli.progress import waiting


def report(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    out: Annotated[Path | None, Parameter(help="The page; default report.html in the first run.")] = None,
    format: Annotated[Literal["html", "md", "json"] | None, Parameter(help="Default: what the suffix of --out says.")] = None,
    json: Json = False,
) -> None:
    """Write one self-contained page about runs: what was asked, what was proven, pictures, and what it all means.

    Several runs of a command are set side by side.

    Example: ballproof report runs/mine runs/proofs --out page.html
    """
    from ballproof.errors import InputError
    from ballproof.report import write_report
    from ballproof.runs import Run

    if not runs:
        raise InputError("`RUN` is missing: name one or more run folders")
    for run in runs:
        Run.read(run)
    with waiting("report"):
        page = write_report(list(runs), out or runs[0] / f"report.{format or 'html'}", format)
    tell(json, {"report": str(page)}, [f"report: {page}"])
