"""Hard interventions."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Intervention, Rule, within


@attrs.frozen
class Do(Intervention):
    """Hard interventions do(X_i = value), each on one variable, mixed with observational rows.

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
    offset: Draw = attrs.field(default=Draw.constant(2.0), validator=within(0.0))
    """Standard deviation of the offset, over variables."""
    spread: Draw = attrs.field(default=Draw(choices=(0.0, 1.5)), validator=within(0.0))
    """Standard deviation over the rows that set one variable; at 0 all of them set the same value."""

    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        device = rng.device
        interventional = torch.rand(tasks, rows, generator=rng, device=device) < self.rows.sample((tasks, 1), rng)
        count = (self.targets.sample((tasks, 1), rng) * variables).ceil().clamp(min=1)
        shuffled = torch.rand(tasks, variables, generator=rng, device=device).argsort(1)
        # only the first `count` of the shuffled variables are ever set
        pick = (torch.rand(tasks, rows, generator=rng, device=device) * count).long().clamp_(max=variables - 1)
        target = shuffled.gather(1, pick)  # [B, N]
        cells = torch.zeros(tasks, rows, variables, dtype=torch.bool, device=device)
        cells.scatter_(2, target[:, :, None], interventional[:, :, None])

        offset = torch.randn(tasks, variables, generator=rng, device=device) * self.offset.sample((tasks, 1), rng)
        # one number per row is enough, for a row sets one variable only
        spread = torch.randn(tasks, rows, generator=rng, device=device) * self.spread.sample((tasks, 1), rng)

        def rule(values: Tensor, task: Tensor, variable: Tensor) -> Tensor:
            largest = values.abs().amax(1, keepdim=True).clamp(min=1e-30)
            scaled = values / largest  # the square of a large float32 overflows
            mean = scaled.mean(1, keepdim=True)
            deviation = (scaled - mean).square().mean(1, keepdim=True).sqrt()
            return (mean + deviation * (offset[task, variable][:, None] + spread[task])) * largest

        return cells, rule
