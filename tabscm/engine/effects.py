"""What each variable does to the others, measured: the same functions on rows in which it is set.

Letters: B tasks, D variables, N rows, G nodes, R rows of each probe.
"""

import attrs
import torch
from torch import Tensor

from tabscm.engine.standardise import location_scale

ROWS = 16
"""Most rows on which one effect is measured. Both probes of a variable have the same noise, so that few are enough."""


@attrs.frozen
class Probes:
    """Rows behind those of a table: for each variable R with it at its mean, and R with it one deviation higher.

    Args:
        rows: N, of the table itself.
        variables: D.
        asked: False adds no rows and measures nothing.
    """

    rows: int
    variables: int
    asked: bool = True

    @property
    def each(self) -> int:
        """R."""
        return min(ROWS, self.rows) if self.asked else 0

    def extend(self, noise: Tensor) -> Tensor:
        """The noise of the table [B, D, N] and, behind it, of the probes: [B, D, N + 2 D R]."""
        return torch.cat([noise, noise[:, :, : self.each].repeat(1, 1, 2 * self.variables)], -1)

    def set(self, values: Tensor, variable: Tensor) -> Tensor:
        """Set each node in its own two probes.

        Args:
            values: [G, N + 2 D R].
            variable: [G] int64, which variable each node is.
        """
        mean, deviation = location_scale(values[:, : self.rows])
        lower = self.rows + self.each * variable[:, None] + torch.arange(self.each, device=values.device)  # [G, R]
        upper = lower + self.each * self.variables
        values = values.scatter(1, lower, mean.expand_as(lower))
        return values.scatter(1, upper, (mean + deviation).expand_as(upper))

    def effects(self, values: Tensor) -> Tensor | None:
        """What `Truth.effects` says, [B, D, D], from the values [B, D, N + 2 D R]."""
        if not self.asked:
            return None
        tasks, variables, _ = values.shape
        _, deviation = location_scale(values[:, :, : self.rows])
        unit = torch.where(deviation > 0, deviation, torch.inf)  # nothing moves a constant
        probes = (values[:, :, self.rows :] / unit).view(tasks, variables, 2, variables, self.each)
        means = probes.mean(-1)  # [B, D, 2, D]
        return torch.transpose(means[:, :, 1] - means[:, :, 0], 1, 2)
