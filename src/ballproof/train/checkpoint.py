"""Checkpoints: everything that a training needs to go on bit for bit. Tensors and plain values only, never code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.runs import Run

STATE = "checkpoint.pt"
WEIGHTS = "model.safetensors"


def save_state(run: Run, state: dict[str, Any]) -> None:
    """Keep the state of a training; the file is replaced at once or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    run.write_bytes(STATE, buffer.getvalue())


def load_state(run: Run) -> dict[str, Any] | None:
    """The last state that was saved, or None; loads tensors and plain values only."""
    if not run.has(STATE):
        return None
    path = run.path / STATE
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
                raise InputError("it unpacks to more than its size, which no file of ours does")
        state = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(state, dict):
            raise InputError("it holds no state of a training")
    except Exception as error:  # what torch raises on damaged files is not written down anywhere
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is damaged ({told}); remove it to start again") from error
    return state


def save_weights(run: Run, module: nn.Module) -> Path:
    """The weights as safetensors."""
    return run.write_bytes(WEIGHTS, save({k: v.contiguous() for k, v in module.state_dict().items()}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file; a missing or damaged file is an `InputError` that names it."""
    if not path.is_file():
        raise InputError(f"no weights at {path}")
    try:
        return load(path.read_bytes())
    except Exception as error:  # safetensors raises its own class, without a public name
        raise InputError(f"{path} is not a safetensors file: {error}") from error


def load_weights(module: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Put weights into a module; weights of another architecture are refused, naming the first difference."""
    own = module.state_dict()
    for name in {**own, **weights}:
        if name not in weights or name not in own:
            lacking = "has no" if name not in weights else "has an unexpected"
            raise InputError(f"{where} is of another architecture: it {lacking} `{name}`")
        if own[name].shape != weights[name].shape:
            shapes = f"{tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
            raise InputError(f"{where} is of another architecture: `{name}` has shape {shapes}")
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{where} has weights that are not finite: `{name}`")
    module.load_state_dict(weights)
