"""Where the semidefinite relaxation starts from: the triangle linear program, which is its part with linear forms alone."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ballproof.bounds.program import Array, Program
from ballproof.bounds.sdp_forms import Forms
from ballproof.bounds.sdp_proof import Multipliers
from ballproof.bounds.solver import Solver


class Start:
    """One linear program for all queries of a relaxation: w in [-1, 1], and the forms that are multiplied by 1."""

    def __init__(self, forms: Forms) -> None:
        self.forms = forms
        self.linear = np.flatnonzero(forms.left == 0)
        self.rows = forms.rows[forms.right[self.linear]]
        program = Program()
        ends = np.ones(forms.size - 1)
        program.count, program.lower, program.upper = len(ends), [-ends], [ends]
        program.at_least(sparse.csr_matrix(self.rows[:, 1:]), -self.rows[:, 0])
        self.solver = Solver(program)

    def minimum(self, cost: Array) -> tuple[float, Multipliers]:
        """A proven lower value of the linear program, and multipliers that prove the same for the semidefinite one.

        With the row q = cost - multipliers · forms left, q·(1, w) >= q_0 - sum |q_i|. The matrix of that row alone with
        |q_i| / 2 on its diagonal, and their sum - q_0 in the corner, is semidefinite, and it proves this very number.
        """
        value = self.solver.minimum(cost[1:]) + cost[0]
        products = np.zeros(len(self.forms.left))
        products[self.linear] = np.maximum(self.solver.highs.getSolution().row_dual, 0)
        left = cost - products[self.linear] @ self.rows
        diagonal = np.abs(left) / 2
        diagonal[0] = diagonal[1:].sum() - left[0]
        return value, Multipliers(diagonal, products)
