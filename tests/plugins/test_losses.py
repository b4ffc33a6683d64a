import math

import attrs
import networkx as nx
import pytest
import torch
from tabscm_builtin.losses.bce import BCE
from tabscm_builtin.losses.effects import Effects
from tabscm_builtin.losses.focal import Focal
from tabscm_builtin.losses.graph import Graph
from tabscm_builtin.losses.intervention import Intervention
from tabscm_builtin.losses.order import Order
from tabscm_builtin.losses.pair import Pair
from tabscm_builtin.losses.skeleton import Skeleton
from tabscm_builtin.losses.weighted_bce import WeightedBCE

from tabscm import Prediction, Truth

UNSEEN = None
"""The table, which none of these losses reads."""


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def edges(variables, *pairs):
    adj = torch.zeros(1, variables, variables, dtype=torch.bool)
    for cause, effect in pairs:
        adj[0, cause, effect] = True
    return adj


def graphs(tasks=3, variables=5, density=0.4, seed=0):
    adj = (torch.rand(tasks, variables, variables, generator=rng(seed)) < density).triu(1)
    shuffled = torch.randperm(variables, generator=rng(seed))
    return adj[:, shuffled][:, :, shuffled]


def logits(*shape, size=1.0, seed=1):
    return size * torch.randn(shape, generator=rng(seed))


def cost(loss, truth, values=None, **aux):
    given = Prediction(torch.zeros(truth.adj.shape) if values is None else values, aux)
    return loss(given, truth, UNSEEN)


def best_probability(loss, adj):
    """The probability that costs least, to three digits, if all ordered pairs of a graph must share one."""
    probability = torch.linspace(0.001, 0.999, 999)
    truth = Truth(adj.expand(999, -1, -1))
    values = torch.logit(probability)[:, None, None].expand(truth.adj.shape)
    return probability[cost(loss, truth, values).argmin()].item()


def test_bce_is_won_by_the_base_rate_and_weighted_bce_by_one_half():
    adj = edges(5, (0, 1), (1, 2), (2, 3), (3, 4))  # 4 of 20 ordered pairs
    assert best_probability(BCE(), adj) == pytest.approx(0.2, abs=1e-3)
    assert best_probability(WeightedBCE(), adj) == pytest.approx(0.5, abs=1e-3)
    odds = 0.25 * 2.33
    assert best_probability(WeightedBCE(positive_weight=2.33), adj) == pytest.approx(odds / (1 + odds), abs=1e-3)


def test_weighted_bce_weighs_every_table_by_its_own_density():
    adj = torch.cat([edges(5, (0, 1)), edges(5, (0, 1), (0, 2), (0, 3), (0, 4))])
    values = logits(2, 5, 5)
    one_by_one = [
        cost(WeightedBCE(positive_weight=weight), Truth(adj[[task]]), values[[task]])
        for task, weight in enumerate((19.0, 4.0))
    ]
    torch.testing.assert_close(cost(WeightedBCE(), Truth(adj), values), torch.cat(one_by_one))


def test_weighted_bce_of_a_graph_without_edges_is_plain():
    truth, values = Truth(edges(4)), logits(1, 4, 4)
    torch.testing.assert_close(cost(WeightedBCE(), truth, values), cost(BCE(), truth, values))


def test_weight_one_is_no_weight():
    truth, values = Truth(graphs()), logits(3, 5, 5)
    weighted = WeightedBCE(positive_weight=1.0, label_smoothing=0.2)
    torch.testing.assert_close(cost(weighted, truth, values), cost(BCE(label_smoothing=0.2), truth, values))


def test_focal_without_focus_is_cross_entropy():
    truth, values = Truth(graphs()), logits(3, 5, 5)
    for smoothing in (0.0, 0.3):
        focal, plain = Focal(gamma=0.0, label_smoothing=smoothing), BCE(label_smoothing=smoothing)
        torch.testing.assert_close(cost(focal, truth, values), cost(plain, truth, values))


