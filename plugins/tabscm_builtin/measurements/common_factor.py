"""What moves all readings of a row together."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class CommonFactor(Measurement):
    """Something of a row moves all its readings together, more or less: x + s l f, where f is normal, one for a row.

    The size of a cell and how well it took the stain, the exposure of a plate, how a person uses a scale: columns
    correlate that have nothing to do with one another, and none causes it.

    Source: the single-factor model, Spearman 1904, doi:10.2307/1412107. Differs: added to variables that cause one
    another.
    """

    name = "common-factor"

    size: Draw = attrs.field(default=Draw(low=0.15, high=1.0, scale="log"), validator=within(0.0))
    """s, of a table, in standard deviations of the variables: how far a full loading moves a reading."""
    loading: Draw = attrs.field(default=Draw(low=0.3, high=1.0), validator=within(-1.0, 1.0))
    """l, of each column's own."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, rows, variables = values.shape
        size = self.size.sample((tasks, 1, 1), rng)
        loading = self.loading.sample((tasks, 1, variables), rng)
        return values + size * loading * torch.randn(tasks, rows, 1, generator=rng, device=values.device)
