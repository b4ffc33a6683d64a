"""Which variables were intervened on."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import gt, lt
from torch import Tensor, nn

from tabscm import Evidence, Head


@attrs.frozen
class Intervention(Head):
    """Log-odds that some row of a variable was set from outside, as an auxiliary answer.

    Gives "targets" [B, D] float32, read from the node and, where there are pairs, from the variable's pair with itself
    and the means of its pairs as a cause and as an effect. The loss `intervention` teaches it. It has work to do where
    the interventions are not shown; where they are, the table itself says it.

    Source: this project, after the auxiliary head of its first version.
    """

    name = "intervention"
    gives = frozenset({"targets"})
    rate: float = attrs.field(default=0.5, validator=[gt(0), lt(1)])
    """Probability of having been intervened on at initialisation: the share of such variables in the stream."""

    def build(self, width: int) -> nn.Module:
        return _Intervention(width, self.rate)


class _Intervention(nn.Module):
    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.node = nn.Linear(width, width)
        self.itself = nn.Linear(width, width, bias=False)
        self.cause = nn.Linear(width, width, bias=False)
        self.effect = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.score.bias, math.log(rate / (1 - rate)))

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        hidden = self.node(self.norm(evidence.nodes))  # [B, D, E]
        if evidence.pairs is not None:
            pairs = self.norm(evidence.pairs)
            itself = torch.diagonal(pairs, dim1=1, dim2=2).mT  # [B, D, E]
            hidden = hidden + self.itself(itself) + self.cause(pairs.mean(2)) + self.effect(pairs.mean(1))
        return {"targets": self.score(F.hardswish(hidden))[..., 0].float()}  # [B, D]
