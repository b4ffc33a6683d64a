"""Rules of one line: what a method must beat to have understood anything.

Letters: N rows, D variables.
"""

import math

import numpy as np
import torch

from tabscm.engine.benchmark.answer import Answer, of_weights
from tabscm.engine.benchmark.case import Case, Floats
from tabscm.engine.sortability import linear_r2

DEVIATIONS = 2.576
"""Of Fisher's z from 0, at which a correlation is one: the two-sided level of 1 %."""
RIDGE = 1e-6


def empty(case: Case) -> Answer:
    """No edge at all."""
    nothing = np.zeros(case.adj.shape)
    return Answer(scores=nothing, graph=nothing)


def correlation(case: Case) -> Answer:
    """Size of the correlation, the same both ways."""
    x = case.scaled()
    return _associated(x.T @ x / len(x), len(x))


def partial_correlation(case: Case) -> Answer:
    """Size of the correlation given all other variables, the same both ways."""
    x = case.scaled()
    precision = np.linalg.inv(x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]))
    scale = np.sqrt(np.diag(precision))
    return _associated(precision / np.outer(scale, scale), len(x) - (x.shape[1] - 2))


def sortnregress(case: Case) -> Answer:
    """Variables by their variance, each regressed on those before; the one rule here that sees the raw scale.

    Source: Reisach et al. 2021, arXiv:2102.13647.
    """
    return _regress(case.x, case.x.var(0))


def r2_sortnregress(case: Case) -> Answer:
    """Variables by how well the others explain them, each regressed on those before.

    Source: Reisach et al. 2023, arXiv:2303.18211.
    """
    x = case.scaled()
    return _regress(x, linear_r2(torch.from_numpy(x)[None])[0].numpy())


def _associated(matrix: Floats, rows: int) -> Answer:
    """Symmetric coefficients [D, D] from -1 to 1 of so many rows, less one for each variable that was held fixed; edges
    without direction where they are surely not 0."""
    size = np.abs(matrix).clip(max=1 - 1e-12) * ~np.eye(len(matrix), dtype=bool)
    real = np.arctanh(size) * math.sqrt(max(rows - 3, 0)) > DEVIATIONS
    return Answer(scores=size, graph=0.5 * real)


def _regress(x: Floats, criterion: Floats) -> Answer:
    """Adaptive lasso of every variable on those with a smaller criterion, the penalty by BIC."""
    from sklearn.linear_model import LassoLarsIC, LinearRegression

    x = x - x.mean(0)
    scale = x.std(0)
    order = np.argsort(criterion, kind="stable")
    weights = np.zeros((x.shape[1], x.shape[1]))
    for place in range(1, len(order)):
        before, child = order[:place], order[place]
        rough = np.abs(LinearRegression().fit(x[:, before], x[:, child]).coef_)
        lasso = LassoLarsIC(criterion="bic").fit(x[:, before] * rough, x[:, child])
        weights[before, child] = lasso.coef_ * rough * scale[before] / scale[child]
    return of_weights(weights, least=0.0)
