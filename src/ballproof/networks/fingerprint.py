"""`Fingerprint`: what a graph of a module was made from, but for the values of its tensors and the training flags."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_PLAIN = (int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device)
_TENSORS_AND_HOOKS = {"_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"}
_IGNORED = set(nn.Module().__dict__) - _TENSORS_AND_HOOKS


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Layers, their classes, settings, hooks and tensor objects (with type, shape and device), held weakly."""

    facts: tuple[object, ...]

    @staticmethod
    def of(module: nn.Module) -> Fingerprint:
        return Fingerprint(tuple(_facts(module)))

    def same(self, other: Fingerprint) -> bool:
        """Nothing but tensor values and training flags differs. An object that has died is never the same."""
        if len(self.facts) != len(other.facts):
            return False
        return all(a is b or _equal(a, b) for a, b in zip(self.facts, other.facts, strict=True))


def _facts(module: nn.Module) -> list[object]:
    found: list[object] = []
    for m in module.modules():
        found += (type(m), type(m).forward)
        for name, value in m.__dict__.items():
            if name not in _IGNORED:
                found.append(name)
                _add(value, found)
    return found


def _add(value: object, found: list[object]) -> None:
    """Called some hundred times for every question about a module, hence no generators."""
    if isinstance(value, _PLAIN):
        found.append(value)
    elif isinstance(value, Tensor):
        found += (_weak(value), value.dtype, value.device, value.shape)
    elif isinstance(value, dict):
        found.append(len(value))
        for key, item in value.items():
            _add(key, found)
            _add(item, found)
    elif isinstance(value, list | tuple | set | frozenset):
        found.append(len(value))
        for item in value:
            _add(item, found)
    else:
        found.append(_weak(value))


def _weak(value: object) -> object:
    """An object has one weak reference as long as it lives, so identity of these is identity of the objects."""
    try:
        return weakref.ref(value)
    except TypeError:
        return value


def _equal(a: object, b: object) -> bool:
    return type(a) is type(b) and isinstance(a, (*_PLAIN, torch.Size)) and a == b
