"""The run folder: files written beside and renamed, rows appended whole with a checksum, one command at a time."""

from ballproof.runs.journal import Journal
from ballproof.runs.run import CONFIG, Run, versions

__all__ = ["CONFIG", "Journal", "Run", "versions"]
