"""The published MNIST network of Wong & Kolter (2018) certified by ballproof: errors, time, memory.

    python benchmarks/published_net.py --data ../shared/data --method dual --limit 10000 [--clip] [--peer]

Prints one JSON object. With --peer the authors' package `convex_adversarial`, if it can be imported, answers the same
images in the same process, so that the ratio is of one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ballproof.bounds import margins
from ballproof.data import load
from ballproof.networks import as_graph
from ballproof.networks.architectures import wk_small
from ballproof.problems import Linf


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    data = load("mnist", "test", asked.data)
    x, y = data.inputs[: asked.limit], data.labels[: asked.limit]
    net = wk_small().eval()
    net.load_state_dict(load_file(asked.data / "pretrained" / "mnist.safetensors"))
    told: dict[str, Any] = {"n": len(y), "method": asked.method, "clip": asked.clip, "threads": asked.threads}
    told |= {"torch": torch.__version__, **ours(net, x, y, asked)}
    if asked.peer:
        told |= theirs(net, x, y, asked)
    told["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(told))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--method", default="dual")
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clip", action="store_true")
    parser.add_argument("--peer", action="store_true")
    return parser.parse_args()


def ours(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, asked: argparse.Namespace) -> dict[str, Any]:
    clip = (0.0, 1.0) if asked.clip else None
    started = time.perf_counter()
    wrong = unproven = 0
    with torch.no_grad():
        for start in range(0, len(y), asked.batch):
            part, label = x[start : start + asked.batch], y[start : start + asked.batch]
            wrong += int((net(part).argmax(1) != label).sum())
            region = Linf(part, 0.1, clip=clip)
            unproven += int((margins(as_graph(net, region), region, label, asked.method) <= 0).any(1).sum())
    told = {"clean_error": wrong / len(y), "robust_error": unproven / len(y), "errors": unproven}
    return {**told, "seconds": time.perf_counter() - started}


def theirs(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, asked: argparse.Namespace) -> dict[str, Any]:
    from convex_adversarial import robust_loss

    started, unproven = time.perf_counter(), 0.0
    with torch.no_grad():
        for start in range(0, len(y), asked.batch):
            part, label = x[start : start + asked.batch], y[start : start + asked.batch]
            _, error = robust_loss(net, 0.1, part, label, bounded_input=asked.clip)
            unproven += float(error) * len(label)
    return {"peer_errors": round(unproven), "peer_seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
