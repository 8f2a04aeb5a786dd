"""Translators of ONNX operators into canonical operations, one function each."""

from ballproof.networks.onnx_operators import arithmetic, layers, pooling, shapes
from ballproof.networks.onnx_operators.table import TRANSLATORS

__all__ = ["TRANSLATORS", "arithmetic", "layers", "pooling", "shapes"]
