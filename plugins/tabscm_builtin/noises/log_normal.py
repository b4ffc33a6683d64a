"""Log-normal noise."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Noise, within


@attrs.frozen
class LogNormal(Noise):
    """Log-normal noise: what many small factors leave, a long tail on one side (mean and deviation as for all noise).

    One sigma is drawn for each line along the last axis (the rows of one variable).

    Source: this project.
    """

    name = "log-normal"

    sigma: Draw = attrs.field(default=Draw(low=0.3, high=0.9), validator=within(0.01, 1.0))
    """Standard deviation of the logarithm: at 0.3 a slight skew, at 0.9 a tail as long as that of counts."""
    mirrored: bool = False
    """The long tail points down instead of up."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        sigma = self.sigma.sample((*shape[:-1], 1) if shape else (), rng)
        values = torch.exp(sigma * torch.randn(shape, generator=rng, device=rng.device))
        square = sigma.square()
        upwards = (values - torch.exp(square / 2)) / (torch.expm1(square) * square.exp()).sqrt()
        return -upwards if self.mirrored else upwards
