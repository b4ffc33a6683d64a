"""Noise with two peaks."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Noise, within


@attrs.frozen
class Bimodal(Noise):
    """Two normal peaks of equal weight at +-m, each of deviation sqrt(1 - m^2): an unseen switch.

    One m is drawn for each line along the last axis (the rows of one variable).

    Source: this project.
    """

    name = "bimodal"

    peak: Draw = attrs.field(default=Draw(low=0.75, high=0.95), validator=within(0.0, 1.0))
    """m: below about 0.75 the peaks run into one, at 1 there are two values only."""

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        peak = self.peak.sample((*shape[:-1], 1) if shape else (), rng)
        side = torch.rand(shape, generator=rng, device=rng.device).sub(0.5).sign()
        return peak * side + (1 - peak.square()).sqrt() * torch.randn(shape, generator=rng, device=rng.device)
