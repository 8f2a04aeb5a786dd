"""What one training is: its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ballproof.bounds import METHODS
from ballproof.errors import InputError
from ballproof.train.augment import AUGMENTS
from ballproof.train.checks import checked_keys, of_kind, one_of, points_that_grow
from ballproof.train.schedules import Points, Ramp, Steps

PLAIN = ("standard", "pgd", "trades", "mmr")
"""Training methods that know no bound: cross-entropy on clean inputs, on PGD's, their trade-off, and distances to borders."""

ESTIMATED = ("dual-projected",)
"""Those that estimate a bound: never a certificate."""

BETWEEN = ("sabr", "taps", "staps", "cc-ibp", "mtl-ibp", "exp-ibp")
"""Those that stand between an attack and interval bounds."""

PROVEN = (
    "interval",
    "dual",
    "crown",
    "dual-interval",
    "crown-interval",
    "crown-ibp",
    "crown-ibp-fused",
    "hybrid-zonotope",
    "sdp",
)
"""Those whose loss is a proven bound of the worst cross-entropy."""

TRAIN_METHODS = (*PLAIN, *ESTIMATED, *BETWEEN, *PROVEN)

OPTIMIZERS = ("adam", "adamw", "radam", "sgd")

POSITIVE = (
    *("eps", "eps_start", "lr", "epochs", "batch", "validation", "eps_factor", "l1", "warm_up", "stability", "prune_below"),
    *("walk_steps", "walk_size", "walk_factor", "trades_beta", "projections", "symbols", "mmr_weight", "mmr_reach"),
    *("taps_split", "taps_scale"),
)
"""Settings that are finite and at least 0."""

