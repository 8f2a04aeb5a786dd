"""Training goes on bit for bit after an interruption, and fails with one clear line."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from ballproof.data import Dataset, load
from ballproof.errors import InputError
from ballproof.networks.architectures import build
from ballproof.runs import Run
from ballproof.train import TrainConfig, Trainer, make_config, read_recipe, recipe_names
from ballproof.train.cascade import first_weights
from ballproof.train.checkpoint import load_weights, read_weights
from ballproof.train.loop import LOG, Progress
from ballproof.train.objective import objective
from ballproof.train.parallel import Ranks
from ballproof.train.repeatable import repeatable
from ballproof.train.scalars import write_scalars

CONFIG = TrainConfig(model="mlp", method="interval", epochs=2, batch=64, eps_until=1, attack_steps=2, evaluate=40, limit=300)


class StoppedError(Exception):
    pass


def digits() -> tuple[Dataset, Dataset]:
    everything = load("digits", "train")
    return everything.subset(list(range(300))).validation_split(0.2, 0)


def trainer(path: Path, config: TrainConfig = CONFIG, resume: bool = False) -> Trainer:
    training, validation = digits()
    return Trainer(
        config, first_weights(config, training), training, validation, Run.start(path, "train", config.as_dict(), resume)
    )


def weights(path: Path) -> bytes:
    return (path / "model.safetensors").read_bytes()


SCHEDULED = {
    "model": "digits-cnn",
    "augment": "crop",
    "average_from": 1,
    "schedule": {"expressive_alpha": [[0, 0.1], [2, 0.9]]},
}
FUSED = {"model": "digits-cnn", "method": "crown-ibp-fused", "crown_beta_end": 0.5, "warm_up": 0.5, "l1": 1e-5}


@pytest.mark.parametrize(
    "more", [{}, {"optimizer": "sgd"}, {"normalize": True}, {"method": "mtl-ibp", **SCHEDULED}, FUSED], ids=str
)
@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_resumed_training_is_equal_bit_for_bit(tmp_path: Path, stop: int, more: dict[str, object]) -> None:
    config = make_config({**CONFIG.as_dict(), **more}, "a test")
    whole = trainer(tmp_path / "whole", config)
    whole.fit()
    broken = trainer(tmp_path / "broken", config)
    count = 0

    def watch(_: Progress) -> None:
        nonlocal count
        count += 1
        if count == stop:
            broken.save()
        if count == stop + 1:
            raise StoppedError

    broken.watch = watch
    with pytest.raises(StoppedError):
        broken.fit()
    again = trainer(tmp_path / "broken", config, resume=True)
    again.fit()
    assert weights(tmp_path / "whole") == weights(tmp_path / "broken")
    for a, b in zip(whole.run.rows(LOG), again.run.rows(LOG), strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_two_threads_give_the_same_gradients_each_time() -> None:
    """Sums over windows by two threads are made as they come, unless it is asked for otherwise."""
    training, _ = digits()
    config = TrainConfig(method="dual", eps=0.06, eps_until=0)
    module, x, y = first_weights(config, training), training.inputs[:20], training.labels[:20]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with repeatable("cpu"):
            first, second = (
                torch.autograd.grad(objective(config, module, x, y, 1.0)[2], list(module.parameters())) for _ in "ab"
            )
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.are_deterministic_algorithms_enabled()


def test_errors_are_ordered_and_training_helps(tmp_path: Path) -> None:
    config = make_config({**CONFIG.as_dict(), "epochs": 8, "batch": 16, "lr": 3e-3, "eps": 0.01}, "a test")
    log = trainer(tmp_path / "run", config).fit()
    for row in log:
        assert row["pgd_error"] <= row["certified_error"]
    assert log[-1]["clean_error"] < 0.3 and log[-1]["certified_error"] < log[0]["certified_error"]


def test_a_training_with_norms_leaves_the_plain_architecture_with_the_same_answers(tmp_path: Path) -> None:
    trained = trainer(tmp_path / "run", make_config({**CONFIG.as_dict(), "normalize": True}, "a test"))
    trained.fit()
    plain, x = build("mlp", (1, 8, 8), 10), digits()[1].inputs
    load_weights(plain, read_weights(tmp_path / "run" / "model.safetensors"), "the run")
    assert torch.allclose(plain.eval()(x), trained.module.eval()(x), atol=1e-4)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    training, validation = digits()
    other = build("digits-cnn", training.shape, training.classes)
    with pytest.raises(InputError, match=r"the checkpoint in .* is of another architecture: .*`"):
        Trainer(CONFIG, other, training, validation, Run.read(tmp_path / "run"))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        trainer(tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    broken = trainer(tmp_path / "run", make_config({**CONFIG.as_dict(), "lr": 1e30}, "a test"))
    with pytest.raises(
        InputError, match=r"(loss became .* epoch 0, step \d+, first in the layer `|parameter `.*epoch 0, step \d+)"
    ):
        broken.fit()


def test_a_parameter_that_is_not_finite_is_named(tmp_path: Path) -> None:
    broken = trainer(tmp_path / "run")
    with torch.no_grad():
        broken.module[-1].bias[0] = float("nan")
    with pytest.raises(InputError, match=r"parameter `\d+\.bias` holds .* \(epoch 0, step 0\)"):
        broken.fit()


def test_a_radius_beyond_the_data_is_refused() -> None:
    with pytest.raises(InputError, match="range"):
        make_config({"eps": 8.0}, "a test")
    assert make_config({"eps": 1.58, "norm": "l2"}, "a test").eps == 1.58


def test_every_recipe_is_valid_and_a_misspelt_key_is_named() -> None:
    assert recipe_names()
    for name in recipe_names():
        assert make_config(read_recipe(name), name).epochs >= 1
    with pytest.raises(InputError, match="did you mean `epochs`"):
        make_config({"epoch": 3}, "a test")
    with pytest.raises(InputError, match="did you mean `dual`"):
        make_config({"method": "dul"}, "a test")


def test_a_full_disk_loses_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full from the second epoch on: one clear line, and the first epoch's files are whole."""
    started = trainer(tmp_path / "run")
    real, count = os.fsync, 0

    def full(file: int) -> None:
        if started.epoch >= 1 and started.step >= 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    def watch(_: Progress) -> None:
        nonlocal count
        count += 1
        if started.epoch >= 1:
            started.save()

    started.watch = watch
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"checkpoint\.pt cannot be written: No space left on device; nothing was changed"):
        started.fit()
    monkeypatch.setattr(os, "fsync", real)
    assert not list((tmp_path / "run").glob(".*part"))
    trainer(tmp_path / "run", resume=True).fit()
    trainer(tmp_path / "whole").fit()
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_journal_on_a_full_disk_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.start(tmp_path / "run", "train", {}, False)
    run.append("rows.jsonl", [{"a": 1}])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        run.append("rows.jsonl", [{"a": 2}])
    assert run.rows("rows.jsonl")[0] == {"a": 1}


