"""What one training for smoothing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ballproof.errors import InputError
from ballproof.smooth.noise import Noise, named_noise
from ballproof.train.checks import checked_keys
from ballproof.train.config import TrainConfig

SHARED = (
    *("data", "model", "epochs", "batch", "optimizer", "lr", "lr_milestones", "lr_factor", "momentum", "weight_decay"),
    *("gradient_clip", "augment", "normalize", "average_from", "validation", "limit", "seed"),
)
"""Settings that mean what they mean in `TrainConfig`."""


@dataclass(frozen=True)
class SmoothConfig:
    """Settings of one training for smoothing; equal settings on one CPU machine give equal weights, bit for bit.

    noise: `gaussian` (sigma), `uniform` (width) or `ablation` (keep). draws: noisy copies of an example in a step.
    adversary_eps: radius in L2 of SmoothAdv's attack (Salman et al. 2019), 0 for none; it grows over adversary_warm_up epochs;
    adversary_steps: of its PGD, each 2 radii / steps long.
    consistency: weight of the copies' divergence from their mean answer (Jeong & Shin 2020), 0 for none; entropy: weight of
    that mean's entropy beside it.
    """

    data: str = "digits"
    model: str = "digits-cnn"
    noise: str = "gaussian"
    sigma: float | None = None
    width: float | None = None
    keep: int | None = None
    draws: int = 1
    adversary_eps: float = 0.0
    adversary_steps: int = 4
    adversary_warm_up: float = 5.0
    consistency: float = 0.0
    entropy: float = 0.5
    epochs: int = 20
    batch: int = 100
    optimizer: str = "adam"
    lr: float = 1e-3
    lr_milestones: tuple[float, ...] = ()
    lr_factor: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    augment: str = "none"
    normalize: bool = False
    average_from: int = 0
    validation: float = 0.1
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("adversary_eps", "adversary_warm_up", "consistency", "entropy"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise InputError(f"`{name}` is {value!r}, expected a finite number >= 0")
        if self.draws < 1 or self.adversary_steps < 1:
            raise InputError(f"`draws` is {self.draws} and `adversary_steps` {self.adversary_steps}, expected at least 1 each")
        if self.consistency > 0 and self.draws < 2:
            raise InputError("`consistency` compares the copies of an example: set `draws` to 2 or more")
        if self.adversary_eps > 0 and self.noise != "gaussian":
            raise InputError(f"`adversary_eps` is an L2 radius, for `noise` gaussian; `noise` is {self.noise}")
        self.law, self.training  # noqa: B018  refuse what they refuse

    @property
    def law(self) -> Noise:
        return named_noise(self.noise, self.sigma, self.width, self.keep)

    @property
    def training(self) -> TrainConfig:
        """The settings that the loop reads."""
        return TrainConfig(eps=0.0, eps_start=0.0, method="standard", **{name: getattr(self, name) for name in SHARED})

    def adversary_eps_at(self, epoch: float) -> float:
        return self.adversary_eps * (min(1.0, epoch / self.adversary_warm_up) if self.adversary_warm_up else 1.0)

    def as_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def make_smooth_config(settings: Mapping[str, Any], where: str) -> SmoothConfig:
    """Settings from a mapping; an unknown key raises `InputError` with the nearest valid one."""
    return SmoothConfig(**checked_keys(settings, {f.name for f in fields(SmoothConfig)}, where))
