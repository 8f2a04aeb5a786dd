"""HiGHS behind one door: a program goes in once, costs follow, proven minima come out."""

from __future__ import annotations

import highspy
import numpy as np

from ballproof.bounds.program import Array, Program
from ballproof.errors import BallproofError, SoundnessError

IMPOSSIBLE = {
    highspy.HighsModelStatus.kInfeasible: "the region is empty, or an interval is wrong",
    highspy.HighsModelStatus.kUnbounded: "every variable is bounded, so this is a bug",
    highspy.HighsModelStatus.kUnboundedOrInfeasible: "the region is empty, or an interval is wrong",
}
"""What no sound program ends with. Any other status but the optimum is the solver's failure and proves nothing."""


class Solver:
    """One model; each query changes the cost and starts from the basis of the last one."""

    def __init__(self, program: Program) -> None:
        self.matrix = program.matrix()
        self.transposed = self.matrix.T.tocsr()
        self.lower, self.upper = program.column_ends()
        self.low, self.high = program.row_ends()
        self.highs = self._model()

    def _model(self) -> highspy.Highs:
        model, columns = highspy.HighsLp(), self.matrix.tocsc()
        model.num_row_, model.num_col_ = self.matrix.shape
        model.col_cost_ = np.zeros(len(self.lower))
        model.col_lower_, model.col_upper_ = self.lower, self.upper
        model.row_lower_, model.row_upper_ = self.low, self.high
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_, model.a_matrix_.index_ = columns.indptr, columns.indices
        model.a_matrix_.value_ = columns.data
        highs = highspy.Highs()
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("threads", 1)
        if highs.passModel(model) == highspy.HighsStatus.kError:
            raise BallproofError("HiGHS refuses the linear program; are the weights and the inputs of a moderate size?")
        return highs

    def minimum(self, cost: Array) -> float:
        """A proven lower bound of `cost · v` over the program: its optimum, but for rounding and tolerances."""
        self.highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
        self.highs.run()
        status = self.highs.getModelStatus()
        if status in IMPOSSIBLE:
            raise SoundnessError(f"the linear program ended as `{self._words(status)}`: {IMPOSSIBLE[status]}")
        if status != highspy.HighsModelStatus.kOptimal:
            raise BallproofError(f"HiGHS ended as `{self._words(status)}`, expected `Optimal`: nothing is proven")
        return self.dual_value(cost, np.asarray(self.highs.getSolution().row_dual))

    def _words(self, status: highspy.HighsModelStatus) -> str:
        return str(self.highs.modelStatusToString(status))

    def dual_value(self, cost: Array, multipliers: Array) -> float:
        """The lower bound that any row multipliers prove by weak duality; all variables are bounded, so it is finite.

        c·v = y·(A v) + (c - A'y)·v, and each part is at least its value at the worse end of its rows and columns.
        A multiplier that asks for an end that its row does not have is dropped.
        """
        ends = np.where(multipliers > 0, self.low, self.high)
        usable = np.isfinite(ends) & (multipliers != 0)
        multipliers, ends = np.where(usable, multipliers, 0.0), np.where(usable, ends, 0.0)
        reduced = cost - self.transposed @ multipliers
        corners = np.where(reduced > 0, self.lower, self.upper)
        return float(ends @ multipliers + reduced @ corners)
