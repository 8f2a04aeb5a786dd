"""The layers with weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_operators.site import Array, Site
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.batch_norm import BatchNorm
from ballproof.operations.convolution import Convolution
from ballproof.operations.convolution_transposed import ConvolutionTransposed
from ballproof.operations.linear import Linear
from ballproof.operations.pad import Pad
from ballproof.operations.permute import Permute


@translates("Gemm")
def gemm(site: Site) -> str:
    """alpha * A' * B' + beta * C with a varying A of one row an example."""
    site.only("alpha", "beta", "transA", "transB", "broadcast")
    if site.attribute("transA", 0) or not site.varies(0):
        raise UnsupportedError("Gemm with a transposed or a constant A; supported: A varies, as it is")
    weight = site.array(1, "a weight") * site.attribute("alpha", 1.0)
    weight = weight if site.attribute("transB", 0) else weight.T
    inputs = [site.name(0), site.tensor(weight, f"{site.label}.weight")]
    if site.given(2):
        bias = site.array(2, "a bias") * site.attribute("beta", 1.0)
        inputs.append(site.tensor(_bias(bias, len(weight)), f"{site.label}.bias"))
    return site.add(Linear(), *inputs)


def _bias(bias: Array, outputs: int) -> Array:
    if bias.size not in (1, outputs) or bias.shape[:-1] not in ((), (1,)):
        raise UnsupportedError(f"a bias of shape {bias.shape} for {outputs} outputs; supported: one for each output")
    return np.broadcast_to(bias.reshape(-1), (outputs,)).copy()


@translates("MatMul")
def matmul(site: Site) -> str | Array:
    """With a constant matrix on one side."""
    if not site.varies(0) and not site.varies(1):
        return np.asarray(site.array(0, "a") @ site.array(1, "b"))
    if site.varies(0):
        return _from_right(site, site.array(1, "a second factor"))
    return _from_left(site, site.array(0, "a first factor"))


def _from_right(site: Site, matrix: Array) -> str:
    if matrix.ndim > 2 and all(n == 1 for n in matrix.shape[:-2]):
        matrix = matrix.reshape(matrix.shape[-2:])
    if matrix.ndim != 2:
        raise UnsupportedError(f"MatMul with a constant of shape {matrix.shape}; supported: one matrix")
    return site.add(Linear(), site.name(0), site.tensor(np.ascontiguousarray(matrix.T), f"{site.label}.weight"))


def _from_left(site: Site, matrix: Array) -> str:
    rank = site.rank(1)
    if matrix.ndim != 2 or rank < 3:
        raise UnsupportedError(f"MatMul of a constant {matrix.shape} with a varying value of {rank} axes")
    axes = (*range(rank - 2), rank - 1, rank - 2)
    turned = site.add(Permute(axes), site.name(1), part="turned")
    product = site.add(Linear(), turned, site.tensor(matrix, f"{site.label}.weight"), part="product")
    return site.add(Permute(axes), product)


@translates("Conv")
def convolution(site: Site) -> str:
    site.only("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    weight = site.array(1, "a weight")
    kernel = weight.shape[2:]
    axes = len(kernel)
    stride = tuple(site.attribute("strides", [1] * axes))
    dilation = tuple(site.attribute("dilations", [1] * axes))
    before, after = paddings(site, kernel, stride, dilation)
    x, padding = padded(site, before, after)
    inputs = [x, site.tensor(weight, f"{site.label}.weight"), *_given_bias(site)]
    return site.add(Convolution(stride, padding, dilation, int(site.attribute("group", 1))), *inputs)


def _given_bias(site: Site) -> list[str]:
    return [site.tensor(site.array(2, "a bias"), f"{site.label}.bias")] if site.given(2) else []


def paddings(
    site: Site, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(before, after) for each spatial axis, from `pads` or `auto_pad`."""
    auto, axes = site.attribute("auto_pad", "NOTSET"), len(kernel)
    if auto == "VALID":
        return (0,) * axes, (0,) * axes
    if auto == "NOTSET":
        pads = tuple(site.attribute("pads", [0] * (2 * axes)))
        return pads[:axes], pads[axes:]
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"auto_pad {auto!r}; supported: NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    sizes = site.shape(0)[1:]
    reached = zip(sizes, kernel, stride, dilation, strict=True)
    whole = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in reached]
    small, large = tuple(w // 2 for w in whole), tuple(w - w // 2 for w in whole)
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def padded(site: Site, before: Sequence[int], after: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The input with the uneven part of a padding as a node of its own, and the even padding that is left."""
    if tuple(before) == tuple(after):
        return site.name(0), tuple(before)
    if min(*before, *after) < 0:
        raise UnsupportedError(f"negative pads {before}, {after}; supported: pads >= 0")
    widths = ((0, 0), *zip(before, after, strict=True))
    return site.add(Pad(widths), site.name(0), part="pad"), (0,) * len(before)


@translates("ConvTranspose")
def convolution_transposed(site: Site) -> str:
    site.only("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "pads", "strides")
    if site.attribute("auto_pad", "NOTSET") != "NOTSET":
        raise UnsupportedError("auto_pad of a ConvTranspose; supported: explicit pads")
    weight = site.array(1, "a weight")
    axes = weight.ndim - 2
    stride = tuple(site.attribute("strides", [1] * axes))
    pads = tuple(site.attribute("pads", [0] * (2 * axes)))
    extra = tuple(site.attribute("output_padding", [0] * axes))
    if pads[:axes] != pads[axes:]:
        raise UnsupportedError(f"uneven pads {pads} of a ConvTranspose; supported: even ones")
    dilation = tuple(site.attribute("dilations", [1] * axes))
    operation = ConvolutionTransposed(stride, pads[:axes], extra, dilation, int(site.attribute("group", 1)))
    return site.add(operation, site.name(0), site.tensor(weight, f"{site.label}.weight"), *_given_bias(site))


@translates("BatchNormalization")
def batch_norm(site: Site) -> str:
    """In inference form, with the stored statistics."""
    site.only("epsilon", "momentum", "spatial", "training_mode")
    if site.attribute("training_mode", 0) or not site.attribute("spatial", 1):
        raise UnsupportedError("BatchNormalization in training mode or not spatial; supported: inference, spatial")
    names = ("weight", "bias", "mean", "variance")
    given = [site.tensor(site.array(i, f"a {n}"), f"{site.label}.{n}") for i, n in enumerate(names, 1)]
    return site.add(BatchNorm(float(site.attribute("epsilon", 1e-5))), site.name(0), *given)
