"""Counts."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Measurement, within

LARGEST = 1e5
"""Largest expected count."""


@attrs.frozen
class Counts(Measurement):
    """Counts, as in sequencing: Poisson with mean s exp(a + g x), where s is common to a row, and some read as 0.

    The size s of a row is how much of it was sampled (library size, effort): it moves all columns together without any
    of them causing another. A count of mean m is lost, and read as 0, with probability k / (k + m): the smaller, the
    likelier.

    Source: the technical noise of SERGIO, Dibaeinia and Sinha 2020 (library size, dropout, Poisson). Differs: dropout
    is logistic in the logarithm of the mean with slope 1; no outlier genes.
    """

    name = "counts"

    gain: Draw = attrs.field(default=Draw(low=0.3, high=1.2), validator=within(0.0))
    """g, of each column's own."""
    mean: Draw = attrs.field(default=Draw(low=0.5, high=50.0, scale="log"), validator=within(1e-3, 1e4))
    """e^a, of each column's own: the mean count of a value at its own mean."""
    size: Draw = attrs.field(default=Draw(choices=(0.0, 0.0, 0.2, 0.5)), validator=within(0.0, 2.0))
    """Standard deviation of log s over the rows of a table."""
    detection: Draw = attrs.field(default=Draw(choices=(0.0, 0.0, 0.3, 1.0, 3.0)), validator=within(0.0))
    """k, of a table: the mean count of which half are lost; 0 loses nothing."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, rows, variables = values.shape
        gain, mean = (draw.sample((tasks, 1, variables), rng) for draw in (self.gain, self.mean))
        size = self.size.sample((tasks, 1, 1), rng) * torch.randn(tasks, rows, 1, generator=rng, device=values.device)
        expected = (gain * values + mean.log() + size).exp().clamp(max=LARGEST)
        detected = expected / (expected + self.detection.sample((tasks, 1, 1), rng))
        kept = torch.rand(values.shape, generator=rng, device=values.device) < detected
        return torch.poisson(expected, generator=rng) * kept
