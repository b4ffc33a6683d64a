"""NOTEARS for linear equations: least squares under a smooth constraint that the graph is acyclic.

Letters: N rows, D variables.
"""

import numpy as np

from tabscm.engine.benchmark.answer import Answer, of_weights
from tabscm.engine.benchmark.case import Case, Floats

PENALTY = 0.1
"""Of the sizes of weights (l1)."""
LEAST = 0.3
"""Size of a weight that is asserted."""
CLOSE = 1e-8
"""Of the constraint, at which the search ends."""
ROUNDS, STEEPEST = 100, 1e16
"""Most rounds of the augmented Lagrangian, and the largest factor of its square."""


def notears(case: Case) -> Answer:
    """Weights W of least 1 / 2N ||X - X W||^2 + PENALTY |W| with trace exp(W * W) = D.

    Source: Zheng et al. 2018, arXiv:1803.01422, algorithm 1, with the settings of the authors' code. Differs: columns
    are standardised, as for every method here, which takes from it what the scale of raw data gives away.
    """
    weights = solve(case.scaled())
    return of_weights(weights, least=LEAST)


def solve(x: Floats) -> Floats:
    """The weights of centred columns: [N, D] -> [D, D], at [i, j] that of i in the equation of j."""
    from scipy.optimize import minimize

    rows, size = x.shape
    covariance = x.T @ x / rows
    # positive and negative parts apart make the l1 norm smooth; no variable explains itself
    flat, bounds = (
        np.zeros(2 * size * size),
        [(0, 0 if i == j else None) for _ in (0, 1) for i in range(size) for j in range(size)],
    )
    factor, multiplier, before = 1.0, 0.0, np.inf
    for _ in range(ROUNDS):
        while factor < STEEPEST:
            found = minimize(
                _objective, flat, args=(covariance, factor, multiplier), method="L-BFGS-B", jac=True, bounds=bounds
            )
            violation = _constraint(_weights(found.x, size))[0]
            if violation <= 0.25 * before:
                break
            factor *= 10
        flat, before = found.x, violation
        multiplier += factor * violation
        if violation <= CLOSE or factor >= STEEPEST:
            break
    return _weights(flat, size)


def _objective(flat: Floats, covariance: Floats, factor: float, multiplier: float) -> tuple[float, Floats]:
    """The augmented Lagrangian and its gradient."""
    weights = _weights(flat, len(covariance))
    rest = np.eye(len(covariance)) - weights
    loss = 0.5 * np.sum(rest * (covariance @ rest))
    violation, slope = _constraint(weights)
    value = loss + multiplier * violation + 0.5 * factor * violation**2 + PENALTY * flat.sum()
    gradient = (-covariance @ rest + (multiplier + factor * violation) * slope).ravel()
    return float(value), np.concatenate([gradient + PENALTY, PENALTY - gradient])


def _constraint(weights: Floats) -> tuple[float, Floats]:
    """trace exp(W * W) - D, 0 of an acyclic graph, and its gradient."""
    from scipy.linalg import expm

    walks = expm(weights * weights)
    return float(np.trace(walks) - len(weights)), walks.T * weights * 2


def _weights(flat: Floats, size: int) -> Floats:
    return (flat[: size * size] - flat[size * size :]).reshape(size, size)
