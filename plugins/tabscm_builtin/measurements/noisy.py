"""Measurement error."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class Noisy(Measurement):
    """An error is added that nothing else depends on: normal, of a size of each column's own.

    Source: classical measurement error, e.g. Zhang et al. 2018, "Causal discovery with linear non-Gaussian models under
    measurement error", eq. 1.
    """

    name = "noisy"

    size: Draw = attrs.field(default=Draw(low=0.05, high=0.7), validator=within(0.0))
    """Standard deviation of the error, in standard deviations of the variable."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        error = torch.randn(values.shape, generator=rng, device=values.device)
        return values + self.size.sample((tasks, 1, variables), rng) * error
