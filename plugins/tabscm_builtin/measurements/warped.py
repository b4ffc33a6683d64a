"""Scales that bend."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class Warped(Measurement):
    """Readings that saturate or exaggerate: sign(x) |x|^p, of a power p and around a centre of each column's own.

    It rises everywhere: below 1 the ends of the scale are pressed together, above 1 they are drawn out.

    Source: this project.
    """

    name = "warped"

    power: Draw = attrs.field(default=Draw(low=0.4, high=2.5, scale="log"), validator=within(0.01, 5.0))
    """p."""
    centre: Draw = Draw(low=-1.5, high=1.5)
    """Where the scale bends, in standard deviations of the variable."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        power, centre = (draw.sample((tasks, 1, variables), rng) for draw in (self.power, self.centre))
        shifted = values - centre
        return shifted.sign() * shifted.abs().pow(power)
