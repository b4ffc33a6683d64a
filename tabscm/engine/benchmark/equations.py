"""Tables from structural equations with additive noise, observational or half interventional.

Written apart from the stream that networks are trained on, with settings of its own: what both have in common is the
textbook. Letters: N rows, D variables, P parents.
"""

from collections.abc import Callable
from typing import Literal

import attrs
import numpy as np

from tabscm.engine.benchmark.case import Bools, Case, Floats
from tabscm.engine.benchmark.graphs import causal_order

Rng = np.random.Generator
Function = Callable[[Floats], Floats]
"""Values of the parents [N, P] -> signal [N]."""
Noise = Literal["gaussian", "uniform", "laplace", "exponential"]

FEATURES = 100
"""Of a random-Fourier function."""
HIDDEN = 16
"""Units of a network."""


@attrs.frozen(kw_only=True)
class Equations:
    """How every variable follows from its parents and its noise."""

    form: Literal["linear", "fourier", "network", "quadratic"]
    noise: Noise = "gaussian"
    scale: tuple[float, float] = (1.0, 1.0)
    """Least and largest standard deviation of a variable's noise, drawn uniformly."""
    weights: tuple[float, float] = (0.5, 2.0)
    """Least and largest size of a linear weight; the sign is a coin's."""
    bias: float = 0.0
    """Largest size of a constant that is added."""
    length: tuple[float, float] = (1.0, 2.0)
    """Least and largest length scale of a random-Fourier function."""
    height: tuple[float, float] = (1.0, 1.0)
    """Least and largest standard deviation of a random-Fourier function."""
    shrink: bool = False
    """Divide linear weights by the square root of the number of parents, or values of dense graphs grow without end."""
    unit: Literal["signal", "variable"] | None = None
    """What has a variance of 1 as it is sampled: what comes of the parents, or the variable with its noise."""


def sample(
    adj: Bools,
    rows: int,
    equations: Equations,
    rng: Rng,
    *,
    targets: Bools | None = None,
    strength: Literal["own", "deviations"] = "deviations",
) -> Case:
    """Draw the functions of all variables, then a table.

    Args:
        adj: [D, D], acyclic.
        rows: N.
        equations: the family.
        rng: everything random.
        targets: [N, D], which cells interventions set; None sets none.
        strength: values of interventions are +-U(1, 5) in a variable's own unit, or its mean +- U(1, 3) of its standard
            deviations without interventions.
    """
    x, seen = np.zeros((rows, len(adj))), np.zeros((rows, len(adj)))  # with and without interventions
    cells = np.zeros(x.shape, dtype=np.bool_) if targets is None else targets
    for variable in causal_order(adj):
        parents = np.flatnonzero(adj[:, variable])
        function = _function(equations, len(parents), rng)
        scale = rng.uniform(*equations.scale)
        signal = function(seen[:, parents])
        centre, size = _location(signal) if equations.unit == "signal" and len(parents) else (0.0, 1.0)
        values = (signal - centre) / size + scale * draw_noise(equations.noise, rows, rng)
        middle, unit = _location(values) if equations.unit == "variable" else (0.0, 1.0)
        seen[:, variable] = (values - middle) / unit
        if targets is None:
            x[:, variable] = seen[:, variable]
            continue
        values = (function(x[:, parents]) - centre) / size + scale * draw_noise(equations.noise, rows, rng)
        values = (values - middle) / unit
        x[:, variable] = np.where(cells[:, variable], _setting(seen[:, variable], strength, rng), values)
    return Case(x=x, adj=adj, intervened=cells)


def half_on_every_variable(rows: int, variables: int, rng: Rng) -> Bools:
    """Nobody intervenes in the first half of the rows; in each of the others on one variable, each equally often."""
    cells = np.zeros((rows, variables), dtype=np.bool_)
    later = np.arange(rows // 2, rows)
    turns = np.resize(rng.permutation(variables), len(later))
    cells[later, turns] = True
    return cells


def draw_noise(family: Noise, rows: int, rng: Rng) -> Floats:
    """[N] with mean 0 and variance 1."""
    if family == "uniform":
        return rng.uniform(-(3**0.5), 3**0.5, rows)
    if family == "laplace":
        return rng.laplace(scale=2**-0.5, size=rows)
    if family == "exponential":
        return rng.exponential(size=rows) - 1
    return rng.normal(size=rows)


def _function(equations: Equations, parents: int, rng: Rng) -> Function:
    """A random function of `parents` variables; 0 of none, but for the bias."""
    if parents == 0:
        constant = rng.uniform(-equations.bias, equations.bias)
        return lambda values: np.full(len(values), constant)
    if equations.form == "linear":
        return _linear(equations, parents, rng)
    if equations.form == "fourier":
        return _fourier(equations, parents, rng)
    return (_network if equations.form == "network" else _quadratic)(parents, rng)


def _linear(equations: Equations, parents: int, rng: Rng) -> Function:
    weights = _signed(equations.weights, parents, rng) / (parents**0.5 if equations.shrink else 1.0)
    constant = rng.uniform(-equations.bias, equations.bias)
    return lambda values: values @ weights + constant


def _fourier(equations: Equations, parents: int, rng: Rng) -> Function:
    """A draw of a Gaussian process with a squared-exponential kernel: Rahimi and Recht 2007."""
    frequency = rng.normal(size=(parents, FEATURES)) / rng.uniform(*equations.length)
    phase = rng.uniform(0, 2 * np.pi, FEATURES)
    amplitude = rng.normal(size=FEATURES) * rng.uniform(*equations.height) * (2 / FEATURES) ** 0.5
    constant = rng.uniform(-equations.bias, equations.bias)
    return lambda values: np.cos(values @ frequency + phase) @ amplitude + constant


def _network(parents: int, rng: Rng) -> Function:
    inner = rng.normal(size=(parents, HIDDEN)) * 1.5
    shift = rng.normal(size=HIDDEN)
    outer = rng.normal(size=HIDDEN)
    return lambda values: np.tanh(values @ inner + shift) @ outer


def _quadratic(parents: int, rng: Rng) -> Function:
    square, slope = _signed((0.5, 1.5), parents, rng), rng.normal(size=parents) * 0.5
    return lambda values: values**2 @ square + values @ slope


def _signed(sizes: tuple[float, float], count: int, rng: Rng) -> Floats:
    signed: Floats = rng.uniform(*sizes, count) * rng.choice([-1.0, 1.0], count)
    return signed


def _setting(seen: Floats, strength: Literal["own", "deviations"], rng: Rng) -> Floats:
    """What interventions set a variable to, row by row: [N]."""
    if strength == "own":
        return _signed((1.0, 5.0), len(seen), rng)
    settings: Floats = seen.mean() + seen.std() * _signed((1.0, 3.0), len(seen), rng)
    return settings


def _location(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) or 1.0
