"""MMR (Croce et al. 2019): pushes the borders of the linear region, and the decision boundary, away from each example."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import Graph
from ballproof.operations import Affine
from ballproof.operations.relu import Relu
from ballproof.train.losses.moment import Moment

LEAST = 1e-12


def mmr(moment: Moment) -> Tensor:
    """Clean cross-entropy plus `mmr_weight` times hinges on distances below `mmr_reach` radii. No bound.

    Distances are those within the linear region of the example, in the norm of the ball: to the places where one of its nearest
    `mmr_share` units changes sign, and to where another class wins. Price: a forward pass for each coordinate of the input.
    """
    config = moment.config
    clean = F.cross_entropy(moment.graph(moment.x), moment.y)
    full = config.mmr_reach * moment.eps
    if full == 0:
        return clean
    borders, decision = distances(moment.graph, moment.x, moment.rows, config.norm)
    nearest = borders.topk(max(1, round(config.mmr_share * borders.shape[1])), 1, largest=False).values
    hinges = (1 - nearest / full).clamp(min=0).mean() + (1 - decision / full).clamp(min=0).mean()
    return clean + config.mmr_weight * hinges


def distances(graph: Graph, x: Tensor, rows: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """Distances of x `(batch, *input)` to the sign changes of all rectifiers `(batch, units)`, and by the queries `rows` at the
    output to the decisions `(batch, queries)`, negative where a query is; all within the linear region of x."""
    if norm not in ("linf", "l2"):
        raise InputError(f"`mmr` measures distances for linf and l2 balls, not for {norm}")
    borders: list[Tensor] = []
    decision = x.new_zeros(0)
    for border, value, slopes in _tangents(graph, x):
        if border:
            borders.append((value.abs() / _length(slopes, norm)).flatten(1))
        else:
            along = torch.einsum("bkc,bqc->bkq", slopes, rows)
            decision = (rows @ value.unsqueeze(2)).squeeze(2) / _length(along, norm)
    if not borders:
        raise UnsupportedError("`mmr` takes networks with rectifiers; this one has none")
    return torch.cat(borders, 1), decision


def _length(slopes: Tensor, norm: str) -> Tensor:
    """The dual norm over the coordinates of the input, axis 1."""
    return slopes.abs().sum(1).clamp(min=LEAST) if norm == "linf" else (slopes.square().sum(1) + LEAST**2).sqrt()


def _tangents(graph: Graph, x: Tensor) -> Iterator[tuple[bool, Tensor, Tensor]]:
    """The arguments of all rectifiers (True) and the output (False), each with its slopes on the input, `(batch, coordinate,
    *node)`."""
    constants, values = graph.constants(), graph.activations(x)
    count = x[0].numel()
    unit = torch.eye(count, dtype=x.dtype, device=x.device).reshape(1, count, *x.shape[1:]).expand(len(x), -1, *x.shape[1:])
    slopes = {graph.input: unit}
    for node in graph.varying:
        names = [i for i in node.inputs if graph.node[i].varies]
        operation = node.operation
        if isinstance(operation, Relu):
            before = values[names[0]]
            yield True, before, slopes[names[0]]
            slopes[node.name] = slopes[names[0]] * (before > 0).to(before).unsqueeze(1)
        elif isinstance(operation, Affine):
            given = graph.arguments(node, constants)
            rest = iter([slopes[n].flatten(0, 1) for n in names])
            found = operation.forward(*(next(rest) if g is None else g for g in given))
            term = operation.constant_term(given, graph.shapes(node))
            slopes[node.name] = (found if term is None else found - term.to(found)).unflatten(0, (len(x), count))
        else:
            raise UnsupportedError(f"`mmr` takes networks of affine layers and rectifiers, not `{node.name}` ({operation})")
        if node.name == graph.output:
            yield False, values[node.name], slopes[node.name]
