"""Attacked accuracy over a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import nn

from ballproof.attacks import AttackResult, Towards
from ballproof.attacks.fickle import refuse_random
from ballproof.data import Dataset
from ballproof.evaluate.results import write_rows
from ballproof.evaluate.rows import Rows, evaluating
from ballproof.graph import Graph
from ballproof.problems import ball, classified_as
from ballproof.runs import Run

ADVERSARIAL = "adversarial.npz"


def attack_data(
    network: nn.Module | Graph,
    data: Dataset,
    method: Callable[..., AttackResult],
    eps: float,
    norm: str,
    clip: tuple[float, float] | None,
    batch: int,
    run: Run | None = None,
    name: str = "attack",
    watch: Callable[[int], None] = lambda done: None,
    towards: int | None = None,
) -> dict[str, Any]:
    """The fractions of examples that stand clean and under the attack, which is an upper bound of robust accuracy.

    `by` counts what broke them: `clean` (the answer is wrong already), the member of an ensemble, or `name`. With a run, the
    strongest point found for each example is kept with the network's answers and the labels, and a row an example with `index,
    label, correct, broken, by, prediction, margin`. A network whose answers are random is refused. towards: a class that is to
    be answered; broken, and margin, then speak of that class, and `attacked_accuracy` is the share that was not brought there.
    """
    refuse_random(network, data.inputs[:8])
    rows: Rows = []
    points = [data.inputs[:0].cpu()]
    for start in range(0, len(data.labels), batch):
        x, y = data.inputs[start : start + batch], data.labels[start : start + batch]
        target = classified_as(y) if towards is None else Towards(torch.full_like(y, towards))
        found = method(network, ball(norm, x, eps, clip), target)
        with torch.no_grad(), evaluating(network):
            answers = network(x).argmax(1)
        right = answers == y
        stood = right if towards is None else answers != towards
        points.append(found.inputs.detach().cpu())
        rows += [
            {
                "index": int(data.indices[start + i]),
                "label": int(y[i]),
                "correct": bool(right[i]),
                "broken": bool(found.success[i]),
                "by": _by(found, i, bool(stood[i]), name),
                "prediction": int(found.predictions[i]),
                "margin": float(found.margins[i]),
            }
            for i in range(len(y))
        ]
        watch(len(rows))
    if run:
        buffer = BytesIO()
        arrays = {"inputs": torch.cat(points).numpy(), "predictions": np.array([r["prediction"] for r in rows])}
        np.savez_compressed(buffer, **arrays, labels=data.labels.numpy(), indices=np.asarray(data.indices))  # type: ignore[arg-type]
        run.write_bytes(ADVERSARIAL, buffer.getvalue())
        write_rows(run, rows)
    n = len(rows)
    share = {"clean_accuracy": sum(r["correct"] for r in rows), "attacked_accuracy": sum(not r["broken"] for r in rows)}
    broken = Counter(r["by"] for r in rows if r["broken"])
    return {"n": n, **{k: v / max(1, n) for k, v in share.items()}, "by": dict(broken)}


def _by(found: AttackResult, i: int, stood: bool, name: str) -> str:
    if not bool(found.success[i]):
        return ""
    return found.by[i] if found.by else name if stood else "clean"
