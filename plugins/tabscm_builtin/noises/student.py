"""Heavy tails."""

import math

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Noise, within


@attrs.frozen
class Student(Noise):
    """Student's t: heavy tails on both sides, now and then a value far from all others; scaled to deviation 1.

    sqrt(freedom - 2) sqrt(u^(-2 / freedom) - 1) cos(2 pi v), with u and v uniform, is a t variable in units of its
    deviation. One freedom is drawn for each line along the last axis (the rows of one variable).

    Source: Bailey 1994, "Polar generation of random variates with the t-distribution", Math. Comp. 62, 779-781.
    """

    name = "student"

    # below 4 the deviation of a sample says little of the deviation of the distribution, and a table that is
    # standardised by it shows one outlier and a flat line
    freedom: Draw = attrs.field(default=Draw(low=4.0, high=10.0), validator=within(4.0))
    """Degrees of freedom: at 4 the tails are so heavy that the fourth moment is infinite, above 30 nearly normal."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        freedom = self.freedom.sample((*shape[:-1], 1) if shape else (), rng)
        u = 1.0 - torch.rand(shape, generator=rng, device=rng.device)  # in (0, 1]
        angle = 2.0 * math.pi * torch.rand(shape, generator=rng, device=rng.device)
        return torch.sqrt((freedom - 2.0) * torch.expm1(torch.log(u) * (-2.0 / freedom))) * torch.cos(angle)
