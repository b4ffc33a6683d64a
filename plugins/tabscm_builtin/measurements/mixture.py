"""Several kinds of column within one table."""

from itertools import accumulate

import attrs
import torch
from attrs.validators import min_len
from torch import Tensor

from tabscm import Measurement, Ramp, Weighted


@attrs.frozen
class Mixture(Measurement):
    """Each column of a table draws its own measurement, by weight: numbers, counts and levels side by side.

    Source: this project.
    """

    name = "mixture"

    of: tuple[Weighted[Measurement], ...] = attrs.field(validator=min_len(1))
    """The measurements, with constant weights."""

    def __attrs_post_init__(self) -> None:
        for part in self.of:
            if part.weight != Ramp.constant(part.weight.start):
                raise ValueError(f"the weight of {part.component.name} must be one number: a mixture knows no steps")
            if part.weight.start < 0:
                raise ValueError(f"the weight of {part.component.name} must be at least 0, found {part.weight.start}")
        if not sum(part.weight.start for part in self.of) > 0:
            raise ValueError("needs at least one weight above 0")

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        ends = list(accumulate(part.weight.start for part in self.of))
        borders = torch.tensor(ends[:-1], device=values.device) / ends[-1]
        drawn = torch.rand(tasks, 1, variables, generator=rng, device=values.device)
        choice = torch.bucketize(drawn, borders, right=True)  # [B, 1, D]
        recorded = values
        for index, part in enumerate(self.of):
            # all columns are recorded in every way: what is common to a row stays so
            recorded = torch.where(choice == index, part.component.record(values, rng), recorded)
        return recorded
