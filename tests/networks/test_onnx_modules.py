"""A network read as a module and as the ONNX file that PyTorch writes of it gives equal graphs."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest
import torch
from module_zoo import CASES, prepared
from onnx_canonical import canonical
from safetensors.torch import load_file
from smooth_modules import MODULES as SMOOTH
from torch import nn

from ballproof.errors import UnsupportedError
from ballproof.networks import read_module
from ballproof.networks.architectures import wk_small
from ballproof.networks.onnx_file import read_onnx

NOT_WRITTEN = {"turns", "pooled"}
"""The exporter has no words for them."""

REWRITTEN = {"conv circular", "expand and repeat", "pads", "rectifiers", "weight norm"}
"""The exporter writes slices for circular padding, repeats by expansion to a shape, merges equal parts of the network, and
rounds a norm of its own way: other nodes or other last digits, equal values."""

REFUSED = {
    "slices": "nothing is left",  # the exporter lets a narrow from the end stop at place 0
    "addmm": "a bias that depends on the input",
}
"""What the exporter uses that is not modelled; and why."""


def exported(module: nn.Module, x: torch.Tensor, opset: int = 17) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own age and its tracing
        settings = {"dynamo": False, "opset_version": opset, "do_constant_folding": False}
        torch.onnx.export(module, (x,), file, input_names=["x"], dynamic_axes={"x": {0: "batch"}}, **settings)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("name", [c.name for c in CASES if c.name not in NOT_WRITTEN])
def test_both_readers_give_equal_graphs(name: str) -> None:
    case = next(c for c in CASES if c.name == name)
    module, x = prepared(case), torch.rand(3, *case.shape)
    content = exported(module, x)
    if name in REFUSED:
        with pytest.raises(UnsupportedError, match=REFUSED[name]):
            read_onnx(content)
        return
    ours, theirs = read_module(module, x), read_onnx(content)
    torch.testing.assert_close(theirs(x), module(x).detach(), rtol=1e-5, atol=1e-5)
    assert (canonical(ours) == canonical(theirs)) != (name in REWRITTEN)


NOT_EXPORTED = {
    "normalised": "the exporter has no RMS norm",
    "steps": "it rounds in opset 17 otherwise than torch",
    "instance norm": "it does not keep the norm's scale live",
    "moved": "a repetition by If",
    "shrinking": "comparisons",
    **dict.fromkeys(("exponentials", "log of two exponentials", "products added", "channels shuffled"), "it has no words"),
    "transformer layer": "it takes is_causal for a tensor",
    "scores chosen from a table": "its doubles",
}
"""What is not compared with its file, and why."""


@pytest.mark.parametrize("name", [n for n in SMOOTH if n not in NOT_EXPORTED])
def test_smooth_modules_read_from_a_file_compute_the_same(name: str) -> None:
    make, shape = SMOOTH[name]
    torch.manual_seed(0)
    module = make().eval()
    x = torch.rand(3, *shape)
    content = exported(module, x)
    torch.testing.assert_close(read_onnx(content)(x), module(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [9, 11, 13, 20])
def test_equal_graphs_at_other_opsets(opset: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    ).eval()
    x = torch.rand(2, 1, 8, 8)
    assert canonical(read_module(module, x)) == canonical(read_onnx(exported(module, x, opset)))


def test_equal_graphs_of_a_published_network(data_dir: Path) -> None:
    module = wk_small().eval()
    module.load_state_dict(load_file(data_dir / "pretrained" / "mnist.safetensors"))
    ours = read_module(module, torch.zeros(1, 1, 28, 28))
    assert canonical(ours) == canonical(read_onnx(data_dir / "pretrained" / "mnist.onnx"))


def test_unequal_networks_are_unequal() -> None:
    """The comparison itself sees a weight, a setting, an order and a wiring that differ."""
    x = torch.rand(1, 4)
    torch.manual_seed(0)
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    nets = [
        nn.Sequential(first, nn.LeakyReLU(0.1), second),
        nn.Sequential(first, nn.LeakyReLU(0.2), second),
        nn.Sequential(second, nn.LeakyReLU(0.1), first),
        nn.Sequential(first, nn.LeakyReLU(0.1), nn.Linear(4, 4)),
        nn.Sequential(nn.LeakyReLU(0.1), first, second),
    ]
    forms = [canonical(read_module(n.eval(), x)) for n in nets]
    assert all(forms[i] != forms[j] for i in range(len(forms)) for j in range(i))
