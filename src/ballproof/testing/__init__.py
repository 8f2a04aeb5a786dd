"""Proofs in a test suite: the pytest plugin and what it keeps of a counterexample."""
