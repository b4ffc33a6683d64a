import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tabscm_builtin.heads.bilinear import Bilinear
from tabscm_builtin.heads.effects import Effects
from tabscm_builtin.heads.intervention import Intervention
from tabscm_builtin.heads.ordered import Ordered
from tabscm_builtin.heads.pair import Pair
from tabscm_builtin.losses.bce import BCE
from tabscm_builtin.losses.effects import Effects as EffectsLoss
from tabscm_builtin.losses.intervention import Intervention as InterventionLoss
from tabscm_builtin.losses.order import Order

from tabscm import Evidence, Prediction, Truth

WIDTH = 16
UNSEEN = None
"""The table, which no loss of these tests reads."""


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def evidence(tasks=3, variables=5, *, size=1.0, pairs=True, seed=0):
    nodes = torch.randn(tasks, variables, WIDTH, generator=rng(seed))
    grid = torch.randn(tasks, variables, variables, WIDTH, generator=rng(seed + 1))
    return Evidence(size * nodes, size * grid if pairs else None)


def graphs(tasks=30, variables=6, seed=0):
    adj = (torch.rand(tasks, variables, variables, generator=rng(seed)) < 0.4).triu(1)
    shuffled = torch.randperm(variables, generator=rng(seed))
    return adj[:, shuffled][:, :, shuffled]


def wild(head, seed):
    """A module far from its initial values."""
    torch.manual_seed(seed)
    module = head.build(WIDTH)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return module


@torch.enable_grad()
def trained(head, loss, given, truth, steps=150):
    """The module after some steps on one batch."""
    torch.manual_seed(0)
    module = head.build(WIDTH)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(predict(module, given, truth), truth, UNSEEN).mean().backward()
        optimiser.step()
    return module.eval()


def predict(module, given, truth):
    answers = module(given)
    return Prediction(answers.pop("edges", torch.zeros(truth.adj.shape)), answers)


def acyclic(adj):
    return nx.is_directed_acyclic_graph(nx.from_numpy_array(adj.numpy(), create_using=nx.DiGraph))


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("head", [Bilinear(density=0.3), Pair(density=0.3), Ordered(density=0.3)], ids=str)
def test_edges_start_at_the_base_rate(head, pairs):
    torch.manual_seed(0)
    with torch.no_grad():
        edges = torch.stack([head.build(WIDTH)(evidence(pairs=pairs))["edges"].sigmoid() for _ in range(20)])
    if head.name == "bilinear":  # its angles are random from the start, which draws the mean towards a half
        assert edges.mean() == pytest.approx(0.3, abs=0.15)
    else:
        torch.testing.assert_close(edges, torch.full_like(edges, 0.3))


def test_ordered_starts_without_an_order_and_learns_from_the_first_step():
    module = Ordered().build(WIDTH)
    answers = module(evidence())
    assert not answers["order"].any()
    BCE()(Prediction(answers["edges"]), Truth(graphs(3, 5)), UNSEEN).sum().backward()
    assert module.before.weight.grad.any()


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    variables=st.integers(1, 12),
    size=st.sampled_from([1e-4, 0.1, 1.0, 30.0, 1000.0]),
    temperature=st.sampled_from([0.01, 1.0, 50.0]),
    pairs=st.booleans(),
)
def test_graph_of_the_ordered_head_is_acyclic_whatever_it_has_learned(seed, variables, size, temperature, pairs):
    module = wild(Ordered(temperature=temperature), seed % 1000)
    with torch.no_grad():
        answers = module(evidence(4, variables, size=size, pairs=pairs, seed=seed))
    decoded = answers["edges"].double().sigmoid() > 0.5
    for task, adj in enumerate(decoded):
        assert acyclic(adj)
        order = answers["order"][task]
        assert (order[:, None] > order)[adj].all()


def test_other_heads_do_decode_cycles():
    with torch.no_grad():
        decoded = wild(Pair(), 0)(evidence(50, 12))["edges"] > 0
    assert not all(acyclic(adj) for adj in decoded)


@pytest.mark.parametrize("temperature", [0.001, 1.0, 1000.0])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_ordered_has_finite_gradients_however_sure(temperature, size):
    module = wild(Ordered(temperature=temperature), 0)
    given = evidence(size=size)
    with torch.no_grad():
        module.exists.weight.mul_(100)
    edges = module(given)["edges"]
    assert edges.isfinite().all()
    edges.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_ordered_gives_the_log_odds_of_its_formula():
    module = wild(Ordered(temperature=2.0), 0)
    given = evidence()
    with torch.no_grad():
        answers = module(given)
        link = module.exists(module.read(given))[..., 0].double()
    order = answers["order"].double()
    probability = ((link + link.mT) / 2).sigmoid() * ((order[:, :, None] - order[:, None]) / 2).sigmoid()
    torch.testing.assert_close(answers["edges"].double(), torch.logit(probability), rtol=1e-4, atol=1e-4)


def test_ordered_learns_edges_and_order_together():
    truth, given = Truth(graphs()), evidence(30, 6)
    given.pairs[..., 0] += 4 * truth.adj

    def loss(prediction, truth, table):
        return BCE()(prediction, truth, table) + Order()(prediction, truth, table)

    with torch.no_grad():
        answers = trained(Ordered(), loss, given, truth)(given)
    order = answers["order"]
    assert ((answers["edges"] > 0) == truth.adj).float().mean() > 0.97
    assert (order[:, :, None] > order[:, None])[truth.adj].float().mean() > 0.97


@pytest.mark.parametrize("where", ["nodes", "diagonal", "cause", "effect"])
def test_intervention_reads_nodes_and_pairs(where):
    truth, given = Truth(graphs(), targets=torch.rand(30, 6, generator=rng(7)) < 0.3), evidence(30, 6)
    signal = 4 * truth.targets.float()
    if where == "nodes":
        given.nodes[..., 0] += signal
    elif where == "diagonal":
        given.pairs[..., 0] += torch.diag_embed(2 * signal)
    else:
        given.pairs[..., 0] += signal[:, :, None] if where == "cause" else signal[:, None]
    with torch.no_grad():
        answers = trained(Intervention(), InterventionLoss(), given, truth)(given)
    assert ((answers["targets"] > 0) == truth.targets).float().mean() > 0.95


def test_intervention_starts_at_its_rate():
    with torch.no_grad():
        targets = Intervention(rate=0.2).build(WIDTH)(evidence())["targets"]
    torch.testing.assert_close(targets.sigmoid(), torch.full((3, 5), 0.2))


@pytest.mark.parametrize("pairs", [True, False])
def test_effects_are_learned_from_pairs_and_from_nodes_alone(pairs):
    given = evidence(30, 6, pairs=pairs)
    effects = given.pairs[..., 0] if pairs else given.nodes[:, :, None, 0] - given.nodes[:, None, :, 1]
    truth = Truth(graphs(), effects=effects)
    with torch.no_grad():
        before = predict(Effects().build(WIDTH), given, truth)
        after = predict(trained(Effects(), EffectsLoss(), given, truth), given, truth)
        losses = [EffectsLoss()(prediction, truth, UNSEEN).mean() for prediction in (before, after)]
    assert not before.aux["effects"].any()
    assert losses[1] < 0.1 * losses[0]


def test_effects_tell_cause_from_effect():
    given, reversed_pairs = evidence(), evidence()
    reversed_pairs.pairs.copy_(given.pairs.transpose(1, 2))
    module = wild(Effects(), 0)
    with torch.no_grad():
        found, other = (module(one)["effects"] for one in (given, reversed_pairs))
    assert (found - other.mT).abs().max() > 0.1
