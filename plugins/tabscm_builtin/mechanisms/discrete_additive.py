"""Whole numbers that add up."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import signed, weighted_sum
from tabscm_builtin.mechanisms._levels import MIDDLE, SPAN, cut, deviation, uniform


@attrs.frozen
class DiscreteAdditive(Mechanism):
    """A whole number, sum_p w_p level(p) + n: scores, sizes and small counts that several things add to.

    Every parent is cut into levels 0, 1, ..., whole weights w are of either sign, and n is drawn from 0 to K - 1 with
    logits of deviation `skew`. A conditional table of either of two variables can tell what they do together; that n
    has nothing to do with the parents holds in one direction alone. Values are shifted and scaled to mean 0 and
    deviation 1 where all levels are equally likely. Noise of any kind is folded to a uniform variable.

    Source: discrete additive noise models, Peters, Janzing and Schölkopf 2011, doi:10.1109/TPAMI.2011.71.
    """

    name = "discrete-additive"

    levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 4, 5, 6)), validator=within(2.0, 16.0))
    """K of a variable without parents, rounded."""
    noise_levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 3, 4)), validator=within(2.0, 16.0))
    """K of one with parents, rounded."""
    parent_levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 3, 4)), validator=within(2.0, 16.0))
    """Levels into which each parent is cut, rounded."""
    strength: Draw = attrs.field(default=Draw(choices=(1, 1, 1, 2)), validator=within(1.0, 16.0))
    """Size of w, rounded; its sign is random."""
    skew: Draw = attrs.field(default=Draw(low=0.0, high=1.5), validator=within(0.0))
    """Deviation of the logits of n: where it is large, some n are rare."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        root = ~mask.any(1, keepdim=True)  # [G, 1]
        count = torch.where(
            root, self.levels.sample((nodes, 1), rng), self.noise_levels.sample((nodes, 1), rng)
        ).round()
        most = round(max(self.levels.most, self.noise_levels.most))
        logits = self.skew.sample((nodes, 1), rng) * torch.randn(nodes, most, generator=rng, device=rng.device)
        unused = torch.arange(most, device=rng.device) >= count
        below = logits.masked_fill(unused, -torch.inf).softmax(1).cumsum(1)[:, None]  # [G, 1, K]
        cuts, level = cut(self.parent_levels, SPAN, MIDDLE, (nodes, slots), rng)
        w = signed(self.strength, (nodes, slots), rng).round() * mask
        middle = (count - 1.0) / 2.0 + (w * (cuts - 1.0) / 2.0).sum(1, keepdim=True)
        unit = (deviation(count).square() + (w * deviation(cuts)).square().sum(1, keepdim=True)).rsqrt()

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            n = (uniform(noise)[:, :, None] >= below).sum(2)
            n = torch.minimum(n, count - 1.0)  # the sum of all may round to less than 1
            return (weighted_sum(level(parents.transpose(1, 2)).transpose(1, 2), w[:, :, None]) + n - middle) * unit

        return function
