"""What a certify run leaves behind for other programs: `results.parquet` (rows) and `results.json` (totals)."""

from __future__ import annotations

from typing import Any

from ballproof.evaluate.certify import Table
from ballproof.evaluate.rows import Rows
from ballproof.runs import Run

PARQUET, TOTALS = "results.parquet", "results.json"


def write_results(run: Run, table: Table, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Write both files; returns the totals."""
    write_rows(run, table.rows)
    run.write_json(TOTALS, {**table.totals, "settings": table.settings.as_dict(), "curve": curve})
    return table.totals


def write_rows(run: Run, rows: Rows) -> None:
    """The rows as `results.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    run.write_bytes(PARQUET, sink.getvalue().to_pybytes())
