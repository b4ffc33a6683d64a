"""Random conditional probability tables."""

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within

ENTRIES = 64
"""Entries of a node's table; where its parents have more combinations of levels, some share one."""


@attrs.frozen
class ConditionalTable(Mechanism):
    """A discrete variable: which levels its parents have, taken together, decides how likely each of its own levels is.

    Every parent is cut into levels. The combination of all parents' levels names an entry of a random table, so that
    parents interact in any way: nothing adds up. The entry and the noise together are cut into the levels of the
    variable, e + noise between two thresholds: an ordered probit, where the noise is normal. A table with this
    mechanism throughout is a discrete Bayesian network.

    Source: this project. In the literature entries are Dirichlet; here the noise is given, and its quantiles are cut.
    """

    name = "conditional-table"

    levels: Draw = attrs.field(default=Draw(choices=(2.0, 2.0, 3.0, 4.0)), validator=within(2.0, 20.0))
    """Levels of a variable, rounded."""
    cuts: Draw = attrs.field(default=Draw(choices=(2.0, 3.0, 4.0)), validator=within(2.0, 20.0))
    """Levels that a parent is cut into, rounded; one that has fewer keeps those."""
    amplitude: Draw = attrs.field(default=Draw(low=0.7, high=2.5), validator=within(0.0))
    """Standard deviation of the entries."""
    shuffled: float = attrs.field(default=0.2, validator=[ge(0), le(1)])
    """Share of the variables whose levels are numbered in random order, as codes of categories are."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        device = rng.device
        most_cuts, most = round(self.cuts.most), round(self.levels.most)
        cuts = self.cuts.sample((nodes, slots), rng).round()
        at = 0.8 * torch.randn(most_cuts - 1, nodes, 1, slots, generator=rng, device=device)
        at[0] *= 0.3  # the first cut is near the middle: every parent has its say
        # a random number for each parent, by which its level moves the place in the table
        stride = torch.randint(1, ENTRIES, (nodes, 1, slots), generator=rng, device=device) * mask[:, None]
        amplitude = self.amplitude.sample((nodes, 1), rng)
        entries = torch.randn(nodes, ENTRIES, generator=rng, device=device) * amplitude
        joined = mask.any(1, keepdim=True) if slots else torch.zeros(nodes, 1, dtype=torch.bool, device=device)
        entries = entries * joined
        if slots:
            # the first threshold lies between two entries that differ in one parent's level, or all might say the same
            one = (torch.rand(nodes, slots, generator=rng, device=device) * mask).argmax(1, keepdim=True)
            between = (entries[:, :1] + entries.gather(1, stride[:, 0].gather(1, one))) / 2  # [G, 1]
        else:
            between = torch.zeros(nodes, 1, device=device)
        levels = self.levels.sample((nodes, 1), rng).round()
        own = torch.randn(most - 1, nodes, 1, generator=rng, device=device)
        own = own * torch.where(joined, 0.7 * amplitude, 0.2)  # without parents all there is to cut is the noise
        own[0] = own[0] * 0.1 + between
        codes = torch.arange(most, device=device).expand(nodes, most)
        mixed = torch.rand(nodes, 1, generator=rng, device=device) < self.shuffled
        random = torch.rand(nodes, most, generator=rng, device=device).argsort(1)
        codes = torch.where(mixed, random, codes).float() - (levels - 1) / 2  # [G, most]

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            level = torch.zeros(parents.shape, dtype=torch.long, device=device)  # [G, N, P]
            for index, threshold in enumerate(at):
                level += (parents > threshold) & (index < cuts - 1)[:, None]
            place = (level * stride).sum(2) % ENTRIES  # [G, N]
            latent = entries.gather(1, place) + noise
            found = torch.zeros_like(place)
            for index, threshold in enumerate(own):
                found += (latent > threshold) & (index < levels - 1)
            return codes.gather(1, found)

        return function
