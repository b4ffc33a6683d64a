"""Sums of curves."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, smooth, unit_weights


@attrs.frozen
class Additive(Mechanism):
    """Every parent has a curve of its own, and they add up: c sum w g(x) + noise, where |w| = 1.

    Each g is a random smooth function of one parent, of deviation 1; see `smooth`. Parents do not interact.

    Source: causal additive models, Bühlmann et al. 2014, doi:10.1214/14-AOS1260, eq. 1; curves from a Gaussian process
    as in its section 5. Differs: they are made of random Fourier features.
    """

    name = "additive"
    additive = True

    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each curve relative to the others'; its sign is random."""
    length: Draw = attrs.field(default=Draw(low=0.5, high=2.0), validator=within(0.01))
    """Distance over which a curve changes, in standard deviations of its parent."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """c: standard deviation of the sum of the curves, where parents are independent."""
    features: int = attrs.field(default=8, validator=ge(1))
    """Waves that make up one curve."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        curves = smooth(mask.reshape(nodes * slots, 1), self.length, self.features, rng)  # one line per slot
        w = unit_weights(self.strength, mask, rng) * self.amplitude.sample((nodes, 1, 1), rng)  # [G, P, 1]

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            length = noise.shape[1]
            lines = parents.transpose(1, 2).reshape(nodes * slots, length, 1)
            values = curves(lines).view(nodes, slots, length)
            return torch.bmm(w.transpose(1, 2), values).squeeze(1).add_(noise)

        return function
