"""Binary cross-entropy of the edges."""

import attrs
import torch.nn.functional as F
from attrs.validators import ge, lt
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal, smooth


@attrs.frozen
class BCE(Loss):
    """Binary cross-entropy: the mean over ordered pairs of -log q_ij, in nats, q_ij the probability of the truth.

    Source: the logarithmic score, Good 1952; proper, so that honest probabilities are the best answer. Label smoothing,
    Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """

    name = "bce"
    label_smoothing: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """s: the best probability is 1 - s/2 where there is an edge and s/2 where there is none."""

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        target = smooth(truth.adj, self.label_smoothing)
        return mean_off_diagonal(F.binary_cross_entropy_with_logits(prediction.logits, target, reduction="none"))
