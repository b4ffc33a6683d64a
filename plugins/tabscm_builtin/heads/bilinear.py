"""Edges from the angle between two views of a variable."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import gt, lt
from torch import Tensor, nn

from tabscm import Evidence, Head


@attrs.frozen
class Bilinear(Head):
    """Cosine between i as a cause and j as an effect, times a learned temperature, plus a learned density.

    Source: AVICI, Lorch et al. 2022, arXiv:2205.12934, section 4.2 (u_i . v_j with a bias); cosine and temperature keep
    the logits from dying, as they did when the sources scaled them by width^-0.5.
    """

    name = "bilinear"
    gives = frozenset({"edges"})
    temperature: float = attrs.field(default=10.0, validator=gt(0))
    """Largest distance of a logit from the density, in nats, at initialisation."""
    density: float = attrs.field(default=0.15, validator=[gt(0), lt(1)])
    """Probability of an edge at initialisation: the base rate of the stream."""

    def build(self, width: int) -> nn.Module:
        return _Bilinear(width, self.temperature, self.density)


class _Bilinear(nn.Module):
    def __init__(self, width: int, temperature: float, density: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.cause = nn.Linear(width, width)
        self.effect = nn.Linear(width, width)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.bias = nn.Parameter(torch.tensor(math.log(density / (1 - density))))

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        nodes = self.norm(evidence.nodes)
        cause = F.normalize(self.cause(nodes).float(), dim=-1)
        effect = F.normalize(self.effect(nodes).float(), dim=-1)
        with torch.autocast(nodes.device.type, enabled=False):
            cosine = cause @ effect.mT  # [B, D, D]
        return {"edges": cosine * self.log_temperature.exp() + self.bias}
