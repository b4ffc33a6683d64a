"""Variables with a distribution over levels for each combination of their parents'."""

import math
from collections.abc import Callable

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._levels import MIDDLE, SPAN, address, codes, cut, deviation, uniform


@attrs.frozen
class Categorical(Mechanism):
    """A discrete variable, P(level k | parents) = softmax_k(b_k + a e_k), as in a discrete Bayesian network.

    The logits b of the levels are drawn with deviation `skew`: where it is large, some levels are rare. The logits e,
    of deviation 1, say what the parents do: partly each combination of the parents' levels has logits of its own,
    partly they are a weighted sum of the parents' levels. Where a is large the level nearly follows from the parents.
    Where all variables are of this kind the table is a sample of a discrete Bayesian network with tables of conditional
    probabilities, as alarm and child are.

    Levels are numbered as those of `conditional-table`. Parents are cut at their mean where they are cut in two, which
    parts the levels of a binary parent however rare one is. Noise of any kind is folded to a uniform variable.

    Source: the multinomial logit, McFadden 1974, with random coefficients; tables of logistic-normal probabilities,
    Aitchison and Shen 1980, doi:10.1093/biomet/67.2.261.
    """

    name = "categorical"

    levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 3, 4, 5, 6)), validator=within(2.0, 16.0))
    """Levels of the variable, rounded."""
    parent_levels: Draw = attrs.field(default=Draw(choices=(2, 2, 3, 3, 4, 6)), validator=within(2.0, 16.0))
    """Levels into which each parent is cut, rounded."""
    skew: Draw = attrs.field(default=Draw(low=0.0, high=2.5), validator=within(0.0))
    """Deviation of b before `rarity`, held within 2.5: no level of a binary variable without parents is rarer than 1 in
    150."""
    rarity: Draw = attrs.field(default=Draw(low=0.0, high=0.8), validator=within(0.0))
    """b is multiplied by (1 + pi a^2 / 4)^(rarity / 2), which makes up for parents evening out how rare levels are;
    near 0.4 those of effects are as rare as those of causes, and do not tell which is which. For a difference of two
    logits and normal e 1 would be right, by the probit approximation of the logistic, MacKay 1992."""
    amplitude: Draw = attrs.field(default=Draw(low=0.7, high=8.0, scale="log"), validator=within(0.01))
    """a."""
    interaction: Draw = attrs.field(default=Draw(low=0.0, high=1.0), validator=within(0.0, 1.0))
    """Share of the variance of e that is each combination's own."""
    nominal: float = attrs.field(default=0.4, validator=[ge(0.0), le(1.0)])
    """Chance that the levels of a variable are numbered in random order."""
    entries: int = attrs.field(default=128, validator=[ge(2), le(4096)])
    """Most entries of one variable's table."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, most = len(mask), round(self.levels.most)
        count = self.levels.sample((nodes, 1), rng).round()
        code = codes(count, most, self.nominal, rng)
        unused = torch.where(torch.arange(most, device=rng.device) < count, 0.0, -torch.inf)  # [G, K]
        b = self.skew.sample((nodes, 1), rng) * torch.randn(nodes, most, generator=rng, device=rng.device)
        a = self.amplitude.sample((nodes, 1), rng) * mask.any(1, keepdim=True)
        b = b.clamp_(-2.5, 2.5) * (1.0 + math.pi / 4.0 * a.square()) ** (self.rarity.sample((nodes, 1), rng) / 2.0)
        b = b + unused
        e = self._effect(a, mask, most, rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            below = (b[:, None] + e(parents)).softmax(2).cumsum(2)  # [G, N, K]
            level = (uniform(noise)[:, :, None] >= below).sum(2)
            return code.gather(1, torch.minimum(level, count.long() - 1))  # the sum of all may round to less than 1

        return function

    def _effect(self, a: Tensor, mask: Tensor, most: int, rng: torch.Generator) -> Callable[[Tensor], Tensor]:
        """Draw what parents do to the logits of K = `most` levels: parents [G, N, P] -> a e [G, N, K]; a: [G, 1]."""
        nodes, slots = mask.shape
        device = rng.device
        count, level = cut(self.parent_levels, SPAN, MIDDLE, (nodes, slots), rng)
        size = min(self.entries, round(self.parent_levels.most) ** slots)
        place = address(torch.where(mask, count, 1.0), size, rng) * mask
        a = a[:, :, None]
        share = self.interaction.sample((nodes, 1, 1), rng)
        table = torch.randn(nodes, size, most, generator=rng, device=device) * share.sqrt() * a
        w = torch.randn(nodes, slots, most, generator=rng, device=device) * mask[:, :, None]
        w = w * (1.0 - share).sqrt() * a / mask.sum(1).clamp(min=1).sqrt()[:, None, None]
        middle, unit = ((count - 1.0) / 2.0)[:, :, None], deviation(count)[:, :, None].reciprocal()

        def effect(parents: Tensor) -> Tensor:
            cuts = level(parents.transpose(1, 2))  # [G, P, N]
            number = torch.bmm(place[:, None], cuts).squeeze(1).long() % size  # [G, N]
            own = table.gather(1, number[:, :, None].expand(-1, -1, most))
            return own.add_(torch.bmm(((cuts - middle) * unit).transpose(1, 2), w))

        return effect
