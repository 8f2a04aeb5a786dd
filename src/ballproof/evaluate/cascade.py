"""Cascades of networks: the first that certifies its own prediction answers (Wong et al. 2018)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ballproof.bounds import margins, stopping
from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate.certify import CertifySettings, Table
from ballproof.evaluate.rows import ByFunction, collected, evaluating
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import ball
from ballproof.runs import Run
from ballproof.spread import Rows

Network = nn.Module | Graph


def certify_cascade(
    networks: Sequence[Network],
    data: Dataset,
    settings: CertifySettings,
    run: Run | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> Table:
    """One row an example: which stage answers, and whether it certifies the label.

    An example is answered by the first stage that certifies its own prediction on the ball round it, else by the last one. It
    counts as certified if the stage that answers certifies the label: the published robust error of cascades is one minus that
    share. That says the stage which answers at x is constant on the ball round x. A moved input may be answered by another
    stage, so it is no proof against an adversary who moves the input before the cascade chooses.
    """
    if not networks:
        raise InputError("`networks` is empty; expected the stages of a cascade")
    if settings.searches or settings.attack_steps:
        raise InputError("a cascade is certified by a method of bounds, without an attack (`attack_steps` 0)")
    work = ByFunction(lambda x, y, i: _rows(networks, x, y, i, settings))
    with evaluating(*networks):
        return Table(collected(work, data, settings.batch, run, watch), settings)


def _rows(networks: Sequence[Network], x: Tensor, y: Tensor, index: list[int], settings: CertifySettings) -> Rows:
    started, found = time.perf_counter(), {}
    left = torch.arange(len(y))
    for stage, network in enumerate(networks):
        with torch.no_grad():
            predicted, proven = _own(network, x[left], settings)
        certain = (proven > 0).all(1)
        last = stage == len(networks) - 1
        for i in range(len(left)):
            if bool(certain[i]) or last:
                found[int(left[i])] = (stage, int(predicted[i]), bool(certain[i]), proven[i])
        left = left[~certain]
        if not len(left):
            break
    each = (time.perf_counter() - started) / len(y)
    return [_row(index[i], int(y[i]), *found[i], settings, each) for i in range(len(y))]


def _own(network: Network, x: Tensor, settings: CertifySettings) -> tuple[Tensor, Tensor]:
    """What a stage predicts, and the proven margins of that."""
    region = ball(settings.norm, x, settings.eps, settings.clip)
    graph = as_graph(network, region)
    predicted = graph(x).argmax(1)
    return predicted, margins(graph, region, predicted, stopping(settings.method, 0.0), settings.memory)


def _row(
    index: int, label: int, stage: int, predicted: int, certain: bool, proven: Tensor, settings: CertifySettings, seconds: float
) -> dict[str, Any]:
    right = predicted == label
    row: dict[str, Any] = {"index": index, "label": label, "prediction": predicted, "correct": right}
    row |= {"margins": [float(m) for m in proven], "margin": float(proven.min()), "certified": certain and right}
    return row | {"attacked": None, "by": settings.named if certain else "", "stage": stage, "seconds": seconds}
