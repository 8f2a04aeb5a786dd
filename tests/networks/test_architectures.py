"""The architectures: sizes counted by hand, shapes refused or fitted, the published weights and their clean error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ballproof.data import load
from ballproof.errors import InputError
from ballproof.networks import as_graph
from ballproof.networks.architectures import ARCHITECTURES, Normalize, build, mlp, small_resnet, two_d, wk_small
from ballproof.problems import ball


def conv(before: int, after: int, kernel: int) -> int:
    return after * (before * kernel * kernel + 1)


def full(before: int, after: int) -> int:
    return after * (before + 1)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


BLOCKS = conv(8, 8, 3) * 2 + conv(8, 16, 3) + conv(16, 16, 3) + conv(8, 16, 1)  # the second has a 1 x 1 short cut
RESNET = conv(1, 8, 3) + BLOCKS + full(16 * 7 * 7, 64) + full(64, 10)
CNN7 = sum(a * b * 9 + 2 * b for a, b in ((3, 64), (64, 64), (64, 128), (128, 128), (128, 128)))  # weights, scales, shifts
CNN7 += 128 * 16 * 16 * 512 + 2 * 512 + full(512, 10)
DM = sum(conv(a, b, 3) for a, b in ((3, 64), (64, 64), (64, 128), (128, 128), (128, 128)))
WK_BLOCKS = 2 * 2 * conv(16, 16, 3) + sum(conv(a, b, 3) + conv(b, b, 3) + conv(a, b, 1) for a, b in ((16, 32), (32, 64)))
SIZES = [
    ("cnn3", (1, 28, 28), 10, 16 * 25 + 32 + 32 * 16 * 16 + 64 + full(32 * 7 * 7, 10)),
    ("cnn5", (3, 32, 32), 10, 64 * 27 + 64 * 64 * 16 + 128 * 64 * 16 + 2 * 256 + 128 * 64 * 512 + 2 * 512 + full(512, 10)),
    ("cnn7", (3, 32, 32), 10, CNN7),
    ("dm-large", (3, 32, 32), 10, DM + full(128 * 16 * 16, 512) + full(512, 10)),
    ("wk-resnet", (3, 32, 32), 10, conv(3, 16, 3) + WK_BLOCKS + full(64 * 8 * 8, 1000) + full(1000, 10)),
    ("two-d", (2,), 2, full(2, 100) + full(100, 2)),
    ("mlp", (1, 8, 8), 10, full(64, 128) + full(128, 128) + full(128, 10)),
    ("mlp", (5,), 3, full(5, 128) + full(128, 128) + full(128, 3)),
    ("wk-small", (1, 28, 28), 10, conv(1, 16, 4) + conv(16, 32, 4) + full(32 * 7 * 7, 100) + full(100, 10)),
    ("wk-small", (3, 32, 32), 7, conv(3, 16, 4) + conv(16, 32, 4) + full(32 * 8 * 8, 100) + full(100, 7)),
    ("wk-small", (2, 8, 12), 3, conv(2, 16, 4) + conv(16, 32, 4) + full(32 * 2 * 3, 100) + full(100, 3)),
    (
        "wk-large",
        (1, 28, 28),
        10,
        sum((conv(1, 32, 3), conv(32, 32, 4), conv(32, 64, 3), conv(64, 64, 4)))
        + sum((full(64 * 7 * 7, 512), full(512, 512), full(512, 10))),
    ),
    ("digits-cnn", (1, 8, 8), 10, conv(1, 8, 3) + conv(8, 16, 4) + full(16 * 4 * 4, 64) + full(64, 10)),
    ("digits-cnn", (1, 6, 10), 2, conv(1, 8, 3) + conv(8, 16, 4) + full(16 * 3 * 5, 64) + full(64, 2)),
    ("small-resnet", (1, 28, 28), 10, RESNET),
    ("small-resnet-bn", (1, 28, 28), 10, RESNET + 2 * (2 * 8 + 2 * 16)),  # four norms: a scale and a shift a channel
]


@pytest.mark.parametrize(("name", "shape", "classes", "size"), SIZES)
def test_sizes_are_those_counted_by_hand(name: str, shape: tuple[int, ...], classes: int, size: int) -> None:
    module = build(name, shape, classes)
    assert parameters(module) == size
    assert module(torch.rand(3, *shape)).shape == (3, classes)


def test_every_architecture_is_counted() -> None:
    assert {name for name, *_ in SIZES} == set(ARCHITECTURES)


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name, shape, *_ in SIZES])
def test_every_architecture_can_be_read_as_a_graph(name: str, shape: tuple[int, ...]) -> None:
    """And answers for each example on its own, in evaluation."""
    module, x = build(name, shape, 3 if name != "two-d" else 2).eval(), torch.rand(2, *shape)
    graph = as_graph(module, ball("linf", x, 0.01, (0.0, 1.0)))
    assert torch.allclose(graph(x), module(x), atol=1e-5)
    assert torch.allclose(module(x)[1:], module(x[1:]), atol=1e-5)


@pytest.mark.parametrize("name", ["cnn3", "cnn5", "cnn7"])
def test_images_too_small_for_a_network_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="images"):
        build(name, (5,), 3)
    with pytest.raises(InputError, match=r"larger|positive"):
        build(name, (1, 1, 1), 3) if name == "cnn3" else build(name, (1, 0, 4), 3)


def test_hidden_sizes_are_the_callers_choice() -> None:
    assert parameters(mlp((4,), 3, (7, 5))) == full(4, 7) + full(7, 5) + full(5, 3)
    assert parameters(mlp((2, 2), 3, ())) == full(4, 3)
    assert parameters(two_d(hidden=9)) == full(2, 9) + full(9, 2)


def test_the_resnet_adds_its_input_back() -> None:
    """With every convolution of the blocks at zero the identity short cut alone is left."""
    net = small_resnet().eval()
    block = net[2]
    for layer in (block.first, block.second):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.rand(2, 8, 14, 14)
    assert torch.equal(block(x), x)
    assert any(isinstance(m, nn.BatchNorm2d) for m in small_resnet(norm=True).modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


@pytest.mark.parametrize(
    ("name", "shape", "classes", "told"),
    [
        ("wk-small", (1, 30, 28), 10, r"`wk-small` takes images .* sides divisible by 4, not \(1, 30, 28\)"),
        ("wk-large", (1, 28, 27), 10, "divisible by 4"),
        ("small-resnet", (3, 30, 30), 10, "divisible by 4"),
        ("digits-cnn", (1, 7, 8), 10, "divisible by 2"),
        ("wk-small", (784,), 10, "takes images"),
        ("wk-small", (28, 28), 10, "takes images"),
        ("two-d", (3,), 2, r"`two-d` takes points of the plane, shape \(2,\)"),
        ("mlp", (4,), 1, "classes >= 2"),
        ("mlp", (), 2, "positive sizes"),
        ("wk-small", (1, 0, 28), 10, "positive sizes"),
        ("wk_smal", (1, 28, 28), 10, "`model` is 'wk_smal', expected one of two-d, .*did you mean `wk-small`"),
        ("transformer", (1, 28, 28), 10, "expected one of"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, shape: tuple[int, ...], classes: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(name, shape, classes)


def test_normalize_is_per_channel_for_images_and_vectors() -> None:
    x = torch.rand(4, 2, 3, 3)
    images = Normalize((0.5, 0.25), (0.5, 2.0))(x)
    assert torch.equal(images[:, 0], (x[:, 0] - 0.5) / 0.5) and torch.equal(images[:, 1], (x[:, 1] - 0.25) / 2)
    v = torch.rand(3, 2)
    vectors = Normalize((0.5, 0.25), (0.5, 2.0), axes=0)(v)
    assert torch.equal(vectors[:, 1], (v[:, 1] - 0.25) / 2)


def test_normalize_is_read_as_part_of_the_network() -> None:
    net, x = nn.Sequential(Normalize((0.5,), (0.25,)), wk_small((1, 8, 8), 3)).eval(), torch.rand(2, 1, 8, 8)
    graph = as_graph(net, ball("linf", x, 0.01, (0.0, 1.0)))
    assert torch.allclose(graph(x), net[1]((x - 0.5) / 0.25), atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (0.0,)), ((0.5, 0.5), (1.0,)), ((float("nan"),), (1.0,)), ((0.5,), (float("inf"),))]
)
def test_normalize_refuses_what_it_cannot_divide_by(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="`mean` and `std`"):
        Normalize(mean, std)


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 4, 4), (2, 3, 4)])
def test_normalize_refuses_inputs_that_would_be_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="3 channels and 2 axes"):
        Normalize((0.5,) * 3, (1.0,) * 3)(torch.rand(shape))


@pytest.mark.parametrize(("data", "file", "errors"), [("mnist", "mnist", 180), ("fashion-mnist", "fashion_mnist", 2173)])
def test_the_published_weights_give_the_published_clean_error(data_dir: Path, data: str, file: str, errors: int) -> None:
    """Wong & Kolter 2018, Table 1: 1.80 % and 21.73 % of the 10,000 test images."""
    path = data_dir / "pretrained" / f"{file}.safetensors"
    if not path.is_file():
        pytest.skip(f"no published network {path}")
    net = wk_small().eval()
    net.load_state_dict(load_file(path))
    test = load(data, "test", data_dir)
    with torch.no_grad():
        wrong = sum(int((net(x).argmax(1) != y).sum()) for x, y in test.batches(1000))
    assert (len(test), wrong) == (10_000, errors)
