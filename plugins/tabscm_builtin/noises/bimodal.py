"""Two peaks."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Noise, within


@attrs.frozen
class Bimodal(Noise):
    """A mixture of two normal distributions of equal deviation: two peaks, as of a hidden switch.

    (z + d (b - p)) / sqrt(1 + d^2 p (1 - p)), with z normal and b 1 with chance p, else 0. One d and one p are drawn
    for each line along the last axis (the rows of one variable).

    Source: this project.
    """

    name = "bimodal"

    separation: Draw = attrs.field(default=Draw(low=2.5, high=6.0), validator=within(0.0))
    """d: distance between the peaks, in deviations of one of them; at 2 and below, equal peaks merge into one."""
    upper: Draw = attrs.field(default=Draw(low=0.3, high=0.7), validator=within(0.0, 1.0))
    """p: share of the values that belong to the upper peak."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        line = (*shape[:-1], 1) if shape else ()
        d, p = self.separation.sample(line, rng), self.upper.sample(line, rng)
        normal = torch.randn(shape, generator=rng, device=rng.device)
        switch = (torch.rand(shape, generator=rng, device=rng.device) < p).float()
        return (normal + d * (switch - p)) * (1.0 + d.square() * p * (1.0 - p)).rsqrt()
