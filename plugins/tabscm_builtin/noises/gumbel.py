"""Extreme-value noise."""

import math

import attrs
import torch
from torch import Tensor

from tabscm import Noise

EULER = 0.5772156649015329
"""The Euler-Mascheroni constant: the mean of a standard Gumbel variable."""


@attrs.frozen
class Gumbel(Noise):
    """Gumbel noise, as of the largest of many: mildly skewed, with an exponential tail on one side only.

    (-log E - 0.577) sqrt(6) / pi with E exponential; skewness 1.14.

    Source: this project.
    """

    name = "gumbel"

    mirrored: bool = False
    """The longer tail points down (the smallest of many) instead of up."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        uniform = torch.rand(shape, generator=rng, device=rng.device)  # in [0, 1), steps of 2^-24
        exponential = -torch.log1p(-uniform)
        # at 0 itself the logarithm is infinite; half a step stands for the values that were rounded to it
        upwards = (-torch.log(exponential.clamp(min=2.0**-25)) - EULER) * (math.sqrt(6.0) / math.pi)
        return -upwards if self.mirrored else upwards
