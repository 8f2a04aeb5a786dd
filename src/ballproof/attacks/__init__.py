"""Searches for counterexamples: `attack`, `run_attack`, and the attacks `PGD`, `BIM`, `FGSM` with their settings."""

from ballproof.attacks.face import attack, run_attack
from ballproof.attacks.pgd import BIM, FGSM, PGD
from ballproof.attacks.recheck import recheck
from ballproof.attacks.registry import ATTACKS, Attack, named_attack
from ballproof.attacks.result import AttackResult

__all__ = ["ATTACKS", "BIM", "FGSM", "PGD", "Attack", "AttackResult", "attack", "named_attack", "recheck", "run_attack"]
