"""The likelihood of whole graphs under several networks."""

import attrs
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import off_diagonal, pair_log_likelihood


@attrs.frozen
class Graph(Loss):
    """By how much a graph is less likely under a mixture of specialists than under the best: the gate learns to choose.

    max_k log L_k - log sum_k s_k L_k, in nats, with s_k the share of specialist k and L_k = prod p_k its likelihood of
    the graph, over all two variables. A mixture of whole graphs, where the edges of a prediction are mixed one by one:
    all that a graph says of who was right counts together, so that a gate learns from one table what it would from
    dozens. The maximum has no gradient and takes away what no gate can change. One of the `auxiliary_losses`, of
    several specialists.

    Source: Jacobs et al. 1991, doi:10.1162/neco.1991.3.1.79, eq. 1.3, with a graph as the case. Differs: the maximum.
    """

    name = "graph"
    needs = frozenset({"beliefs", "specialists"})

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        each = pair_log_likelihood(prediction.aux["specialists"], truth.adj[:, None])  # [B, X, D, D]
        whole = off_diagonal(each).sum((2, 3))  # [B, X]
        shares = prediction.aux["beliefs"].log_softmax(-1)
        return whole.detach().amax(-1) - (shares + whole).logsumexp(-1)
