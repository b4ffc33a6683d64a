"""Waves."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, signed, unit_weights, weighted_sum


@attrs.frozen
class Sine(Mechanism):
    """A wave along a sum: a sin(f s + p) + noise, where s = sum w x with |w| = 1.

    Source: the first of this project's streams, sin(sum w x). Differs: frequency f, phase p and amplitude a are drawn.
    """

    name = "sine"
    additive = True

    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each parent's weight relative to the others'; its sign is random."""
    frequency: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """f, in radians per standard deviation of s: at 1 nearly monotone, at 3 two to three periods."""
    phase: Draw = Draw(low=-0.8, high=0.8)
    """p, in radians: 0 is the odd sine, pi / 2 the even cosine."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """|a|."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes = len(mask)
        w = unit_weights(self.strength, mask, rng) * self.frequency.sample((nodes, 1, 1), rng)
        p = self.phase.sample((nodes, 1), rng)
        a = signed(self.amplitude, (nodes, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, a, weighted_sum(parents, w).add_(p).sin_())

        return function
