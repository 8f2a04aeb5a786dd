"""Pooling."""

from __future__ import annotations

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_operators.layers import padded, paddings
from ballproof.networks.onnx_operators.site import Site
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.average_pool import AveragePool
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.mean import Mean


@translates("AveragePool")
def average_pool(site: Site) -> str:
    site.only("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")
    kernel = tuple(site.attribute("kernel_shape"))
    stride = tuple(site.attribute("strides", [1] * len(kernel)))
    if any(d != 1 for d in site.attribute("dilations", [])):
        raise UnsupportedError("AveragePool with dilations; supported: without")
    before, after = paddings(site, kernel, stride, (1,) * len(kernel))
    include = bool(site.attribute("count_include_pad", 0))
    if before != after and not include:
        raise UnsupportedError(f"uneven pads {before}, {after} that are not counted; supported: even or counted ones")
    x, padding = padded(site, before, after)
    ceil = bool(site.attribute("ceil_mode", 0))
    if ceil and include:
        raise UnsupportedError("AveragePool with ceil_mode and count_include_pad; supported: one of them")
    return site.add(AveragePool(kernel, stride, padding, ceil, include), x)


@translates("MaxPool")
def max_pool(site: Site) -> str:
    site.only("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides")
    kernel = tuple(site.attribute("kernel_shape"))
    stride = tuple(site.attribute("strides", [1] * len(kernel)))
    dilation = tuple(site.attribute("dilations", [1] * len(kernel)))
    before, after = paddings(site, kernel, stride, dilation)
    if before != after:
        raise UnsupportedError(f"MaxPool with uneven pads {before}, {after}; supported: even ones")
    return site.add(MaxPool(kernel, stride, before, dilation, bool(site.attribute("ceil_mode", 0))), site.name(0))


@translates("GlobalAveragePool")
def global_average_pool(site: Site) -> str:
    return site.add(Mean(tuple(range(2, site.rank(0))), True), site.name(0))


@translates("GlobalMaxPool")
def global_max_pool(site: Site) -> str:
    kernel = site.shape(0)[1:]
    ones = (1,) * len(kernel)
    return site.add(MaxPool(kernel, kernel, (0,) * len(kernel), ones), site.name(0))
