"""What a table looks like in a few dozen numbers that do not depend on the order of rows or columns, nor on units.

Letters: N rows, D variables.
"""

import math

import torch
from torch import Tensor

MOST_ROWS = 2000
"""Rows that are looked at at most, spread over the table."""
RIDGE = 1e-3
"""Added to the variances before the correlations are inverted."""
FAR = 3.0
"""Standard deviations beyond which a cell is far out."""
STRONG = 0.8
"""Size of a correlation above which it counts as strong."""


def statistics(x: Tensor, observed: Tensor, intervened: Tensor) -> dict[str, float]:
    """Describe a table.

    Args:
        x: [N, D] standardised, 0 where not observed.
        observed: [N, D] bool.
        intervened: [N, D] bool.

    Returns:
        Numbers by name, all finite. Of what each column or pair has, mean, deviation and extremes are there; of most,
        a root or a logarithm is taken, so that no table is beyond all measure.
    """
    # spread over the table, whose rows may be sorted
    some = slice(None, None, -(-len(x) // MOST_ROWS))
    x, observed, intervened = x[some].double(), observed[some], intervened[some]
    rows, variables = x.shape
    found = {
        "rows": math.log10(rows),
        "variables": math.log10(variables),
        "intervened": intervened.double().mean().item(),
        "missing": (~observed).double().mean().item(),
    }
    # standardised anew over the rows that are looked at
    count = observed.sum(0).clamp(min=1)
    x = (x - x.sum(0) / count) * observed
    z = x / (x.square().sum(0) / count).sqrt().clamp(min=1e-6)

    def mean(cells: Tensor) -> Tensor:
        return cells.sum(0) / count

    skewness = mean(z**3)
    flatness = mean(z**4)
    found |= _spread("skewness", skewness.abs().sqrt())
    found |= _spread("kurtosis", flatness.clamp(min=1).log())
    found |= _spread("peakedness", mean(z.abs()))
    found |= _spread("farthest", z.abs().amax(0).clamp(min=0.1).log())
    found |= _spread("far-cells", mean((z.abs() > FAR).double()).sqrt())
    found |= _spread("distinct", _distinct(x, observed, count))

    others = ~torch.eye(variables, dtype=torch.bool)
    ranks = _ranks(z, observed)
    linear, ranked = _correlation(z, z), _correlation(ranks, ranks)
    bent = (z.square() - mean(z.square())) * observed
    found |= _pairs("correlation", linear.abs()[others])
    found["strong-correlations"] = (linear.abs()[others] > STRONG).double().mean().sqrt().item()
    found |= _pairs("rank-correlation-apart", (linear - ranked).abs()[others])
    found |= _pairs("square-with-value", _correlation(bent, z).abs()[others])
    found |= _pairs("square-with-square", _correlation(bent, bent).abs()[others])

    values = torch.linalg.eigvalsh(linear + RIDGE * torch.eye(variables, dtype=torch.float64)).clamp(min=RIDGE / 2)
    share = values / values.sum()
    found["condition"] = (values[-1] / values[0]).log10().item()
    found["largest-component"] = share[-1].item()
    found["components"] = (-(share * share.log()).sum() / math.log(variables)).item()

    precision = torch.linalg.inv(linear + RIDGE * torch.eye(variables, dtype=torch.float64))
    own = precision.diagonal()
    partial = precision / (own[:, None] * own).sqrt()
    found |= _pairs("partial-correlation", partial.abs()[others])
    found |= _spread("explained", (1 - 1 / own).clamp(0, 1))
    rest = z @ precision / own  # what the other variables leave
    rest = (rest - rest.mean(0)) * observed
    rest = rest / (rest.square().sum(0) / count).sqrt().clamp(min=1e-6)
    found |= _spread("rest-skewness", mean(rest**3).abs().sqrt())
    found |= _spread("rest-kurtosis", mean(rest**4).clamp(min=1).log())
    left = (rest.square() - mean(rest.square())) * observed
    found |= _pairs("rest-with-square", _correlation(rest, bent).abs()[others])
    found |= _pairs("rest-square-with-square", _correlation(left, bent).abs()[others])
    return {name: value if math.isfinite(value) else 0.0 for name, value in found.items()}


def _spread(name: str, values: Tensor) -> dict[str, float]:
    """Mean, deviation and extremes over columns."""
    return {
        name: values.mean().item(),
        f"{name}, spread": values.std(correction=0).item(),
        f"{name}, least": values.amin().item(),
        f"{name}, most": values.amax().item(),
    }


def _pairs(name: str, values: Tensor) -> dict[str, float]:
    """Mean, deviation and maximum over ordered pairs."""
    return {
        name: values.mean().item(),
        f"{name}, spread": values.std(correction=0).item(),
        f"{name}, most": values.amax().item(),
    }


def _distinct(x: Tensor, observed: Tensor, count: Tensor) -> Tensor:
    """[D] logarithm of the share of distinct values."""
    distinct = [torch.unique(column[there]).numel() for column, there in zip(x.T, observed.T, strict=True)]
    return (torch.tensor(distinct, dtype=torch.float64).clamp(min=1) / count).log10()


def _ranks(z: Tensor, observed: Tensor) -> Tensor:
    """[N, D] ranks, ties by their mean, at mean 0; missing cells are 0."""
    found = torch.zeros_like(z)
    for column in range(z.shape[1]):
        there = observed[:, column]
        _, inverse, counts = torch.unique(z[there, column], return_inverse=True, return_counts=True)
        middle = counts.cumsum(0).double() - (counts - 1) / 2
        ranks = middle[inverse]
        found[there, column] = ranks - ranks.mean()
    return found


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """[D, D] between columns that have mean 0."""
    sizes = [(value.square().sum(0)).sqrt().clamp(min=1e-9) for value in (a, b)]
    return (a.T @ b / sizes[0][:, None] / sizes[1]).clamp(-1, 1)
