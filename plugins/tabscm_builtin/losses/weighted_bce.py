"""Binary cross-entropy in which edges weigh more than their absence."""

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge, gt, lt, optional
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal, smooth


@attrs.frozen
class WeightedBCE(Loss):
    """Binary cross-entropy in which an edge weighs w times its absence, so that the rare class is not drowned.

    loss = mean over i != j of -(w t_ij log p_ij + (1 - t_ij) log(1 - p_ij)), in nats, t_ij the (smoothed) truth. The
    best answer has w times the honest odds: read such probabilities as scores, and choose the threshold on validation.

    Source: the weighted likelihood of King and Zeng 2001, "Logistic regression in rare events data"; (1 - p) / p is
    that of this project's first version, which took the density among the pairs that respect the causal order for p:
    2.33 at 30 %. Differs: absences keep weight 1; p is the share of ordered pairs, half of that density, and so 5.67.
    """

    name = "weighted-bce"
    positive_weight: float | None = attrs.field(default=None, validator=optional(gt(0)))
    """w; left out: (1 - p) / p with p the share of ordered pairs that are edges in the true graph of each table, so
    that edges and absences weigh the same in every table."""
    label_smoothing: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """s: the best probability is that of a truth of 1 - s/2 where there is an edge and s/2 where there is none."""

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        variables = truth.adj.shape[1]
        if self.positive_weight is None:
            edges = truth.adj.sum((1, 2), keepdim=True).clamp(min=1)  # no edges: what they weigh does not matter
            weight = (variables * (variables - 1) - edges) / edges  # [B, 1, 1]
        else:
            weight = torch.full((), self.positive_weight, device=truth.adj.device)
        target = smooth(truth.adj, self.label_smoothing)
        return mean_off_diagonal(
            F.binary_cross_entropy_with_logits(prediction.logits, target, pos_weight=weight, reduction="none")
        )
