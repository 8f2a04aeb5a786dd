"""Searches for counterexamples: `attack`, `run_attack`, and the attacks with their settings; every point is asked again."""

from ballproof.attacks.apgd import APGD
from ballproof.attacks.auto import Auto
from ballproof.attacks.borrowed import AsModule, Foreign
from ballproof.attacks.face import attack, run_attack
from ballproof.attacks.fickle import Mean
from ballproof.attacks.goal import Towards
from ballproof.attacks.libraries import CW, DDN, FAB, Square
from ballproof.attacks.pgd import BIM, FGSM, PGD
from ballproof.attacks.recheck import recheck
from ballproof.attacks.registry import ATTACKS, Attack, named_attack
from ballproof.attacks.result import AttackResult
from ballproof.attacks.saliency import Saliency
from ballproof.attacks.sparse_rs import SparseRS

__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "CW",
    "DDN",
    "FAB",
    "FGSM",
    "PGD",
    "AsModule",
    "Attack",
    "AttackResult",
    "Auto",
    "Foreign",
    "Mean",
    "Saliency",
    "SparseRS",
    "Square",
    "Towards",
    "attack",
    "named_attack",
    "recheck",
    "run_attack",
]
