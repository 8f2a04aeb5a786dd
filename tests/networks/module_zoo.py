"""Little modules, each for one thing that the reader must understand: (name, factory of the module, input shape)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Own(nn.Module):
    """A user's module: parts with names, and a forward that gets them."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.body = forward
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(*shape) + 0.5)


def own(
    name: str, forward: Callable[[nn.Module, Tensor], Tensor], shape: tuple[int, ...], **parts: Callable[[], object]
) -> Case:
    """A case whose parts are made anew for each module."""
    return Case(name, lambda: Own(forward, **{k: make() for k, make in parts.items()}), shape)


def layers(name: str, shape: tuple[int, ...], *makers: Callable[[], nn.Module]) -> Case:
    return Case(name, lambda: nn.Sequential(*(make() for make in makers)), shape)


def residual(self: nn.Module, x: Tensor) -> Tensor:
    out = self.bn(self.conv(x))
    out += x
    return F.relu(out, inplace=True).flatten(1)


def splits(self: nn.Module, x: Tensor) -> Tensor:
    a, b = x.split([2, 4], dim=1)
    c, d, e = x.chunk(3, dim=1)
    f, *_ = x.unbind(1)
    (g, _) = torch.split(x, 3, 1)
    return torch.cat([b, a, c - d, e, g, f.unsqueeze(1)], 1)


def turns(self: nn.Module, x: Tensor) -> Tensor:
    return (x.permute(0, 2, 3, 1).transpose(1, 2).mT + x.swapaxes(2, 3).movedim(1, 2).transpose(3, -1)).sum(-1)


def squeezes(self: nn.Module, x: Tensor) -> Tensor:
    return (x.unsqueeze(1).unsqueeze(-1).squeeze(1).squeeze(-1) + x[:, None, :].squeeze((1,))).unflatten(1, (2, 3))


def slices(self: nn.Module, x: Tensor) -> Tensor:
    return x[:, 1:5:2, ..., -2:] + x.narrow(1, 1, 2).narrow(3, -2, 2) - x[:, :2, :, 1:3] + x[:, -1:, :, [0]]


def entries(self: nn.Module, x: Tensor) -> Tensor:
    a = x[:, 0] + x.select(1, -1) + x[:, [2, -1]].sum(1)
    b = x.index_select(1, torch.tensor([3, 1])).mean(1) + x[:, self.order].mean((1,), keepdim=True).squeeze(1)
    return a + b + x[:, :, torch.tensor([[0, 1], [2, 0]])].flatten(2)[:, 0, :3]


def constants_of_the_batch(self: nn.Module, x: Tensor) -> Tensor:
    n = x.shape[0]
    parts = [
        self.token.expand(n, -1),
        x,
        torch.zeros(n, 2, dtype=x.dtype),
        torch.ones_like(x) * self.token.repeat(n, 1),
    ]
    return torch.cat(parts, 1) + x.new_full((n, 1), 2.0)


def matrices(self: nn.Module, x: Tensor) -> Tensor:
    return (
        self.left @ (x @ self.right) + torch.matmul(x, self.right.unsqueeze(0))[:, :2] + (x @ self.vector).unsqueeze(1)[..., :2]
    )


def pads(self: nn.Module, x: Tensor) -> Tensor:
    a = F.pad(x, (1, 2), value=0.5) + F.pad(x, (1, 2), mode="reflect") + F.pad(x, (2, 1), mode="replicate")
    return a + F.pad(x, (2, 1), mode="circular") + F.pad(F.pad(x, (4, 1)), (-1, -1, 0, 0))


def pooled(self: nn.Module, x: Tensor) -> Tensor:
    a = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False) + F.max_pool2d(x, 3, 2, 1)
    b = F.avg_pool2d(x, (2, 1), divisor_override=1)
    return a.flatten(1) + F.adaptive_avg_pool2d(x, (4, 4)).flatten(1) + b.mean((2, 3)).repeat(1, 16)


