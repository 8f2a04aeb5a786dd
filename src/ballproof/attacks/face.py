"""The public face: `attack` gives adversarial inputs, `run_attack` all that was found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ballproof.attacks.asking import Network
from ballproof.attacks.fickle import refuse_random
from ballproof.attacks.goal import Towards
from ballproof.attacks.registry import named_attack
from ballproof.attacks.result import AttackResult
from ballproof.errors import InputError
from ballproof.problems import ball

Clip = tuple[float, float] | None


def attack(
    net: Network,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: str = "linf",
    clip: Clip = (0.0, 1.0),
    method: str = "pgd",
    towards: int | Tensor | None = None,
    **settings: Any,
) -> Tensor:
    """The worst point found in the ball round each input, `(batch, *input)`, whether it breaks the label or not.

    Arguments, errors and price as in `run_attack`.
    """
    return run_attack(net, x, y, eps, norm, clip, method, towards, **settings).inputs


def run_attack(
    net: Network,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: str = "linf",
    clip: Clip = (0.0, 1.0),
    method: str = "pgd",
    towards: int | Tensor | None = None,
    **settings: Any,
) -> AttackResult:
    """Searches the ball of radius `eps` round each input for a point that the network does not call `y`.

    x, eps: `(batch, *input)`, and the radius, in the units of the network's input. y: the right labels `(batch,)`.
    clip: the valid range with which the ball is cut; None for the plain ball. norm: linf, l2, l1, or l0 with eps in pixels.
    method, settings: one of `ATTACKS` (pgd, bim, fgsm, apgd, auto, saliency, sparse-rs, fab, square, cw, ddn), and the settings
    of that attack. towards: a class, or one for each example, that the network is to answer: a targeted attack; `y` is then not
    used. None: any class but `y`.

    A point that breaks the label proves that the network is not robust; finding none proves nothing. `InputError` names
    an argument or a setting that makes no sense, or a network whose answers are random. The network is asked in evaluation
    mode; its parameters, their `.grad`, its training flags and torch's random numbers are left as they were.
    """
    search = named_attack(method, **settings)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        came = str(x.dtype) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"`x` must be a tensor of floating numbers, got {came}")
    with torch.inference_mode(False):
        region = ball(norm, x.detach().clone(), eps, clip)
        refuse_random(net, region.center[:8])
        return search(net, region, y if towards is None else _aim(towards, x))


def _aim(towards: int | Tensor, x: Tensor) -> Towards:
    classes = torch.as_tensor(towards, device=x.device)
    return Towards(classes.expand(len(x)) if classes.ndim == 0 else classes)