def test_focal_as_in_the_sources_by_hand():
    values = torch.logit(torch.tensor([[[0.5, 0.9], [0.2, 0.5]]]))
    found = cost(Focal(gamma=3.0, alpha=0.25), Truth(edges(2, (0, 1))), values)
    expected = (0.25 * 0.1**3 * -math.log(0.9) + 0.75 * 0.2**3 * -math.log(0.8)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("smoothed", [BCE, WeightedBCE, Focal])
def test_label_smoothing_moves_the_best_answer_away_from_certainty(smoothed):
    for smoothing in (0.0, 0.1, 0.4):
        loss = smoothed(label_smoothing=smoothing)
        full, empty = torch.ones(1, 2, 2, dtype=torch.bool), edges(2)
        lowest, highest = max(0.001, smoothing / 2), min(0.999, 1 - smoothing / 2)
        assert best_probability(loss, empty) == pytest.approx(lowest, abs=1e-3)
        if smoothed is not WeightedBCE:  # where everything is an edge, it weighs edges with 0
            assert best_probability(loss, full) == pytest.approx(highest, abs=1e-3)


def test_huber_by_hand():
    effects = torch.zeros(1, 2, 2)
    found = torch.tensor([[[70.0, 0.5], [-3.0, 70.0]]])
    truth = Truth(edges(2), effects=effects)
    assert cost(Effects(), truth, effects=found).item() == pytest.approx((0.5**2 / 2 + 2.5) / 2)
    assert cost(Effects(delta=0.1), truth, effects=found).item() == pytest.approx((0.1 * 0.45 + 0.1 * 2.95) / 2)


def test_a_huge_effect_does_not_rule_the_gradient():
    effects = torch.zeros(1, 3, 3)
    effects[0, 0, 1] = 1000.0
    found = torch.zeros(1, 3, 3, requires_grad=True)
    cost(Effects(), Truth(edges(3), effects=effects), effects=found).sum().backward()
    assert found.grad.abs().max() == pytest.approx(1 / 6)


def test_diagonal_of_the_effects_is_ignored():
    effects, found = logits(3, 5, 5), logits(3, 5, 5, seed=2)
    other = found + torch.diag_embed(logits(3, 5))
    truth = Truth(graphs(), effects=effects)
    assert torch.equal(cost(Effects(), truth, effects=found), cost(Effects(), truth, effects=other))


def test_intervention_by_hand():
    truth = Truth(edges(2), targets=torch.tensor([[True, False]]))
    found = cost(Intervention(), truth, targets=torch.logit(torch.tensor([[0.9, 0.2]])))
    assert found.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_order_by_hand_counts_ancestors_and_not_only_parents():
    truth = Truth(edges(4, (0, 1), (1, 2)))  # 0 comes before 2 too; 3 is free
    found = cost(Order(), truth, order=torch.tensor([[3.0, 1.0, 0.0, 50.0]]))
    assert found.item() == pytest.approx(sum(math.log1p(math.exp(-gap)) for gap in (2, 1, 3)) / 3, rel=1e-5)


@pytest.mark.parametrize("variables", [2, 3, 8, 9, 20])
def test_order_knows_every_ancestor(variables):
    """Through the gradient: the loss pulls i and j apart exactly where a path leads from i to j."""
    adj = graphs(4, variables, 1.5 / variables, seed=variables)
    adj = torch.cat([adj, torch.diag(torch.ones(variables - 1), 1).bool()[None]])  # the longest path there can be
    order = torch.zeros(len(adj), variables, requires_grad=True)
    cost(Order(), Truth(adj), order=order).sum().backward()
    for graph, gradient in zip(adj, order.grad, strict=True):
        closure = nx.transitive_closure(nx.from_numpy_array(graph.numpy(), create_using=nx.DiGraph))
        below = torch.tensor([closure.out_degree(node) - closure.in_degree(node) for node in range(variables)])
        pairs = max(1, closure.number_of_edges())
        torch.testing.assert_close(gradient, -below / (2 * pairs))


def test_descent_on_order_sorts_the_variables():
    adj = graphs(5, 8)
    order = torch.zeros(5, 8, requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(cost(Order(), Truth(adj), order=order).sum(), order)
        order = (order - 2 * gradient).detach().requires_grad_()
    assert (order[:, :, None] > order[:, None])[adj].all()


def test_order_of_a_graph_without_edges_costs_nothing():
    order = logits(1, 4, size=50.0).requires_grad_()
    found = cost(Order(), Truth(edges(4)), order=order)
    assert found.item() == 0
    (gradient,) = torch.autograd.grad(found.sum(), order)
    assert not gradient.any()


def test_skeleton_by_hand():
    values = torch.full((1, 3, 3), -50.0)
    values[0, 1, 0] = values[0, 1, 2] = 50.0  # 0 - 1 and 1 - 2; the truth has 0 - 1 and 0 - 2
    found = cost(Skeleton(), Truth(edges(3, (0, 1), (0, 2))), values)
    assert found.item() == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))


