"""Knowledge as matrices over the variables of one table, and probabilities that obey it."""

import attrs
import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-12
"""Least probability of no edge, so that what is left of a pair is defined when the network was sure of the rest."""


@attrs.frozen(eq=False)
class Constraints:
    """What may, must and cannot be, [D, D] bool each, at [i, j] of i -> j. They do not contradict each other."""

    forbidden: NDArray[np.bool_]
    """Edges that are not there, the diagonal left out: those that were named, and all that `before` rules out."""
    required: NDArray[np.bool_]
    """Edges that are there."""
    before: NDArray[np.bool_]
    """True where i comes before j in every causal order, by tiers, required edges and what follows from both."""
    source: str
    """Where the knowledge was read."""

    def condition(self, edge_prob: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probabilities of edges, given the knowledge on the pair of variables they join.

        A pair is i -> j, j -> i or neither, with probabilities p_ij, p_ji and 1 - p_ij - p_ji. Where one direction is
        forbidden, the other two share what it had:

            p_ij given not j -> i  =  p_ij / (p_ij + max(1 - p_ij - p_ji, SMALLEST))

        With p_ij + p_ji above 1, which a network can say that judges both directions on their own, nothing is left for
        neither, and the direction that is allowed is all but sure. A forbidden edge gets 0, a required one 1. What is
        known of one pair changes no other, except by what follows for its directions.

        Args:
            edge_prob: [D, D], in [0, 1], at [i, j] of i -> j; 0 on the diagonal.

        Returns:
            [D, D], in [0, 1].
        """
        neither = np.maximum(1 - edge_prob - edge_prob.T, SMALLEST)
        given = np.where(self.forbidden.T, edge_prob / (edge_prob + neither), edge_prob)
        given[self.forbidden] = 0.0
        given[self.required] = 1.0
        return given
