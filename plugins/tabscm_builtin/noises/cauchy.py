"""Very heavy tails."""

import math

import attrs
import torch
from attrs.validators import gt, le
from torch import Tensor

from tabscm import Noise


@attrs.frozen
class Cauchy(Noise):
    """Cauchy noise between two limits: most values close together, a few ten times as far out; scaled to deviation 1.

    Source: the heavy-tailed noise of AVICI, Lorch et al. 2022, arXiv:2205.12934. Differs: cut off at `limit`, for
    without that it has neither mean nor deviation. Within +-c a Cauchy variable has the variance c / arctan(c) - 1.
    """

    name = "cauchy"

    limit: float = attrs.field(default=20.0, validator=[gt(0), le(1000)])
    """c: largest size of a value, in half-widths of the distribution."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        end = math.atan(self.limit)
        angle = end * (2.0 * torch.rand(shape, generator=rng, device=rng.device) - 1.0)
        return torch.tan(angle) / math.sqrt(self.limit / end - 1.0)
