"""What a run is about, by hash: the network and the examples. A run never goes on with others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.files import sha256
from ballproof.graph import Graph
from ballproof.runs import IDENTITY, Run


def identify(run: Run, models: list[str], networks: list[nn.Module | Graph], data: Dataset) -> None:
    """Note the hashes in the run folder; `InputError` where a run that goes on was begun with other tensors or examples."""
    found = {"examples": _sha256([data.inputs, data.labels])}
    for model, network in zip(models, networks, strict=True):
        tensors = network.values if isinstance(network, Graph) else network.state_dict()
        found[f"tensors of {model}"] = _sha256([tensors[name] for name in sorted(tensors)])
        if Path(model).is_file():
            found[f"file {model}"] = sha256(Path(model))
    if not run.has(IDENTITY):
        run.write_json(IDENTITY, found)
    former = run.read_json(IDENTITY)
    changed = [name for name, digest in found.items() if former.get(name, digest) != digest]
    if changed:
        raise InputError(f"{run.path} cannot go on: {', '.join(changed)} changed since it was begun")


def _sha256(tensors: list[Tensor]) -> str:
    """Of types, shapes and values, in this order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().tobytes() if len(values) else b"")
    return digest.hexdigest()
