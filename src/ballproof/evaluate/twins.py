"""A few examples with their adversarial twins, for people to look at."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import nn

from ballproof.attacks import PGD
from ballproof.data import Dataset
from ballproof.evaluate.certify import Table, alarm
from ballproof.graph import Graph
from ballproof.problems import ball, classified_as
from ballproof.runs import Run

TWINS = "twins.npz"


def choose(table: Table, count: int) -> list[int]:
    """Positions of examples worth seeing: correct but broken, the least certain certified, the most certain ones."""
    position = range(len(table.rows))
    broken = [i for i in position if table.rows[i]["correct"] and table.rows[i]["attacked"]]
    proven = sorted((i for i in position if table.rows[i]["certified"]), key=lambda i: table.rows[i]["margin"])
    half = count // 2
    chosen = broken[:half] + proven[: (count - half) // 2] + proven[::-1][: (count - half) // 2]
    return list(dict.fromkeys(chosen))


def save_twins(network: nn.Module | Graph, data: Dataset, table: Table, run: Run, count: int = 12) -> list[dict[str, Any]]:
    """Attack the chosen examples once more and keep inputs, twins and what the network says of both.

    A twin is the strongest point that the attack found in the region, whether or not it breaks the answer. One that breaks a
    certified example raises `SoundnessError`.
    """
    chosen = choose(table, count)
    if not chosen:
        return []
    part, settings = data.subset(chosen), table.settings
    region = ball(settings.norm, part.inputs, settings.eps, settings.clip)
    attack = PGD(steps=max(20, settings.attack_steps), restarts=settings.attack_restarts, seed=settings.seed)
    found = attack(network, region, classified_as(part.labels))
    certified = torch.tensor([table.rows[i]["certified"] for i in chosen])
    alarm(certified & found.success.cpu(), [table.rows[i]["index"] for i in chosen])
    buffer = BytesIO()
    np.savez_compressed(buffer, inputs=part.inputs.numpy(), twins=found.inputs.detach().cpu().numpy())
    run.write_bytes(TWINS, buffer.getvalue())
    told = [{**table.rows[i], "twin_prediction": int(p)} for i, p in zip(chosen, found.predictions.tolist(), strict=True)]
    run.write_json("twins.json", told)
    return told
