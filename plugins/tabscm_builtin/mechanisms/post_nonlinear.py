"""Distorted sums."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import adds_noise, weighted_sum


@attrs.frozen
class PostNonlinear(Mechanism):
    """Another mechanism, noise included, seen through a monotone distortion: h(f(x) + noise).

    h(z) = a z + sum_k b_k tanh(g_k (z - c_k)) with a, b and g above 0: it rises everywhere and has an inverse. As the
    noise passes through h too, its size depends on the parents, and no regression leaves it independent of them.

    Source: the post-nonlinear model of Zhang and Hyvärinen 2009, "On the identifiability of the post-nonlinear causal
    model", arXiv:1205.2599. Differs: h is a random monotone network.
    """

    name = "post-nonlinear"

    of: Mechanism = attrs.field(validator=adds_noise)
    """f(x) + noise: a mechanism that adds its noise, such as "linear"."""
    slope: Draw = attrs.field(default=Draw(low=0.1, high=0.5), validator=within(0.001))
    """a: how steeply h rises where all bends are far."""
    bends: int = attrs.field(default=3, validator=ge(1))
    """Terms of the sum."""
    height: Draw = attrs.field(default=Draw(low=0.5, high=2.0), validator=within(0.0))
    """b: half the height of a bend."""
    gain: Draw = attrs.field(default=Draw(low=0.5, high=3.0), validator=within(0.0))
    """g: how sharp a bend is; at 3 nearly a step."""
    centre: Draw = Draw(low=-3.0, high=3.0)
    """c: where a bend is."""

    @property
    def parts(self) -> tuple[tuple[Mechanism, float], ...]:
        """Where `of` is a mixture, each part of it with a distortion of its own."""
        return tuple((attrs.evolve(self, of=part), weight) for part, weight in self.of.parts)

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes = len(mask)
        inner = self.of.draw(mask, rng)
        a = self.slope.sample((nodes, 1), rng)
        g = self.gain.sample((nodes, 1, self.bends), rng)
        c = self.centre.sample((nodes, 1, self.bends), rng)
        b = self.height.sample((nodes, self.bends, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            z = inner(parents, noise)
            bends = torch.tanh((z[:, :, None] - c) * g)  # [G, N, k]
            return torch.addcmul(weighted_sum(bends, b), a, z)

        return function
