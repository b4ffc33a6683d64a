"""The likelihood of every unordered pair."""

import attrs
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal, pair_log_likelihood


@attrs.frozen
class Pair(Loss):
    """-log q of the truth of every two variables: no edge, i -> j, or j -> i; half of the sum over ordered pairs.

    q(i -> j) and q(j -> i) are the predicted probabilities and the rest, 1 - q(i -> j) - q(j -> i), is that of no edge;
    where both together are above 1, which the head `pair` cannot say, no edge has probability 1e-6. In nats for every
    ordered pair, so that it compares with `bce`.

    Source: the logarithmic score, Good 1952, of the three-way choice.
    """

    name = "pair"

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        return -mean_off_diagonal(pair_log_likelihood(prediction.logits, truth.adj))
