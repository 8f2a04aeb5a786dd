"""Little modules with activations, reductions and normalisations that are no rectifiers: (module, shape of one input)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, ...]


class Call(nn.Module):
    """A function behind a layer, so that its argument is no input."""

    def __init__(self, function: Callable[[Tensor], Tensor], count: int = 6) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(count, count), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.scaled_dot_product_attention(self.query(self.norm(x)), self.key(x), self.value(x))


class Cell(nn.Module):
    """A recurrent cell, unrolled."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state = x[:, 0]
        for time in range(1, x.shape[1]):
            state = self.cell(x[:, time], state)
        return state


class Memory(nn.Module):
    """A long short-term memory, written out and unrolled."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.states = nn.Linear(4, 16), nn.Linear(4, 16)

    def forward(self, x: Tensor) -> Tensor:
        state, memory = x[:, 0], x[:, 0] / 2
        for time in range(1, x.shape[1]):
            i, f, g, o = (self.inputs(x[:, time]) + self.states(state)).chunk(4, 1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(memory)
        return state


class Remembering(nn.Module):
    """The framework's own cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = x[:, 0], x[:, 0] / 2
        for time in range(1, x.shape[1]):
            state = self.cell(x[:, time], state)
        return state[0]


SCALARS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "atan": torch.atan,
    "erf": torch.erf,
    "exp": torch.exp,
    "log": lambda x: torch.log(x.abs() + 0.5),
    "sin": torch.sin,
    "cos": torch.cos,
    "softplus": F.softplus,
    "sharp softplus": lambda x: F.softplus(x, 3.0),
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 1.3),
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "hardtanh": lambda x: F.hardtanh(x, -0.3, 0.4),
    "relu6": lambda x: F.relu6(8 * x),
    "clamp": lambda x: x.clamp(-0.2, 0.3) + x.clamp(max=0.1),
    "logsigmoid": F.logsigmoid,
    "roots": lambda x: (x * x + 0.1).sqrt() + (x.square() + 1).rsqrt() + (x.abs() + 1).reciprocal(),
    "powers": lambda x: x**3 - (x.abs() + 0.1) ** 1.5 + 2.0**x,
    "steps": lambda x: torch.sign(x) + torch.floor(3 * x) + torch.ceil(2 * x) + torch.round(5 * x),
    "product": lambda x: x * torch.sigmoid(x + 1) + x * x,
    "quotient": lambda x: x / (2 + x.abs()) + 1 / (1 + torch.exp(x)),
    "softmax": lambda x: F.softmax(x, -1),
    "log softmax": lambda x: F.log_softmax(x, 1),
    "log sum exp": lambda x: x - torch.logsumexp(x, 1, keepdim=True),
    "extremes": lambda x: torch.stack([x.amax(1), x.amin(1)], 1),
    "max of two": lambda x: torch.maximum(x, -x) + torch.minimum(x, 2 * x),
    "norms": lambda x: torch.stack([torch.linalg.vector_norm(x, p, 1) for p in (1, 2, 3, float("inf"))], 1),
    "normalised": lambda x: F.layer_norm(x, (6,)) + F.rms_norm(x, (6,)),
}

CASES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    **{name: (lambda f=f: Call(f), (6,)) for name, f in SCALARS.items()},  # type: ignore[misc]
    "prelu": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.PReLU(3, 0.4), nn.Flatten()), (2, 4, 4)),
    "one prelu": (lambda: nn.Sequential(nn.Linear(6, 6), nn.PReLU()), (6,)),
    "softmax of a middle axis": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.Softmax(1)), (2, 4, 4)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(6, 6), nn.LayerNorm((4, 6))), (4, 6)),
    "group norm": (lambda: nn.Sequential(nn.Conv2d(2, 4, 2), nn.GroupNorm(2, 4)), (2, 4, 4)),
    "instance norm": (lambda: nn.Sequential(nn.Conv2d(2, 4, 2), nn.InstanceNorm2d(4, affine=True)), (2, 4, 4)),
    "maxima over two axes": (lambda: Call(lambda x: x.unflatten(1, (2, 3)).unsqueeze(2).amax((1, 3))), (6,)),
    "attention": (Attention, (3, 6)),
    "recurrent cell": (lambda: Cell(nn.RNNCell(4, 4)), (3, 4)),
    "gated cell": (lambda: Cell(nn.GRUCell(4, 4)), (3, 4)),
    "memory": (Memory, (3, 4)),
    "nearest": (lambda: nn.Sequential(nn.Conv2d(2, 2, 2), nn.Upsample(scale_factor=2)), (2, 4, 3)),
    "bilinear": (lambda: nn.Sequential(nn.Conv2d(2, 2, 2), nn.Upsample(size=(7, 5), mode="bilinear")), (2, 4, 4)),
    "bilinear corners": (
        lambda: nn.Sequential(nn.Conv2d(2, 2, 2), nn.Upsample(scale_factor=(2, 1.5), mode="bilinear", align_corners=True)),
        (2, 4, 5),
    ),
    "linear": (lambda: nn.Upsample(scale_factor=1.7, mode="linear"), (2, 5)),
    "memory cell": (Remembering, (3, 4)),
}
