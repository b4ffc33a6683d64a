"""Binary cross-entropy of the edges."""

import attrs
import torch.nn.functional as F
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal


@attrs.frozen
class BCE(Loss):
    """Binary cross-entropy: the mean over ordered pairs of -log q_ij, in nats, q_ij the probability of the truth.

    Source: the logarithmic score, Good 1952; proper, so that honest probabilities are the best answer.
    """

    name = "bce"

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        target = truth.adj.to(prediction.logits.dtype)
        return mean_off_diagonal(F.binary_cross_entropy_with_logits(prediction.logits, target, reduction="none"))
