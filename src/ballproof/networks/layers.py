"""While a module is read, the library's recurrent and attention layers are plain calls with the batch in front.

The library computes them with the batch as an inner axis or by fused kernels. Here each computes the same from its own
parameters, step by step; the module gets its own forward back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.errors import UnsupportedError

State = tuple[Tensor, ...]


@contextmanager
def written_out(module: nn.Module) -> Iterator[None]:
    """Inside, LSTM, GRU, RNN, MultiheadAttention and TransformerEncoder layers of the module run written out."""
    changed = [m for m in module.modules() if type(m) in WRITTEN and "forward" not in vars(m)]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for m in changed:
            m.forward = MethodType(WRITTEN[type(m)], m)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for m in changed:
            del m.forward


class LastStates(list[Tensor]):
    """The last state of each layer and direction: what the library stacks along an axis before the batch."""

    def squeeze(self, axis: int) -> Tensor:
        if len(self) != 1 or axis != 0:
            raise UnsupportedError(f"squeeze({axis}) of {len(self)} last states; supported: one of them by its number, `h[-1]`")
        return self[0]


def _recurrent(self: Any, x: Tensor, hx: object = None) -> tuple[Tensor, Any]:
    """Every layer and direction, unrolled over the time axis 1; the state before the first step is 0."""
    if hx is not None or not self.batch_first or x.ndim != 3 or self.proj_size:
        raise UnsupportedError(
            f"{type(self).__name__} with an initial state, a projection, or the batch behind the time; "
            "supported: batch_first=True, inputs (batch, time, features), no initial state, proj_size=0"
        )
    hidden, memories = LastStates(), LastStates()
    for layer in range(self.num_layers):
        sides = []
        for suffix in ("", "_reverse")[: 2 if self.bidirectional else 1]:
            found, state = _side(self, x, f"l{layer}{suffix}", reverse=bool(suffix))
            hidden.append(state[0])
            memories += state[1:]
            sides.append(found)
        x = torch.cat(sides, 2) if len(sides) > 1 else sides[0]
    return x, (hidden, memories) if self.mode == "LSTM" else hidden


def _side(self: Any, x: Tensor, name: str, reverse: bool) -> tuple[Tensor, State]:
    """One direction of one layer: its state at every time, and the last one."""
    names = [f"{part}_{name}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    own = [getattr(self, n) if self.bias or n.startswith("weight") else None for n in names]
    state: State | None = None
    found: dict[int, Tensor] = {}
    for time in range(x.shape[1])[:: -1 if reverse else 1]:
        state = CELLS[self.mode](x[:, time], state, *own)
        found[time] = state[0]
    assert state is not None, "a sequence has at least one step"
    return torch.stack([found[t] for t in range(x.shape[1])], 1), state


def _hidden(state: State | None, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """The part of the gates that the state gives; its bias alone where there is no state yet."""
    if state is not None:
        return F.linear(state[0], weight, bias)
    return bias


def _gates(given: Tensor, hidden: Tensor | None) -> Tensor:
    return given if hidden is None else given + hidden


def _lstm(x: Tensor, state: State | None, w: Tensor, u: Tensor, b: Tensor | None, c: Tensor | None) -> State:
    i, f, g, o = _gates(F.linear(x, w, b), _hidden(state, u, c)).chunk(4, 1)
    new = torch.sigmoid(i) * torch.tanh(g)
    memory = new if state is None else torch.sigmoid(f) * state[1] + new
    return torch.sigmoid(o) * torch.tanh(memory), memory


def _gru(x: Tensor, state: State | None, w: Tensor, u: Tensor, b: Tensor | None, c: Tensor | None) -> State:
    r, z, n = F.linear(x, w, b).chunk(3, 1)
    hidden = _hidden(state, u, c)
    if hidden is not None:
        hr, hz, hn = hidden.chunk(3, -1)
        r, z = r + hr, z + hz
        n = n + torch.sigmoid(r) * hn
    new, keep = torch.tanh(n), torch.sigmoid(z)
    return ((1 - keep) * new if state is None else (1 - keep) * new + keep * state[0],)


def _rnn(function: Callable[[Tensor], Tensor]) -> Callable[..., State]:
    def cell(x: Tensor, state: State | None, w: Tensor, u: Tensor, b: Tensor | None, c: Tensor | None) -> State:
        return (function(_gates(F.linear(x, w, b), _hidden(state, u, c))),)

    return cell


CELLS: dict[str, Callable[..., State]] = {
    "LSTM": _lstm,
    "GRU": _gru,
    "RNN_TANH": _rnn(torch.tanh),
    "RNN_RELU": _rnn(torch.relu),
}


def _attention(
    self: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(q k' / sqrt(width) + mask) v for every head (Vaswani et al. 2017); `is_causal` only tells what the mask is."""
    padded = key_padding_mask is not None or (attn_mask is not None and attn_mask.ndim != 2)
    if padded or not self.batch_first or query.ndim != 3 or self.bias_k is not None or self.add_zero_attn:
        raise UnsupportedError(
            "MultiheadAttention with a padding mask or one for each head, key biases, a zero key, or the batch behind the "
            "time; supported: batch_first=True, inputs (batch, time, features), no mask or one `attn_mask` (time, time)"
        )
    same = self._qkv_same_embed_dim
    weights = self.in_proj_weight.chunk(3) if same else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
    biases = self.in_proj_bias.chunk(3) if self.in_proj_bias is not None else (None, None, None)
    given = zip((query, key, value), weights, biases, strict=True)
    q, k, v = (F.linear(x, w, b).unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x, w, b in given)
    scores = torch.softmax(_masked(q @ k.transpose(2, 3) / self.head_dim**0.5, attn_mask), 3)
    found = self.out_proj((scores @ v).transpose(1, 2).flatten(2))
    if not need_weights:
        return found, None
    return found, scores.mean(1) if average_attn_weights else scores


def _masked(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return scores
    return scores.masked_fill(mask, float("-inf")) if mask.dtype == torch.bool else scores + mask


def _encoder(
    self: nn.TransformerEncoder,
    src: Tensor,
    mask: Tensor | None = None,
    src_key_padding_mask: Tensor | None = None,
    is_causal: bool | None = None,
) -> Tensor:
    """The layers one after another. The library's own looks at the mask's values, which the exporter does not allow."""
    for layer in self.layers:
        src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
    return src if self.norm is None else self.norm(src)


WRITTEN: dict[type, Callable[..., Any]] = {
    nn.LSTM: _recurrent,
    nn.GRU: _recurrent,
    nn.RNN: _recurrent,
    nn.MultiheadAttention: _attention,
    nn.TransformerEncoder: _encoder,
}
