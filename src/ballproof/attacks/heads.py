"""The classes that a search heads for, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.attacks.asking import ask, chunks
from ballproof.attacks.goal import Misclassify, Reach
from ballproof.attacks.search import Task
from ballproof.attacks.space import start
from ballproof.errors import InputError


def heads(count: int, task: Task, batch_size: int) -> list[Tensor] | list[None]:
    """The `count` likeliest wrong classes `(batch,)` at the centers, likeliest first; None stands for any.

    Classes that are not there are left out; a goal that is one class already has no others to head for.
    """
    if not count or isinstance(task.goal, Reach) or not len(task.index):
        return [None]
    if not isinstance(task.goal, Misclassify):
        raise InputError(f"`targets` = {count} needs labels; a `Property` is attacked with `targets=0`")
    center = start(task.region)
    outputs = torch.cat([ask(task.network, center[places]) for places in chunks(task.index, batch_size)])
    others = outputs.scatter(1, task.goal.labels[:, None], -torch.inf)
    return list(others.topk(min(count, outputs.shape[1] - 1), dim=1).indices.unbind(1))
