"""Edges that follow one causal order, so that no cycle can be decoded."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import gt, lt
from torch import Tensor, nn

from tabscm import Evidence, Head
from tabscm_builtin.heads._common import PairReader


@attrs.frozen
class Ordered(Head):
    """Whether two variables are linked, times which of them comes first: above 0.5 there is never a cycle.

    p(i -> j) = sigmoid(e_ij) * sigmoid((o_i - o_j) / temperature) with e symmetric. Above 0.5 only where o_i > o_j, and
    no cycle goes down all the way round. The order o is the potential of a flow f_ij = -f_ji read from the pairs,
    o_i = mean over j of f_ij, the least squares solution of o_i - o_j = f_ij.

    Gives "edges" [B, D, D] log-odds and "order" [B, D], larger is earlier; the loss `order` teaches the order directly.

    Source: ENCO, Lippe et al. 2022, arXiv:2107.10483 (existence times orientation); HodgeRank, Jiang et al. 2011,
    arXiv:0811.1067 (the potential of a flow). Differs: e is symmetric, and orientations come from one score per
    variable, whereas those of ENCO can form cycles.
    """

    name = "ordered"
    gives = frozenset({"edges", "order"})
    temperature: float = attrs.field(default=1.0, validator=gt(0))
    """Distance in the order at which the direction is 73 % sure; smaller is sharper."""
    density: float = attrs.field(default=0.15, validator=[gt(0), lt(0.5)])
    """Probability of an edge at initialisation: the base rate of the stream."""

    def build(self, width: int) -> nn.Module:
        return _Ordered(width, self.temperature, self.density)


class _Ordered(PairReader):
    def __init__(self, width: int, temperature: float, density: float) -> None:
        super().__init__(width)
        self.temperature = temperature
        self.exists = nn.Linear(width, 1)
        self.before = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.exists.weight)
        nn.init.zeros_(self.before.weight)
        # both directions are even at first, so that a link is twice as likely as an edge
        nn.init.constant_(self.exists.bias, math.log(2 * density / (1 - 2 * density)))

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        hidden = self.read(evidence)
        exists = self.exists(hidden)[..., 0].float()  # [B, D, D]
        before = self.before(hidden)[..., 0].float()  # [B, D, D]
        exists = (exists + exists.mT) / 2
        order = (before - before.mT).mean(2)  # [B, D]
        ahead = (order[:, :, None] - order[:, None]) / self.temperature  # [B, D, D]
        return {"edges": _log_odds_of_both(exists, ahead), "order": order}


def _log_odds_of_both(first: Tensor, second: Tensor) -> Tensor:
    """Log-odds of p q from those of p and q, without overflow: log p q - log(1 - p q).

    With 1 - p q = (1 - p) + p (1 - q). Rounded or not, it is at most 0 where that of q is: q <= 1 - q there.
    """
    log_both = F.logsigmoid(first) + F.logsigmoid(second)
    log_not_both = torch.logaddexp(F.logsigmoid(-first), F.logsigmoid(first) + F.logsigmoid(-second))
    return log_both - log_not_both
