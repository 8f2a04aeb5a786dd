"""Items of work carried out here, in processes, or on a cluster, with the same rows wherever."""

from ballproof.spread.driver import spread
from ballproof.spread.work import BARRIER, Barrier, Failure, Row, Rows, Work
from ballproof.spread.workers import HERE, Workers

__all__ = ["BARRIER", "HERE", "Barrier", "Failure", "Row", "Rows", "Work", "Workers", "spread"]
