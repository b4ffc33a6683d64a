"""Discrete variables."""

from collections.abc import Callable

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, TRIAL_ROWS, signed
from tabscm_builtin.mechanisms._levels import address, codes, cut, deviation, normal


@attrs.frozen
class ConditionalTable(Mechanism):
    """A discrete variable with a random table of what it tends to be for each combination of its parents' levels.

    Every parent is cut into levels, the combination of levels names an entry e of the table, of mean 0 and deviation 1
    over independent standard normal parents, and the latent a e + noise is cut into the levels of the variable itself.
    Where all variables are of this kind the table is a sample of a discrete Bayesian network, as asia and alarm are.

    A level is given as a number: its place among the levels, or, for a nominal variable, the place that a random
    permutation gives it; either way with mean 0 and deviation 1 where all levels are equally likely. A combination has
    an entry of its own while there are no more than `entries`; the parents with which there would be more choose among
    the same entries by hashing, so that memory is bounded and every parent still matters. The latent of a root is
    standard normal whatever the scale of its noise, which is folded at a short period first.

    Source: this project; a latent that is cut is the ordered probit model, McKelvey and Zavoina 1975,
    doi:10.1080/0022250X.1975.9989847.
    """

    name = "conditional-table"

    levels: Draw = attrs.field(default=Draw(choices=(2, 2, 2, 3, 4, 5, 6)), validator=within(2.0, 16.0))
    """Levels of the variable, rounded."""
    parent_levels: Draw = attrs.field(default=Draw(choices=(2, 2, 3, 3, 4, 5)), validator=within(2.0, 16.0))
    """Levels into which each parent is cut, rounded."""
    span: Draw = attrs.field(default=Draw(low=2.0, high=3.2), validator=within(0.1))
    """Levels are of one width, this over their number, in deviations of what is cut, and the outer ones are open: at
    2.6 levels of a normal variable are about equally likely."""
    shift: Draw = Draw(low=-0.6, high=0.6)
    """By how much the thresholds of the variable are off the middle, in deviations: away from 0 some level is rare."""
    parent_shift: Draw = Draw(low=-0.2, high=0.2)
    """The same for the thresholds of a parent; far from 0 a parent of few levels may fall all on one side."""
    interaction: Draw = attrs.field(default=Draw(low=0.2, high=0.8), validator=within(0.0, 1.0))
    """Share of the variance of the entries that is each combination's own; the rest is a weighted sum of the levels."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=2.5), validator=within(0.01))
    """a."""
    nominal: float = attrs.field(default=0.3, validator=[ge(0.0), le(1.0)])
    """Chance that the levels of a variable are numbered in random order."""
    entries: int = attrs.field(default=128, validator=[ge(2), le(4096)])
    """Most entries of one variable's table."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        root = ~mask.any(1, keepdim=True)  # [G, 1]
        entry = self._entry(mask, rng)
        a = self.amplitude.sample((len(mask), 1), rng)
        count, level = cut(self.levels, self.span, self.shift, (len(mask), 1), rng)
        code = codes(count, round(self.levels.most), self.nominal, rng)
        inner = torch.where(root, 0.0, 1.0 / a)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            latent = torch.where(root, normal(noise), torch.addcmul(entry(parents), noise, inner))
            return code.gather(1, level(latent[:, None]).squeeze(1).long())

        return function

    def _entry(self, mask: Tensor, rng: torch.Generator) -> Callable[[Tensor], Tensor]:
        """Draw a table for each node: parents [G, N, P] -> entries [G, N] of mean 0 and deviation 1."""
        nodes, slots = mask.shape
        device = rng.device
        count, level = cut(self.parent_levels, self.span, self.parent_shift, (nodes, slots), rng)
        size = min(self.entries, round(self.parent_levels.most) ** slots)
        place = address(torch.where(mask, count, 1.0), size, rng) * mask
        share = self.interaction.sample((nodes, 1), rng)
        table = torch.randn(nodes, size, generator=rng, device=device) * share.sqrt()
        w = torch.nn.functional.normalize(signed(STRENGTH, (nodes, slots), rng) * mask, dim=1)
        w = w * (1.0 - share).sqrt() / deviation(count)
        read = torch.stack([place, w], 1)  # [G, 2, P]

        def raw(parents: Tensor) -> Tensor:
            number, weighted = torch.bmm(read, level(parents.transpose(1, 2))).unbind(1)  # [G, N]
            return table.gather(1, number.long() % size).add_(weighted)

        trial = raw(torch.randn(nodes, slots, TRIAL_ROWS, generator=rng, device=device).transpose(1, 2))
        mean = trial.mean(1, keepdim=True)
        unit = (trial - mean).square().mean(1, keepdim=True).clamp(min=1e-6).rsqrt()

        def entry(parents: Tensor) -> Tensor:
            return raw(parents).sub_(mean).mul_(unit)

        return entry
