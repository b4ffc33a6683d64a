"""Products of parents."""

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, deal, signed


@attrs.frozen
class Multiplicative(Mechanism):
    """A sum of products of parents, a sum_t w_t prod_k (1 + b_tk x_k) / deviation, and noise, added or multiplied.

    A term multiplies up to `order` parents, which are dealt in random order; there are as many terms (of norm |w| = 1)
    as it takes for every parent to have its say, and where even `terms` are too few, some parents share a factor. The
    deviation is the one that a term has over independent standard normal parents. x is bent to reach tanh(x / reach):
    one outlier in several factors would decide the scale of a whole column otherwise.

    Noise that multiplies gives g (1 + noise / a), where g is what the parents give, so that it is as large as noise
    that is added, but none at all where g is 0. A node without parents is its noise.

    Source: this project, after the multiplicative mechanisms in the priors of 2026.
    """

    name = "multiplicative"

    order: int = attrs.field(default=3, validator=[ge(1), le(6)])
    """Factors of one term: how many parents may interact in it."""
    terms: int = attrs.field(default=4, validator=ge(1))
    """Most terms of one node."""
    slope: Draw = attrs.field(default=Draw(low=0.5, high=3.0), validator=within(0.01))
    """|b|: below 1 the parents nearly add up, far above 1 a term is nearly the product of its parents."""
    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """Size of each term's weight relative to the others'; its sign is random."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.01))
    """a: size of what the parents give."""
    multiplied: float = attrs.field(default=0.5, validator=[ge(0.0), le(1.0)])
    """Chance that the noise of a node multiplies what its parents give, instead of being added to it."""
    reach: float = attrs.field(default=2.5, validator=ge(0.1))
    """What no parent goes beyond, in its standard deviations."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        terms = min(self.terms, max(1, -(-slots // self.order)))  # more would be of no use to any node
        seats = terms * self.order
        parents = mask.sum(1, keepdim=True)  # [G, 1]
        seat = torch.arange(seats, device=rng.device)
        # whole terms only, in which no parent sits twice
        taken = (seat // self.order * self.order < parents) & (seat % self.order < parents)  # [G, S]
        b = signed(self.slope, (nodes, seats), rng) * taken
        seated = (deal(mask, seats, rng) / self.reach).mT  # [G, S, P]
        w = signed(self.strength, (nodes, terms), rng) * taken[:, :: self.order]
        w = torch.nn.functional.normalize(w, dim=1)
        variance = (1.0 + b.view(nodes, terms, self.order).square()).prod(2) - 1.0
        w = w * variance.clamp(min=1e-6).rsqrt() * taken[:, :: self.order]
        a = self.amplitude.sample((nodes, 1), rng)
        w, b = (a * w)[:, None], (b * self.reach)[:, :, None]  # [G, 1, T], [G, S, 1]
        by_noise = torch.rand(nodes, 1, generator=rng, device=rng.device) < self.multiplied
        by_noise &= parents > 0

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            x = torch.bmm(seated, parents.transpose(1, 2)).tanh_()  # [G, S, N]
            factors = x.mul_(b).add_(1.0)
            product = factors[:, :: self.order]  # [G, T, N]
            for k in range(1, self.order):
                product = product * factors[:, k :: self.order]
            g = torch.bmm(w, product).squeeze(1)
            return torch.addcmul(g, noise, torch.where(by_noise, g / a, 1.0))

        return function
