"""SCORE: the causal order from second derivatives of the log-density, the edges from additive regressions.

Letters: N rows, D variables, P candidates for parents.
"""

import numpy as np

from tabscm.engine.benchmark.answer import Answer
from tabscm.engine.benchmark.case import Case, Floats

RIDGE = 0.001
"""Of Stein's estimators."""
MOST_ROWS = 1000
"""Rows that the order is estimated from, evenly spaced: memory grows with their square and time with their cube."""
DEGREE = 3
"""Of the polynomial that stands for a smooth function of one variable."""
CANDIDATES = 20
"""Most variables that one is regressed on, those most correlated with it."""
LEVEL = 0.001
"""Of the test that a candidate matters."""


def score_matching(case: Case) -> Answer:
    """Of a leaf of a nonlinear model with Gaussian noise the second derivative of the log-density does not vary.

    Source: Rolland et al. 2022, arXiv:2203.04413, algorithm 1, with CAM's pruning (Buehlmann et al. 2014). Differs: the
    leaf is the variable whose derivative varies least beside its square, which the unit of a column does not change (on
    standardised tables the variance alone directs fewer edges rightly); the regressions of the pruning take cubic
    polynomials in place of splines; an edge's score is the F of its test beside the value at LEVEL.
    """
    x = case.scaled()
    order = _order(x[np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).round().astype(int)])
    scores = np.zeros(case.adj.shape)
    for place in range(1, len(order)):
        child, before = order[place], np.array(order[:place])
        correlation = np.abs(x[:, before].T @ x[:, child])
        candidates = before[np.argsort(-correlation, kind="stable")[:CANDIDATES]]
        scores[candidates, child] = _importance(x[:, candidates], x[:, child])
    return Answer(scores=scores, graph=(scores > 1).astype(float))


def _order(x: Floats) -> list[int]:
    """The variables of [N, D], causes first; leaves are taken off one by one."""
    left = list(range(x.shape[1]))
    order: list[int] = []
    while len(left) > 1:
        second = _second_derivatives(x[:, left])
        leaf = int(np.argmin(second.var(0) / np.maximum(second.mean(0) ** 2, 1e-300)))
        order.append(left.pop(leaf))
    return [*left, *reversed(order)]


def _second_derivatives(x: Floats) -> Floats:
    """The diagonal of the Hessian of the log-density at every row: [N, D] -> [N, D].

    Source: Rolland et al. 2022, eq. 13 and 15. A Gaussian kernel whose width is the median distance of two rows.
    """
    squares = np.sum(x**2, axis=1)
    distance = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
    # of few categories most rows are the same
    width = np.median(distance) or distance.mean()
    kernel = np.exp(-distance / (2 * width))
    # sums over rows i of K_ik (x_k - x_i) and of its square, without an array of three axes
    total, moved = kernel.sum(1, keepdims=True), kernel @ x
    slope = -(x * total - moved) / width
    curve = (x**2 * total - 2 * x * moved + kernel @ x**2) / width**2 - total / width
    regular = kernel + RIDGE * np.eye(len(x))
    solved = np.linalg.solve(regular, np.concatenate([slope, curve], axis=1))
    gradient, second = solved[:, : x.shape[1]], solved[:, x.shape[1] :]
    found: Floats = second - gradient**2
    return found


def _importance(x: Floats, y: Floats) -> Floats:
    """How much each column of [N, P] adds to an additive regression of [N]: [P] F beside its value at LEVEL."""
    from scipy.stats import f

    basis = np.concatenate([x[:, :, None] ** power for power in range(1, DEGREE + 1)], axis=2)  # [N, P, DEGREE]
    basis = basis - basis.mean(0)
    design = (basis / basis.std(0).clip(min=1e-12)).reshape(len(x), -1)
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    weights = inverse @ design.T @ (y - y.mean())
    free = len(x) - design.shape[1] - 1
    if free < 1:
        return np.zeros(x.shape[1])
    variance = np.sum((y - y.mean() - design @ weights) ** 2) / free
    found = np.zeros(x.shape[1])
    for index in range(x.shape[1]):
        own = slice(DEGREE * index, DEGREE * (index + 1))
        explained = weights[own] @ np.linalg.pinv(inverse[own, own], hermitian=True) @ weights[own]
        found[index] = explained / DEGREE / max(variance, 1e-12)
    return found / float(f.isf(LEVEL, DEGREE, free))
