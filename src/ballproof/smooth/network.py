"""The network behind the noise, with a denoiser in front of it where there is one."""

from __future__ import annotations

from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate.model import load_model, module_from
from ballproof.graph import Graph
from ballproof.smooth.draws import answered
from ballproof.smooth.noise import Noise, seen_by


def network_for(model: str, denoiser: str | None, noise: Noise, data: Dataset) -> nn.Module | Graph:
    """What `model` names, for inputs as the noise gives them; behind a denoiser (Salman et al. 2020) for inputs of the data.

    denoiser: `module.py:function` that returns an `nn.Module` from noisy inputs to inputs of the data's shape.
    """
    seen = seen_by(noise, data)
    if denoiser is None:
        return load_model(model, seen)
    file, _, name = denoiser.rpartition(":")
    if not file or not name:
        raise InputError(f"`denoiser` is {denoiser!r}, expected module.py:function")
    front, network = module_from(denoiser), load_model(model, data.subset([0]))
    try:
        cleaned = front(seen.inputs)
    except RuntimeError as error:
        told = str(error).splitlines()[0]
        raise InputError(f"`denoiser` does not take inputs of shape {tuple(seen.shape)}: {told}") from error
    if not isinstance(cleaned, Tensor):
        raise InputError(f"`denoiser` gives a {type(cleaned).__name__}, expected a tensor of the data's shape")
    if cleaned.shape[1:] != data.shape:
        raise InputError(f"`denoiser` gives shape {tuple(cleaned.shape[1:])}, expected that of the data, {tuple(data.shape)}")
    both = nn.Sequential(front, network if isinstance(network, nn.Module) else _Called(network)).eval()
    answered(both, seen.inputs)
    return both


class _Called(nn.Module):
    """A graph as a module."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x)
