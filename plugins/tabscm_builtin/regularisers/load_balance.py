"""How unevenly the experts of a mixture are used."""

import attrs
from torch import Tensor

from tabscm import Prediction, Regulariser


@attrs.frozen
class LoadBalance(Regulariser):
    """How much of the router's probability goes to experts that have much to do already: 1 when all have the same.

    penalty = mean over layers of X sum_x load_x router_x, with load_x the share of the tokens of a table that expert x
    got and router_x its mean probability, without unit; X where one expert gets everything. The load has no gradient:
    the router is pulled away from experts in proportion to their load.

    Source: Switch Transformer, Fedus et al. 2021, arXiv:2101.03961, eq. 4 to 6, without the factor alpha, which is the
    weight in the experiment. Differs: balanced within each table, not over the batch.
    """

    name = "load-balance"
    needs = frozenset({"load", "router"})

    def __call__(self, prediction: Prediction) -> Tensor:
        load, router = prediction.aux["load"].detach().float(), prediction.aux["router"].float()  # [B, L, X]
        return load.shape[2] * (load * router).sum(2).mean(1)
