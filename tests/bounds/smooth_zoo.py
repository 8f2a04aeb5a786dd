"""Little graphs of operations that are not rectifiers, built node by node, float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ballproof.graph import Graph
from ballproof.graph.builder import GraphBuilder
from ballproof.operations import Operation
from ballproof.operations.arithmetic import Add, Multiply, Subtract
from ballproof.operations.clamp import Clamp
from ballproof.operations.exp import Exp
from ballproof.operations.gelu import Gelu
from ballproof.operations.linear import Linear
from ballproof.operations.log_sum_exp import LogSumExp
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.mean import Mean
from ballproof.operations.permute import Permute
from ballproof.operations.power import Power
from ballproof.operations.product import Product
from ballproof.operations.relu import Relu
from ballproof.operations.reshape import Reshape
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.sine import Sin
from ballproof.operations.softmax import Softmax
from ballproof.operations.tanh import Tanh

INPUTS = 4


class Sketch:
    """A builder with seeded weights."""

    def __init__(self, seed: int = 0) -> None:
        self.builder = GraphBuilder((INPUTS,))
        self.generator = torch.Generator().manual_seed(seed)

    def weight(self, *shape: int) -> str:
        value = torch.randn(shape, generator=self.generator, dtype=torch.float64) / shape[-1] ** 0.5
        return self.builder.constant(value, "weight")

    def number(self, value: float) -> str:
        return self.builder.constant(torch.tensor(value, dtype=torch.float64), "number")

    def then(self, operation: Operation, *inputs: str) -> str:
        return self.builder.add(operation, inputs, type(operation).__name__.lower())

    def linear(self, x: str, count: int) -> str:
        return self.then(Linear(), x, self.weight(count, self.builder.shape(x)[-1]), self.weight(count))

    def end(self, x: str, count: int = 3) -> Graph:
        return self.builder.build(self.linear(x, count))


def scalar(operation: Operation) -> Graph:
    s = Sketch()
    x = s.then(operation, s.linear("input", 6))
    return s.end(s.then(operation, s.linear(x, 5)))


def attention() -> Graph:
    s = Sketch(1)
    tokens = s.then(Reshape((3, 4)), s.linear("input", 12))
    q, k, v = (s.linear(tokens, 4) for _ in range(3))
    scores = s.then(MatrixProduct(), q, s.then(Permute((0, 2, 1)), k))
    mixed = s.then(MatrixProduct(), s.then(Softmax(2), scores), v)
    return s.end(s.then(Reshape((12,)), s.then(Add(), mixed, tokens)))


def normalised() -> Graph:
    s = Sketch(2)
    x = s.linear("input", 6)
    centered = s.then(Subtract(), x, s.then(Mean((1,), True), x))
    variance = s.then(Mean((1,), True), s.then(Power(2), centered))
    return s.end(s.then(Product(), centered, s.then(Power(-0.5), s.then(Add(), variance, s.number(0.3)))))


def quotient() -> Graph:
    s = Sketch(3)
    top, bottom = s.linear("input", 5), s.then(Exp(), s.then(Multiply(), s.linear("input", 5), s.number(0.5)))
    return s.end(s.then(Product(), top, s.then(Power(-1), bottom)))


def mixture() -> Graph:
    s = Sketch(4)
    x = s.then(Relu(), s.linear("input", 8))
    pooled = s.then(MaxPool((2,), (2,), (0,), (1,)), s.then(Reshape((1, 8)), x))
    waves = s.then(Sin(), s.linear(s.then(Reshape((4,)), pooled), 6))
    return s.end(s.then(Clamp(-0.5, 0.5), s.linear(waves, 5)))


def log_softmax() -> Graph:
    s = Sketch(5)
    x = s.linear(s.then(Gelu(), s.linear("input", 6)), 4)
    return s.builder.build(s.then(Subtract(), x, s.then(LogSumExp(1, True), x)))


ZOO: dict[str, Callable[[], Graph]] = {
    "relu": lambda: scalar(Relu()),
    "sigmoid": lambda: scalar(Sigmoid()),
    "tanh": lambda: scalar(Tanh()),
    "gelu": lambda: scalar(Gelu()),
    "cube": lambda: scalar(Power(3)),
    "attention": attention,
    "normalised": normalised,
    "quotient": quotient,
    "mixture": mixture,
    "log-softmax": log_softmax,
}


def inputs(count: int = 3) -> Tensor:
    return torch.rand(count, INPUTS, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
