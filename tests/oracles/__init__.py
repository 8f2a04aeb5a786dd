"""Answers found another way: slow, exact, and written without the package under test."""
