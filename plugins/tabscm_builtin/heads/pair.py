"""One three-way choice for every two variables."""

import math

import attrs
import torch.nn.functional as F
from attrs.validators import gt, lt
from torch import Tensor, nn

from tabscm import Evidence, Head
from tabscm_builtin.heads._common import PairReader


@attrs.frozen
class Pair(Head):
    """For every two variables a softmax over no edge, i -> j and j -> i, so that both directions are never asserted.

    Scores s_ij come from the pair and its two nodes; p(i -> j) = exp(s_ij) / (1 + exp(s_ij) + exp(s_ji)). From an
    embedding without pairs it reads the nodes alone.

    Source: this project.
    """

    name = "pair"
    gives = frozenset({"edges"})
    density: float = attrs.field(default=0.15, validator=[gt(0), lt(0.5)])
    """Probability of an edge at initialisation: the base rate of the stream."""

    def build(self, width: int) -> nn.Module:
        return _Pair(width, self.density)


class _Pair(PairReader):
    def __init__(self, width: int, density: float) -> None:
        super().__init__(width)
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.score.bias, math.log(density / (1 - 2 * density)))

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        score = self.score(self.read(evidence))[..., 0].float()  # [B, D, D]
        # the log-odds of i -> j against the two other answers
        return {"edges": score - F.softplus(score.mT)}
