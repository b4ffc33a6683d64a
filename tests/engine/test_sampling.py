"""Sampled graphs: acyclic, with the frequencies that were asked for as far as cycles allow."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tabscm.engine.sampling import sample

probabilities = st.integers(1, 7).flatmap(lambda size: arrays(float, (size, size), elements=st.floats(0, 1)))


def draw(edge_prob, count=4000, **known):
    return sample(np.array(edge_prob), count, np.random.default_rng(0), **known)


@given(probabilities)
def test_every_graph_is_acyclic_and_within_what_is_possible(edge_prob):
    for graph in draw(edge_prob, 5):
        assert nx.is_directed_acyclic_graph(nx.from_numpy_array(graph, create_using=nx.DiGraph))
        assert not (graph & (edge_prob == 0)).any()


def test_pairs_have_their_probabilities_where_no_cycle_can_close():
    edge_prob = np.array([[0, 0.7, 0.1], [0.2, 0, 0], [0.3, 0, 0]])
    graphs = draw(edge_prob)
    np.testing.assert_allclose(graphs.mean(0), edge_prob, atol=0.03)
    # and are independent
    assert (graphs[:, 0, 1] & graphs[:, 2, 0]).mean() == pytest.approx(0.21, abs=0.03)


def test_an_edge_that_would_close_a_cycle_is_drawn_again_of_what_is_left():
    sure = np.array([[0, 1, 0], [0, 0, 1], [0.5, 0, 0]])  # 2 -> 0 closes a cycle, or another edge gives way
    frequency = draw(sure).mean(0)
    assert frequency[2, 0] == pytest.approx(0.5 * 2 / 3, abs=0.03)
    assert frequency[0, 1] == pytest.approx(1 - 0.5 / 3, abs=0.03)
    assert frequency[1, 0] == 0
    undecided = np.full((3, 3), 0.5)  # every pair is linked, its direction open: it turns instead of falling out
    graphs = draw(undecided, 500)
    assert (graphs.sum((1, 2)) == 3).all()
    np.testing.assert_allclose(graphs.mean(0)[~np.eye(3, dtype=bool)], 0.5, atol=0.1)


def test_both_directions_probable():
    frequency = draw([[0, 0.9], [0.6, 0]]).mean(0)
    np.testing.assert_allclose(frequency, [[0, 0.6], [0.4, 0]], atol=0.03)


def test_what_is_required_and_what_comes_before():
    required, before = np.zeros((2, 3, 3), dtype=bool)
    required[0, 1] = before[2, 0] = True
    edge_prob = np.full((3, 3), 0.4)
    graphs = draw(edge_prob, required=required, before=before)
    frequency = graphs.mean(0)
    assert frequency[0, 1] == 1
    assert frequency[1, 0] == frequency[0, 2] == frequency[1, 2] == 0
    # of 2 -> 1 and neither, with .4 and .2
    assert frequency[2, 1] == pytest.approx(2 / 3, abs=0.03)


def test_no_graph_of_no_variable():
    assert draw(np.zeros((0, 0)), 2).shape == (2, 0, 0)
    assert draw([[0.5]], 0).shape == (0, 1, 1)
