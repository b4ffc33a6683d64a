"""Readings off a coarse scale."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class Rounded(Measurement):
    """Values are rounded to the marks of a scale, of a fineness of each column's own.

    Source: this project.
    """

    name = "rounded"

    marks: Draw = attrs.field(default=Draw(low=0.7, high=10.0, scale="log"), validator=within(0.01))
    """Marks within one standard deviation of the variable."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        marks = self.marks.sample((tasks, 1, variables), rng)
        offset = torch.rand(tasks, 1, variables, generator=rng, device=values.device)
        return torch.round(values * marks + offset)
