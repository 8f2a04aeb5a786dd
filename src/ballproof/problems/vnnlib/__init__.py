"""VNN-LIB files: what is asked of a network, read as boxes of inputs with the unsafe outputs on each."""

from ballproof.problems.vnnlib.reader import read_vnnlib
from ballproof.problems.vnnlib.specification import Case, Product, Row, Specification

__all__ = ["Case", "Product", "Row", "Specification", "read_vnnlib"]
