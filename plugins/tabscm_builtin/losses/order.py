"""Whether causes come before their effects."""

import math

import attrs
import torch.nn.functional as F
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth


@attrs.frozen
class Order(Loss):
    """Causal order as supervision: the mean over pairs of ancestor i and descendant j of -log sigmoid(o_i - o_j).

    In nats; o is "order" [B, D], larger is earlier. A graph without edges has no order and costs 0.

    Source: RankNet, Burges et al. 2005, "Learning to rank using gradient descent", eq. 3 with the target 1.
    """

    name = "order"
    needs = frozenset({"order"})

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        order = prediction.aux["order"]
        before = _ancestors(truth.adj)
        cost = -F.logsigmoid(order[:, :, None] - order[:, None])  # [B, D, D]
        return (cost * before).sum((1, 2)) / before.sum((1, 2)).clamp(min=1)


def _ancestors(adj: Tensor) -> Tensor:
    """Whether a path leads from i to j: [B, D, D] bool -> [B, D, D] bool."""
    reach = adj
    for _ in range(math.ceil(math.log2(max(1, adj.shape[1])))):  # each round doubles the length of the paths
        steps = reach.float()
        reach = reach | (steps @ steps > 0)
    return reach
