"""R2-sortability against cases worked by hand, against regressions, and at degenerate sizes."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from tabscm.engine.sortability import linear_r2, r2_sortability, scale_sortability, var_sortability


def chain(*, tables=1, rows=400, variables=3, seed=0):
    """x0 -> x1 -> ... with the noise of every variable as large as what its parent gives."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn((tables, rows, variables), generator=rng)
    for variable in range(1, variables):
        x[:, :, variable] += x[:, :, variable - 1]
    return x


def edges(variables, *pairs):
    adj = torch.zeros((1, variables, variables), dtype=torch.bool)
    for source, target in pairs:
        adj[0, source, target] = True
    return adj


def test_r2_is_that_of_a_regression_on_all_others():
    x = chain(variables=4)[0].numpy()
    expected = [
        LinearRegression().fit(np.delete(x, j, axis=1), x[:, j]).score(np.delete(x, j, axis=1), x[:, j])
        for j in range(4)
    ]
    assert linear_r2(torch.from_numpy(x)[None])[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_a_case_worked_by_hand():
    # a -> b -> c, a -> c and d alone. Paths: ab, bc, ac of length 1, ac of length 2: (a, c) counts twice
    adj = edges(4, (0, 1), (1, 2), (0, 2))
    rng = torch.Generator().manual_seed(1)
    a, u, v, d = torch.randn((4, 1000), generator=rng)
    b = a + u
    c = a + b + 3 * v
    x = torch.stack([a, b, c, d], -1)[None]
    r2 = linear_r2(x)[0]
    assert r2[3] < r2[2] < r2[0] < r2[1]  # so ab is in order, and bc, ac and ac are not
    assert r2_sortability(x, adj).tolist() == [1 / 4]
    assert r2_sortability(x, adj.transpose(1, 2)).tolist() == [3 / 4]


def test_scales_do_not_matter():
    x, adj = chain(variables=5), edges(5, (0, 1), (1, 2), (2, 3), (3, 4))
    scaled = x * torch.tensor([1e-6, 1e6, 1.0, 1e3, 1e-3]) + 5
    assert r2_sortability(scaled, adj) == pytest.approx(r2_sortability(x, adj))


def test_varsortability_is_known_from_the_scales_alone():
    units = torch.randn((5, 1, 4), generator=torch.Generator().manual_seed(1))
    x, adj = chain(tables=5, variables=4) * units, edges(4, (0, 1), (1, 2), (2, 3), (0, 3)).expand(5, -1, -1)
    expected = var_sortability(x, adj)
    assert 0 <= expected.min() < expected.max() <= 1
    assert torch.equal(scale_sortability(x.double().std(1, correction=0), adj), expected)


def test_copies_and_constants_tie():
    x = chain(variables=2)
    twins = torch.cat([x[:, :, :1], x[:, :, :1]], -1)
    assert r2_sortability(twins, edges(2, (0, 1))).tolist() == [0.5]
    assert linear_r2(torch.zeros((1, 10, 2))).tolist() == [[0.0, 0.0]]
    assert r2_sortability(torch.zeros((1, 10, 2)), edges(2, (0, 1))).tolist() == [0.5]


def test_undefined_without_edges_and_without_rows():
    assert r2_sortability(chain(variables=3), edges(3)).isnan().all()
    assert r2_sortability(chain(variables=1), edges(1)).isnan().all()
    assert r2_sortability(chain(rows=3, variables=3), edges(3, (0, 1))).isnan().all()
