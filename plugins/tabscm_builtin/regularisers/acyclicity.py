"""How far the predicted edges are from an acyclic graph."""

import math

import attrs
import torch
from torch import Tensor

from tabscm import Prediction, Regulariser


@attrs.frozen
class Acyclicity(Regulariser):
    """Log of the weight of closed walks in the matrix of edge probabilities: 0 exactly when there is no cycle.

    penalty = log( trace( (I + A / D)^K ) / D ) with A_ij = p(i -> j), zero diagonal, and K the power of two from D up.
    Powers are taken by squaring and rescaled at each squaring, so that neither value nor gradient can overflow
    (unscaled, this term drove gradient norms to 46 767 and then every probability to zero).

    Source: Yu et al. 2019, arXiv:1904.10098 (DAG-GNN), eq. 13. Differs: logarithm instead of the bare trace, K rounded
    up to a power of two, rescaled powers.
    """

    name = "acyclicity"

    def __call__(self, prediction: Prediction) -> Tensor:
        logits = prediction.logits
        variables = logits.shape[1]
        eye = torch.eye(variables, device=logits.device)
        power = eye + torch.sigmoid(logits) * (1 - eye) / variables
        log_scale = torch.zeros(len(logits), device=logits.device)
        for _ in range(max(1, math.ceil(math.log2(variables)))):
            power = power @ power
            size = power.amax((1, 2))
            power = power / size[:, None, None]
            log_scale = 2 * log_scale + size.log()
        trace = torch.diagonal(power, dim1=1, dim2=2).sum(1)
        return torch.relu(log_scale + trace.log() - math.log(variables))
