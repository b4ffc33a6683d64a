"""How answers are judged: open edges, Markov classes, cycles."""

import math
from importlib.util import find_spec
from itertools import combinations, product

import numpy as np
import pytest
import torch

from tabscm.engine import metrics
from tabscm.engine.benchmark.answer import Answer, of_pattern, of_weights
from tabscm.engine.benchmark.case import Case
from tabscm.engine.benchmark.equivalence import cpdag, distance, one_graph, without_cycles
from tabscm.engine.benchmark.graphs import causal_order, uniform
from tabscm.engine.benchmark.scores import bins, calibration_error, judge


def graph(size, *edges):
    adj = np.zeros((size, size), bool)
    for source, target in edges:
        adj[source, target] = True
    return adj


def case(adj, rows=50):
    x = np.random.default_rng(0).normal(size=(rows, len(adj)))
    return Case(x=x, adj=adj, intervened=np.zeros(x.shape, bool))


CHAIN = graph(3, (0, 1), (1, 2))


def test_the_right_graph_is_perfect():
    found = judge(of_pattern(CHAIN, ~CHAIN & False), case(CHAIN))
    perfect = ("auroc", "ap", "direction", "skeleton_auroc", "skeleton_ap", "precision", "recall", "f1")
    assert [found[name] for name in perfect] == [1.0] * 8
    assert found["shd"] == found["cpdag_shd"] == found["invalid"] == 0
    assert found["shd_empty"] == 2


def test_an_open_edge_is_directed_by_a_coin():
    found = judge(of_pattern(CHAIN & False, CHAIN | CHAIN.T), case(CHAIN))
    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    assert found["shd"] == 1  # half a mistake for each of two edges
    assert found["direction"] == 0.5
    assert found["skeleton_ap"] == 1
    assert found["cpdag_shd"] == 0  # and it is what observations can tell


def test_an_open_edge_where_there_is_none_is_one_mistake():
    found = judge(of_pattern(CHAIN, graph(3, (0, 2), (2, 0))), case(CHAIN))
    assert found["shd"] == 1
    assert found["precision"] == 2 / 3


def test_a_reversed_edge_is_one_mistake():
    found = judge(of_pattern(graph(3, (1, 0), (1, 2)), CHAIN & False), case(CHAIN))
    assert found["shd"] == 1
    assert found["f1"] == found["direction"] == 0.5
    assert found["cpdag_shd"] == 0  # of the same class as the chain


def test_a_collider_is_another_class():
    assert judge(of_pattern(graph(3, (0, 1), (2, 1)), CHAIN & False), case(CHAIN))["cpdag_shd"] == 2


def test_weights_rank_and_the_larger_ones_are_asserted():
    weights = np.array([[0, -0.9, 0.2], [0, 0, 0.5], [0, 0, 0]])
    answer = of_weights(weights, least=0.3)
    assert answer.graph.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert judge(answer, case(CHAIN))["ap"] == 1


def test_a_cycle_is_counted_and_its_weakest_edge_left_out():
    ring = np.array([[0, 0.9, 0], [0, 0, 0.8], [0.1, 0, 0]])
    answer = of_weights(ring, least=0.0)
    found = judge(answer, case(CHAIN))
    assert found["invalid"] == 1
    assert found["cpdag_shd"] == 0  # 2 -> 0 is gone there,
    assert found["shd"] == 1  # and here it is a mistake
    assert without_cycles(answer.graph, answer.scores)[0].tolist() == CHAIN.tolist()


def test_an_edge_in_both_directions_is_a_cycle_and_wrong_once():
    both = np.array([[0, 0.9, 0], [0.6, 0, 0.8], [0, 0, 0]])
    answer = of_weights(both, least=0.5)
    found = judge(answer, case(CHAIN))
    assert (found["shd"], found["invalid"], found["cpdag_shd"]) == (1, 1, 0)
    assert found["shd"] == metrics.score(torch.logit(torch.tensor(both)[None], 1e-9), torch.tensor(CHAIN)[None])["shd"]
    assert without_cycles(answer.graph, answer.scores)[0].tolist() == CHAIN.tolist()


def test_the_empty_graph():
    nothing = np.zeros((3, 3))
    found = judge(Answer(scores=nothing, graph=nothing), case(CHAIN))
    assert found["auroc"] == 0.5
    assert found["ap"] == found["density"] == 1 / 3
    assert (found["f1"], found["shd"]) == (0, 2)
    assert math.isnan(found["precision"])


def test_probabilities_are_judged_as_everywhere():
    rng = np.random.default_rng(0)
    adj = uniform(8, 12, rng)
    logits = rng.normal(size=(8, 8)) + 2 * adj - 1
    np.fill_diagonal(logits, -9)
    answer = Answer(scores=logits, graph=(logits > 0).astype(float), logits=logits)
    found = judge(answer, case(adj))
    expected = metrics.score(torch.from_numpy(logits)[None], torch.from_numpy(adj)[None])
    for name in ("auroc", "ap", "direction", "f1", "precision", "recall", "log_prob", "log_prob_gain"):
        assert found[name] == pytest.approx(expected[name].item()), name
    ece = metrics.summarise([(torch.from_numpy(logits)[None], torch.from_numpy(adj)[None])])["ece"]
    assert calibration_error([bins(answer, case(adj))]) == pytest.approx(ece)


def test_a_method_without_probabilities_has_no_calibration():
    assert bins(of_weights(np.zeros((3, 3)), least=0), case(CHAIN)) is None
    assert math.isnan(calibration_error([]))


def test_one_variable_is_judged():
    found = judge(of_weights(np.zeros((1, 1)), least=0), case(graph(1)))
    assert math.isnan(found["auroc"])
    assert found["shd"] == 0


@pytest.mark.skipif(find_spec("gadjid") is None, reason="needs the extra `eval`")
def test_structural_intervention_distance():
    right = judge(of_pattern(CHAIN, CHAIN & False), case(CHAIN))
    turned = judge(of_pattern(CHAIN.T.copy(), CHAIN & False), case(CHAIN))
    assert (right["sid"], turned["sid"]) == (0, 6)


def test_patterns_are_those_of_the_markov_class():
    """All graphs of four variables, sorted into classes by skeleton and v-structures (Verma and Pearl 1990)."""
    pairs = list(combinations(range(4), 2))
    classes = {}
    for choice in product((0, 1, 2), repeat=len(pairs)):
        adj = graph(4, *((i, j) if way == 1 else (j, i) for (i, j), way in zip(pairs, choice, strict=True) if way))
        try:
            causal_order(adj)
        except ValueError:
            continue
        skeleton = adj | adj.T
        colliders = tuple(
            (i, j, k) for k in range(4) for i, j in pairs if adj[i, k] and adj[j, k] and not skeleton[i, j]
        )
        classes.setdefault((skeleton.tobytes(), colliders), []).append(adj)
    assert sum(map(len, classes.values())) == 543
    for members in classes.values():
        expected = np.logical_or.reduce(members)
        for adj in members:
            assert np.array_equal(cpdag(adj), expected)


def test_one_graph_of_a_pattern_is_acyclic_and_keeps_what_is_directed():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pattern = cpdag(uniform(8, 14, rng))
        found = one_graph(pattern)
        causal_order(found)
        assert np.array_equal(found | found.T, pattern | pattern.T)
        assert not ((pattern & ~pattern.T) & ~found).any()
        assert distance(pattern, pattern) == 0
