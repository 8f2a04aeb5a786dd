"""`read_module`: an nn.Module as a `Graph` whose constants are the module's own tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ballproof.errors import UnsupportedError
from ballproof.graph import Graph, GraphBuilder
from ballproof.graph.statistics import own_statistics
from ballproof.networks.aten.site import Masked
from ballproof.networks.capture import capture, check_finite, evaluating
from ballproof.networks.names import Names
from ballproof.networks.sizes import Sizes
from ballproof.networks.walk import Walk

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node as Fx


@dataclass(frozen=True)
class Reading:
    """A graph and what it does not say: the modules whose own forward calls dropout by function."""

    graph: Graph
    functional_dropout: tuple[str, ...]


def read_module(module: nn.Module, example: Tensor) -> Graph:
    """The evaluation form of the module; its constants are the module's own parameters and buffers, live.

    example: any batch `(batch, *input)` of the right shape, type and device; only those are used. The graph takes every
    batch size. Its output is compared with the module's own on two small batches before it is given away. Raises
    `UnsupportedError` naming the layer, the ATen operation and the user's source line for what is not modelled.
    """
    return read(module, example).graph


def read(module: nn.Module, example: Tensor) -> Reading:
    """`read_module` with what the graph does not say."""
    program = capture(module, example)
    nodes = _needed(list(program.graph.nodes))
    builder = GraphBuilder(tuple(example.shape[1:]))
    walk = Walk(builder, example.new_empty(0), Sizes(_exported_input(program)))
    _placeholders(walk, program, module, nodes)
    walk.run(nodes)
    graph = builder.build(_output(walk, program, nodes[-1]))
    for batch_norm in module.modules():
        if isinstance(batch_norm, nn.modules.batchnorm._BatchNorm) and batch_norm.running_mean is not None:
            own_statistics(batch_norm.running_mean, batch_norm)
    _check_against(module, graph, example)
    return Reading(graph, _functional_dropout(nodes))


def _placeholders(walk: Walk, program: ExportedProgram, module: nn.Module, nodes: list[Fx]) -> None:
    """Enter the input and every constant that is needed; the module's own objects, not the exporter's copies."""
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    targets = {s.arg.name: s.target for s in program.graph_signature.input_specs if s.target is not None}
    for node in nodes:
        if node.op != "placeholder":
            continue
        if node.name not in targets:
            walk.enter_input(node)
            continue
        name = targets[node.name]
        value = own[name] if name in own else program.constants[name]
        mask = value.is_floating_point() and not isinstance(value, nn.Parameter)
        check_finite(value.masked_fill(value == float("-inf"), 0) if mask else value, f"constant `{name}`")
        walk.enter_constant(node, value, name, live=name in own or _is_attribute(module, name, value))


def _is_attribute(module: nn.Module, path: str, value: Tensor) -> bool:
    """The tensor is a plain attribute of the module, not a literal of its forward."""
    owner, _, name = path.rpartition(".")
    try:
        return module.get_submodule(owner).__dict__.get(name) is value
    except AttributeError:
        return False


def _exported_input(program: ExportedProgram) -> Tensor:
    (name,) = program.graph_signature.user_inputs
    value: Tensor = next(n for n in program.graph.nodes if n.name == name).meta["val"]
    return value


def _needed(nodes: list[Fx]) -> list[Fx]:
    """The calls that the output needs and those that change something, in order."""
    needed: set[Fx] = set()
    for node in reversed(nodes):
        schema = getattr(node.target, "_schema", None)
        changes = schema is not None and schema.is_mutable
        if node.op == "output" or node in needed or changes:
            needed.add(node)
            needed.update(node.all_input_nodes)
    return [n for n in nodes if n in needed]


def _output(walk: Walk, program: ExportedProgram, node: Fx) -> str:
    """The name of the only output, which must be one float tensor that depends on the input."""
    if not program.call_spec.out_spec.is_leaf():
        raise UnsupportedError("`network` returns several values or a collection; supported: one tensor (batch, *output)")
    (returned,) = node.all_input_nodes
    name = walk.found.get(returned)
    if isinstance(name, Masked):
        raise UnsupportedError(f"`network` returns {name}; supported: finite outputs")
    if not isinstance(name, str) or not walk.builder.nodes[name].varies:
        raise UnsupportedError("`network` returns a value that does not depend on its input; is that meant?")
    return str(name)


def _check_against(module: nn.Module, graph: Graph, example: Tensor) -> None:
    """The graph computes what the module computes, on batches of 1 and 3 random inputs."""
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 3):
        x = torch.rand((batch, *example.shape[1:]), generator=generator, dtype=torch.float64)
        x = x.to(dtype=example.dtype, device=example.device)
        with evaluating(module), torch.no_grad():
            wanted, found = module(x.clone()), graph(x)
        if wanted.shape != found.shape or not _close(wanted, found):
            raise UnsupportedError(
                f"`network` as read and the module itself give different outputs on a batch of {batch}; does its "
                "forward depend on the batch size or on a hidden state? supported: a function of each example alone"
            )


def _close(wanted: Tensor, found: Tensor) -> bool:
    """Equal but for rounding; 1e-3 leaves room for the reduced precision of float32 products on a GPU."""
    tolerance = 1e-9 if wanted.dtype == torch.float64 else 1e-3
    return bool((wanted - found).abs().max() <= tolerance * (1e-3 + wanted.abs().max()))


def _functional_dropout(nodes: Iterable[Fx]) -> tuple[str, ...]:
    """The paths of the modules that call dropout with p > 0 in their own forward."""
    called = [n for n in nodes if "dropout" in str(n.target) and n.args[1:2] != (0.0,)]
    return tuple(sorted({Names.module(n)[0] for n in called if not Names.module(n)[1]}))