SCHEDULED = (
    *("walk_steps", "walk_size", "walk_factor", "sabr_share", "expressive_alpha", "taps_scale", "trades_beta", "projections"),
    *("symbols", "mmr_weight", "mmr_reach", "mmr_share", "l1", "stability", "warm_up"),
)
"""Settings of one step, which may change from epoch to epoch."""
SHARES = ("sabr_share", "expressive_alpha", "crown_beta_start", "crown_beta_end", "kappa_start", "kappa_end", "mmr_share")
"""Settings between 0 and 1."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training; two trainings with equal settings on one CPU machine are equal bit for bit.

    eps and eps_start are in the units of the data ([0, 1] pixels). The ball's radius goes from eps_start to
    eps * eps_factor between the epochs eps_from and eps_until; validation always uses eps. kappa is the weight of the
    clean cross-entropy beside the robust loss, and goes from kappa_start to kappa_end over the same epochs.
    clip: cut the ball with the data's range.

    augment: other views of the training images, `none`, `crop` or `flip-crop`. init: `torch` or `interval`, weights under
    which interval bounds do not grow. normalize: batch normalisation behind every layer but the last while training, folded
    into the layers in what is saved, which is the plain architecture. warm_up: weight of the penalties on interval bounds
    while the ball grows. stability: weight of the penalty on units that change sign. l1: on weights.
    walk_steps, walk_size, walk_factor: the attack inside a step: steps, their length in half-widths of the ball, and the ball
    in units of eps. sabr_share: the small box's size over the ball's. expressive_alpha: 1 for intervals alone, 0 for the
    attack alone. taps_split, taps_scale: nonlinear nodes in the last block of TAPS, weight of its gradient. trades_beta: weight
    of the moved answer. crown_beta_start, crown_beta_end: the share of lines in CROWN-IBP at radius 0 and at the full one.
    projections: random draws of `dual-projected`. symbols: coordinates of the input that `hybrid-zonotope` follows. mmr_weight:
    weight of the distances of `mmr`; mmr_reach: the distance that is enough, in radii of the ball; mmr_share: of the units, the
    nearest. average_from: the epoch from which weights
    are averaged (0: not at all).

    schedule: for any of `SCHEDULED` points (epoch, value), straight between them, in place of the setting itself.

    precision: `mixed` runs attacks and plain passes in bfloat16; bounds stay in float32. prune_below: weights smaller than this
    are set to 0 when the training ends.

    validation: share of the training set that is held out; the test set is
    never looked at. evaluate: how many validation examples the per-epoch PGD and certified errors are measured on.
    """

    data: str = "digits"
    model: str = "digits-cnn"
    eps: float = 0.1
    norm: str = "linf"
    clip: bool = True
    method: str = "dual"
    epochs: int = 20
    batch: int = 50
    optimizer: str = "adam"
    lr: float = 1e-3
    lr_milestones: tuple[float, ...] = ()
    lr_factor: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    l1: float = 0.0
    gradient_clip: float = 0.0
    eps_start: float = 1e-3
    eps_factor: float = 1.0
    eps_from: float = 0.0
    eps_until: float = 10.0
    eps_smooth: bool = False
    kappa_start: float = 0.0
    kappa_end: float = 0.0
    augment: str = "none"
    init: str = "torch"
    normalize: bool = False
    warm_up: float = 0.0
    stability: float = 0.0
    walk_steps: int = 8
    walk_size: float = 0.25
    walk_factor: float = 1.0
    sabr_share: float = 0.4
    expressive_alpha: float = 0.5
    taps_split: int = 1
    taps_scale: float = 5.0
    trades_beta: float = 6.0
    crown_beta_start: float = 1.0
    crown_beta_end: float = 0.0
    projections: int = 50
    symbols: int = 32
    mmr_weight: float = 1.0
    mmr_reach: float = 1.5
    mmr_share: float = 0.2
    average_from: int = 0
    certify: str = ""
    attack_steps: int = 10
    validation: float = 0.1
    evaluate: int = 1000
    limit: int = 0
    precision: str = "float32"
    prune_below: float = 0.0
    seed: int = 0
    schedule: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name != "schedule":
                of_kind(one.name, getattr(self, one.name), str(one.type))
        one_of("method", self.method, TRAIN_METHODS)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("augment", self.augment, AUGMENTS)
        one_of("init", self.init, ("torch", "interval"))
        one_of("precision", self.precision, ("float32", "mixed"))
        one_of("norm", self.norm, ("linf", "l2", "l1"))
        if self.certify:
            one_of("certify", self.certify, tuple(METHODS))
        self._check_sizes()
        if self.batch < 1 or self.epochs < 1:
            raise InputError(f"`epochs` is {self.epochs} and `batch` is {self.batch}, expected at least 1 each")
        if self.norm == "linf" and self.eps > 1:
            raise InputError(f"`eps` is {self.eps}, larger than the data's range [0, 1]; it is in the units of the data")
        if self.normalize and self.prune_below > 0:
            raise InputError("`prune_below` is for weights saved as they train, and `normalize` folds them; leave one out")
        if not 0 < self.validation < 1:
            raise InputError(f"`validation` is {self.validation}, expected a share between 0 and 1")
        self._check_schedule()

    def _check_sizes(self) -> None:
        for name in (*POSITIVE, *SHARES):
            value = getattr(self, name)
            if not value >= 0 or value == float("inf"):
                raise InputError(f"`{name}` is {value!r}, expected a finite number >= 0")
            if name in SHARES and value > 1:
                raise InputError(f"`{name}` is {value}, expected a share between 0 and 1")

    def _check_schedule(self) -> None:
        if not isinstance(self.schedule, Mapping):
            raise InputError(f"`schedule` is {self.schedule!r}, expected a table of settings, each a list of [epoch, value]")
        for name, points in self.schedule.items():
            one_of("schedule", name, SCHEDULED)
            points_that_grow(name, points)
            for _, value in points:
                changed: dict[str, Any] = {name: value}
                replace(self, schedule={}, **changed)  # refuses what the setting itself would refuse

    @property
    def certify_method(self) -> str:
        """The method of the per-epoch certified error."""
        if self.certify:
            return self.certify
        own = {m: m for m in ("interval", "dual", "crown", "dual-interval")} | {"dual-projected": "dual"}
        return own.get(self.method, "interval" if self.method in PLAIN else "crown-interval")

    def loss_is(self, *epochs: float) -> str:
        """What the robust loss says of the worst cross-entropy in the ball: `bound`, `estimate` or `no bound`.

        epochs: the steps that it is the mean of, the first and the last at least: where kappa is 1 it is the clean loss.
        """
        if any(self.kappa_at(epoch) == 1 for epoch in epochs):
            return "no bound"
        return "bound" if self.method in PROVEN else "estimate" if self.method in ESTIMATED else "no bound"

    def at(self, epoch: float) -> TrainConfig:
        """The settings with the scheduled ones as they are at an epoch, a fraction."""
        return replace(self, schedule={}, **self.scheduled_at(epoch)) if self.schedule else self

    def scheduled_at(self, epoch: float) -> dict[str, Any]:
        """The scheduled settings at an epoch, whole numbers rounded."""
        values = {name: Points(points)(epoch) for name, points in self.schedule.items()}
        return {name: round(v) if isinstance(getattr(self, name), int) else float(v) for name, v in values.items()}

    def eps_at(self, epoch: float) -> float:
        ramp = Ramp(self.eps_start, self.eps * self.eps_factor, self.eps_from, self.eps_until, self.eps_smooth)
        return min(ramp(epoch), self.eps * self.eps_factor)

    def kappa_at(self, epoch: float) -> float:
        return Ramp(self.kappa_start, self.kappa_end, self.eps_from, self.eps_until)(epoch)

    def crown_beta_at(self, eps: float) -> float:
        full = self.eps * self.eps_factor
        way = min(eps / full, 1.0) if full > 0 else 1.0
        return self.crown_beta_start + (self.crown_beta_end - self.crown_beta_start) * way

    def lr_at(self, epoch: float) -> float:
        return Steps(self.lr, self.lr_milestones, self.lr_factor)(epoch)

    def as_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def make_config(settings: Mapping[str, Any], where: str) -> TrainConfig:
    """Settings from a mapping; an unknown key raises `InputError` with the nearest valid one."""
    return TrainConfig(**checked_keys(settings, {f.name for f in fields(TrainConfig)}, where))
