"""Noise whose size depends on the parents."""

import math

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import smooth


@attrs.frozen
class Heteroscedastic(Mechanism):
    """Another mechanism whose noise is larger for some values of the parents than for others: f(x, h(x) noise).

    h(x) = log(1 + exp(c g(x))) / log 2, where g is a random smooth function of all parents, of mean 0 and deviation 1;
    see `smooth`. A node without parents keeps its noise as it is. It is a mechanism and no noise, because a noise is
    drawn before the parents are known and never sees them.

    Source: AVICI, Lorch et al. 2022, arXiv:2205.12934, log(1 + exp(g(x))) with g of random Fourier features. Differs:
    divided by log 2, so that h is 1 where g is 0; lengths are in standard deviations of a parent.
    """

    name = "heteroscedastic"

    of: Mechanism
    """The mechanism whose noise is scaled, such as "linear"."""
    contrast: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """c: at 0 the noise is the same everywhere, at 3 some rows have hardly any (AVICI: 2)."""
    length: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.01))
    """Distance over which h changes, in standard deviations of a parent."""
    features: int = attrs.field(default=12, validator=ge(1))
    """Waves that make up g (AVICI: 100)."""

    @property
    def parts(self) -> tuple[tuple[Mechanism, float], ...]:
        """Where `of` is a mixture, each part of it with a noise of its own."""
        return tuple((attrs.evolve(self, of=part), weight) for part, weight in self.of.parts)

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        inner = self.of.draw(mask, rng)
        g = smooth(mask, self.length, self.features, rng)
        c = self.contrast.sample((len(mask), 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            h = torch.nn.functional.softplus(c * g(parents)) / math.log(2.0)
            return inner(parents, h * noise)

        return function
