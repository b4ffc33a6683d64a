"""A test of the tests: every conformance check has a saboteur that breaks that promise, and is caught by its name.

Each kind has an honest component whose work passes through `sabotage`, a function that may spoil it.
"""

import random
from collections.abc import Callable

import attrs
import pytest
import torch
from torch import nn

from tabscm import (
    Embedding,
    Encoder,
    Evidence,
    GraphSampler,
    Head,
    Intervention,
    Loss,
    Measurement,
    Mechanism,
    Noise,
    Regulariser,
)
from tabscm.kernel.interfaces import KINDS
from tabscm.testing import ConformanceError, check_name, checks, component, conformance


def honest(*work):
    """Leave the work as it is."""
    return work[0]


def burn(work, *_):
    """Draw from torch's global generator on the side."""
    torch.rand(1)
    return work


def elsewhere():
    """A generator that nobody can repeat."""
    return torch.Generator().manual_seed(random.SystemRandom().getrandbits(40))


def whisper(work, rng=None):
    """Too quiet for any check but the one that wants equality."""
    return work + 1e-5 * torch.randn(work.shape, generator=rng)


def off_diagonal(matrix):
    return matrix.masked_fill(torch.eye(matrix.shape[1], dtype=torch.bool), 0.0)


def per_variable(matrix):
    return torch.arange(1.0, 1 + matrix.shape[1])[:, None]


@attrs.frozen
class Graphs(GraphSampler):
    """Edges along a random order."""

    name = "honest"
    sabotage: Callable = honest

    def sample(self, tasks, variables, rng):
        place = torch.rand(tasks, variables, generator=rng)
        edge = torch.rand(tasks, variables, variables, generator=rng) < 0.4
        return self.sabotage(edge & (place[:, :, None] < place[:, None]), rng)


@attrs.frozen
class Noises(Noise):
    """Normal noise."""

    name = "honest"
    sabotage: Callable = honest

    def sample(self, shape, rng):
        return self.sabotage(torch.randn(shape, generator=rng), rng)


@attrs.frozen
class Mechanisms(Mechanism):
    """A weighted sum of saturated parents."""

    name = "honest"
    sabotage: Callable = honest
    see: Callable = honest

    def draw(self, mask, rng):
        seen = self.see(mask)
        weights = torch.randn(mask.shape, generator=rng) * seen

        def function(parents, noise):
            return (parents.tanh() * weights[:, None]).sum(2) + noise

        return self.sabotage(function, mask, rng)


@attrs.frozen
class Homogeneous(Mechanisms):
    """Claims that the scale of the parents does not matter, though it saturates."""

    homogeneous = True


@attrs.frozen
class Additive(Mechanisms):
    """Claims that noise is added."""

    additive = True


@attrs.frozen
class Torn(Mechanisms):
    """Claims to consist of others, to be drawn less than never."""

    @property
    def parts(self):
        return ((Mechanisms(), 1.0), (Mechanisms(), -0.5))


@attrs.frozen
class Measurements(Measurement):
    """A twentieth of the cells lost, an error added to the others."""

    name = "honest"
    sabotage: Callable = honest

    def record(self, values, rng):
        error = 0.1 * torch.randn(values.shape, generator=rng)
        lost = torch.rand(values.shape, generator=rng) < 0.05
        return self.sabotage((values + error).masked_fill(lost, torch.nan), values, rng)


@attrs.frozen
class Interventions(Intervention):
    """One variable of each row, set to a value of its own in each table."""

    name = "honest"
    sabotage_cells: Callable = honest
    sabotage_rule: Callable = honest

    def draw(self, tasks, rows, variables, rng):
        target = torch.randint(variables, (tasks, rows, 1), generator=rng)
        cells = torch.zeros(tasks, rows, variables, dtype=torch.bool).scatter(2, target, True)
        value = torch.randn(tasks, variables, generator=rng)

        def rule(values, task, variable):
            return value[task, variable][:, None].expand_as(values)

        return self.sabotage_cells(cells, rng), self.sabotage_rule(rule, rng)


class Module(nn.Module):
    """What the three kinds of module have in common here."""

    def __init__(self, spec, width):
        super().__init__()
        self.spec = spec
        self.cell = nn.Linear(3, width)
        self.cause = nn.Linear(width, width)
        self.effect = nn.Linear(width, width)
        self.idle = nn.Parameter(torch.zeros(width))
        self.loose = torch.randn(width)

    def forward(self, given):
        return self.spec.sabotage(self.honest(given), given, self)


