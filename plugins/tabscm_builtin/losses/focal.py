"""Binary cross-entropy that fades as the prediction grows sure."""

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge, gt, lt, optional
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal


@attrs.frozen
class Focal(Loss):
    """Binary cross-entropy that fades as the prediction grows sure.

    loss = mean over i != j of a_ij * (1 - q_ij)^gamma * -log q_ij, in nats, where q_ij is the probability given to the
    truth. It shrinks with gamma whether or not anything is learned: compare log-probabilities, not this number.
    With label smoothing s it is a_ij * |1 - s/2 - q_ij|^gamma times the smoothed cross-entropy: 0 at q_ij = 1 - s/2.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 4, and eq. 5 with alpha; smoothed as the quality focal loss of Li et
    al. 2020, arXiv:2006.04388.
    """

    name = "focal"
    gamma: float = attrs.field(default=2.0, validator=ge(0))
    """How fast the loss fades as the prediction grows sure; 0 is cross-entropy."""
    alpha: float | None = attrs.field(default=None, validator=optional([gt(0), lt(1)]))
    """Weight a_ij of edges, with 1 - alpha that of their absence; left out: 1 for both."""
    label_smoothing: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """s: the best probability is 1 - s/2 where there is an edge and s/2 where there is none."""

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        signed = torch.where(truth.adj, prediction.logits, -prediction.logits)
        log_q, log_not_q = F.logsigmoid(signed), F.logsigmoid(-signed)
        rest = self.label_smoothing / 2
        # 1 - q through expm1: exact when q is near 1, and its gradient stays finite
        fade = (-torch.expm1(log_q) - rest).abs().clamp(min=1e-12) ** self.gamma
        loss = -fade * ((1 - rest) * log_q + rest * log_not_q)
        if self.alpha is not None:
            loss = loss * torch.where(truth.adj, self.alpha, 1 - self.alpha)
        return mean_off_diagonal(loss)
