"""Steps."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, unit_weights, weighted_sum


@attrs.frozen
class Threshold(Mechanism):
    """A step: a where s = sum w x (|w| = 1) is above t, 0 elsewhere, plus noise.

    Source: the first of this project's streams, 1[sum w x > t]. Differs: step a and threshold t are drawn.
    """

    name = "threshold"
    additive = True

    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each parent's weight relative to the others'; its sign is random."""
    threshold: Draw = Draw(low=-0.8, high=0.8)
    """t, in standard deviations of s: 0 splits the rows in halves."""
    step: Draw = attrs.field(default=Draw(low=1.5, high=5.0), validator=within(0.0))
    """a; whether the step goes up or down is decided by the signs of the weights."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes = len(mask)
        w = unit_weights(self.strength, mask, rng)
        t = self.threshold.sample((nodes, 1), rng)
        a = self.step.sample((nodes, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, a, (weighted_sum(parents, w) > t).float())

        return function