class ReadingModule(Module):
    def honest(self, table):
        cells = torch.stack([table.x, table.intervened.float(), table.observed.float()], -1)
        nodes = self.cell(self.spec.see(cells)).tanh().mean(1) + self.idle
        return Evidence(nodes=nodes, pairs=self.cause(nodes)[:, :, None] * self.effect(nodes)[:, None])


class ReasoningModule(Module):
    def honest(self, given):
        nodes = self.effect(self.cause(given.nodes).tanh()) + self.idle + self.cell.weight.sum() + self.cell.bias
        return attrs.evolve(given, nodes=nodes)


class AnsweringModule(Module):
    def honest(self, given):
        nodes = given.nodes + self.idle + self.cell.weight.sum() + self.cell.bias
        return {"edges": self.cause(nodes) @ self.effect(nodes).mT / 32}


@attrs.frozen
class Embeddings(Embedding):
    """Columns one by one, pairs as products."""

    name = "honest"
    gives = frozenset({"pairs"})
    sabotage: Callable = honest
    see: Callable = honest

    def build(self, width):
        return ReadingModule(self, width)


class ForgetfulModule(ReadingModule):
    def read(self, rows):
        return self(rows.fold(honest, honest, honest))  # of two pieces the first


@attrs.frozen
class Forgetful(Embeddings):
    """Knows the rows of one piece only."""

    additive = True

    def build(self, width):
        return ForgetfulModule(self, width)


@attrs.frozen
class Encoders(Encoder):
    """Variables one by one."""

    name = "honest"
    sabotage: Callable = honest

    def build(self, width):
        return ReasoningModule(self, width)


@attrs.frozen
class Heads(Head):
    """Products of nodes."""

    name = "honest"
    gives = frozenset({"edges"})
    sabotage: Callable = honest

    def build(self, width):
        return AnsweringModule(self, width)


@attrs.frozen
class Losses(Loss):
    """Cross-entropy, or any other sum over edges of what `cost` makes of the margin of the truth."""

    name = "honest"
    sabotage: Callable = honest
    cost: Callable = lambda margin: nn.functional.softplus(-margin)
    keep: Callable = off_diagonal

    def __call__(self, prediction, truth, table):
        margin = torch.where(truth.adj, prediction.logits, -prediction.logits)
        return self.sabotage(self.keep(self.cost(margin)).sum((1, 2)), prediction, truth, table)


@attrs.frozen
class Greedy(Losses):
    """Asks for what nobody makes."""

    asks = frozenset({"moon"})


@attrs.frozen
class Regularisers(Regulariser):
    """Edges that go both ways."""

    name = "honest"
    sabotage: Callable = honest
    keep: Callable = off_diagonal
    squash: Callable = torch.sigmoid
    calls: list = attrs.field(factory=list, eq=False)

    def __call__(self, prediction):
        edge = self.squash(prediction.logits)
        self.calls.append(1)
        return self.sabotage(self.keep(edge * edge.mT).sum((1, 2)), prediction, len(self.calls))


def same_graphs_again(adj, rng):
    return Graphs().sample(*adj.shape[:2], torch.Generator().manual_seed(rng.initial_seed()))


def echo(values, rng):
    return (values + values.roll(1, -1)) / 2**0.5 if values.ndim else values


def after(change):
    """Sabotage what a function gives: change(values, parents, noise, mask)."""
    return lambda function, mask, rng: lambda parents, noise: change(function(parents, noise), parents, noise, mask)


def stumble(function, mask, rng):
    scale = torch.rand(1, generator=elsewhere())
    return lambda parents, noise: scale * function(parents, noise)


def tidy_up(function, mask, rng):
    def tidied(parents, noise):
        parents.masked_fill_(~mask[:, None], 0.0)
        return function(parents, noise)

    return tidied


def deaf(function, mask, rng):
    return lambda parents, noise: function(parents, noise * ~mask.any(1, keepdim=True))


def rootless(function, mask, rng):
    return lambda parents, noise: function(parents, noise * mask.any(1, keepdim=True))


def mishear(change):
    """Sabotage what a rule gives: change(result, values)."""
    return lambda rule, rng: lambda values, task, variable: change(rule(values, task, variable), values)


