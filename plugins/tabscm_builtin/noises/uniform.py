"""Uniform noise."""

import math

import attrs
import torch
from torch import Tensor

from tabscm import Noise


@attrs.frozen
class Uniform(Noise):
    """Uniform noise: lighter tails than a normal.

    Source: this project.
    """

    name = "uniform"

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=rng, device=rng.device).sub_(0.5).mul_(math.sqrt(12.0))