def test_skeleton_minds_links_and_not_directions():
    truth, values = Truth(graphs()), logits(3, 5, 5)
    torch.testing.assert_close(cost(Skeleton(), truth, values), cost(Skeleton(), truth, values.mT))
    right = 20 * (2 * truth.adj.float() - 1)
    assert cost(Skeleton(), truth, right.mT).abs().max() < 1e-4


def test_skeleton_judges_the_graph_and_not_the_pair():
    """What one link is worth depends on the others: a sum over pairs could not do that."""
    truth = Truth(edges(4, (0, 1), (2, 3)))

    def with_links(*pairs):
        return cost(Skeleton(), truth, torch.where(edges(4, *pairs), 50.0, -50.0)).item()

    alone = with_links() - with_links((0, 1))
    after_many_wrong = with_links((0, 2), (0, 3), (1, 2), (1, 3)) - with_links((0, 1), (0, 2), (0, 3), (1, 2), (1, 3))
    assert alone > 1.5 * after_many_wrong > 0


def test_skeleton_of_a_graph_without_edges_still_pulls():
    values = torch.zeros(1, 4, 4, requires_grad=True)
    cost(Skeleton(), Truth(edges(4)), values).sum().backward()
    others = ~torch.eye(4, dtype=torch.bool)
    assert (values.grad[0][others] > 0).all()


def test_pair_is_the_likelihood_of_the_three_way_choice():
    # p(0 -> 1) = .5, p(1 -> 0) = .2, no edge .3; and the same two logits for the two variables that are not joined
    values = torch.logit(torch.tensor([[[0.5, 0.5], [0.2, 0.5]]]))
    for adj, probability in ((edges(2, (0, 1)), 0.5), (edges(2, (1, 0)), 0.2), (edges(2), 0.3)):
        # half, for the pair counts once among two ordered pairs
        assert cost(Pair(), Truth(adj), values).item() == pytest.approx(-math.log(probability) / 2, rel=1e-4)


def test_pair_is_won_by_the_shares_of_the_three_answers():
    adj = torch.cat([edges(2, (0, 1))] * 5 + [edges(2, (1, 0))] * 2 + [edges(2)] * 3)
    scores = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.05)
    for _ in range(300):
        forth, back = scores - torch.nn.functional.softplus(scores.flip(0))
        values = torch.stack([torch.stack([forth * 0, forth]), torch.stack([back, back * 0])]).expand(10, 2, 2)
        optimiser.zero_grad()
        cost(Pair(), Truth(adj), values).mean().backward()
        optimiser.step()
    assert torch.softmax(torch.cat([scores, torch.zeros(1)]), 0).tolist() == pytest.approx([0.5, 0.2, 0.3], abs=0.01)


def test_pair_stays_finite_where_both_directions_are_claimed():
    values = torch.full((1, 2, 2), 50.0, requires_grad=True)
    found = cost(Pair(), Truth(edges(2)), values)
    found.sum().backward()
    assert found.item() == pytest.approx(-math.log(1e-6) / 2, rel=1e-4)
    assert values.grad.isfinite().all()


def test_a_mixture_of_whole_graphs_is_compared_with_the_best_of_them():
    generator = torch.Generator().manual_seed(3)
    adj = torch.rand(2, 4, 4, generator=generator).triu(1) > 0.6
    # log-odds of three-way choices, as the head `pair` gives them
    scores = torch.randn(2, 3, 4, 4, generator=generator)
    each = scores - torch.nn.functional.softplus(scores.mT)
    beliefs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()
    given = Prediction(logits=each[:, 0], aux={"beliefs": beliefs, "specialists": each})
    found = Graph()(given, Truth(adj=adj), UNSEEN)
    for table in range(2):
        whole = []
        for one in range(3):
            p = each[table, one].sigmoid()
            likelihood = 1.0
            for i in range(4):
                for j in range(i + 1, 4):
                    true = adj[table, i, j]
                    likelihood *= float(p[i, j] if true else 1 - p[i, j] - p[j, i])
            whole.append(likelihood)
        expected = -sum(share * one for share, one in zip(beliefs[table].exp().tolist(), whole, strict=True))
        assert float(found[table]) == pytest.approx(math.log(max(whole)) - math.log(-expected), rel=1e-4)
    alone = attrs.evolve(given, aux={"beliefs": torch.tensor([[0.0, -99.0, -99.0]] * 2), "specialists": each})
    # nats for each of twelve ordered pairs
    by_each = [Pair()(attrs.evolve(given, logits=each[:, one]), Truth(adj=adj), UNSEEN) * 12 for one in range(3)]
    torch.testing.assert_close(Graph()(alone, Truth(adj=adj), UNSEEN), by_each[0] - torch.stack(by_each).amin(0))
