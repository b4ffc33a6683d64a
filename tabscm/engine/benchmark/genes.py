"""Counts as single cells give them: regulation by Hill functions, seen through a noisy and lossy measurement.

Letters: N cells, D genes.
"""

import numpy as np

from tabscm.engine.benchmark.case import Bools, Case, Floats
from tabscm.engine.benchmark.graphs import causal_order

STATES = 50
"""Of cells, which differ in how much of each master regulator they make; with few of them regulators that have nothing
to do with each other look correlated."""
STEEPNESS = 2.0
"""Exponent of the Hill functions."""
REPRESSING = 0.4
"""Share of regulators that turn their target down."""
DECAY = 0.8
INTRINSIC = 0.3
"""Standard deviation of the logarithm of a gene's expression around its steady state."""
DEPTH = 0.4
"""Standard deviation of the logarithm of a cell's library size."""
COUNTS = 8.0
"""Mean count of a gene before any is lost."""
LOST = 0.25
"""Share of the counts at which the odds of losing a count are even, as a quantile of all counts."""


def sample(adj: Bools, cells: int, rng: np.random.Generator) -> Case:
    """Counts of all genes in some cells, [N, D] whole numbers, many of them 0.

    Source: after Dibaeinia and Sinha 2020 (SERGIO), doi:10.1016/j.cels.2020.08.003: production by Hill functions, half
    response at the regulator's mean, steady state, library size, dropout, Poisson counts. Differs: the steady state is
    reached at once and varies log-normally, in place of a stochastic differential equation.
    """
    state = rng.integers(STATES, size=cells)
    level = np.zeros((cells, len(adj)))
    for gene in causal_order(adj):
        regulators = np.flatnonzero(adj[:, gene])
        if len(regulators) == 0:
            production = rng.uniform(0.5, 4.0, STATES)[state]
        else:
            strength = rng.uniform(1.0, 5.0, len(regulators))
            repressing = rng.random(len(regulators)) < REPRESSING
            response = _hill(level[:, regulators])
            production = np.where(repressing, 1 - response, response) @ strength
        level[:, gene] = production / DECAY * rng.lognormal(sigma=INTRINSIC, size=cells)
    return Case(x=_measured(level, rng), adj=adj, intervened=np.zeros(level.shape, dtype=np.bool_))


def _hill(level: Floats) -> Floats:
    """Share of the full response, [N, P] -> [N, P]."""
    raised = level**STEEPNESS
    response: Floats = raised / (raised + level.mean(0) ** STEEPNESS)
    return response


def _measured(level: Floats, rng: np.random.Generator) -> Floats:
    depth = rng.lognormal(sigma=DEPTH, size=(len(level), 1))
    expected = level / level.mean(0) * rng.lognormal(sigma=0.5, size=level.shape[1]) * COUNTS * depth
    # rare transcripts are lost more often: a logistic curve in the logarithm of the expected count
    surplus = np.log1p(expected) - np.log1p(np.quantile(expected, LOST))
    kept = rng.random(level.shape) < 1 / (1 + np.exp(-4 * surplus))
    counts: Floats = rng.poisson(expected).astype(np.float64) * kept
    return counts
