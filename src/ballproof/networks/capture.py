"""`capture`: a module's evaluation as a flat list of ATen calls with a symbolic batch axis, by `torch.export`.

Nothing of the module changes: neither its parameters, its training flags nor the random state; nothing is printed.
"""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.layers import written_out
from ballproof.networks.source import user_line_of_error

if TYPE_CHECKING:
    from torch.export import ExportedProgram

BATCH = 61
"""The batch size while tracing: a prime that no layer has by accident, so a hard-coded batch fails at its own line."""

TRACED = 2
"""The exporter traces for batches of two and more; `read_module` compares the graph with the module on one as well."""

FLOATS = (torch.float32, torch.float64)


def capture(module: nn.Module, example: Tensor) -> ExportedProgram:
    """The exported evaluation of the module on a batch like `example (batch, *input)`; its batch axis is symbolic.

    Raises `InputError` if the module does not take such inputs, `UnsupportedError` if it does not treat the batch as
    an axis of any length or decides by the data. Price: 0.1-1 s, the first time 3-8 s for importing the exporter.
    """
    check_module(module)
    check_example(module, example)
    batch = torch.zeros(BATCH, *example.shape[1:], dtype=example.dtype, device=example.device)
    import torch.export as exporter

    with evaluating(module), written_out(module), quiet():
        try:
            shapes = ({0: exporter.Dim.DYNAMIC},)
            program = exporter.export(module, (batch,), dynamic_shapes=shapes, strict=False)
        except UnsupportedError as error:
            raise UnsupportedError(f"`network`{user_line_of_error(error)}: {error}") from None
        except Exception as error:  # noqa: BLE001 - torch.export raises whatever a forward raises
            raise _explained(error, example) from None
    _check_batch_range(program)
    return program


def check_module(module: nn.Module) -> None:
    """Refuse by name what no reading could mend: several inputs, odd types of numbers, NaN or infinite parameters."""
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedError("`network` is a TorchScript module; supported: the nn.Module that it was made from")
    if "_orig_mod" in module._modules:
        raise UnsupportedError("`network` is a compiled module; supported: the module itself, `network._orig_mod`")
    _check_signature(module)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(value):
            raise InputError(f"parameter `{name}` has no shape yet (a lazy module); run the module once on an example")
        if (value.is_floating_point() or value.is_complex()) and value.dtype not in FLOATS:
            raise UnsupportedError(
                f"parameter `{name}` is {_plain(value.dtype)}; supported: float32, float64 (`module.float()` converts)"
            )
    for name, parameter in module.named_parameters():
        check_finite(parameter, f"parameter `{name}`")


def check_finite(value: Tensor, what: str) -> None:
    """Refuse NaN and infinite values, naming what holds them and how many there are."""
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        bad, total = int((~torch.isfinite(value)).sum()), value.numel()
        raise InputError(f"{what} holds {bad} NaN or infinite values of {total}; expected finite weights")


def check_example(module: nn.Module, example: Tensor) -> None:
    """The example is a float batch of the parameters' own type and device."""
    if example.dtype not in FLOATS:
        raise UnsupportedError(f"`example` is {_plain(example.dtype)}; supported inputs: float32, float64")
    if example.ndim == 0:
        raise InputError("`example` has no axis; expected (batch, *input)")
    if 0 in example.shape[1:]:
        raise InputError(f"`example` has shape {tuple(example.shape)}: an axis of length 0; expected (batch, *input)")
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != example.dtype:
            raise InputError(
                f"`example` is {_plain(example.dtype)} but parameter `{name}` is {_plain(parameter.dtype)}; "
                f"convert one of them (`module.to(torch.{_plain(example.dtype)})`)"
            )
        if parameter.device != example.device:
            raise InputError(f"`example` is on {example.device} but parameter `{name}` is on {parameter.device}")


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule's own training flag and the random state are back."""
    flags = [(m, m.training) for m in module.modules()]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        try:
            for m, _ in flags:
                m.training = False
            yield
        finally:
            for m, flag in flags:
                m.training = flag


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter: its warnings, its log lines and what it prints when it fails (the exception says all)."""
    loggers = [v for k, v in logging.root.manager.loggerDict.items() if f"{k}.".startswith("torch.")]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        before = [(h, h.level) for logger in loggers if isinstance(logger, logging.Logger) for h in logger.handlers]
        try:
            for handler, _ in before:
                handler.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for handler, level in before:
                handler.setLevel(level)


def _check_signature(module: nn.Module) -> None:
    inputs = list(inspect.signature(module.forward).parameters.values())
    positional = [p for p in inputs if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is p.empty]
    required += [p.name for p in inputs if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    takes_one = positional or any(p.kind is p.VAR_POSITIONAL for p in inputs)
    if len(required) > 1 or not takes_one:
        listed = f" ({', '.join(required)})" if required else ""
        raise UnsupportedError(f"`network` takes {len(required)} inputs{listed}; supported: one tensor (batch, *input)")


def _explained(error: Exception, example: Tensor) -> InputError:
    """The exporter's exception as one line of ours, with the user's own line where it can be told."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    first = first.split(" For more information")[0]
    at = user_line_of_error(error)
    if "data-dependent" in first:
        return UnsupportedError(f"`network` decides by its data{at}: {first}; supported: one flow for every input")
    if "Constraints violated" in first or "specialized" in str(error) or "*s" in first:
        return UnsupportedError(f"`network` hard-codes its batch size{at}: {first}; write -1 or x.shape[0] instead")
    shape = ", ".join(["batch", *map(str, example.shape[1:])])
    return InputError(f"`network` cannot be read on inputs of shape ({shape}){at}: {type(error).__name__}: {first}")


def _check_batch_range(program: ExportedProgram) -> None:
    for symbol, allowed in program.range_constraints.items():
        if str(symbol).startswith("s") and (allowed.lower > TRACED or "oo" not in str(allowed.upper)):
            raise UnsupportedError(
                f"`network` decides by its batch size (this branch takes {allowed.lower} to {allowed.upper} examples); "
                "supported: the same computation for every batch size"
            )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
