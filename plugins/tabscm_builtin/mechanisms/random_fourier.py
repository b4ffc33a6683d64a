"""Samples of a Gaussian process."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import smooth


@attrs.frozen
class RandomFourier(Mechanism):
    """A smooth function of all parents together, as of a Gaussian process: c g(x) + noise.

    g is made of random Fourier features and has a covariance proportional to exp(-|x - y|^2 / (2 length^2 P)), with P
    the number of parents; see `smooth`.

    Source: AVICI, Lorch et al. 2022, arXiv:2205.12934, with the features of Rahimi and Recht 2007. Differs: parents
    come standardised, so that lengths are in standard deviations of a parent (AVICI: 5 to 12, among variables of
    deviation 8 to 22), and grow with the root of P; g is standardised too.
    """

    name = "random-fourier"
    additive = True

    length: Draw = attrs.field(default=Draw(low=0.5, high=2.0), validator=within(0.01))
    """Distance over which a function of one parent changes: at 0.5 several turns, at 2 a bend, above 10 linear."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """c: standard deviation of what the parents give."""
    features: int = attrs.field(default=32, validator=ge(1))
    """Waves that make up one function (AVICI: 100)."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        g = smooth(mask, self.length, self.features, rng)
        c = self.amplitude.sample((len(mask), 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return torch.addcmul(noise, c, g(parents))

        return function
