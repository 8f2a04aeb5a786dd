"""The networks that a specification speaks of: which file each is, and one graph of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from ballproof.errors import InputError
from ballproof.files import content_of
from ballproof.graph import Graph
from ballproof.graph.extend import side_by_side
from ballproof.networks.onnx_file import MOST_BYTES, read_onnx
from ballproof.problems.vnnlib import Specification

Files = Path | str | Mapping[str, Path | str]
"""One network, or by the names that the specification declares."""


@dataclass(frozen=True)
class Part:
    """A network's file, the values inside that are told behind its outputs, and how many numbers it is declared to take and
    give."""

    path: Path
    hidden: tuple[str, ...]
    inputs: int
    outputs: int


def parts_of(files: Files, asked: Specification) -> list[Part]:
    """Each network in the order of its declaration; a single one has any name."""
    if not asked.networks:
        only = files.values() if isinstance(files, Mapping) else [files]
        if len(only) != 1:
            raise InputError(f"{len(only)} networks are given, the specification speaks of one")
        return [Part(Path(*only), (), asked.inputs, asked.outputs)]
    given = _given(files, asked)
    found = []
    for network in asked.networks:
        own = [t for t in asked.tensors if t.network == network.name]
        inputs, outputs = (sum(prod(t.shape) for t in own if t.kind == kind) for kind in "XY")
        found.append(Part(given[network.name], tuple(t.hidden for t in own if t.hidden), inputs, outputs))
    return found


def _given(files: Files, asked: Specification) -> dict[str, Path]:
    """The file of every name; a network that equals an earlier one needs none."""
    names = [n.name for n in asked.networks]
    if not isinstance(files, Mapping):
        if len(names) > 1:
            raise InputError(f"the specification speaks of the networks {', '.join(names)}; expected a file for each name")
        return {names[0]: Path(files)}
    given = {name: Path(path) for name, path in files.items()}
    if extra := set(given) - set(names):
        raise InputError(f"the specification declares no network `{min(extra)}`; declared are {', '.join(names)}")
    for n in asked.networks:
        if n.equal:
            given.setdefault(n.name, given[n.like])
        if n.name not in given:
            raise InputError(f"no file is given for the network `{n.name}` of the specification")
        if n.equal and content_of(given[n.name], MOST_BYTES) != content_of(given[n.like], MOST_BYTES):
            raise InputError(f"`{n.name}` is declared equal to `{n.like}`, and their files differ")
    return given


def graph_of(parts: list[Part]) -> Graph:
    """The network, or all of them side by side, in float32. Raises `InputError` where one is not as it is declared."""
    read = {(p.path, p.hidden): read_onnx(p.path, join=True, hidden=p.hidden) for p in parts}
    graphs = [read[p.path, p.hidden] for p in parts]
    for part, graph in zip(parts, graphs, strict=True):
        for what, shape, want in (("inputs", graph.input_shape, part.inputs), ("outputs", graph.output_shape, part.outputs)):
            if (have := int(torch.Size(shape).numel())) != want:
                raise InputError(f"{part.path} has {have} {what}, the specification declares {want}")
    return graphs[0] if len(graphs) == 1 else side_by_side(graphs)