def overwrite(result, values):
    values[:] = result
    return result


def evolve(change):
    """Sabotage the nodes: change(nodes, given, module)."""
    return lambda evidence, given, module: attrs.evolve(evidence, nodes=change(evidence.nodes, given, module))


def answer(change):
    """Sabotage the edges: change(edges, given, module)."""
    return lambda answers, given, module: {"edges": change(answers["edges"], given, module)}


def clip_x(evidence, table, module):
    table.x.clamp_(-1.0, 1.0)
    return module.honest(table)


def clip_nodes(work, given, module):
    given.nodes.clamp_(-1.0, 1.0)
    return module.honest(given)


def clip_logits(again):
    def clipped(work, prediction, *rest):
        prediction.logits.detach().clamp_(-1.0, 1.0)
        return again(prediction, *rest)

    return clipped


def stopped(work, prediction, *_):
    return work.detach() + 0 * prediction.logits.sum((1, 2))


def write_back(nodes, given, module):
    return nodes.clone().index_copy_(1, torch.arange(nodes.shape[1]), module.cause(nodes))


def write_back_edges(edges, given, module):
    return write_back(given.nodes, given, module) @ given.nodes.mT + edges


def without_idle(nodes, given, module):
    return nodes - module.idle


ANYTHING = object()
"""Nothing can be computed with a tensor that is on no device: other checks may fail too."""

