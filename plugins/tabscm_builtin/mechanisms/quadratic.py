"""Parabolas."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, signed, unit_weights, weighted_sum


@attrs.frozen
class Quadratic(Mechanism):
    """The square of a sum: a s^2 + noise, where s = sum w x with |w| = 1.

    Source: the first of this project's streams, (sum w x)^2. Differs: curvature a is drawn, with either sign.
    """

    name = "quadratic"
    additive = True

    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each parent's weight relative to the others'; its sign is random."""
    curvature: Draw = attrs.field(default=Draw(low=0.5, high=1.5), validator=within(0.0))
    """|a|."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        w = unit_weights(self.strength, mask, rng)
        a = signed(self.curvature, (len(mask), 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, a, weighted_sum(parents, w).square_())

        return function