def test_the_log_is_written_for_tensorboard_too(tmp_path: Path) -> None:
    """The records of the event files, unpacked by hand: length, its check, a protocol buffer, its check."""
    run = trainer(tmp_path / "run")
    log = run.fit()
    found: dict[tuple[str, int], float] = {}
    for file in (tmp_path / "run" / "tensorboard").iterdir():
        content = file.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + size])
            found |= {(v.tag, event.step): v.simple_value for v in event.summary.value}
            content = content[16 + size :]
    for row in log:
        assert found["loss", row["epoch"]] == pytest.approx(row["loss"], rel=1e-6)
        assert found["certified_error", row["epoch"]] == pytest.approx(row["certified_error"], rel=1e-6)


def test_mixed_precision_leaves_bounds_alone(tmp_path: Path) -> None:
    """Bounds are equal to the last bit; what an attack finds, and the loss there, is not."""
    x, y = digits()[0].inputs[:32], digits()[0].labels[:32]
    told = {}
    for method in ("interval", "crown-ibp-fused", "pgd", "mtl-ibp"):
        for precision in ("float32", "mixed"):
            config = make_config({**CONFIG.as_dict(), "method": method, "precision": precision}, "a test")
            _, loss, _ = objective(config, first_weights(config, digits()[0]), x, y, 1.0)
            told[method, precision] = loss.item()
    for method in ("interval", "crown-ibp-fused"):
        assert told[method, "float32"] == told[method, "mixed"]
    for method in ("pgd", "mtl-ibp"):
        assert told[method, "float32"] != told[method, "mixed"]
        assert told[method, "float32"] == pytest.approx(told[method, "mixed"], rel=0.02)
    trainer(tmp_path / "run", make_config({**CONFIG.as_dict(), "method": "mtl-ibp", "precision": "mixed"}, "a test")).fit()
    assert all(v.dtype == torch.float32 for v in read_weights(tmp_path / "run" / "model.safetensors").values())


