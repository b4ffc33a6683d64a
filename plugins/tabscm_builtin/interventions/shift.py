"""Soft interventions."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Intervention, Rule, within
from tabscm_builtin.interventions._common import choose_cells, draw_amounts, natural_scale


@attrs.frozen
class Shift(Intervention):
    """Soft interventions: a variable still follows its parents and its noise, and something is added to it.

    What is added is, in units of the variable's natural standard deviation, an offset of its own in this table plus a
    spread of each row's own.

    Source: shift interventions as in Rothenhäusler et al. 2015, "backShift", arXiv:1506.02494. Differs: by default
    one variable at a time, and part of the shift is the same in all rows.
    """

    name = "shift"

    rows: Draw = attrs.field(default=Draw(low=0.0, high=0.8), validator=within(0.0, 1.0))
    """Share of a table's rows that are interventional."""
    targets: Draw = attrs.field(default=Draw(low=0.2, high=1.0), validator=within(0.0, 1.0))
    """Share of a table's variables that are ever shifted; always at least one."""
    at_once: Draw = attrs.field(default=Draw.constant(1.0), validator=within(1.0))
    """Variables that one interventional row shifts, drawn for every row and rounded; no more than are ever shifted."""
    offset: Draw = attrs.field(default=Draw.constant(2.0), validator=within(0.0))
    """Standard deviation of the offset, over variables."""
    spread: Draw = attrs.field(default=Draw(choices=(0.0, 1.5)), validator=within(0.0))
    """Standard deviation over the rows that shift one variable; at 0 all of them are shifted by the same amount."""

    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        shape = (tasks, rows, variables)
        cells = choose_cells(self.rows, self.targets, self.at_once, shape, rng)
        amounts = draw_amounts(self.offset, self.spread, self.at_once, shape, rng)

        def rule(values: Tensor, task: Tensor, variable: Tensor) -> Tensor:
            _, deviation, largest = natural_scale(values)
            return values + deviation * amounts(task, variable) * largest

        return cells, rule
