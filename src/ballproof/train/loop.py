"""The training loop: steps, epochs, validation, checkpoints. Equal settings give equal weights, bit for bit on one CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.errors import DomainError, InputError, SoundnessError
from ballproof.networks import as_graph
from ballproof.networks.normalized import folded
from ballproof.problems import ball
from ballproof.runs import Run
from ballproof.runs.signals import Stopped, shielded
from ballproof.train.averages import averaged, needs_pairs, precise_statistics
from ballproof.train.checkpoint import load_state, load_weights, save_state, save_weights
from ballproof.train.config import TrainConfig
from ballproof.train.memory import keep_freed
from ballproof.train.objective import Objective
from ballproof.train.parallel import Ranks
from ballproof.train.regularizers import sparsified
from ballproof.train.repeatable import repeatable
from ballproof.train.scalars import write_scalars
from ballproof.train.validation import validate

LOG = "log.jsonl"
SAVE_EVERY = 30.0
"""Seconds between checkpoints inside an epoch: what a kill can cost is time, never a step of the result. SIGTERM costs none."""


@dataclass
class Progress:
    """Where the training stands; what a watcher is shown after every step."""

    epoch: int
    step: int
    steps: int
    loss: float
    eps: float


@dataclass
class Trainer:
    """One training on one device, from its start or from where its run folder left off."""

    config: TrainConfig
    module: nn.Module
    training: Dataset
    validation: Dataset
    run: Run
    watch: Callable[[Progress], None] = lambda progress: None
    ranks: Ranks = field(default_factory=Ranks)
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def __post_init__(self) -> None:
        keep_freed()
        self.least, self.used = self._least(), len(self.training.labels)
        if (rest := self.used % self.config.batch) < self.least:
            self.used -= rest
        self.optimizer = _optimizer(self.config, self.module)
        self.objective = self.ranks.wrapped(self._objective())
        self.mean: dict[str, Tensor] | None = None
        self.steps = math.ceil(len(self.training.labels) / self.config.batch)
        self._saved = self._clock = time.monotonic()
        if (state := load_state(self.run)) is not None:
            self._restore(state)

    def _objective(self) -> nn.Module:
        """What a step minimises: (clean loss, robust loss, their mixture) of (inputs, labels, epoch)."""
        return Objective(self.config, self.module, self.ranks.rank)

    def _validated(self) -> dict[str, Any]:
        """What one row of the log says of the held-out examples."""
        return validate(self.config, self.module, self.validation)

    def _seen(self, inputs: Tensor) -> Tensor:
        """Inputs as the network gets them in training, for the statistics of its normalisations."""
        return inputs

    def fit(self) -> list[dict[str, Any]]:
        """Train to the last epoch; returns the log, one row an epoch. A checkpoint stands after every row."""
        while self.epoch < self.config.epochs:
            self._one_epoch()
        return list(self.run.rows(LOG))

    def _one_epoch(self) -> None:
        self.module.train()
        for inputs, labels, weight in self._remaining():
            try:
                with shielded(), repeatable(inputs.device.type):
                    loss = self._one_step(inputs, labels, weight)
                    self.step += 1
            except Stopped:
                if self.ranks.size == 1:
                    self.save()
                raise
            eps = self.config.eps_at(self.epoch + self.step / self.steps)
            self.watch(Progress(self.epoch, self.step, self.steps, loss, eps))
            if self.ranks.size == 1 and time.monotonic() - self._saved > SAVE_EVERY:
                self.save()
        self._finish_epoch()

    def _one_step(self, inputs: Tensor, labels: Tensor, weight: float) -> float:
        """weight: of this process's share of the batch, so that the mean over the processes is that over the batch."""
        now = self.epoch + self.step / self.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr_at(now)
        self.optimizer.zero_grad(set_to_none=True)
        try:
            clean, robust, loss = self.objective(inputs, labels, now)
            value = float(loss.item())
        except (DomainError, SoundnessError) as error:
            raise self._diverged("NaN", inputs) from error
        except InputError as error:
            raise InputError(f"{error} (epoch {self.epoch}, step {self.step})") from error
        if not math.isfinite(value):
            raise self._diverged(str(value), inputs)
        (loss * weight).backward()
        if self.config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        measured = (value, clean.item(), robust.item())
        self.sums = [s + v * len(labels) for s, v in zip(self.sums, measured, strict=True)]
        return value

    def _diverged(self, value: str, inputs: Tensor) -> InputError:
        place = f"the loss became {value} at epoch {self.epoch}, step {self.step}"
        return InputError(f"{place}{_first_not_finite(self.module, inputs)}; lower `lr` or slow the ramp")

    def _remaining(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The batches of this epoch that are still to come, in an order that depends on the seed and the epoch alone.

        Of each this process's share, and its weight. A last batch with too few examples for a process is left out: none, or one
        beside batch normalisation, which needs two.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.training.labels), generator=generator)
        device = next(self.module.parameters()).device
        for start in range(self.step * self.config.batch, len(order), self.config.batch):
            index = order[start : start + self.config.batch]
            if len(index) >= self.least:
                own = self.ranks.share(index)
                weight = len(own) * self.ranks.size / len(index)
                yield self.training.inputs[own].to(device), self.training.labels[own].to(device), weight

    def _least(self) -> int:
        """How many examples a batch needs; refuses settings under which every batch has fewer."""
        size, full = self.ranks.size, min(self.config.batch, len(self.training.labels))
        last = len(self.training.labels) % self.config.batch or full
        if min(full, last) >= 2 * size:
            return size
        device = next(self.module.parameters()).device
        each = 2 if needs_pairs(self.module, self.training.inputs[:1].to(device)) else 1
        if full < each * size:
            told = f"`batch` is {self.config.batch}, of {len(self.training.labels)} training examples"
            why = "; batch normalisation needs two" if each == 2 else ""
            raise InputError(f"{told}: expected at least {each * size}, {each} for each process{why}")
        return each * size

    def _finish_epoch(self) -> None:
        loss, clean, robust = (s / self.used for s in self.ranks.total(self.sums))
        eps = self.config.eps_at(self.epoch + 1)
        self._average()
        last = self.epoch + 1 == self.config.epochs
        pruned = {"zero_weights": sparsified(self.module, self.config.prune_below)} if last and self.config.prune_below else {}
        row: dict[str, Any] = {
            "epoch": self.epoch,
            "eps": eps,
            "lr": self.config.lr_at(self.epoch),
            "loss": loss,
            "clean_loss": clean,
        }
        steps = (self.epoch, self.epoch + (self.steps - 1) / self.steps)
        row |= {"robust_loss": robust, "robust_loss_is": self.config.loss_is(*steps)}
        row |= self.config.scheduled_at(self.epoch) | pruned | self._validated()
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0, 0.0, 0.0]
        self._tick()
        if self.ranks.lead:
            with shielded():
                self._write({**row, "seconds": self.seconds})
        self.ranks.wait()

    def _write(self, row: dict[str, Any]) -> None:
        rows = [r for r in self.run.rows(LOG) if r["epoch"] < row["epoch"]]
        self.run.replace_rows(LOG, [*rows, row])
        write_scalars(self.run, row)
        save_weights(self.run, folded(self.module) if self.config.normalize else self.module)
        self.save()

    def _average(self) -> None:
        """Statistics of the whole training set; and the mean of the last epochs' weights, which the last epoch ends with."""
        start, device = self.config.average_from, next(self.module.parameters()).device
        if 0 < start <= self.epoch + 1:
            self.mean = averaged(self.mean, self.epoch + 1 - start, self.module)
            if self.epoch + 1 == self.config.epochs:
                self.module.load_state_dict(self.mean, strict=False)
        parts = self.training.inputs.split(max(2, self.config.batch))
        precise_statistics(self.module, (self._seen(p).to(device) for p in parts if len(p) > 1))

    def _tick(self) -> None:
        self.seconds, self._clock = self.seconds + time.monotonic() - self._clock, time.monotonic()

    def save(self) -> None:
        """Keep everything that the next step depends on."""
        self._tick()
        self._saved = time.monotonic()
        model, optimizer = self.module.state_dict(), self.optimizer.state_dict()
        place = {"epoch": self.epoch, "step": self.step, "seconds": self.seconds, "sums": self.sums}
        save_state(self.run, {"model": model, "optimizer": optimizer, "mean": self.mean or {}, **place})

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            load_weights(self.module, state["model"], f"the checkpoint in {self.run.path}")
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.step = int(state["epoch"]), int(state["step"])
            self.seconds, sums = float(state["seconds"]), [float(s) for s in state["sums"]]
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"the checkpoint in {self.run.path} is of another optimizer: {first}") from error
        self.sums = sums if self.ranks.lead else [0.0, 0.0, 0.0]
        self.mean = state.get("mean") or None


@torch.no_grad()
def _first_not_finite(module: nn.Module, inputs: Tensor) -> str:
    """The first node at which numbers stop being finite on the clean inputs."""
    for name, value in as_graph(module, ball("linf", inputs, 0.0, None)).activations(inputs).items():
        if not bool(torch.isfinite(value).all()):
            return f", first in the layer `{name}`"
    return ", in the bounds alone: the network itself is finite"


def _optimizer(config: TrainConfig, module: nn.Module) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay)
    if config.optimizer == "radam":
        return torch.optim.RAdam(module.parameters(), config.lr, weight_decay=config.weight_decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(module.parameters(), config.lr, weight_decay=config.weight_decay)
