"""The run folder: files written beside and renamed, rows appended whole with a checksum, one command at a time."""

from ballproof.runs.journal import Journal
from ballproof.runs.run import CONFIG, IDENTITY, TOTALS, Run, versions

__all__ = ["CONFIG", "IDENTITY", "TOTALS", "Journal", "Run", "versions"]
