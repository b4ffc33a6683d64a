"""Saturating sums."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, signed, unit_weights, weighted_sum


@attrs.frozen
class Tanh(Mechanism):
    """A saturating sum: a tanh(g s) + noise, where s = sum w x with |w| = 1.

    Source: the first of this project's streams, tanh(sum w x). Differs: gain g and amplitude a are drawn.
    """

    name = "tanh"
    additive = True

    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each parent's weight relative to the others'; its sign is random."""
    gain: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """g: below 1 nearly linear, above 3 nearly a step."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """|a|: half the distance between the two plateaus."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes = len(mask)
        w = unit_weights(self.strength, mask, rng) * self.gain.sample((nodes, 1, 1), rng)
        a = signed(self.amplitude, (nodes, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, a, weighted_sum(parents, w).tanh_())

        return function
