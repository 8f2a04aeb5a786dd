"""The attacks by name: `named_attack("pgd", steps=100)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Protocol

from ballproof.attacks.apgd import APGD
from ballproof.attacks.asking import Network
from ballproof.attacks.auto import Auto
from ballproof.attacks.goal import Target
from ballproof.attacks.libraries import CW, DDN, FAB, Square
from ballproof.attacks.pgd import BIM, FGSM, PGD
from ballproof.attacks.result import AttackResult
from ballproof.attacks.saliency import Saliency
from ballproof.attacks.sparse_rs import SparseRS
from ballproof.errors import InputError
from ballproof.problems import Region


class Attack(Protocol):
    """A pure call: the same arguments give the same result; nothing is remembered, nothing outside is changed."""

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult: ...


ATTACKS: Mapping[str, Callable[..., Attack]] = MappingProxyType(
    {
        "pgd": PGD,
        "bim": BIM,
        "fgsm": FGSM,
        "apgd": APGD,
        "auto": Auto,
        "saliency": Saliency,
        "sparse-rs": SparseRS,
        "fab": FAB,
        "square": Square,
        "cw": CW,
        "ddn": DDN,
    }
)


def named_attack(name: str, **settings: Any) -> Attack:
    """The attack `name` with these settings; `InputError` names an unknown attack or setting and the nearest one."""
    if name not in ATTACKS:
        raise InputError(f"unknown attack `{name}`{_hint(name, ATTACKS)}; the attacks are: {', '.join(ATTACKS)}")
    known = inspect.signature(ATTACKS[name]).parameters
    for setting in settings:
        if setting not in known:
            takes = ", ".join(known)
            raise InputError(f"`{name}` has no setting `{setting}`{_hint(setting, known)}; it takes: {takes}")
    return ATTACKS[name](**settings)


def _hint(word: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