SABOTEURS = {
    "graph": {
        "shape": (Graphs(lambda adj, rng: adj.to(torch.uint8)), {"degenerate"}),
        "device": (Graphs(lambda adj, rng: adj.to("meta")), ANYTHING),
        "degenerate": Graphs(lambda adj, rng: adj.squeeze(0)),
        "reproducible": Graphs(lambda adj, rng: Graphs().sample(*adj.shape[:2], elsewhere())),
        "global-rng": Graphs(burn),
        "self-loops": Graphs(lambda adj, rng: adj | torch.eye(adj.shape[1], dtype=torch.bool)),
        "acyclic": Graphs(lambda adj, rng: adj | adj.mT),
        "labels": Graphs(lambda adj, rng: (adj | adj.mT).triu(1)),
        "tasks-differ": Graphs(same_graphs_again),
    },
    "noise": {
        "shape": Noises(lambda values, rng: values.double()),
        "device": (Noises(lambda values, rng: values.to("meta")), ANYTHING),
        "degenerate": Noises(lambda values, rng: values.squeeze()),
        "reproducible": Noises(lambda values, rng: torch.randn(values.shape, generator=elsewhere())),
        "global-rng": Noises(burn),
        "finite": Noises(lambda values, rng: torch.where(values > 4.7, torch.inf, values)),
        "mean": Noises(lambda values, rng: values + 0.05),
        "deviation": Noises(lambda values, rng: values * 1.1),
        "independent": Noises(echo),
    },
    "mechanism": {
        "shape": (Mechanisms(after(lambda values, *_: values.double())), {"degenerate"}),
        "device": (Mechanisms(after(lambda values, *_: values.to("meta"))), ANYTHING),
        "degenerate": Mechanisms(after(lambda values, *_: values.squeeze())),
        "reproducible": Mechanisms(stumble),
        "global-rng": Mechanisms(burn),
        "inputs-untouched": Mechanisms(tidy_up),
        "finite": Mechanisms(after(lambda values, *_: values.exp())),
        "reusable": Mechanisms(lambda function, mask, rng: lambda *inputs: whisper(function(*inputs), rng)),
        "row-wise": Mechanisms(after(lambda values, *_: values - values.mean(1, keepdim=True))),
        "node-wise": Mechanisms(after(lambda values, *_: values - 0.5 * values.mean(0))),
        "padding": Mechanisms(see=lambda mask: mask | mask.any(1, keepdim=True)),
        "parents-matter": Mechanisms(see=lambda mask: mask & (torch.arange(mask.shape[1]) == 0)),
        "noise-matters": Mechanisms(deaf),
        "roots": Mechanisms(rootless),
        "homogeneous": Homogeneous(),
        "additive": Additive(after(lambda values, parents, noise, mask: values + 0.1 * noise.square())),
        "parts": Torn(),
    },
    "measurement": {
        "shape": Measurements(lambda found, values, rng: found.double()),
        "device": (Measurements(lambda found, values, rng: found.to("meta")), ANYTHING),
        "degenerate": Measurements(lambda found, values, rng: found.squeeze()),
        "reproducible": Measurements(lambda found, values, rng: found + torch.rand(1, generator=elsewhere())),
        "global-rng": Measurements(burn),
        "leaves-values": Measurements(lambda found, values, rng: values.mul_(2)),
        "not-infinite": Measurements(lambda found, values, rng: (found * 20).exp()),
        "tells": Measurements(lambda found, values, rng: torch.randn(values.shape, generator=rng)),
    },
    "intervention": {
        "shape": (Interventions(lambda cells, rng: cells.float()), {"degenerate"}),
        "device": (Interventions(sabotage_rule=mishear(lambda result, values: result.to("meta"))), ANYTHING),
        "degenerate": Interventions(sabotage_rule=mishear(lambda result, values: result.squeeze())),
        "reproducible": Interventions(lambda cells, rng: torch.rand(cells.shape, generator=elsewhere()) < 0.2),
        "global-rng": Interventions(sabotage_rule=mishear(burn)),
        "inputs-untouched": Interventions(sabotage_rule=mishear(overwrite)),
        "finite": Interventions(sabotage_rule=mishear(lambda result, values: result + values.square())),
        "reusable": Interventions(sabotage_rule=lambda rule, rng: lambda *nodes: whisper(rule(*nodes), rng)),
        "node-wise": Interventions(sabotage_rule=mishear(lambda result, values: result + values.mean())),
    },
    "embedding": {
        "shape": (Embeddings(evolve(lambda nodes, *_: nodes[..., 1:])), {"degenerate"}),
        "gives": Embeddings(lambda evidence, *_: attrs.evolve(evidence, aux={"kl": evidence.nodes.mean((1, 2))})),
        "degenerate": Embeddings(evolve(lambda nodes, *_: nodes / (nodes.shape[1] - 1))),
        "columns": Embeddings(evolve(lambda nodes, *_: nodes + per_variable(nodes))),
        "rows": Embeddings(evolve(lambda nodes, table, module: nodes + table.x[:, 0, :, None])),
        "tasks-apart": Embeddings(evolve(lambda nodes, *_: nodes - 0.5 * nodes.mean(0))),
        "reads-values": Embeddings(see=lambda cells: cells * torch.tensor([0.0, 1.0, 1.0])),
        "additive": Forgetful(),
        "inputs-untouched": Embeddings(clip_x),
        "deterministic": Embeddings(evolve(lambda nodes, *_: whisper(nodes))),
        "autocast": Embeddings(evolve(write_back)),
        "gradients": Embeddings(lambda evidence, *_: Evidence(evidence.nodes, evidence.pairs.detach())),
        "state": Embeddings(evolve(lambda nodes, table, module: nodes + module.loose)),
    },
    "encoder": {
        "shape": (Encoders(evolve(lambda nodes, *_: nodes[..., 1:])), {"degenerate"}),
        "keeps": Encoders(lambda evidence, *_: Evidence(evidence.nodes, evidence.pairs)),
        "degenerate": Encoders(evolve(lambda nodes, *_: nodes / (nodes.shape[1] - 1))),
        "columns": Encoders(evolve(lambda nodes, *_: nodes + per_variable(nodes))),
        "tasks-apart": Encoders(evolve(lambda nodes, *_: nodes - 0.5 * nodes.mean(0))),
        "inputs-untouched": Encoders(clip_nodes),
        "deterministic": Encoders(evolve(lambda nodes, *_: whisper(nodes))),
        "autocast": Encoders(evolve(write_back)),
        "gradients": Encoders(evolve(without_idle)),
        "state": Encoders(evolve(lambda nodes, given, module: nodes + module.loose)),
    },
    "head": {
        "gives": Heads(lambda answers, *_: {**answers, "targets": answers["edges"].mean(2)}),
        "shape": (Heads(answer(lambda edges, *_: edges[..., None])), {"degenerate"}),
        "finite": Heads(answer(lambda edges, *_: edges.exp())),
        "degenerate": Heads(answer(lambda edges, *_: edges / (edges.shape[1] - 1))),
        "columns": Heads(answer(lambda edges, *_: edges + per_variable(edges))),
        "tasks-apart": Heads(answer(lambda edges, *_: edges - 0.5 * edges.mean(0))),
        "inputs-untouched": Heads(clip_nodes),
        "deterministic": Heads(answer(lambda edges, *_: whisper(edges))),
        "autocast": Heads(answer(write_back_edges)),
        "gradients": Heads(answer(lambda edges, given, module: given.nodes @ given.nodes.mT * edges.detach())),
        "state": Heads(answer(lambda edges, given, module: edges * module.loose[0])),
    },
    "loss": {
        "shape": Losses(lambda cost, *_: cost.double()),
        "asks": (Greedy(), set()),
        "degenerate": Losses(lambda cost, prediction, *_: cost / (prediction.logits.shape[1] - 1)),
        "finite": Losses(cost=lambda margin: -torch.log1p(-torch.sigmoid(-margin))),
        "gradient": Losses(stopped),
        "diagonal": Losses(keep=honest),
        "pulls": Losses(cost=lambda margin: 3 * margin.sin() - margin),
        "prefers-truth": Losses(cost=lambda margin: -margin.sin()),
        "columns": Losses(keep=lambda cost: off_diagonal(cost) * per_variable(cost)),
        "tasks-apart": Losses(lambda cost, *_: cost + cost.mean()),
        "deterministic": Losses(lambda cost, *_: whisper(cost)),
        "inputs-untouched": Losses(clip_logits(Losses())),
    },
    "regulariser": {
        "shape": Regularisers(lambda penalty, *_: penalty.double()),
        "degenerate": Regularisers(lambda penalty, prediction, calls: penalty / (prediction.logits.shape[1] - 1)),
        "not-negative": Regularisers(lambda penalty, *_: penalty - 1),
        "finite": Regularisers(squash=torch.exp),
        "gradient": Regularisers(stopped),
        "diagonal": Regularisers(keep=honest),
        "columns": Regularisers(keep=lambda penalty: off_diagonal(penalty) * per_variable(penalty)),
        "tasks-apart": Regularisers(lambda penalty, *_: penalty + penalty.mean()),
        "stateless": Regularisers(lambda penalty, prediction, calls: penalty + 1e-6 * calls),
        "inputs-untouched": Regularisers(clip_logits(lambda prediction, calls: Regularisers()(prediction))),
    },
}