def scalars(self: nn.Module, x: Tensor) -> Tensor:
    y = 2 * x - 1.5 + (3 - x) / 4 + torch.sub(x, x * 0.5, alpha=2) - torch.rsub(x, 1, alpha=3)
    return -(y + torch.add(x, self.scale, alpha=0.25)) * self.scale / (self.scale + 1)


def aliases(self: nn.Module, x: Tensor) -> Tensor:
    y = self.drop(self.same(x).contiguous().clone()).to(x.dtype).type_as(x).detach()
    return F.dropout(y, 0.3, self.training).mul_(2).add_(1).abs_() + x


def rectifiers(self: nn.Module, x: Tensor) -> Tensor:
    y = torch.relu(x - 0.5) + (x - 0.5).clamp(min=0) + F.leaky_relu(x - 0.5, 0.1) + (x - 0.5).abs()
    return y + F.threshold(x - 0.5, 0.0, 0.0) + self.act(x - 0.5)


def stacked(self: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([x, x * 2, self.table.expand(x.shape[0], -1)], dim=1) + torch.stack([x, x, x], -1).transpose(1, 2)


def scaled_weight(self: nn.Module, x: Tensor) -> Tensor:
    return F.linear(
        x,
        self.weight * self.scale[:, None] / self.weight.norm(),
        self.bias.view(-1)[:3] + torch.arange(3).to(x.dtype) / 9,
    )


def twice(self: nn.Module, x: Tensor) -> Tensor:
    return self.fc(self.bn(self.fc(self.bn(x)).relu_()))


def unused(self: nn.Module, x: Tensor) -> Tensor:
    self.fc(x).sin()
    return x + 1


def two_views(self: nn.Module, x: Tensor) -> Tensor:
    return torch.addmm(self.bias, x, self.weight) + torch.addmm(x, x, self.weight, beta=0.5, alpha=2) + torch.mm(x, self.weight)


IMAGE = (2, 6, 6)
CASES = [
    layers("mlp", (6,), lambda: nn.Linear(6, 5), nn.ReLU, lambda: nn.Linear(5, 3, bias=False)),
    layers("convnet", (1, 6, 6), lambda: nn.Conv2d(1, 3, 4, 2, 1), nn.ReLU, nn.Flatten, lambda: nn.Linear(27, 4)),
    own("view of the size", lambda s, x: s.fc(x.view(x.size(0), -1)), IMAGE, fc=lambda: nn.Linear(72, 3)),
    own("flatten", lambda s, x: s.fc(torch.flatten(x, 1)), IMAGE, fc=lambda: nn.Linear(72, 3)),
    own("reshape by -1", lambda s, x: s.fc(x.reshape(-1, 72)), IMAGE, fc=lambda: nn.Linear(72, 3)),
    own("residual", residual, IMAGE, conv=lambda: nn.Conv2d(2, 2, 3, padding=1), bn=lambda: nn.BatchNorm2d(2)),
    layers(
        "batch norm 1d",
        (5,),
        lambda: nn.BatchNorm1d(5),
        lambda: nn.Linear(5, 2),
        lambda: nn.BatchNorm1d(2, affine=False),
    ),
    layers("batch norm of sequences", (3, 5), lambda: nn.BatchNorm1d(3, eps=0.1)),
    layers("conv1d", (4, 9), lambda: nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), nn.ReLU),
    layers("conv same", IMAGE, lambda: nn.Conv2d(2, 3, (3, 5), padding="same", dilation=(1, 1))),
    layers("conv same, even kernel", IMAGE, lambda: nn.Conv2d(2, 3, (2, 4), padding="same", dilation=(1, 2), bias=False)),
    layers("conv valid", IMAGE, lambda: nn.Conv2d(2, 4, 3, padding="valid", groups=2)),
    layers("conv reflect", IMAGE, lambda: nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect")),
    layers("conv circular", IMAGE, lambda: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular")),
    layers("conv replicate", (2, 8), lambda: nn.Conv1d(2, 3, 3, padding=2, padding_mode="replicate")),
    layers("conv transposed", IMAGE, lambda: nn.ConvTranspose2d(2, 4, 3, 2, 1, 1, groups=2), nn.ReLU),
    layers("conv transposed 1d", (4, 5), lambda: nn.ConvTranspose1d(4, 2, 3, 2, 1, dilation=2, bias=False)),
    own("scalars", scalars, (4,), scale=lambda: parameter(4)),
    own("rectifiers", rectifiers, (6,), act=lambda: nn.LeakyReLU(0.2, inplace=True)),
    own("turns", turns, (2, 3, 3), z=lambda: parameter(1)),
    own("squeezes", squeezes, (6,)),
    own("slices", slices, (6, 2, 4)),
    own("entries", entries, (4, 3), order=lambda: torch.tensor([3, 0, 0])),
    own("splits", splits, (6,)),
    own("stacked", stacked, (3,), table=lambda: parameter(1, 3)),
    own(
        "matrices",
        matrices,
        (2, 3),
        left=lambda: parameter(2, 2),
        right=lambda: parameter(3, 2),
        vector=lambda: parameter(3),
    ),
    own("addmm", two_views, (3,), weight=lambda: parameter(3, 3), bias=lambda: parameter(3)),
    own("pads", pads, (2, 5)),
    own("pooled", pooled, (1, 7, 7)),
    layers(
        "pools",
        (2, 7, 8),
        lambda: nn.MaxPool2d(2, ceil_mode=True),
        lambda: nn.AvgPool2d(2),
        lambda: nn.AdaptiveAvgPool2d(1),
    ),
    layers(
        "pools 1d",
        (2, 9),
        lambda: nn.MaxPool1d(2, 1, dilation=2),
        lambda: nn.AvgPool1d(3),
        lambda: nn.AdaptiveAvgPool1d(1),
    ),
    own(
        "sums",
        lambda s, x: x.mean((2, 3)) + x.sum((-1, -2)) + x.mean(1, keepdim=True).sum((1, 2, 3)).unsqueeze(1),
        IMAGE,
    ),
    own("aliases", aliases, (5,), drop=lambda: nn.Dropout(0.5), same=nn.Identity),
    layers("dropouts", IMAGE, nn.Dropout2d, lambda: nn.Conv2d(2, 2, 1), nn.AlphaDropout, nn.Flatten, nn.Dropout),
    own("constants of the batch", constants_of_the_batch, (1,), token=lambda: parameter(1, 1)),
    own(
        "scaled weight",
        scaled_weight,
        (4,),
        weight=lambda: parameter(3, 4),
        scale=lambda: parameter(3),
        bias=lambda: parameter(2, 2),
    ),
    layers("weight norm", (4,), lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU),
    own("twice", twice, (4,), fc=lambda: nn.Linear(4, 4), bn=lambda: nn.BatchNorm1d(4)),
    own("unused", unused, (4,), fc=lambda: nn.Linear(4, 4)),
    own("expand and repeat", lambda s, x: x.expand(-1, 3, 2, -1) + x.repeat(1, 3, 2, 1), (1, 1, 4)),
    own(
        "literals",
        lambda s, x: x * torch.tensor([1.0, 2.0], dtype=x.dtype) + torch.eye(2, dtype=x.dtype)[0] + s.offset.float(),
        (2,),
        offset=lambda: torch.arange(2),
    ),
    own("shared weight", lambda s, x: F.linear(F.linear(x, s.w), s.w.t()), (3,), w=lambda: parameter(2, 3)),
    own(
        "in place on zeros",
        lambda s, x: torch.zeros(x.shape[0], 3, dtype=x.dtype).add_(s.fc(x)),
        (3,),
        fc=lambda: nn.Linear(3, 3),
    ),
]


def prepared(case: Case, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The case's module in evaluation mode, its weights and running statistics all different and reproducible."""
    torch.manual_seed(0)
    module = case.make().to(dtype).eval()
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.running_mean.uniform_(-0.5, 0.5)
            m.running_var.uniform_(0.5, 2.0)
    return module
