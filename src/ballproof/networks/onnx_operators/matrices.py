"""Matrix products with a constant factor."""

from __future__ import annotations

import numpy as np
import torch

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.linear import Linear
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.permute import Permute


@translates("Gemm", settings=("alpha", "beta", "transA", "transB"))
def gemm(site: Site) -> Value:
    """alpha * A' * B' + beta * C with constant B and C. The factors go into the weights, rounded once in float32."""
    if not site.varies(0):
        raise UnsupportedError("a first factor that is constant; supported: one that depends on the input")
    if site.rank(0) != 2:
        raise InputError(f"a first factor of shape {site.shape(0)}, expected two axes")
    x = site.name(0)
    if site.flag("transA"):
        if site.batched:
            raise BatchAxisError("transA turns the batch axis; supported: without")
        x = site.add(Permute((0, 2, 1)), x, part="turned")
    weight = _scaled(site, site.array(1, "a weight"), site.attribute("alpha", 1.0))
    weight = weight if site.flag("transB") else weight.T
    inputs = [x, site.tensor(weight, f"{site.label}.weight")]
    if site.given(2):
        bias = _scaled(site, site.array(2, "a bias"), site.attribute("beta", 1.0))
        inputs.append(site.tensor(_bias(bias, len(weight)), f"{site.label}.bias"))
    return site.made(Linear(), *inputs)


def _scaled(site: Site, array: Array, factor: float) -> Array:
    """`factor * array`: the product of two float32 is exact in float64."""
    if factor == 1:
        return array
    product = array.astype(np.float64) * factor
    return product if site.dtype == torch.float64 else product.astype(array.dtype)


def _bias(bias: Array, outputs: int) -> Array:
    if bias.size not in (1, outputs) or bias.shape[:-1] not in ((), (1,)):
        raise UnsupportedError(f"a bias of shape {bias.shape} for {outputs} outputs; supported: one for each output")
    return np.broadcast_to(bias.reshape(-1), (outputs,))


@translates("MatMul", folds=True)
def matmul(site: Site) -> Value | Array:
    """With one constant matrix or vector, on either side."""
    if not site.varying:
        return np.asarray(site.array(0, "a") @ site.array(1, "b"))
    if len(site.varying) == 2:
        if site.rank(0) != site.rank(1) or len(site.example(0)) < 2:
            shapes = f"{site.shape(0)} and {site.shape(1)}"
            raise UnsupportedError(f"a product of two branches of shapes {shapes}; supported: as many axes on both sides")
        return site.made(MatrixProduct(), site.name(0), site.name(1))
    if site.varies(0):
        return _from_right(site, _matrix(site, 1, "a second factor", site.rank(0)))
    return _from_left(site, _matrix(site, 0, "a first factor", site.rank(1)))


def _matrix(site: Site, i: int, what: str, rank: int) -> Array:
    """A constant factor without leading ones, which must not give the product more axes than the varying factor has."""
    array = site.array(i, what)
    small = array.reshape(array.shape[-2:]) if array.ndim > 2 and array[..., 0, 0].size == 1 else array
    if small.ndim not in (1, 2) or array.ndim > max(rank, 2):
        raise UnsupportedError(f"{what} of shape {array.shape} with a value of {rank} axes; supported: one matrix or vector")
    return small


def _from_right(site: Site, matrix: Array) -> Value:
    weight = site.tensor(matrix.reshape(len(matrix), -1).T, f"{site.label}.weight")
    if matrix.ndim == 2:
        return site.made(Linear(), site.name(0), weight)
    product = site.add(Linear(), site.name(0), weight, part="product")
    return site.reshaped(site.shape(0)[:-1], product)


def _from_left(site: Site, matrix: Array) -> Value:
    rank = site.rank(1)
    if matrix.ndim != 2:
        raise UnsupportedError(f"a first factor of shape {matrix.shape}; supported: a matrix")
    if rank == 2 and site.batched:
        raise BatchAxisError("a matrix from the left mixes the examples; supported: from the right")
    weight = site.tensor(matrix, f"{site.label}.weight")
    if rank == 1:
        return site.made(Linear(), site.name(1), weight)
    axes = len(site.example(1)) + 1
    turn = Permute((*range(axes - 2), axes - 1, axes - 2))
    turned = site.add(turn, site.name(1), part="turned")
    return site.made(turn, site.add(Linear(), turned, weight, part="product"))
