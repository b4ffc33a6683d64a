"""The acyclic graph: no cycle, nothing that was not there, nothing left out in vain, and the best there is."""

import time
from itertools import permutations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tabscm.engine import acyclic
from tabscm.engine.acyclic import decode, paths

sizes = st.integers(1, 9)
probabilities = sizes.flatmap(lambda size: arrays(float, (size, size), elements=st.floats(0, 1)))
thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])


def graph(adj):
    return nx.from_numpy_array(adj, create_using=nx.DiGraph)


def marginal(edge_prob, threshold=0.5):
    return (edge_prob > threshold) & ~np.eye(len(edge_prob), dtype=bool)


def value(adj, edge_prob, threshold=0.5):
    """The sum that `decode` maximises."""
    kept = edge_prob.clip(1e-12, 1 - 1e-12)
    return np.log(kept / (1 - kept) / (threshold / (1 - threshold)))[adj].sum()


def best(edge_prob, first=False):
    """Of all orders that keep to `first`, as slow as that is."""
    above = marginal(edge_prob)
    orders = [np.argsort(order)[:, None] < np.argsort(order) for order in permutations(range(len(edge_prob)))]
    return max(value(above & order, edge_prob) for order in orders if not (first & ~order).any())


@pytest.fixture(params=[10, 0], ids=["every order", "local search"], scope="module", autouse=True)
def exact(request):
    """Both ways to look for an order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acyclic, "EXACT", request.param)
        yield request.param > 0


@given(probabilities, thresholds)
def test_acyclic_within_and_maximal(edge_prob, threshold):
    adj, above = decode(edge_prob, threshold), marginal(edge_prob, threshold)
    assert nx.is_directed_acyclic_graph(graph(adj))
    assert not (adj & ~above).any()
    for source, target in np.argwhere(above & ~adj):
        more = adj.copy()
        more[source, target] = True
        assert not nx.is_directed_acyclic_graph(graph(more))


@given(probabilities)
def test_without_a_cycle_nothing_is_left_out(edge_prob):
    forward = np.triu(edge_prob, 1)
    order = np.random.default_rng(0).permutation(len(forward))
    shuffled = forward[np.ix_(order, order)]
    assert (decode(shuffled) == marginal(shuffled)).all()


def test_the_weakest_edge_of_a_cycle_goes():
    edge_prob = np.array([[0, 0.9, 0], [0, 0, 0.6], [0.8, 0, 0]])
    assert decode(edge_prob).tolist() == [[False, True, False], [False, False, False], [True, False, False]]


def test_one_strong_edge_does_not_cost_two_that_are_stronger_together():
    # a -> b is the heaviest, and both ways back go through c -> d
    edge_prob = np.zeros((4, 4))
    edge_prob[0, 1], edge_prob[1, 2], edge_prob[2, 0] = 0.7, 0.8, 0.8
    edge_prob[1, 3], edge_prob[3, 0] = 0.8, 0.8
    adj = decode(edge_prob)
    assert not adj[0, 1]
    assert adj.sum() == 4


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_as_good_as_the_best_order(exact, size):
    rng = np.random.default_rng(size)
    tables = [rng.uniform(size=(size, size)) for _ in range(40)]
    shares = [value(decode(table), table) / max(best(table), 1e-9) for table in tables if marginal(table).any()]
    if exact:
        assert min(shares) > 1 - 1e-9
    else:
        assert np.mean(np.array(shares) > 1 - 1e-9) > 0.9
        assert min(shares) > 0.85


@pytest.mark.parametrize("size", [7, 30])
def test_the_order_of_variables_does_not_matter(size):
    rng = np.random.default_rng(size)
    for _ in range(10):
        edge_prob, order = rng.uniform(size=(size, size)), rng.permutation(size)
        shuffled = edge_prob[np.ix_(order, order)]
        assert (decode(shuffled) == decode(edge_prob)[np.ix_(order, order)]).all()


def test_large_tables_take_less_than_a_second_and_beat_taking_the_heaviest_first():
    rng = np.random.default_rng(0)
    truth = np.triu(rng.uniform(size=(200, 200)) < 0.05, 1)
    edge_prob = 1 / (1 + np.exp(-rng.normal(np.where(truth, 2, -3), 1.5)))
    began = time.perf_counter()
    adj = decode(edge_prob)
    assert time.perf_counter() - began < 1.0
    above = marginal(edge_prob)
    weight = np.where(above, np.log(edge_prob / (1 - edge_prob)), 0)
    nothing = np.zeros_like(above)
    greedy = acyclic._completed(nothing, above, weight, nothing)
    assert value(adj, edge_prob) > value(greedy, edge_prob)


@st.composite
def fixed(draw):
    """Probabilities, required edges and what comes before what, both of one order."""
    edge_prob = draw(probabilities)
    size = len(edge_prob)
    order = np.array(draw(st.permutations(range(size))))
    required, before = (draw(arrays(bool, (size, size))) & (order[:, None] < order) for _ in range(2))
    return edge_prob, required, before


@given(fixed(), thresholds)
def test_required_edges_and_an_order_are_kept(parts, threshold):
    edge_prob, required, before = parts
    adj = decode(edge_prob, threshold, required=required, before=before)
    allowed = marginal(edge_prob, threshold) | required
    assert nx.is_directed_acyclic_graph(graph(adj))
    assert not (required & ~adj).any()
    assert not (adj & ~allowed).any()
    assert not (paths(adj) & before.T).any()
    for source, target in np.argwhere(allowed & ~adj):
        more = adj.copy()
        more[source, target] = True
        assert not nx.is_directed_acyclic_graph(graph(more | before))


@pytest.mark.parametrize("size", [3, 5, 6])
def test_as_good_as_the_best_order_that_is_allowed(exact, size):
    rng = np.random.default_rng(size)
    shares = []
    for _ in range(40):
        edge_prob, order = rng.uniform(size=(size, size)), rng.permutation(size)
        before = (rng.uniform(size=(size, size)) < 0.2) & (order[:, None] < order)
        found = value(decode(edge_prob, before=before), edge_prob)
        shares.append(found / max(best(edge_prob, before), 1e-9) if found else 1.0)
    if exact:
        assert min(shares) > 1 - 1e-9
    else:
        assert np.mean(np.array(shares) > 1 - 1e-9) > 0.8
    assert max(shares) < 1 + 1e-9


def test_paths():
    adj = np.zeros((5, 5), dtype=bool)
    adj[[0, 1, 2, 4], [1, 2, 3, 4]] = True
    assert np.argwhere(paths(adj)).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3], [4, 4]]
    assert paths(np.zeros((0, 0), dtype=bool)).shape == (0, 0)


def test_many_tiers_take_less_than_a_second():
    rng = np.random.default_rng(0)
    tier = rng.integers(0, 20, size=200)
    tier[rng.uniform(size=200) < 0.3] = -1
    before = (tier[:, None] >= 0) & (tier[:, None] < tier)
    edge_prob = rng.uniform(size=(200, 200)) ** 4
    began = time.perf_counter()
    adj = decode(edge_prob, before=before)
    assert time.perf_counter() - began < 5.0
    assert not (paths(adj) & before.T).any()
