"""Cauchy noise."""

import math

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Noise


@attrs.frozen
class Cauchy(Noise):
    """Cauchy noise without its farthest values: a sharp peak, and many values far out on both sides.

    tan(pi kept (u - 1/2)) with u uniform, divided by its deviation sqrt(t / atan(t) - 1), where t = tan(pi kept / 2) is
    the farthest value.

    Source: AVICI, Lorch et al. 2022, arXiv:2205.12934. Differs: the Cauchy distribution has no mean and no deviation;
    cut off at its quantiles (1 - kept) / 2 and (1 + kept) / 2 it has both, and is scaled to 0 and 1.
    """

    name = "cauchy"

    # beyond 0.995 one value decides the deviation of a column, and the others are a flat line
    kept: float = attrs.field(default=0.98, validator=[ge(0.1), le(0.995)])
    """Share of the values that are kept, around the middle: at 0.98 the farthest is 7.2 deviations out, at 0.9 it is
    3.4."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        uniform = torch.rand(shape, generator=rng, device=rng.device)
        end = math.pi / 2.0 * self.kept
        deviation = math.sqrt(math.tan(end) / end - 1.0)
        return torch.tan((2.0 * uniform - 1.0) * end) / deviation
