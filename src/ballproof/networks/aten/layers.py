"""The layers with weights: linear, matrix products, convolutions, batch normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.networks.aten.arithmetic import scaled
from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add
from ballproof.operations.batch_norm import BatchNorm
from ballproof.operations.convolution import Convolution
from ballproof.operations.convolution_transposed import ConvolutionTransposed
from ballproof.operations.linear import Linear
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.pad import Pad
from ballproof.operations.permute import Permute
from ballproof.operations.reshape import Reshape


@translates("aten.linear.default")
def linear(site: Site) -> Ref:
    bias = (site.ref("bias"),) if site.given("bias") else ()
    return site.add(Linear(), site.ref("input"), site.ref("weight"), *bias)


@translates("aten.matmul.default", "aten.mm.default", "aten.bmm.default", "aten.mv.default", "aten.__matmul__.default")
def matmul(site: Site) -> Ref:
    left, right = (Ref(r) for r in site.arguments.values())
    if site.varies(left) and site.varies(right):
        if site.rank(left) != site.rank(right) or site.rank(left) < 3:
            raise site.refuse("a product of two values that both depend on the input", "of as many axes, at least 3")
        return site.add(MatrixProduct(), left, right)
    return _from_right(site, left, right) if site.varies(left) else _from_left(site, left, right)


def _from_right(site: Site, x: Ref, matrix: Ref) -> Ref:
    """x @ matrix, or x @ vector."""
    if site.rank(matrix) == 1:
        product = site.add(Linear(), x, site.call("weight", torch.unsqueeze, matrix, 0), part="product")
        return site.add(Reshape(site.shape(x)[:-1]), product)
    return site.add(Linear(), x, site.call("weight", _transposed, _plane(site, matrix)))


def _from_left(site: Site, matrix: Ref, x: Ref) -> Ref:
    """matrix @ x on the last two axes: the transposed of x' @ matrix'."""
    if site.rank(x) < 3 or site.rank(matrix) == 1:
        raise site.refuse("a constant matrix to the left of (batch, n)", "to the right of it, or left of (batch, n, k)")
    axes = (*range(site.rank(x) - 2), site.rank(x) - 1, site.rank(x) - 2)
    turned = site.add(Permute(axes), x, part="turned")
    product = site.add(Linear(), turned, _plane(site, matrix), part="product")
    return site.add(Permute(axes), product)


def _plane(site: Site, matrix: Ref) -> Ref:
    """A constant matrix without leading axes of length 1; others are refused."""
    leading = site.shape(matrix)[:-2]
    if any(n != 1 for n in leading):
        raise site.refuse(f"a stack of constant matrices {site.shape(matrix)}", "one matrix for the whole batch")
    return site.call("matrix", torch.reshape, matrix, site.shape(matrix)[-2:]) if leading else matrix


def _transposed(matrix: Tensor) -> Tensor:
    return matrix.mT


@translates("aten.addmm.default")
def addmm(site: Site) -> Ref:
    """beta * bias + alpha * (x @ weight')."""
    x, matrix, bias = site.ref("mat1"), site.ref("mat2"), site.ref("self")
    if not site.varies(x):
        raise site.refuse("addmm with a constant on the left of the batch", "addmm(bias, x, weight)")
    weight = site.call("weight", _transposed, matrix)
    alpha, beta = site.number("alpha"), site.number("beta")
    if alpha == 1 and not site.varies(bias) and site.rank(bias) == 1:
        return site.add(Linear(), x, weight, scaled(site, bias, beta, "beta"))
    product = site.add(Linear(), x, weight, part="product")
    return site.add(Add(), scaled(site, product, alpha, "alpha"), scaled(site, bias, beta, "beta"))


@translates("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default")
def convolution(site: Site) -> Ref:
    return _convolve(site, site.ref("input"), site.ints("padding", _spatial(site)))


@translates("aten.conv1d.padding", "aten.conv2d.padding", "aten.conv3d.padding")
def convolution_by_word(site: Site) -> Ref:
    """padding 'valid' or 'same'; what 'same' pads in excess goes behind, as in torch."""
    n, x = _spatial(site), site.ref("input")
    if site.arguments["padding"] == "valid":
        return _convolve(site, x, (0,) * n)
    kernel, dilation = site.shape(site.ref("weight"))[2:], site.ints("dilation", n)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if all(t % 2 == 0 for t in total):
        return _convolve(site, x, tuple(t // 2 for t in total))
    widths = ((0, 0), *((t // 2, t - t // 2) for t in total))
    return _convolve(site, site.add(Pad(widths, "constant", 0.0), x, part="pad"), (0,) * n)


def _convolve(site: Site, x: Ref, padding: tuple[int, ...]) -> Ref:
    n = _spatial(site)
    operation = Convolution(site.ints("stride", n), padding, site.ints("dilation", n), site.integer("groups"))
    bias = (site.ref("bias"),) if site.given("bias") else ()
    return site.add(operation, x, site.ref("weight"), *bias)


@translates("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def convolution_transposed(site: Site) -> Ref:
    n = _spatial(site)
    stride, padding, output = (site.ints(name, n) for name in ("stride", "padding", "output_padding"))
    operation = ConvolutionTransposed(stride, padding, output, site.ints("dilation", n), site.integer("groups"))
    bias = (site.ref("bias"),) if site.given("bias") else ()
    return site.add(operation, site.ref("input"), site.ref("weight"), *bias)


def _spatial(site: Site) -> int:
    """The number of spatial axes; an input without a batch axis of its own is refused."""
    axes = len(site.shape(site.ref("weight"))) - 2
    site.expect_rank(site.ref("input"), axes + 2)
    return axes


@translates("aten.batch_norm.default")
def batch_norm(site: Site) -> Ref:
    """Evaluation: the running statistics as they stand; absent weights are ones, absent biases zeros."""
    if site.arguments["training"] or not site.given("running_mean"):
        raise site.refuse(
            "batch normalisation with track_running_stats=False, which mixes the examples of a batch",
            "batch normalisation by running statistics",
        )
    mean, variance = site.ref("running_mean"), site.ref("running_var")
    channels = site.shape(mean)
    weight = site.ref("weight") if site.given("weight") else site.filled(1.0, channels, "weight")
    bias = site.ref("bias") if site.given("bias") else site.filled(0.0, channels, "bias")
    operation = BatchNorm(float(site.number("eps")), float(site.number("momentum")))
    return site.add(operation, site.ref("input"), weight, bias, mean, variance)
