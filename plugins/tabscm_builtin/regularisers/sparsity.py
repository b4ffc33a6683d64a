"""How much denser than it should be the predicted graph is."""

import attrs
import torch
from attrs.validators import ge, lt
from torch import Tensor

from tabscm import Prediction, Regulariser


@attrs.frozen
class Sparsity(Regulariser):
    """By how much the expected share of ordered pairs that are edges exceeds a density: max(mean p_ij - density, 0).

    At the default density of 0 it is the L1 norm of the edge probabilities, over the number of ordered pairs. Without
    unit, in [0, 1].

    Source: the L1 penalty of NOTEARS, Zheng et al. 2018, arXiv:1803.01422, eq. 4, on probabilities. Differs: free up
    to a density.
    """

    name = "sparsity"
    density: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """Share of ordered pairs that may be edges at no cost: the density of the graphs that are expected."""

    def __call__(self, prediction: Prediction) -> Tensor:
        variables = prediction.logits.shape[1]
        others = ~torch.eye(variables, dtype=torch.bool, device=prediction.logits.device)
        expected = (torch.sigmoid(prediction.logits) * others).sum((1, 2))  # [B]
        return torch.relu(expected / max(1, variables * (variables - 1)) - self.density)
