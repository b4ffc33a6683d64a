"""Binary cross-entropy that fades as the prediction grows sure."""

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal


@attrs.frozen
class Focal(Loss):
    """Binary cross-entropy that fades as the prediction grows sure.

    loss = mean over i != j of (1 - q_ij)^gamma * -log q_ij, in nats, where q_ij is the probability given to the truth.
    It shrinks with gamma whether or not anything is learned: compare log-probabilities, not this number.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 4. Differs: no class weight alpha (that is eq. 5).
    """

    name = "focal"
    gamma: float = attrs.field(default=2.0, validator=ge(0))

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        log_q = F.logsigmoid(torch.where(truth.adj, prediction.logits, -prediction.logits))
        # 1 - q through expm1: exact when q is near 1, and its gradient stays finite
        fade = (-torch.expm1(log_q)).clamp(min=1e-12) ** self.gamma
        return mean_off_diagonal(-fade * log_q)
