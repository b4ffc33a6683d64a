"""Polynomials."""

import math

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, signed, weighted_sum


@attrs.frozen
class Polynomial(Mechanism):
    """A random polynomial of the parents: a sum_d c_d s_d^d / sqrt((2d - 1)!!) + noise, with |c| = 1.

    Each power d has a sum s_d = sum w x (|w| = 1) of its own, so that parents interact. The divisor is the deviation of
    the power of a normal variable around 0. Where |s| is above `reach` a power goes on along its tangent: one outlier
    would decide the scale of a whole column otherwise, and a chain of such columns would be all outlier.

    Source: this project.
    """

    name = "polynomial"
    additive = True

    degree: int = attrs.field(default=3, validator=[ge(1), le(6)])
    """Highest power."""
    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each parent's weight relative to the others'; its sign is random."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """|a|."""
    reach: float = attrs.field(default=2.5, validator=ge(0.1))
    """Where powers become straight, in standard deviations of s."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        w = signed(self.strength, (nodes, self.degree, slots), rng) * mask[:, None]
        w = torch.nn.functional.normalize(w, dim=2)  # [G, d, P]
        c = torch.nn.functional.normalize(torch.randn(nodes, self.degree, 1, generator=rng, device=rng.device), dim=1)
        c = c * signed(self.amplitude, (nodes, 1, 1), rng)
        powers = range(1, self.degree + 1)
        divisors = [math.prod(range(1, 2 * power, 2)) ** -0.5 for power in powers]
        c = c * torch.tensor(divisors).to(rng.device, non_blocking=True)[:, None]  # [G, d, 1]
        d = torch.arange(1.0, self.degree + 1, device=rng.device)[:, None]  # [d, 1]

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            s = torch.bmm(w, parents.transpose(1, 2))  # [G, d, N]
            near = s.clamp(-self.reach, self.reach)
            values = d * (s - near) + near
            for power in range(1, self.degree):
                values[:, power:] *= near[:, power:]  # near^(d - 1) (near + d (s - near)), the tangent of s^d
            return weighted_sum(values.transpose(1, 2), c).add_(noise)

        return function
