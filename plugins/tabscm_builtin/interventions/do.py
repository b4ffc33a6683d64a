"""Hard interventions."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Intervention, Rule, within
from tabscm_builtin.interventions._common import choose_cells, draw_amounts, natural_scale


@attrs.frozen
class Do(Intervention):
    """Hard interventions do(X_i = value), each on one variable or a few, mixed with observational rows.

    The value is the variable's natural mean plus, in units of its natural standard deviation, an offset of its own in
    this table and a spread of each row's own.

    Source: the first of this project's streams. Differs: what a variable is set to follows that variable's scale, so
    that the value alone does not give the intervention away.
    """

    name = "do"

    rows: Draw = attrs.field(default=Draw(low=0.0, high=0.8), validator=within(0.0, 1.0))
    """Share of a table's rows that are interventional."""
    targets: Draw = attrs.field(default=Draw(low=0.2, high=1.0), validator=within(0.0, 1.0))
    """Share of a table's variables that are ever set; always at least one."""
    at_once: Draw = attrs.field(default=Draw.constant(1.0), validator=within(1.0))
    """Variables that one interventional row sets, drawn for every row and rounded; no more than are ever set."""
    offset: Draw = attrs.field(default=Draw.constant(2.0), validator=within(0.0))
    """Standard deviation of the offset, over variables."""
    spread: Draw = attrs.field(default=Draw(choices=(0.0, 1.5)), validator=within(0.0))
    """Standard deviation over the rows that set one variable; at 0 all of them set the same value."""

    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        shape = (tasks, rows, variables)
        cells = choose_cells(self.rows, self.targets, self.at_once, shape, rng)
        amounts = draw_amounts(self.offset, self.spread, self.at_once, shape, rng)

        def rule(values: Tensor, task: Tensor, variable: Tensor) -> Tensor:
            mean, deviation, largest = natural_scale(values)
            return (mean + deviation * amounts(task, variable)) * largest

        return cells, rule
