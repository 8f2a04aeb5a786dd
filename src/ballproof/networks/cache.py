"""`as_graph`: one reading of a module serves until the module changes in anything but the values of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.graph import Graph, Snapshot
from ballproof.networks.fingerprint import Fingerprint
from ballproof.networks.module import Reading, read


class Region(Protocol):
    """What the reader asks of a region: a tensor `(batch, *input)` of its shape, type and device."""

    @property
    def like(self) -> Tensor: ...


Key = tuple[tuple[int, ...], torch.dtype, torch.device]
Readings = dict[Key, Reading]


@dataclass(frozen=True)
class _Entry:
    made_from: Fingerprint
    reading: Reading


_CACHE: WeakKeyDictionary[nn.Module, dict[Key, _Entry]] = WeakKeyDictionary()


def as_graph(network: nn.Module | Graph, example: Tensor | Region) -> Graph:
    """The graph of the network for inputs like `example`: a tensor `(batch, *input)` or a region; values are not used.

    A module is read once for each shape, type and device, and again when its layers, settings, hooks or tensor objects
    have changed. New values in the same tensors need no reading. Not seen: settings outside the module (globals).
    """
    like = example if isinstance(example, Tensor) else example.like
    if isinstance(network, Graph):
        return _fitting(network, like)
    if not isinstance(network, nn.Module):
        raise InputError(f"`network` is a {type(network).__name__}, expected an nn.Module or a Graph")
    key = (tuple(like.shape[1:]), like.dtype, like.device)
    entries = _CACHE.setdefault(network, {})
    now = Fingerprint.of(network)
    if key not in entries or not entries[key].made_from.same(now):
        entries[key] = _Entry(now, read(network, like))
    return entries[key].reading.graph


def snapshot(network: nn.Module | Graph, example: Tensor | Region) -> Snapshot:
    """The network as it is now, for inputs like `example`, with its own weights: later changes of the module do not reach it.

    Everything that takes a network takes it. Many questions about weights that no longer change are answered faster: nothing
    has to be compared with the module, and what follows from the weights alone is computed once. See `Snapshot`.
    """
    return Snapshot.of(as_graph(network, example))


def readings_of(network: nn.Module | Graph) -> Readings:
    """What was read of a module so far, to be sent along with it to another process; see `remember`."""
    return {} if isinstance(network, Graph) else {key: entry.reading for key, entry in _CACHE.get(network, {}).items()}


def remember(network: nn.Module | Graph, readings: Readings) -> None:
    """Take over what another process has read of this module. Both must have come in one piece, so that they share tensors."""
    if isinstance(network, nn.Module):
        now = Fingerprint.of(network)
        _CACHE[network] = {key: _Entry(now, reading) for key, reading in readings.items()}


def active_dropout(module: nn.Module) -> list[str]:
    """The names of the dropout layers that are switched on: training mode and p > 0.

    Dropout called by function is found where `as_graph` has read the module: the name of the module that calls it.
    """
    training = {n: m for n, m in module.named_modules() if m.training}
    layers = {n for n, m in training.items() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0}
    callers = _functional_dropout(module) & training.keys()
    return sorted(n or "forward" for n in layers | callers)


def _functional_dropout(module: nn.Module) -> set[str]:
    """The modules that call dropout by function, as far as readings of `module` have seen them."""
    return {n for entry in _CACHE.get(module, {}).values() for n in entry.reading.functional_dropout}


def _fitting(graph: Graph, example: Tensor) -> Graph:
    if tuple(example.shape[1:]) != graph.input_shape:
        raise InputError(
            f"the inputs have shape {tuple(example.shape)}, the network takes "
            f"({', '.join(['batch', *map(str, graph.input_shape)])})"
        )
    first = example if graph.weighed is None else graph.weighed
    if (first.dtype, first.device) != (example.dtype, example.device):
        raise InputError(
            f"the inputs are {example.dtype} on {example.device}, the network {first.dtype} on {first.device}; "
            "convert it with `graph.to(device, dtype)`"
        )
    return graph
