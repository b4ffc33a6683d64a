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
    has nothing to do with the parents holds in one direction alone. Values have mean 0 and deviation 1 where all levels
    are equally likely. Noise of any kind is folded to a uniform variable.

    Source: discrete additive noise models, Peters, Janzing and Schölkopf 2011, doi:10.1109/TPAMI.2011.71. Differs: a
    scale may end, so that effects have no more levels than causes. Of more numbers than `levels` those about the middle
    are kept, and what lies beyond counts as the last on its side: two levels are a threshold.
    """

    name = "discrete-additive"

    levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 4, 5, 6)), validator=within(2.0, 16.0))
    """Most levels of the variable, rounded; where it has no parents, K."""
    noise_levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 3, 4)), validator=within(2.0, 16.0))
    """K where it has parents, rounded."""
    parent_levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3)), validator=within(2.0, 16.0))
    """Levels into which each parent is cut, rounded. Of more than two a parent of two takes the first and the last, and
    the noise may not reach from one to the other."""
    strength: Draw = attrs.field(default=Draw.constant(1.0), validator=within(1.0, 16.0))
    """Size of w, rounded; its sign is random. Far above the others a parent leaves them nothing to do where the scale
    ends."""
    skew: Draw = attrs.field(default=Draw(low=0.0, high=1.5), validator=within(0.0))
    """Deviation of the logits of n: where it is large, some n are rare."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        device = rng.device
        root = ~mask.any(1, keepdim=True)  # [G, 1]
        levels = self.levels.sample((nodes, 1), rng).round()
        count = torch.where(root, levels, self.noise_levels.sample((nodes, 1), rng).round())
        most = round(max(self.levels.most, self.noise_levels.most))
        logits = self.skew.sample((nodes, 1), rng) * torch.randn(nodes, most, generator=rng, device=device)
        unused = torch.arange(most, device=device) >= count
        below = logits.masked_fill(unused, -torch.inf).softmax(1).cumsum(1)[:, None]  # [G, 1, K]
        cuts, level = cut(self.parent_levels, SPAN, MIDDLE, (nodes, slots), rng)
        w = signed(self.strength, (nodes, slots), rng).round() * mask
        reach = w * (cuts - 1.0)  # [G, P], the farthest that each parent moves it
        last = reach.abs().sum(1, keepdim=True) + count - 1.0  # of 0, 1, ..., once the smallest sum is taken off
        top = torch.minimum(levels - 1.0, last)
        # about the middle, or one beside it
        start = (last - top) / 2.0 + torch.rand(nodes, 1, generator=rng, device=device) * 2.0 - 1.0
        start = torch.minimum(start.round().clamp(min=0.0), last - top) + reach.clamp(max=0.0).sum(1, keepdim=True)
        unit = deviation(top + 1.0).reciprocal()

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            n = (uniform(noise)[:, :, None] >= below).sum(2)
            n = torch.minimum(n, count - 1.0)  # the sum of all may round to less than 1
            whole = weighted_sum(level(parents.transpose(1, 2)).transpose(1, 2), w[:, :, None]) + n - start
            return (torch.minimum(whole, top).clamp(min=0.0) - top / 2.0) * unit

        return function
