"""The likelihood of every unordered pair."""

import attrs
import torch
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal

SMALLEST = 1e-6
"""Smallest probability that is left to "no edge"; what two directions claim together may reach 1 in float32."""


@attrs.frozen
class Pair(Loss):
    """-log q of the truth of every two variables: no edge, i -> j, or j -> i; half of the sum over ordered pairs.

    q(i -> j) and q(j -> i) are the predicted probabilities and the rest, 1 - q(i -> j) - q(j -> i), is that of no edge;
    where both together are above 1, which the head `pair` cannot say, no edge has probability 1e-6. In nats for every
    ordered pair, so that it compares with `bce`.

    Source: the logarithmic score, Good 1952, of the three-way choice.
    """

    name = "pair"

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        log_edge = torch.nn.functional.logsigmoid(prediction.logits)  # [B, D, D]
        edge = log_edge.exp()
        log_none = (1 - edge - edge.mT).clamp(min=SMALLEST).log()
        joined = truth.adj | truth.adj.mT
        # an edge's likelihood counts once for the pair, and "none" is met twice
        return -mean_off_diagonal(torch.where(joined, log_edge * truth.adj, log_none / 2))
