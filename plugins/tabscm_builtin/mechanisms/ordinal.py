"""Variables on a scale of levels in order."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import TRIAL_ROWS, adds_noise
from tabscm_builtin.mechanisms._levels import cut, deviation, normal


@attrs.frozen
class Ordinal(Mechanism):
    """The level, in order, at which the value of another mechanism lies: cut(f(x) + noise).

    Parents hand on their levels, so that a table in which all variables are ordinal is a sample of a discrete Bayesian
    network. It stands for quantities that were discretised before they were modelled, grades, answers on a scale.

    f is brought to about mean 0 and deviation 1 over independent standard normal parents; over a parent of two levels
    it may be constant. Noise is added in units of its deviation; that of a root is replaced by a standard normal
    variable made of it. A level is given as its place among the levels, with mean 0 and deviation 1 where all are
    equally likely.

    Source: the ordered probit model, McKelvey and Zavoina 1975, doi:10.1080/0022250X.1975.9989847. Differs: f is any
    function of the parents.
    """

    name = "ordinal"

    of: Mechanism = attrs.field(validator=adds_noise)
    """f(x) + noise: a mechanism that adds its noise, such as "mlp"."""
    levels: Draw = attrs.field(default=Draw(choices=(2, 2, 3, 3, 4, 5, 6, 8, 12, 20, 40)), validator=within(2.0, 100.0))
    """Levels of the variable, rounded."""
    span: Draw = attrs.field(default=Draw(low=2.0, high=4.0), validator=within(0.1))
    """Levels are of one width, this over their number, in deviations of f, and the outer ones are open."""
    shift: Draw = Draw(low=-0.8, high=0.8)
    """By how much the thresholds are off the middle, in deviations of f: away from 0 some level is rare."""

    @property
    def parts(self) -> tuple[tuple[Mechanism, float], ...]:
        """Where `of` is a mixture, each part of it on a scale of its own."""
        return tuple((attrs.evolve(self, of=part), weight) for part, weight in self.of.parts)

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        root = ~mask.any(1, keepdim=True)  # [G, 1]
        inner = self.of.draw(mask, rng)
        trial = torch.randn(nodes, TRIAL_ROWS, slots, generator=rng, device=rng.device)
        trial = inner(trial, torch.zeros(nodes, TRIAL_ROWS, device=rng.device))
        mean = trial.mean(1, keepdim=True)
        unit = torch.where(root, 1.0, trial.std(1, keepdim=True).clamp(min=1e-3).reciprocal())
        count, level = cut(self.levels, self.span, self.shift, (nodes, 1), rng)
        scale = deviation(count)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            added = torch.where(root, normal(noise), noise)
            latent = (inner(parents, added / unit) - mean) * unit
            return (level(latent[:, None])[:, 0] - (count - 1.0) / 2.0) / scale

        return function
