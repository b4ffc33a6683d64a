"""How well the undirected graph as a whole overlaps with the true one."""

import attrs
import torch
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth


@attrs.frozen
class Skeleton(Loss):
    """One minus a soft F1 of the skeleton, a judgement of the whole graph and not of edge by edge.

    loss = 1 - (2 sum s_ij t_ij + 1) / (sum s_ij^2 + sum t_ij^2 + 1) over unordered pairs, between 0 and 1: t is 1 where
    the variables are linked either way, s_ij = 1 - (1 - p_ij)(1 - p_ji) the probability that they are. It says nothing
    of directions: add it to a loss that does, as one of the `auxiliary_losses`.

    Source: Milletari et al. 2016, arXiv:1606.04797, section 3 (Dice). Differs: one unit is added above and below, so
    that a graph without edges has a loss and a gradient.
    """

    name = "skeleton"

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        absent = torch.sigmoid(-prediction.logits)
        found = (1 - absent * absent.mT).triu(1)  # [B, D, D]
        true = (truth.adj | truth.adj.mT).float().triu(1)
        both = (found * true).sum((1, 2))
        return 1 - (2 * both + 1) / (found.square().sum((1, 2)) + true.sum((1, 2)) + 1)
