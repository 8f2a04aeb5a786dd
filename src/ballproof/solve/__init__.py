"""The strategy that answers one problem: proofs first, then a search for a counterexample."""

from ballproof.solve.verify import verify

__all__ = ["verify"]