HONEST = (
    Graphs(),
    Noises(),
    Mechanisms(),
    Interventions(),
    Measurements(),
    Embeddings(),
    Encoders(),
    Heads(),
    Losses(),
    Regularisers(),
)


@attrs.frozen
class Shouting(Noises):
    """Normal noise."""

    name = "Normal_Noise"


@attrs.frozen
class Silent(Noises):
    name = "silent"


@attrs.define(slots=False)
class Soft(Noises):
    """Normal noise."""

    name = "soft"


class Plain(Noise):
    """Normal noise."""

    name = "plain"

    def sample(self, shape, rng):
        return torch.randn(shape, generator=rng)


@attrs.frozen
class Loose(Noises):
    """Normal noise."""

    name = "loose"
    gives = ["edges"]


SHARED = [("name", Shouting()), ("docstring", Silent()), ("frozen", Plain()), ("gives-and-needs", Loose())]


def failed_checks(saboteur):
    with pytest.raises(ConformanceError) as caught:
        conformance(saboteur)
    assert all(failure.found and failure.promise for failure in caught.value.failures)
    return {failure.check for failure in caught.value.failures}


@pytest.mark.parametrize("one", HONEST, ids=lambda one: one.kind)
def test_the_honest_pass(one):
    conformance(one)


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_saboteur(kind):
    shared = [name for name, _ in SHARED]
    assert [check_name(check) for check in checks(kind)] == shared + list(SABOTEURS[kind])
    assert [check_name(check) for check in component.CHECKS] == shared


@pytest.mark.parametrize(("kind", "check"), [(kind, check) for kind, entries in SABOTEURS.items() for check in entries])
def test_saboteur_is_caught_by_name(kind, check):
    entry = SABOTEURS[kind][check]
    saboteur, others = entry if isinstance(entry, tuple) else (entry, set())
    failed = failed_checks(saboteur)
    assert check in failed
    assert others is ANYTHING or failed == {check} | others


@pytest.mark.parametrize(("check", "saboteur"), SHARED, ids=[check for check, _ in SHARED])
def test_saboteur_of_what_all_share_is_caught_by_name(check, saboteur):
    assert failed_checks(saboteur) == {check}
