"""The checker's bounds against exact rational values, and against float32 sums in random orders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from ballproof.bounds import lower_bounds
from ballproof.certificate.checker.arithmetic import Arithmetic, gamma
from ballproof.certificate.checker.network import Part
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.rounded import Bounds
from ballproof.networks.onnx_file import read_onnx
from ballproof.problems import Box
from oracles.onnx_nets import Layers, dense, exact, in_float32, write_dense

HUGE = 2.0**27


def cancelling(seed: int) -> Layers:
    """A network whose two huge paths cancel but for a small part, as those built to fool verifiers (Zombori et al. 2021)."""
    layers = dense(seed, 3, 8, 4, 2)
    layers[1][0][:, :4] *= np.float32(HUGE)
    layers[1][0][:, 4:] = -layers[1][0][:, :4] + np.float32(1.0) * layers[1][0][:, 4:]
    layers[0][0][4:], layers[0][1][4:] = layers[0][0][:4], layers[0][1][:4]
    return layers


def boxes(rng: np.random.Generator, count: int, inputs: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    low = rng.uniform(-1, 1, (count, inputs)).astype(np.float32).astype(float)
    return low, (low + width * rng.random((count, inputs))).astype(np.float32).astype(float)


def points(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, count: int) -> list[np.ndarray]:
    """Points of the box that float32 holds: inner ones, and corners."""
    share = np.where(rng.random((count, 1)) < 0.5, rng.integers(0, 2, (count, len(low))), rng.random((count, len(low))))
    found = (low + share * (high - low)).astype(np.float32)
    return list(np.clip(found, low.astype(np.float32), high.astype(np.float32)))


@pytest.mark.parametrize("width", [0.0, 1e-6, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["plain", "large", "cancelling"])
def test_planes_and_intervals_hold_in_rational_arithmetic(tmp_path: Path, kind: str, width: float) -> None:
    for seed in range(4):
        layers = cancelling(seed) if kind == "cancelling" else dense(seed, 3, 8, 8, 2, size=1e6 if kind == "large" else 1.0)
        net, rng = read_network(write_dense(tmp_path / f"{seed}.onnx", layers)), np.random.default_rng(seed)
        low, high = boxes(rng, 6, 3, width)
        rows, offsets = np.array([[1.0, -1.0], [-1.0, 0.0]]), np.array([0.25, -0.1])
        planes = Bounds(net, low, high, Arithmetic()).planes(rows[None], offsets[None])
        for b in range(6):
            for x in points(rng, low[b], high[b], 12):
                y = exact(layers, x)
                for r in range(2):
                    value = sum((Fraction(float(c)) * v for c, v in zip(rows[r], y, strict=True)), Fraction(float(offsets[r])))
                    pairs = zip(planes.slope[b, r], x, strict=True)
                    plane = sum(
                        (Fraction(float(s)) * Fraction(float(v)) for s, v in pairs), Fraction(float(planes.offset[b, r]))
                    )
                    assert Fraction(float(planes.least[b, r])) <= plane <= value


def test_at_a_point_without_error_terms_the_bound_would_be_above(tmp_path: Path) -> None:
    """The error terms are needed: on cancelling networks the plain float value lies above the exact one somewhere."""
    wrong = 0
    for seed in range(30):
        layers = cancelling(seed)
        net, rng = read_network(write_dense(tmp_path / f"{seed}.onnx", layers)), np.random.default_rng(seed)
        x = rng.uniform(-1, 1, 3).astype(np.float32)
        value = x.astype(float)
        for i, (weight, bias) in enumerate(layers):
            value = weight.astype(float) @ value + bias
            value = np.maximum(value, 0) if i < 2 else value
        true = exact(layers, x)[0]
        wrong += Fraction(float(value[0])) > true
        point = x.astype(float)[None]
        assert (
            Fraction(
                float(Bounds(net, point, point, Arithmetic()).planes(np.array([[[1.0, 0.0]]]), np.zeros((1, 1))).least[0, 0])
            )
            <= true
        )
    assert wrong > 3


@pytest.mark.parametrize("kind", ["plain", "cancelling"])
def test_deployed_bounds_hold_in_every_order_of_float32_sums(tmp_path: Path, kind: str) -> None:
    escaped = 0
    for seed in range(6):
        layers = cancelling(seed) if kind == "cancelling" else dense(seed, 3, 8, 8, 2)
        net, rng = read_network(write_dense(tmp_path / f"{seed}.onnx", layers)), np.random.default_rng(seed)
        low, high = boxes(rng, 3, 3, 1e-4)
        rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        real, deployed = (
            Bounds(net, low, high, Arithmetic(d)).planes(rows[None], np.zeros((1, 4))).least for d in (False, True)
        )
        assert bool((deployed <= real).all())
        for b in range(3):
            for x in points(rng, low[b], high[b], 12):
                y = in_float32(layers, x, rng).astype(float)
                assert bool((deployed[b] <= rows @ y).all())
                escaped += int((real[b] > rows @ y).any())
    if kind == "cancelling":
        assert escaped > 10  # so the real semantics alone would have been wrong about them


def test_bounds_are_as_tight_as_crown(tmp_path: Path) -> None:
    layers = dense(3, 4, 20, 20, 3)
    path = write_dense(tmp_path / "net.onnx", layers)
    low, high = boxes(np.random.default_rng(0), 5, 4, 0.3)
    ours = Bounds(read_network(path), low, high, Arithmetic()).planes(np.eye(3)[None], np.zeros((1, 3))).least
    graph = read_onnx(path).to(dtype=torch.float64)
    region = Box(*(e.reshape(5, *graph.input_shape) for e in (torch.from_numpy(low), torch.from_numpy(high))))
    theirs = lower_bounds(graph, region, torch.eye(3, dtype=torch.float64)[None], "crown").detach().numpy()
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_gamma_is_above_its_formula() -> None:
    for count in (1, 5, 1000, 10**6):
        unit = Fraction(1, 2**53)
        assert Fraction(gamma(count)) >= count * unit / (1 - count * unit)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_rows_of_a_convolution_are_pulled_back_as_by_its_matrix(share: float) -> None:
    """Exactly, on whole numbers: rows that few windows see, that all see, and that are zero, in fractions too."""
    random = np.random.default_rng(int(100 * share))
    windows = np.array([[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, -1, -1], [5, 8, 6, -1]])
    places = np.stack([windows, np.where(windows < 0, -1, 8 - windows)])
    part = Part(0, 9, places, random.integers(-9, 9, (2, 3, 4)).astype(float))
    matrix = part.applied(part.weight, np.eye(9)).T
    rows = random.integers(-9, 9, (2, 7, 24)) * (random.random((2, 7, 24)) < share) * 1.0
    assert np.array_equal(part.pulled(rows), rows @ matrix)
    exact = Part(0, 9, part.places, np.vectorize(Fraction)(part.weight))
    assert np.array_equal(exact.pulled(np.vectorize(Fraction, otypes=[object])(rows)), rows @ matrix)
