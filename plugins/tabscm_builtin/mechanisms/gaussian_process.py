"""Rough functions."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import smooth


@attrs.frozen
class GaussianProcess(Mechanism):
    """A function of all parents as of a Gaussian process with a Matérn kernel: c g(x) + noise.

    Rougher than `random-fourier`: once, twice or not at all differentiable (nu = 1/2, 3/2 or 5/2, drawn for each
    variable), and each parent has a length of its own, so that some matter more than others.

    Source: Rasmussen and Williams 2006, "Gaussian processes for machine learning", eq. 4.14, whose spectral density is
    that of Student's t with 2 nu degrees of freedom; sampled with random features as in `random-fourier`.
    """

    name = "gaussian-process"
    additive = True

    length: Draw = attrs.field(default=Draw(low=0.7, high=3.0), validator=within(0.01))
    """Distance over which a function of one parent changes, in standard deviations of the parent."""
    contrast: Draw = attrs.field(default=Draw(low=0.7, high=1.4, scale="log"), validator=within(0.01))
    """By how much the frequencies of one parent are higher than those of the others."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """c: standard deviation of what the parents give."""
    features: int = attrs.field(default=40, validator=ge(1))
    """Waves that make up one function."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        freedom = 1 + 2 * torch.randint(3, (nodes, 1, 1), generator=rng, device=rng.device)  # 2 nu
        normal = torch.randn(nodes, self.features, 5, generator=rng, device=rng.device)
        chi2 = (normal.square() * (torch.arange(5, device=rng.device) < freedom)).sum(2)  # [G, K]
        tails = (freedom[:, 0] / chi2.clamp(min=0.01)).sqrt()
        relevance = self.contrast.sample((nodes, slots), rng)
        g = smooth(mask, self.length, self.features, rng, stretch=relevance[:, :, None] * tails[:, None])
        c = self.amplitude.sample((nodes, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, c, g(parents))

        return function
