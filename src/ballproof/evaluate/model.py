"""`MODEL` of the command line: an ONNX file, a run folder, `module.py:function`, or a network that comes with the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import nn

from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.networks.architectures import build
from ballproof.networks.shipped import shipped, shipped_model
from ballproof.runs import Run
from ballproof.train.cascade import stages_in
from ballproof.train.checkpoint import WEIGHTS, load_weights, read_weights

FORMS = "an ONNX file, a run folder, `module.py:function`, or a name that `ballproof models` lists"


def load_model(model: str, data: Dataset) -> nn.Module | Graph:
    """The network that `model` names, in evaluation mode; refused if it does not take the data's inputs."""
    path = Path(model)
    if path.is_dir():
        network: nn.Module | Graph = _from_run(path, data)
    elif path.suffix == ".onnx" or model.endswith(".onnx.gz"):
        if not path.is_file():
            raise InputError(f"no file {model}")
        from ballproof.networks.onnx_file import read_onnx

        network = read_onnx(path)
    elif model in shipped():
        network = shipped_model(model)
    elif ":" in model:
        network = module_from(model)
    else:
        raise InputError(f"`MODEL` is {model!r}, expected {FORMS}")
    _fits(network, data, model)
    return network


def _from_run(path: Path, data: Dataset) -> nn.Module:
    if stages := stages_in(path):
        raise InputError(
            f"{path} holds a cascade of {len(stages)} networks, which only `certify` takes whole; name {stages[0]}"
        )
    run = Run.read(path)
    settings = run.config["settings"]
    if "model" not in settings or not run.has(WEIGHTS):
        raise InputError(f"{path} holds no trained network (a finished epoch of `ballproof train` leaves {WEIGHTS})")
    module = build(settings["model"], data.shape, data.classes)
    load_weights(module, read_weights(path / WEIGHTS), str(path))
    return module.eval()


def module_from(model: str) -> nn.Module:
    """What `module.py:function` returns, in evaluation mode; anything but an `nn.Module` is refused."""
    file, _, name = model.rpartition(":")
    if not Path(file).is_file():
        raise InputError(f"no file {file}; `MODEL` is {FORMS}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    maker = getattr(loaded, name, None)
    if not callable(maker):
        raise InputError(f"{file} has no function `{name}`")
    module = maker()
    if not isinstance(module, nn.Module):
        raise InputError(f"`{model}` returned {type(module).__name__}, expected a torch.nn.Module")
    return module.eval()


def _fits(network: nn.Module | Graph, data: Dataset, model: str) -> None:
    """One example through the network: its shape must fit the data, its outputs the classes."""
    first = data.inputs[:1]
    try:
        outputs = network(first)
    except (RuntimeError, InputError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"`{model}` does not take inputs of shape {tuple(first.shape[1:])} ({data.name}): {told}") from error
    fewer = outputs.ndim != 2 or outputs.shape[1] < data.classes
    if fewer or (data.classes_given and outputs.shape[1] > data.classes):
        raise InputError(f"`{model}` gives outputs of shape {tuple(outputs.shape[1:])}, {data.name} has {data.classes} classes")
