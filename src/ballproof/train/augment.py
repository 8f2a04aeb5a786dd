"""Other views of the training images, drawn before the ball is put round them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

AUGMENTS = ("none", "crop", "flip-crop")
PADDING = 2


def augmented(x: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Images `(batch, channels, height, width)` moved by up to two pixels (edges repeated), and mirrored half of the time.

    `crop` only moves, `flip-crop` does both, `none` neither. Values stay in their range.
    """
    if kind == "none":
        return x
    count, height, width = len(x), x.shape[2], x.shape[3]
    wide = F.pad(x, (PADDING,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * PADDING + 1, (2, count, 1), generator=generator).to(x.device)
    rows = (down + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (right + torch.arange(width, device=x.device))[:, None, None, :]
    if kind == "flip-crop":
        mirrored = torch.rand(count, generator=generator).to(x.device) < 0.5
        columns = torch.where(mirrored[:, None, None, None], columns.flip(3), columns)
    example = torch.arange(count, device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return wide[example, channel, rows, columns]
