"""Regions, properties, and problems: what the adversary may do, and what must hold all the same."""

from ballproof.problems.ball import ball
from ballproof.problems.box import Box
from ballproof.problems.l0 import L0
from ballproof.problems.l1 import L1
from ballproof.problems.l2 import L2
from ballproof.problems.label import Label, classified_as
from ballproof.problems.linf import Linf
from ballproof.problems.problem import Problem
from ballproof.problems.property import Property, linear_constraints
from ballproof.problems.region import Region

__all__ = [
    "L0",
    "L1",
    "L2",
    "Box",
    "Label",
    "Linf",
    "Problem",
    "Property",
    "Region",
    "ball",
    "classified_as",
    "linear_constraints",
]