def test_small_weights_are_gone_from_what_is_saved(tmp_path: Path) -> None:
    log = trainer(tmp_path / "run", make_config({**CONFIG.as_dict(), "prune_below": 0.02}, "a test")).fit()
    kept = [v for v in read_weights(tmp_path / "run" / "model.safetensors").values() if v.ndim > 1]
    assert not any(bool(((v != 0) & (v.abs() < 0.02)).any()) for v in kept)
    share = sum(int((v == 0).sum()) for v in kept) / sum(v.numel() for v in kept)
    assert 0.1 < share == log[-1]["zero_weights"] and "zero_weights" not in log[0]
    with pytest.raises(InputError, match="prune_below"):
        make_config({"prune_below": 0.1, "normalize": True}, "a test")


def small(count: int, config: TrainConfig, module: torch.nn.Module, path: Path, **more: object) -> Trainer:
    """A training of `module` on `count` examples of three numbers."""
    torch.manual_seed(0)
    data = Dataset(torch.rand(count, 3), torch.arange(count) % 2, "numbers", "train", 2)
    run = Run.start(path, "train", config.as_dict(), False)
    return Trainer(config, module, data, data, run, **more)  # type: ignore[arg-type]


def normed() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2))


def test_a_last_example_alone_is_left_out_beside_batch_normalisation(tmp_path: Path) -> None:
    """17 examples by 8: two steps an epoch and not three, and the mean is over the 16 that were seen."""
    config = replace(CONFIG, batch=8, epochs=2)
    started = small(17, config, normed(), tmp_path / "a")
    seen: list[float] = []
    started.watch = lambda progress: seen.append(progress.loss)
    first = started.fit()[0]
    assert len(seen) == 4
    assert first["loss"] == pytest.approx(sum(seen[:2]) / 2, rel=1e-6)
    plain = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    without = small(17, config, plain, tmp_path / "b")
    assert [len(labels) for _, labels, _ in without._remaining()] == [8, 8, 1]


@pytest.mark.parametrize(("size", "counts"), [(2, [4, 4]), (3, [3, 3])])
def test_processes_leave_out_a_batch_together(tmp_path: Path, size: int, counts: list[int]) -> None:
    """19 examples by 8: of the last three one process would have one, and the others would wait for it."""
    for rank in range(size):
        started = small(19, replace(CONFIG, batch=8), normed(), tmp_path / str(rank))
        started.ranks = Ranks(rank, size)
        started.least = started._least()
        found = [len(labels) for _, labels, _ in started._remaining()]
        assert found == [c - (size == 3 and rank == 2) for c in counts]


def test_batches_too_small_for_batch_normalisation_are_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`batch` is 1, of 6 training examples: expected at least 2"):
        small(6, replace(CONFIG, batch=1), normed(), tmp_path / "a")
    plain = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with pytest.raises(InputError, match="`batch` is 8, of 2 training examples: expected at least 3, 1 for each process"):
        small(2, replace(CONFIG, batch=8), plain, tmp_path / "b", ranks=Ranks(0, 3))


def test_tensorboards_copy_on_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboardX.SummaryWriter", full)
    run = Run.start(tmp_path / "run", "train", {}, False)
    with pytest.raises(InputError, match="tensorboard cannot be written: No space left"):
        write_scalars(run, {"epoch": 0, "loss": 1.0})
