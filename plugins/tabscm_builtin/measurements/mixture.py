"""Several kinds of column within one table."""

import attrs
import torch
from attrs.validators import min_len
from torch import Tensor

from tabscm import Measurement, Weighted, constant_shares, pick


@attrs.frozen
class Mixture(Measurement):
    """Each column of a table draws its own measurement, by weight: numbers, counts and levels side by side.

    Source: this project.
    """

    name = "mixture"

    of: tuple[Weighted[Measurement], ...] = attrs.field(validator=[min_len(1), constant_shares])
    """The measurements, with constant weights."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        choice = pick(self.of, (tasks, 1, variables), rng)  # [B, 1, D]
        recorded = values
        for index, part in enumerate(self.of):
            # all columns are recorded in every way: what is common to a row stays so
            recorded = torch.where(choice == index, part.component.record(values, rng), recorded)
        return recorded
