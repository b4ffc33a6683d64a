"""Normal noise."""

import attrs
import torch
from torch import Tensor

from tabscm import Noise


@attrs.frozen
class Gaussian(Noise):
    """Normal noise: with linear mechanisms, the case in which least can be told from observation.

    Source: this project.
    """

    name = "gaussian"

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=rng, device=rng.device)
