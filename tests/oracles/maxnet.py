"""Networks as alternating affine maps and maxima of affine candidates; the common language of the oracles.

Every supported nonlinearity is a maximum: relu(z) = max(0, z), leaky(z) = max(a z, z) for a <= 1, |z| = max(-z, z), and
max pooling is one over a window. Read from an nn.Sequential by its forward alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """y = matrix x + offset."""

    matrix: Array
    offset: Array


@dataclass(frozen=True)
class Maximum:
    """y_i = the largest of `candidates[i] x`, each candidates[i] a matrix (candidates, inputs)."""

    candidates: tuple[Array, ...]


Layers = list[Affine | Maximum]


def layers(net: nn.Sequential, shape: tuple[int, ...]) -> Layers:
    """The layers of a Sequential of affine modules, rectifiers and max pooling, on inputs of this shape."""
    found: Layers = []
    for module in net:
        size = int(np.prod(shape))
        unit = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
        with torch.no_grad():
            zero = module(torch.zeros(1, *shape, dtype=torch.float64))
            if isinstance(module, nn.ReLU | nn.LeakyReLU | Absolute):
                found.append(Maximum(tuple(np.outer(slopes(module), row) for row in np.eye(size))))
            elif isinstance(module, nn.MaxPool1d | nn.MaxPool2d):
                reaches = module(unit).flatten(1).T.numpy() > 0
                found.append(Maximum(tuple(np.eye(size)[row] for row in reaches)))
            elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Flatten):
                columns = (module(unit) - zero).flatten(1).numpy()
                found.append(Affine(columns.T, zero.flatten().numpy()))
            else:
                raise NotImplementedError(f"no oracle for {module}")
        shape = tuple(zero.shape[1:])
    return found


class Absolute(nn.Module):
    """|x| as a module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()


def slopes(module: nn.Module) -> Array:
    """The slopes of the two pieces of a rectifier, all of which meet in 0."""
    if isinstance(module, Absolute):
        return np.array([-1.0, 1.0])
    return np.array([module.negative_slope if isinstance(module, nn.LeakyReLU) else 0.0, 1.0])


def residual(first: nn.Linear, second: nn.Linear, last: nn.Linear) -> Layers:
    """last(relu(h + second(h))) for h = relu(first(x))."""
    hidden = first.out_features
    rectify = Maximum(tuple(np.outer([0.0, 1.0], row) for row in np.eye(hidden)))
    skip = Affine(np.eye(hidden) + numbers(second.weight), numbers(second.bias))
    return [
        Affine(numbers(first.weight), numbers(first.bias)),
        rectify,
        skip,
        rectify,
        Affine(numbers(last.weight), numbers(last.bias)),
    ]


def numbers(value: torch.Tensor) -> Array:
    return value.detach().double().numpy()


def value(net: Layers, x: Array) -> Array:
    """The network at a point; the oracles' own forward."""
    for layer in net:
        x = (
            layer.matrix @ x + layer.offset
            if isinstance(layer, Affine)
            else np.array([(c @ x).max() for c in layer.candidates])
        )
    return x
