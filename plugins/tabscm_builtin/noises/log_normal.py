"""Log-normal noise."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Noise, within


@attrs.frozen
class LogNormal(Noise):
    """Log-normal noise: what many small factors give; a hard lower end and a long upper tail.

    (exp(sigma z - sigma^2 / 2) - 1) / sqrt(exp(sigma^2) - 1) with z normal. One sigma is drawn for each line along the
    last axis (the rows of one variable).

    Source: this project.
    """

    name = "log-normal"

    # above 1 the deviation of a sample says little of the deviation of the distribution
    sigma: Draw = attrs.field(default=Draw(low=0.3, high=0.8), validator=within(0.01, 1.0))
    """Deviation of the logarithm: near 0 the noise is normal, its skewness is 0.95 at 0.3, 3.7 at 0.8 and 6.2 at 1."""
    mirrored: bool = False
    """The long tail points down instead of up."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        sigma = self.sigma.sample((*shape[:-1], 1) if shape else (), rng)
        normal = torch.randn(shape, generator=rng, device=rng.device)
        upwards = torch.expm1(sigma * normal - 0.5 * sigma.square()) * torch.expm1(sigma.square()).rsqrt()
        return -upwards if self.mirrored else upwards
