"""Samples of Gaussian processes that are rough, or vary on many scales at once."""

from typing import Literal

import attrs
import torch
from attrs.validators import ge, min_len
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import waves

Kernel = Literal["matern-1/2", "matern-3/2", "matern-5/2", "rational-quadratic"]

FREEDOM: dict[Kernel, int] = {"matern-1/2": 1, "matern-3/2": 3, "matern-5/2": 5, "rational-quadratic": 2}
"""n: twice the smoothness of a Matérn kernel; twice the exponent of the rational quadratic one."""


@attrs.frozen
class GaussianProcess(Mechanism):
    """A function of all parents together from a Gaussian process with a kernel of its own: c g(x) + noise.

    g is made of K waves sum_k w_k cos(v_k . x + b_k), as in `random-fourier`, and standardised. The frequencies v_k of
    one wave are normal, divided by the length of each parent, and all of them times a stretch of that wave, where
    s = chi^2_n / n:

    - 1 / sqrt(s) makes v Student's t, the spectrum of the Matérn kernel of smoothness n / 2: at 1/2 as rough as
      Brownian motion, at 3/2 with one derivative, at 5/2 with two;
    - sqrt(s) gives the rational quadratic kernel (1 + r^2 / 2 alpha)^-alpha, a mixture of smooth functions of all
      lengths, with alpha = n / 2 = 1.

    Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines", with the spectra of Rasmussen and
    Williams 2006, "Gaussian Processes for Machine Learning", sec. 4.2.1. Differs: lengths grow with the root of the
    number of parents, and every sample is standardised.
    """

    name = "gaussian-process"
    additive = True

    kernels: tuple[Kernel, ...] = attrs.field(default=tuple(FREEDOM), validator=min_len(1))
    """Each node draws one of these; what is listed twice is drawn twice as often."""
    length: Draw = attrs.field(default=Draw(low=0.5, high=3.0, scale="log"), validator=within(0.01))
    """Distance over which a function changes along one parent, in its deviations; each parent draws its own."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """c: standard deviation of what the parents give."""
    features: int = attrs.field(default=32, validator=ge(1))
    """K."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        device = rng.device
        scale = self.length.sample((nodes, slots), rng) * mask.sum(1, keepdim=True).clamp(min=1).sqrt()
        frequency = torch.randn(nodes, slots, self.features, generator=rng, device=device) * (mask / scale)[:, :, None]
        g = waves(mask, frequency * self._stretch(nodes, rng), rng)
        c = self.amplitude.sample((nodes, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, c, g(parents))

        return function

    def _stretch(self, nodes: int, rng: torch.Generator) -> Tensor:
        """Draw a kernel for each node, and how far each of its waves is stretched: [G, 1, K]."""
        device = rng.device
        which = torch.randint(len(self.kernels), (nodes,), generator=rng, device=device)
        degrees = torch.tensor([FREEDOM[kernel] for kernel in self.kernels])
        rational = torch.tensor([kernel == "rational-quadratic" for kernel in self.kernels])
        freedom = degrees.to(device, non_blocking=True)[which][:, None, None]  # [G, 1, 1]
        quadratic = rational.to(device, non_blocking=True)[which]  # [G]
        normal = torch.randn(nodes, max(FREEDOM.values()), self.features, generator=rng, device=device)
        counted = torch.arange(normal.shape[1], device=device)[:, None] < freedom  # [G, n, 1]
        s = (normal * counted).square().sum(1, keepdim=True) / freedom
        # 1e-4: a Cauchy variable may be as large as float32, whose phase means nothing
        return torch.where(quadratic[:, None, None], s.sqrt(), s.clamp(min=1e-4).rsqrt())
