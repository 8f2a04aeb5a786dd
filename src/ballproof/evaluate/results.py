"""What a run leaves behind for other programs: `rows.jsonl` and `results.parquet` (rows), `results.json` (totals)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ballproof.evaluate.certify import Table
from ballproof.evaluate.rows import ROWS, Rows
from ballproof.runs import Run

PARQUET, TOTALS = "results.parquet", "results.json"


def write_results(run: Run, table: Table, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Write all of them; returns the totals."""
    write_rows(run, table.rows)
    run.write_json(TOTALS, {**table.totals, "settings": table.settings.as_dict(), "curve": curve})
    return table.totals


def write_rows(run: Run, rows: Rows) -> None:
    """The rows as `rows.jsonl`, and as `results.parquet` where the extra `parquet` is installed."""
    if run.rows(ROWS) != rows:
        run.replace_rows(ROWS, rows)
    if find_spec("pyarrow") is None:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    run.write_bytes(PARQUET, sink.getvalue().to_pybytes())
