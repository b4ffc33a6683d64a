"""Double exponential noise."""

import math

import attrs
import torch
from torch import Tensor

from tabscm import Noise


@attrs.frozen
class Laplace(Noise):
    """Double exponential noise: heavier tails than a normal.

    Source: this project.
    """

    name = "laplace"

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        uniform = torch.rand(shape, generator=rng, device=rng.device).mul_(2.0).sub_(1.0)  # in [-1, 1)
        # at -1 itself the quantile is infinite; 2^-23 is the spacing of float32 there
        size = uniform.abs().clamp_(max=1.0 - 2.0**-23).neg_().log1p_().mul_(-math.sqrt(0.5))
        return size.copysign_(uniform)
