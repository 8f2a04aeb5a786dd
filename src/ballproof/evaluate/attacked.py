"""Attacked accuracy over a data set."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.graph import Graph
from ballproof.problems import ball, classified_as
from ballproof.runs import Run

ADVERSARIAL = "adversarial.npz"


def attack_data(
    network: nn.Module | Graph,
    data: Dataset,
    method: Callable[..., Any],
    eps: float,
    norm: str,
    clip: tuple[float, float] | None,
    batch: int,
    run: Run | None = None,
) -> dict[str, Any]:
    """The fractions of examples that stand clean and under the attack, which is an upper bound of robust accuracy.

    With a run, the strongest point found for each example is kept with the network's answers and the labels.
    """
    points: list[Tensor] = []
    answers: list[Tensor] = []
    clean = standing = 0
    for start in range(0, len(data.labels), batch):
        x, y = data.inputs[start : start + batch], data.labels[start : start + batch]
        found = method(network, ball(norm, x, eps, clip), classified_as(y))
        with torch.no_grad():
            clean += int((network(x).argmax(1) == y).sum())
        standing += int((~found.success).sum())
        points.append(found.inputs.detach().cpu())
        answers.append(found.predictions.cpu())
    if run:
        buffer = BytesIO()
        arrays = {"inputs": torch.cat(points).numpy(), "predictions": torch.cat(answers).numpy()}
        np.savez_compressed(buffer, **arrays, labels=data.labels.numpy(), indices=np.asarray(data.indices))  # type: ignore[arg-type]
        run.write_bytes(ADVERSARIAL, buffer.getvalue())
    n = len(data.labels)
    return {"n": n, "clean_accuracy": clean / max(1, n), "attacked_accuracy": standing / max(1, n)}
