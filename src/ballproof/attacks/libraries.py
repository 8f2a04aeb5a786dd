"""FAB and Square of `pyautoattack`, Carlini & Wagner and DDN of `foolbox`: the extra `attacks`."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ballproof.attacks.asking import Network
from ballproof.attacks.borrowed import Call, Then, borrowed
from ballproof.attacks.frames import boxed
from ballproof.attacks.goal import Target
from ballproof.attacks.result import AttackResult
from ballproof.attacks.settings import whole
from ballproof.errors import InputError
from ballproof.problems import Region

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "box": "Linf"}


def needed(package: str) -> Any:
    """The module `package`; `InputError` names the extra that brings it."""
    with warnings.catch_warnings():
        # foolbox 3.3.4 takes one filter from where SciPy had it before; nothing of ours uses that filter.
        warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
        try:
            return import_module(package)
        except ImportError as error:
            name = package.split(".", maxsplit=1)[0]
            raise InputError(f"this attack needs `{name}`: pip install 'ballproof[attacks]' ({error})") from error


@dataclass(frozen=True)
class FAB:
    """Targeted fast adaptive boundary (Croce & Hein 2020b) of `pyautoattack`: balls of Linf, L2 and L1, boxes.

    targets: how many classes are headed for; classes that are not there are left out, and there is one where the attack has a
    target of its own. What it finds is asked again (`Foreign`).
    """

    steps: int = 100
    targets: int = 9
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("targets", 1), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        made = needed("pyautoattack.fab_pt").FABAttack_PT
        norm = _known(region, "fab")

        def call(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
            with torch.no_grad():
                count = min(self.targets, model(x[:1]).shape[1] - 1)
            told = {"n_restarts": 1, "n_iter": self.steps, "seed": self.seed, "targeted": True, "n_target_classes": count}
            found: Tensor = made(model, norm=norm, eps=eps, verbose=False, device=x.device, **told).perturb(x, y)
            return found

        return borrowed(network, region, target, _in_units(call, region), self.seed, self.batch_size)


@dataclass(frozen=True)
class Square:
    """Square attack (Andriushchenko et al. 2020) of `pyautoattack`: random squares, no gradient; balls of Linf, L2, L1, boxes.

    queries: how often the network is asked for an example. Inputs that are no images of 5 x 5 pixels or more are laid out as a
    square. What it finds is asked again (`Foreign`).
    """

    queries: int = 5000
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("queries", 1), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        made = needed("pyautoattack.square").SquareAttack
        norm = _known(region, "square")

        def call(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
            told = {"norm": norm, "n_queries": self.queries, "eps": eps, "n_restarts": 1, "seed": self.seed}
            found: Tensor = made(model, **told, verbose=False, device=x.device).perturb(x, y)
            return found

        return borrowed(network, region, target, _in_units(_as_image(call), region), self.seed, self.batch_size)


@dataclass(frozen=True)
class CW:
    """Carlini & Wagner's L2 attack (2017) of `foolbox`: the nearest point that it finds, if it lies in the region.

    What it finds is asked again (`Foreign`). L2 balls, and boxes one at a time: the distance is then in units of their widths.
    """

    steps: int = 200
    searches: int = 9
    step_size: float = 0.01
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("searches", 1), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        _euclidean(region, "cw")
        attack = needed("foolbox").attacks.L2CarliniWagnerAttack(self.searches, self.steps, self.step_size)
        return borrowed(network, region, target, _of_foolbox(attack, region), self.seed, self.batch_size, alone=True)


@dataclass(frozen=True)
class DDN:
    """Decoupled direction and norm (Rony et al. 2019) of `foolbox`: the nearest point that it finds, if it lies in the region.

    What it finds is asked again (`Foreign`). L2 balls, and boxes one at a time: the distance is then in units of their widths.
    """

    steps: int = 100
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        _euclidean(region, "ddn")
        attack = needed("foolbox").attacks.DDNAttack(steps=self.steps)
        return borrowed(network, region, target, _of_foolbox(attack, region), self.seed, self.batch_size, alone=True)


def _known(region: Region, name: str) -> str:
    if region.norm not in NORMS:
        raise InputError(f"`{name}` attacks boxes and balls of linf, l2 and l1, this region is a {region.norm}; use `auto`")
    return NORMS[region.norm]


def _euclidean(region: Region, name: str) -> None:
    if region.norm not in ("l2", "box"):
        raise InputError(f"`{name}` attacks L2 balls and boxes, this region is a {region.norm}; use `apgd` or `auto`")


def _range(region: Region) -> tuple[float, float]:
    """The least and the largest number that any coordinate of the region takes, as it is shown; never empty."""
    if boxed(region):
        return 0.0, 1.0
    box = region.box()
    low, high = float(box.lower.min()), float(box.upper.max())
    if getattr(region, "clip", None) is not None:
        ends = [torch.as_tensor(end).flatten() for end in region.clip]  # type: ignore[attr-defined]
        finite = bool(torch.isfinite(torch.cat(ends)).all())
        low, high = (float(ends[0].min()), float(ends[1].max())) if finite else (low, high)
    return low, high if high > low else low + 1.0


def _in_units(call: Call, region: Region) -> Call:
    """`call` on inputs in [0, 1] in float32, the only ones that the library takes."""
    if not region.batch:
        return call
    low, high = _range(region)
    width = high - low

    def scaled(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        inner = Then(lambda points: points.double() * width + low if (low, high) != (0.0, 1.0) else points, model)
        return call(inner, ((x.double() - low) / width).float(), y, eps / width).double() * width + low

    return scaled


def _as_image(call: Call) -> Call:
    """`call` on images: other inputs are laid out as a square with as few empty places as there can be."""

    def shaped(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        if x.ndim == 4 and min(x.shape[2:]) >= 5:
            return call(model, x, y, eps)
        count = x[0].numel()
        side = max(5, math.ceil(math.sqrt(count)))
        laid = functional.pad(x.flatten(1), (0, side**2 - count)).reshape(-1, 1, side, side)
        flat = Then(lambda points: points.flatten(1)[:, :count].reshape(-1, *x.shape[1:]), model)
        return call(flat, laid, y, eps).flatten(1)[:, :count].reshape(x.shape)

    return shaped


def _of_foolbox(attack: Any, region: Region) -> Call:
    """A minimising attack of foolbox on the region's valid range."""

    def call(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        library = needed("foolbox").PyTorchModel(model, bounds=_range(region), device=x.device)
        found, _, _ = attack(library, x, y, epsilons=None)
        result: Tensor = found
        return result

    return call
