"""Small random graphs: layers, bends and branches that part and join, in float64."""

from __future__ import annotations

import random

import torch

from ballproof.graph import Graph
from ballproof.graph.builder import GraphBuilder
from ballproof.operations import Operation
from ballproof.operations.abs import Abs
from ballproof.operations.arithmetic import Add, Multiply, Subtract
from ballproof.operations.clamp import Clamp
from ballproof.operations.concat import Concat
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.linear import Linear
from ballproof.operations.relu import Relu
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.softplus import Softplus
from ballproof.operations.tanh import Tanh

INPUTS = 3
STRAIGHT: tuple[Operation, ...] = (Relu(), Relu(), Relu(), LeakyRelu(0.1), Abs(), Clamp(-0.5, 0.7))
SMOOTH: tuple[Operation, ...] = (Sigmoid(), Tanh(), Softplus())


def random_graph(seed: int, bends: tuple[Operation, ...]) -> Graph:
    """A graph of one output vector; every step takes nodes that are there already, old ones too."""
    pick, draw = random.Random(seed), torch.Generator().manual_seed(seed)
    builder = GraphBuilder((INPUTS,))
    known = ["input"]

    def numbers(*shape: int) -> str:
        return builder.constant(torch.randn(*shape, generator=draw, dtype=torch.float64), "number")

    def layer(of: str, size: int) -> str:
        return builder.add(Linear(), (of, numbers(size, builder.shape(of)[0]), numbers(size)), "layer")

    known.append(layer("input", pick.randint(2, 5)))
    for _ in range(pick.randint(3, 8)):
        one = pick.choice(known[-3:])
        size = builder.shape(one)[0]
        same = [n for n in known if builder.shape(n)[0] == size]
        match pick.choice(("bend", "bend", "bend", "layer", "layer", "sum", "scale", "joined")):
            case "bend":
                known.append(builder.add(pick.choice(bends), (one,), "bend"))
            case "layer":
                known.append(layer(one, pick.randint(2, 5)))
            case "sum":
                known.append(builder.add(pick.choice((Add(), Subtract())), (one, pick.choice(same)), "sum"))
            case "scale":
                known.append(builder.add(Multiply(), (one, numbers(size)), "scale"))
            case _:
                known.append(layer(builder.add(Concat(1), (one, pick.choice(known)), "joined"), pick.randint(2, 4)))
    return builder.build(layer(known[-1], 2))
