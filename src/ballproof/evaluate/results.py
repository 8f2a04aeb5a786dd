"""What a run leaves behind for other programs: `rows.jsonl` and `results.parquet` (rows), `results.json` (totals)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from ballproof.evaluate.certify import Table
from ballproof.evaluate.rows import ROWS
from ballproof.runs import TOTALS, Run
from ballproof.spread import Row

PARQUET = "results.parquet"

AT_ONCE = 2000
"""Rows in memory."""


def write_results(run: Run, table: Table, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Write all of them; returns the totals."""
    write_rows(run, table.rows)
    run.write_json(TOTALS, {**table.totals, "settings": table.settings.as_dict(), "curve": curve})
    return table.totals


def write_rows(run: Run, rows: Sequence[Row]) -> None:
    """The rows as `rows.jsonl`, and as `results.parquet` where the extra `parquet` is installed.

    Some thousand are in memory at a time; a column that a row lacks is null in the latter.
    """
    if len(run.rows(ROWS)) != len(rows):  # the command kept no journal, where rows stand in the order in which they came
        run.replace_rows(ROWS, rows)
    if find_spec("pyarrow") is None:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.unify_schemas([table.schema for table in _tables(rows)] or [pa.schema([])], promote_options="permissive")
    with run.writing(PARQUET) as file, pq.ParquetWriter(file, schema) as writer:
        for start in range(0, len(rows), AT_ONCE):
            writer.write_table(pa.Table.from_pylist(rows[start : start + AT_ONCE], schema))


def _tables(rows: Sequence[Row]) -> Iterator[Any]:
    """The rows in parts, with every column that a row of the part has."""
    import pyarrow as pa

    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        names = dict.fromkeys(name for row in part for name in row)
        yield pa.table({name: [row.get(name) for row in part] for name in names})
