"""Convolutions and batch normalisation."""

from __future__ import annotations

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.paddings import along, paddings
from ballproof.networks.onnx_operators.site import Array, Shape, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.batch_norm import BatchNorm
from ballproof.operations.convolution import Convolution
from ballproof.operations.convolution_transposed import ConvolutionTransposed
from ballproof.operations.pad import Pad
from ballproof.operations.slice import Slice

SETTINGS = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _weight(site: Site) -> tuple[Array, Shape]:
    """The weight and its kernel, which must fit the input and the attributes."""
    weight = site.array(1, "a weight")
    kernel = weight.shape[2:]
    if not 1 <= len(kernel) <= 3 or weight.ndim != site.rank(0):
        raise UnsupportedError(f"a weight of shape {weight.shape} on {site.shape(0)}; supported: one to three spatial axes")
    if tuple(site.attribute("kernel_shape", kernel)) != kernel:
        raise InputError(f"kernel_shape {site.attribute('kernel_shape')} with a weight of shape {weight.shape}")
    return weight, kernel


def _groups(site: Site, inputs: int, outputs: int, weight: Array) -> int:
    """The number of groups, which must divide the channels on both sides; the bias must fit, too."""
    group = int(site.attribute("group", 1))
    if group < 1 or site.shape(0)[1] != inputs or inputs % group or outputs % group:
        raise InputError(f"{group} groups and a weight of shape {weight.shape} for {site.shape(0)[1]} channels")
    if site.given(2) and site.array(2, "a bias").shape != (outputs,):
        raise InputError(f"a bias of shape {site.array(2, 'a bias').shape} for {outputs} channels")
    return group


def _parameters(site: Site, weight: Array) -> list[str]:
    found = [site.tensor(weight, f"{site.label}.weight")]
    return [*found, site.tensor(site.array(2, "a bias"), f"{site.label}.bias")] if site.given(2) else found


@translates("Conv", settings=SETTINGS)
def convolution(site: Site) -> Value:
    """An uneven padding becomes a node of its own."""
    site = site.layered()
    weight, kernel = _weight(site)
    stride, dilation = along(site, "strides", kernel), along(site, "dilations", kernel)
    before, after = paddings(site, kernel, stride, dilation)
    x, padding = site.name(0), before
    if before != after:
        x = site.add(Pad(((0, 0), *zip(before, after, strict=True))), x, part="pad")
        padding = (0,) * len(kernel)
    groups = _groups(site, weight.shape[1] * int(site.attribute("group", 1)), len(weight), weight)
    operation = Convolution(stride, padding, dilation, groups)
    return site.made(operation, x, *_parameters(site, weight))


@translates("ConvTranspose", settings=(*SETTINGS, "output_padding", "output_shape"))
def convolution_transposed(site: Site) -> Value:
    """An uneven padding, which cuts the output, becomes an even one and a slice of each axis."""
    site = site.layered()
    weight, kernel = _weight(site)
    stride, dilation = along(site, "strides", kernel), along(site, "dilations", kernel)
    extra = along(site, "output_padding", kernel, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise InputError(f"output_padding {extra}, expected less than the strides {stride} or the dilations {dilation}")
    before, after = _cuts(site, kernel, stride, dilation, extra)
    padding = tuple(min(pair) for pair in zip(before, after, strict=True))
    groups = _groups(site, len(weight), weight.shape[1] * int(site.attribute("group", 1)), weight)
    operation = ConvolutionTransposed(stride, padding, extra, dilation, groups)
    inputs = (site.name(0), *_parameters(site, weight))
    if before == after:
        return site.made(operation, *inputs)
    found = site.add(operation, *inputs, part="whole")
    for axis, (b, a, p) in enumerate(zip(before, after, padding, strict=True), 2):
        stop = site.builder.shape(found)[axis - 1] - (a - p)
        found = site.add(Slice(axis, b - p, stop), found) if a != b else found
    return Value(found)


def _cuts(site: Site, kernel: Shape, stride: Shape, dilation: Shape, extra: Shape) -> tuple[Shape, Shape]:
    """What is cut from both ends of the full output, by the formula of the ONNX standard."""
    auto = site.attribute("auto_pad", "NOTSET")
    wanted = site.attribute("output_shape")
    if wanted is None and auto in ("NOTSET", "VALID"):
        return paddings(site, kernel, stride, dilation)
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"auto_pad {auto!r} with output_shape {wanted}; supported: NOTSET, SAME_UPPER, SAME_LOWER")
    sizes = site.shape(0)[2:]
    targets = tuple(wanted)[-len(kernel) :] if wanted is not None else tuple(n * s for n, s in zip(sizes, stride, strict=True))
    axes = zip(sizes, kernel, stride, dilation, extra, targets, strict=True)
    whole = [(n - 1) * s + e + (k - 1) * d + 1 - t for n, k, s, d, e, t in axes]
    if min(whole) < 0:
        raise UnsupportedError(f"an output of {targets}, larger than what the kernel reaches; supported: up to that size")
    small, large = tuple(w // 2 for w in whole), tuple(w - w // 2 for w in whole)
    return (small, large) if auto == "SAME_UPPER" else (large, small)


@translates("BatchNormalization", settings=("epsilon", "momentum", "spatial", "training_mode"))
def batch_norm(site: Site) -> Value:
    """In inference form, with the stored statistics."""
    site = site.layered()
    if site.flag("training_mode") or not site.flag("spatial", True):
        raise UnsupportedError("training mode or statistics of each place; supported: inference, spatial=1")
    names = ("weight", "bias", "mean", "variance")
    arrays = [site.array(i, f"a {n}") for i, n in enumerate(names, 1)]
    channels, eps = site.shape(0)[1], float(site.attribute("epsilon", 1e-5))
    if any(a.shape != (channels,) for a in arrays):
        raise InputError(f"parameters of shapes {[a.shape for a in arrays]} for {channels} channels")
    if not (arrays[3] + eps > 0).all():
        raise InputError("a variance that is not positive with epsilon added")
    given = [site.tensor(a, f"{site.label}.{n}") for a, n in zip(arrays, names, strict=True)]
    return site.made(BatchNorm(eps), site.name(0), *given)
