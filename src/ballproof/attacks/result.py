"""What an attack hands back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class AttackResult:
    """For each example the best point found, inside the region, and what the network says there; made by `recheck`.

    `inputs (batch, *input)`: the point of least margin that was met, in the dtype of the region.
    `success (batch,)`: True where the network's outputs at that point break the label or the property. An example that
    is broken already at the region's own center counts, with that center as its point.
    `margins (batch,)`: how far the outputs at the point are from breaking, in units of the outputs; negative if broken.
    `predictions (batch,)`: the index of the largest output at the point.
    `by`: of an ensemble, for each example the name of the attack that broke it: `clean` where the center is broken already, ""
    where none did. Empty for a single attack.
    """

    inputs: Tensor
    success: Tensor
    margins: Tensor
    predictions: Tensor
    by: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """The fraction of the examples that the attack broke; 0 for an empty batch."""
        return float(self.success.double().mean()) if len(self.success) else 0.0

    def __len__(self) -> int:
        return len(self.success)
