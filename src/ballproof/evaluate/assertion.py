"""`assert_robust`: a proof inside a user's own test suite."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ballproof.bounds import Method
from ballproof.errors import InputError
from ballproof.evaluate.certify import certify
from ballproof.graph import Graph


def assert_robust(
    network: nn.Module | Graph,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: str = "linf",
    clip: tuple[float, float] | None = (0.0, 1.0),
    method: str | Method = "crown",
    share: float = 1.0,
) -> None:
    """Passes only if at least this share of the examples is proven to keep its label in the whole ball.

    x: `(batch, *input)`, y: `(batch,)` labels, eps in the units of x. Raises `AssertionError` with the share that was
    proven, the share that an attack broke, and the examples of both; never passes on an attack alone.
    """
    if not 0 < share <= 1:
        raise InputError(f"`share` is {share}, expected a number in (0, 1]")
    table = certify(network, [(x, torch.as_tensor(y))], eps=eps, method=method, norm=norm, clip=clip)
    proven = table.totals["certified_accuracy"]
    if proven >= share:
        return
    broken = [r["index"] for r in table.rows if r["attacked"]]
    open_ = [r["index"] for r in table.rows if not r["certified"] and not r["attacked"]]
    raise AssertionError(
        f"{100 * proven:.1f} % of {len(table.rows)} examples are proven at {norm} eps {eps} by {method}, "
        f"wanted {100 * share:.1f} %; "
        f"broken or wrong: {_few(broken)}; neither proven nor broken: {_few(open_)}"
    )


def _few(indices: list[int], most: int = 10) -> str:
    told = ", ".join(map(str, indices[:most])) or "none"
    return told + (f" and {len(indices) - most} more" if len(indices) > most else "")
