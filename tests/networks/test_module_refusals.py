"""Whatever is not modelled is refused with one line that names node, operation and source; nothing is changed by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from module_zoo import Own
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import read_module


class Sinh(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sinh(self.fc(x))


def module_of(forward: Callable[[nn.Module, Tensor], object]) -> nn.Module:
    return Own(forward, fc=nn.Linear(4, 4), counter=torch.zeros(()))  # type: ignore[arg-type]


def data_flow(self: nn.Module, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


def counts(self: nn.Module, x: Tensor) -> Tensor:
    self.counter += 1
    return x * self.counter


def stale_view(self: nn.Module, x: Tensor) -> Tensor:
    y = self.fc(x)
    z = y[:, :2]
    y.relu_()
    return y[:, 2:] + z


def stale_base(self: nn.Module, x: Tensor) -> Tensor:
    y = self.fc(x)
    F.dropout(y, 0.5, self.training).relu_()
    return y.abs()


def without_gradients(self: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = self.fc(x)
    return y + x


def hidden(x: Tensor, places: Iterable[int]) -> Tensor:
    return x.masked_fill(torch.tensor([k in places for k in range(4)]), float("-inf"))


def per_head(x: Tensor) -> Tensor:
    below = torch.ones(4, 4).triu(1) > 0
    scores = (x[:, :, None] + x[:, None, :])[:, None].repeat(1, 2, 1, 1)
    return scores.masked_fill(torch.stack([below, below.T]), float("-inf")).softmax(3)


REFUSED: list[tuple[str, Callable[[nn.Module, Tensor], object], tuple[str, ...]]] = [
    ("sinh", lambda s, x: x.sinh(), ("node `sinh`", "aten.sinh.default", "Linear", "ballproof/operations/")),
    ("order", lambda s, x: s.fc(x).sort(1)[0], ("node `sort`", "an order of values that depends on the input", "amax")),
    ("comparison", lambda s, x: x * (s.fc(x) > 0), ("node `gt`", "a comparison", "relu")),
    ("index of the largest", lambda s, x: x + s.fc(x).argmax(1, keepdim=True), ("node `argmax`", "an index", "logits")),
    ("place of the largest", lambda s, x: x + s.fc(x).max(1, keepdim=True)[1], ("the index of the largest", "the values")),
    ("rolled batch", lambda s, x: s.fc(x).roll(1, 0), ("node `roll`", "from one example to another")),
    ("base of both signs", lambda s, x: torch.pow(-2.0, s.fc(x)), ("node `pow`", "positive base")),
    ("cut logit", lambda s, x: torch.logit(x, 0.1), ("node `logit`", "clamp")),
    ("moving power", lambda s, x: torch.pow(x.abs() + 1, s.fc(x)), ("node `pow`", "fixed number")),
    ("all masked", lambda s, x: hidden(x, range(4)).softmax(1), ("node `softmax`", "every place is masked")),
    ("masked rectifier", lambda s, x: hidden(x, [1]).relu(), ("node `relu`", "some are -infinity", "before a softmax")),
    ("masked output", lambda s, x: hidden(s.fc(x), [1]), ("returns values of which some are -infinity",)),
    ("product with a mask", lambda s, x: x * hidden(torch.ones(4), [1]), ("node `mul`", "holds -infinity")),
    ("raised", lambda s, x: s.fc(x).masked_fill(torch.arange(4) > 2, float("inf")), ("node `masked_fill`", "+infinity")),
    ("moving mask", lambda s, x: s.fc(x).masked_fill(x > 0, 1.0), ("node `gt`", "a comparison")),
    ("masks for each head", lambda s, x: per_head(s.fc(x)), ("node `softmax`", "differs along the axes [1, 2]")),
    ("crossed clamp", lambda s, x: x.clamp(1, 0), ("node `clamp`", "low < high")),
    ("einsum", lambda s, x: torch.einsum("...i,ij->...j", x, s.fc.weight), ("node `einsum`", "aten.einsum.default")),
    ("einsum of the batch", lambda s, x: torch.einsum("bi,bj->ij", x, s.fc(x)), ("node `einsum`", "gives the shape (4, 4)")),
    ("matmul", lambda s, x: x[:, None] @ s.fc(x)[:, None, :, None], ("node `matmul`", "gives the shape")),
    ("batch mean", lambda s, x: x - x.mean(0), ("node `mean`", "axis 0 the batch", "aten.mean.dim")),
    ("mean of all", lambda s, x: x - x.sum((0, 1)), ("node `sum`", "gives the shape ()")),
    ("first example", lambda s, x: x[0:1] + x, ("node `slice`", "gives the shape (1, 4)")),
    ("turned batch", lambda s, x: x.t(), ("node `t`", "gives the shape (4, batch)")),
    ("merged batch", lambda s, x: s.fc(x).view(1, -1), ("node `view`", "(1, 4*batch)")),
    (
        "hard batch",
        lambda s, x: s.fc(x).view(3, 4),
        ("hard-codes its batch size", "view(3, 4)", "test_module_refusals.py:"),
    ),
    ("batch as a number", lambda s, x: x / x.shape[0], ("node `div`", "the batch size", "aten.div.Tensor")),
    ("batch as a fill", lambda s, x: x + torch.full((4,), x.shape[0]), ("node `full`", "depends on the batch size")),
    (
        "counting rows",
        lambda s, x: x + torch.arange(x.shape[0])[:, None],
        ("node `arange`", "depends on the batch size"),
    ),
    ("summed rows", lambda s, x: x + torch.ones_like(x).cumsum(0), ("node `cumsum`", "depends on the batch size")),
    ("branch on the batch", lambda s, x: x if x.shape[0] > 4 else -x, ("decides by its batch size",)),
    ("branch on one", lambda s, x: x if x.shape[0] == 1 else -x, ("on a batch of 1",)),
    ("branch on the data", data_flow, ("decides by its data", "if x.sum() > 0:", "test_module_refusals.py:")),
    ("number from the data", lambda s, x: x * x[0, 0].item(), ("node `select`", "[aten.select.int]")),
    ("counter", counts, ("changes `counter` in place", "aten.add_.Tensor")),
    ("stale view", stale_view, ("node `add`", "reads `slice_", "relu_")),
    ("stale base", stale_base, ("node `abs`", "reads `linear`", "relu_")),
    ("assignment", lambda s, x: s.fc(x).index_fill_(1, torch.tensor([0]), 1.0), ("aten.index_fill_.int_Scalar",)),
    ("no_grad", without_gradients, ("torch.no_grad",)),
    ("random constant", lambda s, x: x + torch.randn(4), ("node `randn`", "a function of its input", "aten.randn")),
    ("random like", lambda s, x: x + torch.rand_like(x), ("node `rand_like`", "aten.rand_like")),
    ("uninitialised", lambda s, x: x + torch.empty(4), ("node `empty`", "a function of its input")),
    ("dropout always", lambda s, x: F.dropout(x, 0.5), ("node `dropout`", "stays on in evaluation")),
    ("other precision", lambda s, x: s.fc(x).double(), ("node `to`", "conversion to torch.float64")),
    ("index by the input", lambda s, x: x[:, s.fc(x)[:, 0].long()], ("conversion to torch.int64", "aten.to.dtype")),
    ("negative pad of the batch", lambda s, x: F.pad(x, (0, 0, 1, 0)), ("node `pad`", "axis 0 the batch")),
    ("no channel", lambda s, x: F.max_pool1d(x, 2), ("node `max_pool1d`", "(batch, channel, ...)")),
    (
        "indices",
        lambda s, x: F.max_pool1d(x[:, None], 2, return_indices=True)[0],
        ("aten.max_pool1d_with_indices.default",),
    ),
    ("two outputs", lambda s, x: (x, x + 1), ("returns several values",)),
    ("dictionary", lambda s, x: {"logits": x + 1}, ("returns several values",)),
    ("constant output", lambda s, x: s.fc.weight * 1, ("does not depend on its input",)),
]


@pytest.mark.parametrize(("forward", "words"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused_by_name_on_one_line(
    forward: Callable[[nn.Module, Tensor], object], words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    module = module_of(forward).train()
    with pytest.raises(UnsupportedError) as raised:
        read_module(module, torch.zeros(3, 4))
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert all(m.training for m in module.modules())
    assert float(module.counter) == 0
    assert capfd.readouterr() == ("", "")


def test_an_unknown_operation_names_layer_operation_and_the_users_line() -> None:
    module = nn.Sequential()
    module.add_module("head", Sinh())
    with pytest.raises(UnsupportedError) as raised:
        read_module(module, torch.zeros(1, 4))
    message = str(raised.value)
    assert message.startswith("node `head.sinh` (test_module_refusals.py:")
    assert "aten.sinh.default" in message and "relu" in message


def spoiled(value: float) -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 2))
    with torch.no_grad():
        module[0].weight[0, 0] = value
    return module


def frozen_statistics(value: float) -> nn.Module:
    module = nn.BatchNorm1d(4)
    module.running_var[1] = value
    return nn.Sequential(module)


BAD: list[tuple[str, nn.Module, Tensor, tuple[str, ...]]] = [
    (
        "nan weight",
        spoiled(float("nan")),
        torch.zeros(1, 4),
        ("parameter `0.weight` holds 1 NaN or infinite values of 8",),
    ),
    ("infinite weight", spoiled(float("-inf")), torch.zeros(1, 4), ("parameter `0.weight`",)),
    ("infinite buffer", frozen_statistics(float("inf")), torch.zeros(1, 4), ("`0.running_var` holds 1",)),
    ("half weights", nn.Linear(4, 2).half(), torch.zeros(1, 4), ("`weight` is float16", "float32, float64")),
    ("half inputs", nn.Linear(4, 2), torch.zeros(1, 4).half(), ("`example` is float16",)),
    ("integers", nn.Linear(4, 2), torch.zeros(1, 4).long(), ("`example` is int64",)),
    ("mixed", nn.Linear(4, 2).double(), torch.zeros(1, 4), ("float32", "parameter `weight` is float64")),
    ("wrong width", nn.Linear(5, 2), torch.zeros(1, 4), ("inputs of shape (batch, 4)",)),
    ("empty", nn.ReLU(), torch.zeros(1, 0), ("axis of length 0",)),
    ("no axis", nn.ReLU(), torch.tensor(1.0), ("expected (batch, *input)",)),
    ("lazy", nn.LazyLinear(2), torch.zeros(1, 4), ("lazy",)),
    ("two inputs", nn.Bilinear(4, 4, 2), torch.zeros(1, 4), ("takes 2 inputs (input1, input2)",)),
    (
        "batch statistics",
        nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)),
        torch.zeros(1, 4),
        ("node `0`", "track_running"),
    ),
]


@pytest.mark.parametrize(("module", "example", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_gets_one_clear_line(
    module: nn.Module, example: Tensor, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as raised:
        read_module(module, example)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value)
    assert capfd.readouterr() == ("", "")


LAYERS = {
    "time first": (nn.LSTM(4, 4), "batch_first=True"),
    "projected": (nn.LSTM(4, 4, batch_first=True, proj_size=2), "proj_size=0"),
    "attention time first": (nn.MultiheadAttention(4, 2), "batch_first=True"),
    "attention with key biases": (nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True), "no mask"),
    "padded": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), "padding mask"),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_layers_with_other_settings_are_refused_and_left_as_they_were(name: str) -> None:
    layer, said = LAYERS[name]

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            if isinstance(self.layer, nn.TransformerEncoderLayer):
                return self.layer(x, src_key_padding_mask=x[:, :, 0] * 0)
            return (self.layer(x, x, x) if isinstance(self.layer, nn.MultiheadAttention) else self.layer(x))[0]  # type: ignore[no-any-return]

    with pytest.raises(UnsupportedError, match=said):
        read_module(Around(), torch.rand(2, 3, 4))
    assert "forward" not in vars(layer) and torch.backends.mha.get_fastpath_enabled()
