"""The arithmetic floor of `crown`: the multiply-adds of its queries, at the speed of a matrix product on this machine.

Counted are the affine layers alone, with no credit for neurons whose slope is zero and no price for elementwise work.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

import ballproof as bp
from ballproof.bounds import METHODS
from ballproof.bounds.interval import arguments, step
from ballproof.bounds.linear import LinearPass
from ballproof.graph import Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.convolution import Convolution


def floor(net: nn.Module, region: bp.Linf) -> dict[str, Any]:
    """What `crown` asks on this region, its multiply-adds (two operations each) and the seconds they would take."""
    graph = bp.as_graph(net, region)
    asked = {name: mask.nonzero()[:, 1:] for name, mask in unstable(graph, region).items()}
    sums = sum(multiply_adds(graph, name, cells[:, 1:], ends=2, numbers=1) for name, cells in asked.items())
    margins = torch.zeros(region.batch * (graph.output_shape[0] - 1), 0, dtype=torch.int64)
    sums += multiply_adds(graph, graph.output, margins, ends=1, numbers=graph.output_shape[0])
    rate = speed()
    queries = sum(len(cells) for cells in asked.values())
    return {"queries": queries, "flops": 2 * sums, "flops_per_second": rate, "floor_seconds": 2 * sums / rate}


def unstable(graph: bp.Graph, region: bp.Linf) -> dict[str, Tensor]:
    """The neurons to query, `(batch, *node)`: unstable by one interval step from the refined layers before them."""
    state, masks = LinearPass(graph, region, METHODS["crown"]).run(), {}  # type: ignore[arg-type]
    for node in graph.varying:
        if isinstance(node.operation, Nonlinear) and (name := node.inputs[0]) not in state.exact:
            known = {**state.intervals, name: step(graph, graph.node[name], state.intervals, state.constants)}
            masks[name] = node.operation.unsettled(*arguments(graph, node, known, state.constants))[0]
    return masks


def multiply_adds(graph: bp.Graph, name: str, cells: Tensor, ends: int, numbers: int) -> int:
    """Multiply-adds when queries at a node are pulled back to the input, each by the window that it sees.

    cells: `(query, 2)`, the cell of each query on its map; `(query, 0)` where the node is no map. numbers: coefficients of
    one query, 1 for a single neuron. ends: 2 if lower and upper end are wanted; they share the way to the first
    nonlinear node. An affine layer with a weight costs, for each coefficient that reaches it, the taps of its kernel (its
    row). What reaches it is `numbers` at the start, later all channels of the window, cut with the map; a convolution
    widens the window by its kernel, branches that join take the larger one, behind a flattening it is the whole map.
    """
    total, seen = 0, {name: (cells, cells, 1)}
    for node in reversed(graph.until(name).varying):
        low, high, copies = seen.pop(node.name)
        if isinstance(node.operation, Affine) and (row := taps(graph, node)):
            channels = numbers if node.name == name else node.shape[0]
            total += copies * channels * int((high - low + 1).prod(1).sum()) * row
        for parent in (i for i in node.inputs if graph.node[i].varies):
            first, last = reach(graph, node, parent, low, high)
            after = ends if isinstance(node.operation, Nonlinear) else copies
            if parent in seen:
                others = seen[parent]
                first, last, after = first.minimum(others[0]), last.maximum(others[1]), max(after, others[2])
            seen[parent] = (first, last, after)
    return total


def taps(graph: bp.Graph, node: Node) -> int:
    """Inputs that one output of a convolution or fully connected layer takes; 0 where there is no weight."""
    constants = [graph.node[i].shape for i in node.inputs if not graph.node[i].varies]
    return torch.Size(constants[0][1:]).numel() if constants else 0


def reach(graph: bp.Graph, node: Node, parent: str, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """First and last cell of an argument that the windows from `low` to `high` of a node see, `(query, axes of the map)`."""
    shape = graph.node[parent].shape
    ends = torch.tensor(shape[1:], dtype=torch.int64) - 1
    if isinstance(node.operation, Convolution):
        settings, kernel = node.operation, torch.tensor(graph.shapes(node)[1][2:])
        stride, padding, dilation = (torch.tensor(t) for t in (settings.stride, settings.padding, settings.dilation))
        last = high * stride - padding + (kernel - 1) * dilation
        return (low * stride - padding).clamp(min=0), last.minimum(ends)
    if shape == node.shape:
        return low, high
    return torch.zeros(len(low), len(ends), dtype=torch.int64), ends.expand(len(low), -1)


def speed() -> float:
    """Operations a second of a float32 matrix product, 2048 cubed, on the threads of this run; the best of ten."""
    a, taken = torch.rand(2048, 2048), []
    for _ in range(10):
        before = time.perf_counter()
        a @ a
        taken.append(time.perf_counter() - before)
    return 2 * 2048**3 / min(taken)
