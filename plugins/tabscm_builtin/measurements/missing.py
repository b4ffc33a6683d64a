"""Cells that were lost."""

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class Missing(Measurement):
    """Some cells are lost, in some tables at random and in others the likelier the larger their value is.

    Source: missing completely at random and missing not at random, Rubin 1976, "Inference and missing data".
    """

    name = "missing"

    share: Draw = attrs.field(default=Draw(low=0.01, high=0.15), validator=within(0.0, 0.5))
    """Share of the cells of a table that are lost, about."""
    by_value: float = attrs.field(default=0.3, validator=[ge(0), le(1)])
    """Share of the tables in which the value of a cell decides with chance whether it is lost."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks = len(values)
        share = self.share.sample((tasks, 1, 1), rng)
        follows = torch.rand(tasks, 1, 1, generator=rng, device=values.device) < self.by_value
        # 2 sigmoid(2 x) has mean 1 over a symmetric column
        chance = torch.where(follows, share * 2 * torch.sigmoid(2 * values), share)
        lost = torch.rand(values.shape, generator=rng, device=values.device) < chance
        return values.masked_fill(lost, torch.nan)
