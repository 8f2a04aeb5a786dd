"""Searches for counterexamples: `attack`, `run_attack`, and the attacks `PGD`, `BIM`, `FGSM` with their settings."""

import sys
from types import ModuleType
from typing import Any

from ballproof.attack.face import attack, run_attack
from ballproof.attack.pgd import BIM, FGSM, PGD
from ballproof.attack.recheck import recheck
from ballproof.attack.registry import ATTACKS, Attack, named_attack
from ballproof.attack.result import AttackResult

__all__ = ["ATTACKS", "BIM", "FGSM", "PGD", "Attack", "AttackResult", "attack", "named_attack", "recheck", "run_attack"]


class _CallableRoom(ModuleType):
    """Importing this room binds its name on `ballproof` over the function `attack`; so the room answers as it does."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return attack(*args, **settings)


sys.modules[__name__].__class__ = _CallableRoom
