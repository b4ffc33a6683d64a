"""Limits of detection."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class Censored(Measurement):
    """Whatever lies below a limit of detection is recorded as the limit: one end of a column is a heap of equal values.

    Source: the tobit model, Tobin 1958, "Estimation of relationships for limited dependent variables". Differs: either
    end of a column may be cut.
    """

    name = "censored"

    limit: Draw = attrs.field(default=Draw(low=-1.5, high=0.5), validator=within(-10.0, 10.0))
    """The limit, of each column's own, in standard deviations from the mean of the variable."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        limit = self.limit.sample((tasks, 1, variables), rng)
        sign = torch.rand(tasks, 1, variables, generator=rng, device=values.device).sub(0.5).sign()
        return (values * sign).maximum(limit) * sign
