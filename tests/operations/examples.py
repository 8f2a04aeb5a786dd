"""For every operation: settings, shapes of the arguments, and which of them vary. The law suite fails where one has none."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from ballproof.operations import Operation
from ballproof.operations.abs import Abs
from ballproof.operations.adaptive_average_pool import AdaptiveAveragePool
from ballproof.operations.arctan import Arctan
from ballproof.operations.arithmetic import Add, Divide, Multiply, Negate, Subtract
from ballproof.operations.average_pool import AveragePool
from ballproof.operations.batch_norm import BatchNorm
from ballproof.operations.clamp import Clamp
from ballproof.operations.concat import Concat
from ballproof.operations.convolution import Convolution
from ballproof.operations.convolution_transposed import ConvolutionTransposed
from ballproof.operations.elu import Elu
from ballproof.operations.erf import Erf
from ballproof.operations.exp import Exp
from ballproof.operations.gather import Gather
from ballproof.operations.gelu import Gelu
from ballproof.operations.hard_swish import HardSwish
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.linear import Linear
from ballproof.operations.log import Log
from ballproof.operations.log_sum_exp import LogSumExp
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.mean import Mean
from ballproof.operations.mish import Mish
from ballproof.operations.pad import Pad
from ballproof.operations.permute import Permute
from ballproof.operations.power import Power
from ballproof.operations.prelu import Prelu
from ballproof.operations.product import Product
from ballproof.operations.relu import Relu
from ballproof.operations.reshape import Reshape
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.silu import Silu
from ballproof.operations.sine import Cos, Sin
from ballproof.operations.slice import Slice
from ballproof.operations.softmax import Softmax
from ballproof.operations.softplus import Softplus
from ballproof.operations.stairs import Floor, Round, Sign, Step
from ballproof.operations.sum import Sum
from ballproof.operations.tanh import Tanh

Shape = tuple[int, ...]
Domain = tuple[float, float]
MAP = (2, 5, 4)


@dataclass(frozen=True)
class Example:
    """shapes: without the batch axis where the argument varies, whole where it is a constant."""

    operation: Operation
    shapes: tuple[Shape, ...]
    varies: tuple[bool, ...]
    index: tuple[int, ...] = ()
    domain: Domain = (-inf, inf)
    """Where the boxes may lie: wide ones are squeezed into it."""

    @property
    def name(self) -> str:
        return type(self.operation).__name__

    def constants(self, dtype: torch.dtype) -> list[Tensor | None]:
        """Random constants (positive where a variance or a divisor stands), None where an argument varies."""
        generator = torch.Generator().manual_seed(7)
        found: list[Tensor | None] = []
        for i, (shape, varies) in enumerate(zip(self.shapes, self.varies, strict=True)):
            value = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
            if isinstance(self.operation, BatchNorm) and i == 4:
                value = value.abs() + 0.5
            if isinstance(self.operation, Divide) and i == 1:
                value = value.sign() * (value.abs() + 0.5)
            if isinstance(self.operation, Gather) and i == 1:
                value = torch.tensor(self.index)
            found.append(None if varies else value)
        return found


def one(operation: Operation, *shapes: Shape, index: tuple[int, ...] = (), domain: Domain = (-inf, inf)) -> Example:
    """An example whose first argument varies."""
    return Example(operation, shapes, (True, *(False for _ in shapes[1:])), index, domain)


def all_vary(operation: Operation, *shapes: Shape) -> Example:
    return Example(operation, shapes, tuple(True for _ in shapes))


CHANNELS = ((2,),) * 4
EXAMPLES: list[Example] = [
    one(Linear(), (5,), (3, 5), (3,)),
    one(Linear(), (4, 5), (3, 5)),
    one(Convolution((1, 1), (0, 0), (1, 1)), MAP, (3, 2, 3, 2), (3,)),
    one(Convolution((2, 3), (1, 2), (1, 1)), MAP, (3, 2, 3, 3), (3,)),
    one(Convolution((1, 2), (2, 1), (2, 1)), MAP, (3, 2, 2, 2)),
    one(Convolution((2, 2), (1, 1), (1, 1), 2), MAP, (4, 1, 4, 4), (4,)),
    one(Convolution((2,), (1,), (2,)), (2, 9), (3, 2, 3), (3,)),
    one(ConvolutionTransposed((1, 1), (0, 0), (0, 0), (1, 1)), MAP, (2, 3, 3, 2), (3,)),
    one(ConvolutionTransposed((2, 2), (1, 1), (1, 0), (1, 1)), MAP, (2, 3, 3, 3), (3,)),
    one(ConvolutionTransposed((2,), (1,), (1,), (2,), 2), (2, 5), (2, 2, 3)),
    one(BatchNorm(1e-3), MAP, *CHANNELS),
    one(BatchNorm(1e-3), (2,), *CHANNELS),
    all_vary(Add(), (3, 2), (3, 2)),
    one(Add(), MAP, (2, 1, 1)),
    Example(Add(), ((1, 3), (2, 3)), (False, True)),
    all_vary(Subtract(), (3, 2), (3, 2)),
    one(Subtract(), MAP, (1, 2, 5, 4)),
    Example(Subtract(), ((), MAP), (False, True)),
    one(Negate(), (3, 2)),
    one(Multiply(), MAP, (2, 1, 1)),
    one(Multiply(), (3, 1), (1, 3, 4)),
    Example(Multiply(), ((3, 2), (3, 2)), (False, True)),
    one(Divide(), MAP, (2, 1, 1)),
    one(Reshape((4, 3)), (2, 3, 2)),
    one(Permute((0, 3, 1, 2)), (2, 3, 4)),
    all_vary(Concat(2), (2, 3), (2, 2)),
    Example(Concat(1), ((2, 3), (1, 1, 3)), (True, False)),
    one(Slice(2, 1, 4, 2), MAP),
    one(Gather(2), MAP, (4,), index=(4, 0, 0, 2)),
    one(Pad(((0, 0), (1, 2), (0, 1))), MAP),
    one(Pad(((0, 0), (1, 2), (0, 1)), "constant", -1.5), MAP),
    one(Pad(((0, 0), (1, 2), (0, 1)), "reflect"), MAP),
    one(Pad(((0, 0), (1, 2), (0, 1)), "replicate"), MAP),
    one(Pad(((0, 0), (1, 2), (0, 1)), "circular"), MAP),
    one(AveragePool((3, 2), (2, 1), (1, 0)), MAP),
    one(AveragePool((3, 2), (2, 1), (1, 1), False, False), MAP),
    one(AveragePool((2, 2), (2, 2), (0, 0), True, False), MAP),
    one(AveragePool((2, 2), (2, 2), (0, 0), False, True, 1), MAP),
    one(AveragePool((3,), (2,), (1,)), (2, 8)),
    one(AdaptiveAveragePool((2, 3)), MAP),
    one(Mean((2, 3)), MAP),
    one(Mean((1,), True), (3, 4)),
    one(Sum((2,)), MAP),
    one(Relu(), (3, 4)),
    one(LeakyRelu(0.2), (3, 4)),
    one(LeakyRelu(0.0), (3, 4)),
    one(LeakyRelu(1.7), (3, 4)),
    one(Abs(), (3, 4)),
    one(Prelu(), (3, 4), (3, 1)),
    one(Clamp(-0.5, 0.25), (3, 4)),
    one(Clamp(0.0, 6.0), (3, 4)),
    one(Clamp(-inf, 0.5), (3, 4)),
    one(Clamp(-0.5), (3, 4)),
    one(HardSwish(), (3, 4)),
    one(Sigmoid(), (3, 4)),
    one(Tanh(), (3, 4)),
    one(Arctan(), (3, 4)),
    one(Softplus(), (3, 4)),
    one(Softplus(5.0), (3, 4)),
    one(Elu(), (3, 4)),
    one(Elu(1.6732632423543772, 1.0507009873554805), (3, 4)),
    one(Elu(0.5, 1.0, 2.0), (3, 4)),
    one(Elu(0.3), (3, 4)),
    one(Gelu(), (3, 4)),
    one(Gelu("tanh"), (3, 4)),
    one(Silu(), (3, 4)),
    one(Mish(), (3, 4)),
    one(Erf(), (3, 4)),
    one(Exp(), (3, 4), domain=(-inf, 80.0)),
    one(Log(), (3, 4), domain=(1e-3, inf)),
    one(Power(2), (3, 4)),
    one(Power(3), (3, 4)),
    one(Power(4), (3, 4), domain=(-1e3, 1e3)),
    one(Power(5), (3, 4), domain=(-1e3, 1e3)),
    one(Power(6), (3, 4), domain=(-30, 30)),
    one(Power(0.5), (3, 4), domain=(0.0, inf)),
    one(Power(-0.5), (3, 4), domain=(1e-3, inf)),
    one(Power(-1), (3, 4), domain=(1e-2, inf)),
    one(Power(-1), (3, 4), domain=(-inf, -1e-2)),
    one(Power(-2), (3, 4), domain=(-inf, -1e-2)),
    one(Power(-2), (3, 4), domain=(1e-2, inf)),
    one(Power(-3), (3, 4), domain=(-inf, -1e-1)),
    one(Power(1.5), (3, 4), domain=(0.0, inf)),
    one(Power(0.3), (3, 4), domain=(0.0, inf)),
    one(Power(-2.5), (3, 4), domain=(1e-1, inf)),
    one(Sin(), (3, 4)),
    one(Cos(), (3, 4)),
    one(Sign(), (3, 4)),
    one(Step(), (3, 4)),
    one(Step(0.5), (3, 4)),
    one(Floor(), (3, 4)),
    one(Round(), (3, 4)),
    all_vary(Product(), (3, 4), (3, 4)),
    all_vary(Product(), (3, 1), (1, 4)),
    all_vary(MatrixProduct(), (3, 4), (4, 2)),
    all_vary(MatrixProduct(), (2, 3, 4), (1, 4, 2)),
    one(Softmax(1), (5,)),
    one(Softmax(2), (2, 4, 3)),
    one(LogSumExp(1), (5,)),
    one(LogSumExp(2, True), (2, 4, 3)),
    one(MaxPool((2, 2), (2, 2), (0, 0), (1, 1)), MAP),
    one(MaxPool((3, 2), (1, 2), (1, 1), (1, 1)), MAP),
    one(MaxPool((2, 2), (2, 2), (0, 0), (2, 1), True), MAP),
    one(MaxPool((3,), (2,), (1,), (1,)), (2, 8)),
]
