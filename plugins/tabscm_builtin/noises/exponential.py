"""Exponential noise."""

import attrs
import torch
from torch import Tensor

from tabscm import Noise


@attrs.frozen
class Exponential(Noise):
    """Exponential noise: a hard lower end, a long upper tail, skewness 2 (mean and deviation as for all noise).

    Source: this project.
    """

    name = "exponential"

    mirrored: bool = False
    """The long tail points down instead of up."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        uniform = torch.rand(shape, generator=rng, device=rng.device)  # in [0, 1)
        upwards = -torch.log1p(-uniform) - 1.0
        return -upwards if self.mirrored else upwards
