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


class Layer(nn.Module):
    """A recurrent layer of the library: all its outputs, or its last state through a linear layer."""

    def __init__(self, layer: nn.Module, last: bool = False) -> None:
        super().__init__()
        self.layer, self.last = layer, last

    def forward(self, x: Tensor) -> Tensor:
        found, state = self.layer(x)
        if not self.last:
            return found
        return state[0][-1] if isinstance(state, tuple) else state[-1]


class Heads(nn.Module):
    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, **settings)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x, x, x)[0]


class Masking(nn.Module):
    """Self-attention with two heads whose scores go through `mask`, which may use the buffers `below` and `ends`."""

    def __init__(self, mask: Callable[[Masking, Tensor], Tensor]) -> None:
        super().__init__()
        self.all, self.mask = nn.Linear(6, 18), mask
        self.register_buffer("below", torch.ones(3, 3).tril())
        self.register_buffer("ends", torch.zeros(3, 3).masked_fill(torch.ones(3, 3).triu(1) > 0, float("-inf")))

    def heads(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.unflatten(2, (2, 3)).transpose(1, 2) for part in self.all(x).chunk(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.heads(x)
        scores = self.mask(self, query @ key.transpose(2, 3))
        return (scores.softmax(3) @ value).transpose(1, 2).flatten(2)


class Fused(Masking):
    """The same by the library's one call; `mask` gives its arguments."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*self.heads(x), **self.mask(self, x)).transpose(1, 2).flatten(2)  # type: ignore[arg-type]


class Causal(nn.Module):
    """Layers of the library with their mask."""

    def __init__(self, encoder: bool, **settings: object) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(6), enable_nested_tensor=False) if encoder else None
        self.attention, self.settings = nn.MultiheadAttention(6, 2, batch_first=True), settings
        self.register_buffer("ends", nn.Transformer.generate_square_subsequent_mask(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.encoder is not None:
            return self.encoder(x, mask=self.ends, **self.settings)
        return self.attention(x, x, x, attn_mask=self.ends < 0, need_weights=False, **self.settings)[0]


EINSUMS: dict[str, Callable[[Tensor], Tensor]] = {
    "by a matrix": lambda x: torch.einsum("bij,jk->bik", x, torch.arange(8.0, dtype=x.dtype).reshape(4, 2)),
    "of scores": lambda x: torch.einsum("bid,bjd->bij", x, x * x),
    "with heads": lambda x: torch.einsum("bhi,hij->bj", x, torch.ones(3, 4, 2, dtype=x.dtype)),
    "turned": lambda x: torch.einsum("bij->bji", x),
    "summed": lambda x: torch.einsum("bij,bi->bj", x, x.abs().sum(2)),
}

MASKS: dict[str, Callable[[Masking, Tensor], Tensor]] = {
    "filled": lambda m, s: s.masked_fill(m.below == 0, float("-inf")),
    "filled by a mask of its own": lambda m, s: s.masked_fill(torch.ones(3, 3).triu(1) > 0, float("-inf")),
    "filled in place": lambda m, s: s.clone().masked_fill_(m.below == 0, float("-inf")),
    "added": lambda m, s: m.ends + s,
    "chosen": lambda m, s: torch.where(m.below > 0, s, float("-inf")),
    "chosen from a table": lambda m, s: torch.where(m.below > 0, s, m.ends.T.double()),
    "one key for all": lambda m, s: s.masked_fill(torch.arange(3) == 1, float("-inf")),
    "rows alike": lambda m, s: s.masked_fill(torch.tensor([[0, 1, 0], [1, 0, 0], [0, 1, 0]]) > 0, float("-inf")),
    "twice": lambda m, s: s.masked_fill(m.below == 0, float("-inf")) + torch.tensor([0.5, -1.0, float("-inf")]) + 0.5,
    "dropped": lambda m, s: F.dropout(s + m.ends, 0.1, m.training),
    "far below": lambda m, s: s.masked_fill(m.below == 0, -1e9),
    "in another order": lambda m, s: s.masked_fill(m.below.flip(0) == 0, float("-inf")),
}

FUSED: dict[str, Callable[[Masking, Tensor], Tensor]] = {
    "causal": lambda m, x: {"is_causal": True},  # type: ignore[dict-item, return-value]
    "by truth": lambda m, x: {"attn_mask": m.below.bool()},  # type: ignore[dict-item, return-value]
    "by numbers": lambda m, x: {"attn_mask": m.ends + 0.25, "scale": 0.5},  # type: ignore[dict-item, return-value]
}

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

MORE: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp to a point": lambda x: x + (x - 0.5).clamp(0.25, 0.25),
    "moved": lambda x: x.roll(2, 1) + x.flip(1) + x.tile(1, 2)[:, 3:9] + x.repeat_interleave(2, 1)[:, :6],
    "running sums": lambda x: x.cumsum(1) + x.unflatten(1, (2, 3)).tril().flatten(1),
    "shrinking": lambda x: F.softshrink(x, 0.2) + F.rrelu(x, 0.1, 0.3) + F.tanhshrink(x),
    "exponentials": lambda x: torch.exp2(x) + torch.expm1(x) + torch.erfc(x) + torch.pow(1.5, x),
    "logarithms": lambda x: torch.log1p(x.abs()) + torch.log2(x.abs() + 1) + torch.logit(torch.sigmoid(x)),
    "log of two exponentials": lambda x: torch.logaddexp(x, -x),
    "products added": lambda x: torch.addcmul(x, x, x + 1, value=0.5) + torch.addcdiv(x, x, x.abs() + 1),
    "between": lambda x: torch.lerp(x, -x, 0.3),
    "clamped by tensors": lambda x: torch.clamp(x, min=torch.full((6,), -0.2, dtype=x.dtype), max=0.5 + x.abs()),
    "chosen": lambda x: torch.where(torch.arange(6) > 2, x, x * x),
    "filled": lambda x: x.masked_fill(torch.arange(6) > 3, 0.5),
    "spreads": lambda x: torch.stack([x.var(1), x.std(1), x.var(1, correction=0)], 1),
    "largest": lambda x: x.max(1, keepdim=True).values + x.min(1, keepdim=True)[0],
    "similar": lambda x: F.cosine_similarity(x + 2, x * x + 1, 1).unsqueeze(1),
    "distance": lambda x: F.pairwise_distance(x, x * x).unsqueeze(1),
    "power of tensors": lambda x: torch.pow(x, torch.tensor(2.0, dtype=x.dtype)),
}

MODULES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    **CASES,
    **{name: (lambda f=f: Call(f), (6,)) for name, f in MORE.items()},  # type: ignore[misc]
    "lstm": (lambda: Layer(nn.LSTM(3, 4, batch_first=True)), (3, 3)),
    "lstm of two layers both ways": (lambda: Layer(nn.LSTM(3, 2, 2, batch_first=True, bidirectional=True), True), (3, 3)),
    "gru": (lambda: Layer(nn.GRU(3, 4, 2, batch_first=True), True), (3, 3)),
    "gru without biases": (lambda: Layer(nn.GRU(3, 4, batch_first=True, bias=False)), (3, 3)),
    "rnn": (lambda: Layer(nn.RNN(3, 4, batch_first=True, nonlinearity="relu", bidirectional=True)), (3, 3)),
    "heads": (Heads, (3, 6)),
    "heads without biases": (lambda: Heads(bias=False, kdim=6, vdim=6), (3, 6)),
    "transformer layer": (lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), (3, 6)),
    "transformer": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 3, 8, batch_first=True), 2, enable_nested_tensor=False),
        (3, 6),
    ),
    **{f"scores {name}": (lambda f=f: Masking(f), (3, 6)) for name, f in MASKS.items()},  # type: ignore[misc]
    **{f"attention {name}": (lambda f=f: Fused(f), (3, 6)) for name, f in FUSED.items()},  # type: ignore[misc]
    **{f"einsum {name}": (lambda f=f: Call(f, 4), (3, 4)) for name, f in EINSUMS.items()},  # type: ignore[misc]
    "causal heads": (lambda: Causal(False), (3, 6)),
    "causal transformer": (lambda: Causal(True, is_causal=True), (3, 6)),
    "one convolution unfolded": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.Unfold(2), nn.Flatten()), (2, 4, 4)),
    "shuffled": (lambda: nn.Sequential(nn.Conv2d(2, 4, 2), nn.PixelShuffle(2), nn.PixelUnshuffle(2)), (2, 4, 4)),
    "channels shuffled": (lambda: nn.Sequential(nn.Conv2d(2, 4, 2), nn.ChannelShuffle(2)), (2, 4, 4)),
    "adaptive maximum": (lambda: nn.Sequential(nn.Conv2d(2, 2, 2), nn.AdaptiveMaxPool2d(2)), (2, 5, 5)),
    "gated linear unit": (lambda: nn.Sequential(nn.Linear(6, 6), nn.GLU()), (6,)),
}
"""Those that the exporter to ONNX does not know, or writes with operators that are not read, too."""
