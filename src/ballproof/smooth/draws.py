"""Counting the answers to noisy copies: the same draws for the same seed and example, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.smooth.noise import Noise

CHUNK, NUMBERS = 1000, 2**22
"""Copies drawn at once, fewer for inputs so large that their copies would hold more numbers than that. The draws depend on
both, so they are no settings."""

BATCH = 250
"""Copies that a network gets at once: with 1000 a small network's activations leave the cache, which halves its speed."""

Network = Callable[[Tensor], Tensor]


def generator_for(seed: int, index: int) -> torch.Generator:
    """The stream of one example: it depends on the run's seed and the example's index alone.

    torch's generator keeps 32 bits of a seed. All draws of an example come from one stream, so none is used twice for it;
    that two examples of a table share their stream has probability 2^-32, which no statement on one example minds.
    """
    if seed < 0 or index < 0:
        raise InputError(f"`seed` is {seed} and `index` is {index}, expected numbers >= 0")
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]))


@torch.inference_mode()
def counted(
    network: Network, noise: Noise, x: Tensor, n: int, generator: torch.Generator, batch: int, classes: int | None = None
) -> Tensor:
    """How often each class is the answer on n fresh draws round x, `(classes,)`. x: one input, without a batch axis.

    Noise is drawn in chunks of a size that x alone decides; batch: copies that the network gets at once. A NaN is refused.
    """
    chunk = max(1, min(CHUNK, NUMBERS // max(1, x.numel())))
    found: Tensor | None = None
    for start in range(0, n, chunk):
        copies = noise.around(x.expand(min(chunk, n - start), *x.shape), generator)
        for part in copies.split(batch):
            answers = answered(network, part, classes)
            fresh = torch.bincount(answers.argmax(1), minlength=answers.shape[1])
            found = fresh if found is None else found + fresh
    assert found is not None
    return found.cpu()


def answered(network: Network, x: Tensor, classes: int | None = None) -> Tensor:
    """The logits `(n, classes)`, of two classes or more; another shape or a NaN is refused."""
    try:
        logits = network(x)
    except RuntimeError as error:
        told = str(error).splitlines()[0]
        raise InputError(f"the network fails on inputs of shape {tuple(x.shape[1:])}, {x.dtype}: {told}") from error
    if not isinstance(logits, Tensor):
        raise InputError(f"the network gives a {type(logits).__name__}, expected a tensor of logits")
    if logits.ndim == 2 and logits.shape[1] < 2:
        raise InputError("the network gives one output, expected a logit for each of two classes or more")
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] != (classes or logits.shape[1]):
        raise InputError(
            f"the network gives outputs of shape {tuple(logits.shape)}, expected ({len(x)}, {classes or 'classes'})"
        )
    if bool(torch.isnan(logits).any()):
        raise InputError("the network gives NaN on a noisy input; nothing can be counted")
    return logits


@torch.inference_mode()
def check_steady(network: Network, noise: Noise, x: Tensor, classes: int | None = None) -> None:
    """Refuses a network that is random, or that answers an input differently in other company.

    The guarantee is for draws that are independent and a network that is a function of one input. x: one input.
    """
    if isinstance(network, nn.Module):
        for name, module in network.named_modules():
            kind, norm = type(module).__name__, isinstance(module, nn.modules.batchnorm._BatchNorm)
            if module.training and (norm or isinstance(module, nn.modules.dropout._DropoutNd)):
                raise InputError(f"`{name}` ({kind}) is in training mode, so answers are random; call eval() first")
            if norm and module.running_mean is None:
                raise InputError(f"`{name}` ({kind}) normalises by the batch at hand; give it running statistics")
    copies = noise.around(x.expand(16, *x.shape), generator_for(0, 0))
    first, again, alone = (answered(network, c, classes) for c in (copies, copies, copies[:1]))
    if not torch.equal(first, again) and (first.device.type == "cpu" or not _near(first, again)):
        raise InputError("two passes of the same input disagree: the network is random; call eval(), remove what it draws")
    if not _near(first[:1], alone):
        raise InputError("the network answers an input differently beside others: it is no function of one input")


def _near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-3, atol=1e-3 * max(1e-30, min(1e30, float(a.abs().max()))))
