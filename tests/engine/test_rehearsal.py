"""The rehearsal meets what the training would meet, level by level."""

import attrs
import pytest
import torch

from tabscm import ContractError, Noise
from tabscm.engine.rehearsal import rehearse
from tabscm.kernel.experiment import Level, Weighted

CPU = torch.device("cpu")


@attrs.frozen
class Flat(Noise):
    """Forgets the last axis."""

    name = "flat"

    def sample(self, shape, rng):
        return torch.randn(shape[:-1], generator=rng)


def test_every_component_of_every_level_is_sampled(tiny):
    noises = (*tiny.stream.noises, Weighted(Flat()))
    levels = [
        Level(stream=attrs.evolve(tiny.stream, noises=chosen), metric="ap", reach=0.9)
        for chosen in (tiny.stream.noises, noises)
    ]
    rehearse(attrs.evolve(tiny, curriculum=tuple(levels[:1])), device=CPU)
    with pytest.raises(ContractError, match=r"^noise flat: expected shape \[B=8, D=4, N=20\], found \[8, 4\]$"):
        rehearse(attrs.evolve(tiny, curriculum=tuple(levels)), device=CPU)
