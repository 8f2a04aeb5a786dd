"""Algorithm 1 and Theorem 1 of Wong & Kolter 2018, written out in NumPy float64 from the paper, for fully connected nets.

Independent of ballproof on purpose: it is the oracle that `dual` is held against.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def dual_value(
    weights: list[Array], biases: list[Array], ends: list[tuple[Array, Array]], c: Array, x: Array, eps: float
) -> float:
    """J(x, nu) of Theorem 1 for the objective c, with the pre-activation ends of every hidden layer."""
    value = 0.0
    nu = -c
    for i in reversed(range(len(weights))):
        value -= nu @ biases[i]
        hat = weights[i].T @ nu
        if i == 0:
            return float(value - x @ hat - eps * np.abs(hat).sum())
        lower, upper = ends[i - 1]
        nu = np.zeros_like(hat)
        for j in range(len(hat)):
            if lower[j] >= 0:
                nu[j] = hat[j]
            elif upper[j] > 0:
                slope = upper[j] / (upper[j] - lower[j])
                nu[j] = slope * max(hat[j], 0.0) - slope * max(-hat[j], 0.0)
                value += lower[j] * max(nu[j], 0.0)
    raise AssertionError("a network has at least one layer")


def hidden_ends(weights: list[Array], biases: list[Array], x: Array, eps: float) -> list[tuple[Array, Array]]:
    """The ends of every hidden layer, each from the dual network of the layers before it."""
    ends: list[tuple[Array, Array]] = []
    for depth in range(1, len(weights)):
        unit = np.eye(len(biases[depth - 1]))
        part = (weights[:depth], biases[:depth], ends)
        lower = np.array([dual_value(*part, e, x, eps) for e in unit])
        upper = np.array([-dual_value(*part, -e, x, eps) for e in unit])
        ends.append((lower, upper))
    return ends


def margins(weights: list[Array], biases: list[Array], x: Array, label: int, eps: float) -> Array:
    """The proven margins of the label over each other class, in order."""
    ends = hidden_ends(weights, biases, x, eps)
    classes = len(biases[-1])
    rows = [np.eye(classes)[label] - np.eye(classes)[j] for j in range(classes) if j != label]
    return np.array([dual_value(weights, biases, ends, c, x, eps) for c in rows])
