"""Operations on tensors of random ranks and sizes, with random settings: what the checker reads is what ONNX Runtime computes.

A rule may refuse what it does not know; it may not read a stack of matrices, or an axis counted from the end, as another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

from ballproof.certificate.checker.arithmetic import NotModelledError
from ballproof.certificate.checker.reading.onnx_file import read_network
from oracles.checked import runtime, told
from oracles.onnx_nets import write_nodes

Drawn = tuple[int, tuple[int, ...], list[Any], dict[str, Any]]
RNG = np.random.default_rng(0)
COUNT = 30
REFUSALS = state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def draw(*choices: Any) -> Any:
    return choices[int(RNG.integers(len(choices)))]


def some(low: int, high: int, count: int) -> list[int]:
    return [int(v) for v in RNG.integers(low, high, count)]


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def shape(least: int = 1, most: int = 4) -> tuple[int, ...]:
    return tuple(some(1, 5, draw(*range(least, most + 1))))


def near(own: tuple[int, ...]) -> np.ndarray:
    """A constant that is broadcast with a tensor, one way or the other."""
    return normal(*draw(own, own[-1:], (1,), (2, *own), tuple(draw(1, n) for n in own)))


def product() -> Drawn:
    own = tuple(draw(2, 4) for _ in range(draw(1, 2, 3, 4)))  # sizes that divide each other hide what is mixed up
    rows = own[-2] if len(own) > 1 else own[-1]
    return draw(
        (13, own, [normal(draw(2, 4), rows), "x"], {}),
        (13, own, ["x", normal(own[-1], draw(1, 3))], {}),
        (13, (*own[:-1], own[-1], own[-1]), ["x", "d"], {}),
    )


def layer() -> Drawn:
    size, units, turned = draw(1, 2, 4), draw(1, 3), draw(0, 1)
    weight, bias = normal(*((units, size) if turned else (size, units))), normal(*draw((units,), (1, units), (3, 1), (1,), ()))
    return 13, (3, size), ["x", weight, *draw([], [bias])], {"transB": turned}


def windows(pool: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"strides": some(1, 4, 2), "pads": some(0, 2, 4)} if draw(0, 1) else {}
    return found | ({"kernel_shape": some(1, 4, 2)} if pool else {"dilations": some(1, 3, 2)})


def convolution() -> Drawn:
    groups, each, units = draw(1, 3), draw(1, 2), draw(1, 2)
    weight, bias = normal(groups * units, each, *some(1, 4, 2)), normal(groups * units)
    return (
        13,
        (draw(1, 1, 2), groups * each, *some(1, 7, 2)),
        ["x", weight, *draw([], [bias])],
        windows(False) | {"group": groups},
    )


def transposed() -> Drawn:
    channels, units = draw(1, 3), draw(1, 2)
    weight, more = normal(channels, units, *some(1, 4, 2)), {"output_padding": some(0, 2, 2)} if draw(0, 1) else {}
    return 13, (1, channels, *some(1, 5, 2)), ["x", weight, *draw([], [normal(units)])], windows(False) | more


def reduced(version: int) -> Drawn:
    own = shape()
    axes = [a - draw(0, len(own)) for a in RNG.permutation(len(own))[: draw(1, 2)].tolist()]
    more = ["x", ints(*axes)], {"keepdims": draw(0, 1)}
    return (version, own, *more) if version > 13 else (version, own, ["x"], more[1] | {"axes": axes})


def sliced() -> Drawn:
    own = shape()
    axes = [ints(*range(len(own))), ints(*(draw(1, 2, -1) for _ in own))]
    return 13, own, ["x", ints(*some(-3, 3, len(own))), ints(*some(-5, 6, len(own))), *draw([], axes)], {}


def gathered() -> Drawn:
    own = shape()
    axis = draw(*range(-len(own), len(own)))
    return 13, own, ["x", RNG.integers(-own[axis], own[axis], shape(0, 2))], {"axis": axis}


def joined() -> Drawn:
    own = shape()
    axis, other = draw(*range(-len(own), len(own))), list(own)
    other[axis] = 2
    return 13, own, [draw("x", "d", normal(*own)), "x", draw("x", "d"), normal(*other)][: draw(2, 3, 4)], {"axis": axis}


def simple(*more: Callable[[tuple[int, ...]], Any], **settings: Callable[[int], Any]) -> Callable[[], Drawn]:
    """Operands after the first, by its shape; settings by its rank."""

    def drawn() -> Drawn:
        own = shape()
        return 13, own, ["x", *(m(own) for m in more)], {name: value(len(own)) for name, value in settings.items()}

    return drawn


CASES: dict[str, Callable[[], Drawn]] = {
    "MatMul": product, "Gemm": layer, "Conv": convolution, "ConvTranspose": transposed, "Slice": sliced, "Gather": gathered,
    "Concat": joined, "ReduceMean": lambda: reduced(draw(11, 18)), "ReduceLogSumExp": lambda: reduced(draw(11, 18)),
    "MaxPool": lambda: (13, (1, *some(1, 7, 3)), ["x"], windows(True)),
    "AveragePool": lambda: (13, (1, *some(1, 7, 3)), ["x"], windows(True) | {"count_include_pad": 1}),
    "Add": simple(near), "Sub": simple(near), "Mul": simple(near), "Div": simple(near), "Max": simple(near),
    "Transpose": simple(perm=lambda rank: RNG.permutation(rank).tolist()),
    "Flatten": simple(axis=lambda rank: draw(*range(-rank, rank + 1))),
    "Pad": simple(lambda own: ints(*some(0, 3, 2 * len(own)))),
    "Reshape": simple(lambda own: draw(ints(-1), ints(0, -1), ints(*own[::-1]))),
    "Expand": simple(lambda own: ints(*(draw(1, 3 if n == 1 else n) for n in own))),
    "Unsqueeze": simple(lambda own: ints(0, -1)), "Softmax": simple(axis=lambda rank: draw(*range(-rank, rank))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_of_any_shape_is_what_the_runtime_computes(tmp_path: Path, name: str) -> None:
    read = 0
    for number in range(COUNT):
        version, own, operands, settings = CASES[name]()
        weights = {f"c{k}": np.asarray(v) for k, v in enumerate(operands) if not isinstance(v, str)}
        names = [{"x": "b", "d": "d"}[v] if isinstance(v, str) else f"c{k}" for k, v in enumerate(operands)]
        first = [helper.make_node("Neg", ["x"], ["b"]), helper.make_node("Relu", ["x"], ["d"])]
        nodes, path = [*first, helper.make_node(name, names, ["y"], **settings)], tmp_path / f"{number}.onnx"
        x = RNG.normal(size=int(np.prod(own))).astype(np.float32)
        try:
            y = runtime(write_nodes(path, nodes, own, weights, version))(x)
            net = read_network(path)
        except (NotModelledError, *REFUSALS):
            continue
        low, high = told(net, x.astype(float), x.astype(float), deployed=True)
        assert y.shape == low.shape and bool(((low <= y) & (y <= high)).all()), (own, settings)
        read += 1
    assert read > COUNT // 8
