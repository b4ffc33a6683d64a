"""Positive, heavy-tailed readings."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within

REACH = 8.0
"""Largest exponent."""


@attrs.frozen
class Positive(Measurement):
    """Readings on a scale of ratios, exp(g x): positive and skewed, as concentrations and intensities are.

    Source: this project.
    """

    name = "positive"

    gain: Draw = attrs.field(default=Draw(low=0.3, high=1.5), validator=within(0.0))
    """g, of each column's own: standard deviation of the logarithm of a reading."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        gain = self.gain.sample((tasks, 1, variables), rng)
        return (gain * values).clamp(-REACH, REACH).exp()
