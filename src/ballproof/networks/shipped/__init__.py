"""Trained networks that come with the package, with the figures that were proven of them."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from importlib import resources

from safetensors.torch import load as read_tensors
from torch import nn

from ballproof.errors import InputError
from ballproof.networks.architectures import build


@dataclass(frozen=True)
class Shipped:
    """A network and what is known of it. Accuracies are shares of the first `n` test images of `data`.

    eps in the units of the data, of a `norm` ball cut with [0, 1]. certified_by: the method behind certified_accuracy.
    recipe: what trained it. sha256: of its weights.
    """

    name: str
    architecture: str
    shape: tuple[int, ...]
    classes: int
    data: str
    norm: str
    eps: float
    n: int
    clean_accuracy: float
    attacked_accuracy: float
    certified_accuracy: float
    certified_by: str
    recipe: str
    sha256: str


def shipped() -> dict[str, Shipped]:
    """The networks by name."""
    text = (resources.files("ballproof.networks.shipped") / "models.toml").read_text()
    return {name: Shipped(name, **{**v, "shape": tuple(v["shape"])}) for name, v in tomllib.loads(text).items()}


def shipped_model(name: str) -> nn.Module:
    """One of the networks, in evaluation mode; weights that are not those of its figures are refused."""
    known = shipped()
    if name not in known:
        raise InputError(f"no network `{name}` comes with ballproof; there are {', '.join(known)}")
    own = known[name]
    content = (resources.files("ballproof.networks.shipped") / f"{name}.safetensors").read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != own.sha256:
        raise InputError(f"the weights of `{name}` are not those of its figures (sha256 {found}); install ballproof anew")
    module = build(own.architecture, own.shape, own.classes)
    module.load_state_dict(read_tensors(content))
    return module.eval()
