"""The semidefinite bound for one hidden layer (Raghunathan et al. 2018a): one number for each pair of classes, for all inputs.

With logits `V f(W x + b) + c`, slopes of f in [0, 1] and v = V_i - V_j, the difference of two logits changes over an Linf ball
by at most `eps / 2` times the largest `t' A (1, r)` with all |t|, |r| <= 1 and `A = [W' v, W' diag(v)]`. For any positive p and
q, with s the largest singular value of `p^-1/2 A q^-1/2`, that is at most `s sqrt(sum p sum q)`: the dual of the semidefinite
relaxation of the products t r, and sound whatever p and q are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import Graph
from ballproof.operations.linear import Linear
from ballproof.operations.relu import Relu
from ballproof.operations.reshape import Reshape
from ballproof.train.losses.moment import Moment, worst_cross_entropy

STEPS, RATE = 10, 0.1
"""Of the search for p and q, from the sums of the rows and columns of |A|."""

LEAST = 1e-12


def sdp(moment: Moment) -> Tensor:
    """A proven bound of the worst cross-entropy, for networks of one hidden layer of rectifiers and Linf balls.

    Price: some ten singular value decompositions for each pair of classes, whatever the size of the batch.
    """
    if moment.config.norm != "linf":
        raise InputError(f"`method` 'sdp' needs `norm` linf, got {moment.config.norm!r}")
    return worst_cross_entropy(sdp_margins(moment))


def sdp_margins(moment: Moment) -> Tensor:
    """Proven lower values of the margins, `(batch, classes - 1)`."""
    change = most_change(*_layers(moment.graph))
    others = (moment.rows == -1).to(torch.long).argmax(2)
    clean = (moment.rows @ moment.graph(moment.x).unsqueeze(2)).squeeze(2)  # never in bfloat16: it is part of the bound
    return clean - moment.eps / 2 * change[moment.y.unsqueeze(1), others]


def most_change(weight: Tensor, last: Tensor) -> Tensor:
    """Upper values of `t' A (1, r)` for every pair of classes, `(classes, classes)`; 0 on the diagonal.

    weight: W, `(hidden, input)`. last: V, `(classes, hidden)`.
    """
    classes = len(last)
    first, second = torch.triu_indices(classes, classes, 1, device=last.device)
    difference = last[first] - last[second]
    spread = torch.cat([(difference @ weight).unsqueeze(2), weight.T * difference.unsqueeze(1)], 2)
    with torch.no_grad():
        row, column = _scales(spread)
    values = _value(spread, row, column)
    found = values.new_zeros(classes, classes).index_put((first, second), values)
    return found + found.T


def _value(spread: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The dual value of each pair at these p and q."""
    scaled = spread / (row.unsqueeze(2) * column.unsqueeze(1)).sqrt()
    largest: Tensor = torch.linalg.matrix_norm(scaled, 2)
    return largest * (row.sum(1) * column.sum(1)).sqrt()


def _scales(spread: Tensor) -> tuple[Tensor, Tensor]:
    """Good p and q for each pair, `(pairs, rows)` and `(pairs, columns)`: any would be sound."""
    size = spread.abs().detach()
    start = [size.sum(2), size.sum(1)]
    logs = [(s + 1e-3 * s.mean(1, keepdim=True) + LEAST).log().requires_grad_(True) for s in start]
    optimizer, best = torch.optim.Adam(logs, RATE), spread.detach().new_full((len(spread),), torch.inf)
    kept = [s.detach().clone() for s in logs]
    for _ in range(STEPS):
        with torch.enable_grad():
            values = _value(spread.detach(), logs[0].exp(), logs[1].exp())
            optimizer.zero_grad()
            values.clamp(min=LEAST).log().sum().backward()
        better = values.detach() < best
        best = torch.where(better, values.detach(), best)
        kept = [torch.where(better.unsqueeze(1), s.detach(), k) for s, k in zip(logs, kept, strict=True)]
        optimizer.step()
    return kept[0].exp(), kept[1].exp()


def _layers(graph: Graph) -> tuple[Tensor, Tensor]:
    """The two matrices of a network of one hidden layer."""
    nodes = [n for n in graph.varying if not isinstance(n.operation, Reshape)]
    if [type(n.operation) for n in nodes] != [Linear, Relu, Linear]:
        told = ", ".join(type(n.operation).__name__ for n in nodes)
        raise UnsupportedError(f"`sdp` trains networks of one hidden layer (linear, relu, linear); this one is {told}")
    if several := [n for n in nodes if len(n.shape) != 1]:
        raise UnsupportedError(f"`sdp` trains layers of one axis; `{several[0].name}` has shape {several[0].shape}")
    constants = graph.constants()
    first, last = (constants[n.inputs[1]] for n in graph.varying if isinstance(n.operation, Linear))
    return first, last
