"""One step of training by each loss, in plain steps; beside the authors' code where `convex_adversarial` is installed.

    python benchmarks/training_steps.py [--threads 1] [--batch 50] [--eps 0.1] [--steps 5] [--methods interval dual ...]

A step is loss, gradient and Adam's update of WK-small on random images, batch 50. The median of the steps is told.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.networks.architectures import build
from ballproof.train import robust_loss
from ballproof.train.config import TRAIN_METHODS, TrainConfig
from ballproof.train.memory import keep_freed
from ballproof.train.objective import objective


def timed(steps: list[Callable[[], Tensor]], module: nn.Module, count: int) -> list[float]:
    """Seconds of the median step of each, taken in turns so that a busy machine slows all of them alike."""
    optimizer = torch.optim.Adam(module.parameters(), 1e-6)
    seen: list[list[float]] = [[] for _ in steps]
    for _ in range(count + 1):
        for step, own in zip(steps, seen, strict=True):
            start = time.perf_counter()
            optimizer.zero_grad()
            step().backward()
            optimizer.step()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in seen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--eps", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=[m for m in TRAIN_METHODS if m not in ("sdp", "mmr")])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed()  # as every training does
    torch.manual_seed(0)
    module = build("wk-small", (1, 28, 28), 10)
    x, y = torch.rand(given.batch, 1, 28, 28), torch.randint(0, 10, (given.batch,))
    plain = lambda: F.cross_entropy(module(x), y)  # noqa: E731
    print(f"batch {given.batch}, {given.threads} threads, torch {torch.__version__}; each beside plain steps of torch")
    found = {}
    for name in given.methods:
        config = TrainConfig(
            method=name, eps=given.eps, eps_until=1, clip=False, crown_beta_end=1.0, walk_steps=1, walk_size=2.0
        )
        own = lambda config=config: objective(config, module, x, y, 2.0)[2]  # noqa: E731
        base, found[name] = timed([plain, own], module, given.steps)
        print(
            f"{name:16s} {1e3 * found[name]:9.1f} ms  {found[name] / base:6.2f} plain steps of {1e3 * base:.1f} ms", flush=True
        )
    if importlib.util.find_spec("convex_adversarial") is None:
        print("convex_adversarial is not installed: no comparison with the authors' code")
        return
    from convex_adversarial import robust_loss as theirs

    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(module.parameters())))

    ours = gradients(robust_loss(module, x, y, given.eps, clip=None, method="dual"))
    pairs = zip(ours, gradients(theirs(module, given.eps, x, y)[0]), strict=True)
    print(f"largest difference of a gradient of `dual`: {max(float((a - b).abs().max()) for a, b in pairs):.2g}")
    for name, more in (("dual", {}), ("dual-projected", {"proj": 50, "norm_type": "l1_median"})):
        if name not in found:
            continue
        (seconds,) = timed([lambda more=more: theirs(module, given.eps, x, y, **more)[0]], module, given.steps)
        print(f"the authors' {name:16s} {1e3 * seconds:9.1f} ms: ours is {seconds / found[name]:.2f} times faster", flush=True)


if __name__ == "__main__":
    main()
