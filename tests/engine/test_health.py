"""Every monitor names the sources' own mistakes in a run that makes them, and is silent on runs that learn."""

import io
import json
import math

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tabscm import ContractError, Embedding, Encoder, Evidence, Head, Loss, Mechanism, Ramp, Regulariser, TrainingError
from tabscm.engine import trainer
from tabscm.engine.checkpoint import restore
from tabscm.engine.health import clock, watch
from tabscm.engine.health.clock import StepTimes
from tabscm.engine.health.event import RECOVERY, Alarm
from tabscm.engine.health.gradient import Explosion, by_term
from tabscm.engine.health.learning import Collapse, Gap
from tabscm.engine.health.prediction import GRACE, Beliefs, Experts
from tabscm.engine.metrics import gini
from tabscm.engine.model import Model
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms, train
from tabscm.kernel.experiment import Level, Weighted
from tabscm.kernel.interfaces import Prediction
from tabscm.kernel.values import Draw

CPU = torch.device("cpu")


@attrs.frozen
class Columns(Embedding):
    """Means over rows, column by column, what the local mistakes below are added to."""

    name = "columns-alone"

    def build(self, width):
        return _Columns(width)


class _Columns(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cell = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width))

    def forward(self, table):
        return Evidence(nodes=self.cell(table.x[..., None]).mean(1))


@attrs.frozen
class Drowsy(Columns):
    """With dropout, so that a step depends on the generator."""

    name = "drowsy"

    def build(self, width):
        module = _Columns(width)
        module.cell.append(nn.Dropout(0.5))
        return module


@attrs.frozen
class Gated(Columns):
    """Two branches and a gate that begins at sigmoid(bias)."""

    name = "gated"
    gives = frozenset({"gate"})
    bias: float = 0.0

    def build(self, width):
        return _Gated(width, self.bias)


class _Gated(_Columns):
    def __init__(self, width, bias):
        super().__init__(width)
        self.other = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, table):
        nodes = super().forward(table).nodes
        gate = self.gate(nodes).sigmoid()
        return Evidence(nodes=gate * nodes + (1 - gate) * self.other(nodes), aux={"gate": gate})


@attrs.frozen
class Router(Encoder):
    """Four experts, of which the router takes the first `used` in turn."""

    name = "router"
    gives = frozenset({"load"})
    used: int = 1

    def build(self, width):
        return _Router(width, self.used)


class _Router(nn.Module):
    def __init__(self, width, used):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.used = used

    def forward(self, evidence):
        nodes = sum(expert(evidence.nodes) for expert in self.experts[: self.used]) / self.used
        load = (torch.arange(4) < self.used).float() / self.used
        return attrs.evolve(evidence, nodes=nodes, aux={**evidence.aux, "load": load.expand(len(nodes), 1, 4)})


@attrs.frozen
class Scaled(Head):
    """The angle between two views of a variable, times a constant."""

    name = "scaled"
    gives = frozenset({"edges"})
    factor: float = 512**-0.5  # what the sources had: every logit within .044 of 0

    def build(self, width):
        return _Scaled(width, self.factor)


class _Scaled(nn.Module):
    def __init__(self, width, factor):
        super().__init__()
        self.cause, self.effect = nn.Linear(width, width), nn.Linear(width, width)
        self.factor = factor

    def forward(self, evidence):
        cause, effect = (
            F.normalize(self.cause(evidence.nodes), dim=-1),
            F.normalize(self.effect(evidence.nodes), dim=-1),
        )
        return {"edges": self.factor * cause @ effect.mT}


@attrs.frozen
class NaivePower(Regulariser):
    """trace(A^D) / D, as the structure learner had it."""

    name = "naive-power-alone"

    def __call__(self, prediction):
        variables = prediction.logits.shape[1]
        adj = prediction.logits.sigmoid() * (1 - torch.eye(variables))
        return torch.linalg.matrix_power(adj, variables).diagonal(dim1=1, dim2=2).sum(1) / variables


@attrs.frozen
class Squares(Regulariser):
    """Mean square of the logits."""

    name = "squares"

    def __call__(self, prediction):
        return prediction.logits.square().mean((1, 2))


@attrs.frozen
class Brittle(Mechanism):
    """Noise, and in one node of a batch not a number."""

    name = "brittle"

    def draw(self, mask, rng):
        broken = torch.rand(1, generator=rng) < 0.1
        return lambda parents, noise: noise / torch.where(broken, 0.0, 1.0) * torch.where(broken, 0.0, 1.0)


@attrs.frozen
class Fragile(Loss):
    """A root of what is negative for one table in a hundred."""

    name = "fragile"

    def __call__(self, prediction, truth, table):
        return (4.0 - self.most(truth, table)).sqrt()

    def most(self, truth, table):
        return table.x.amax((1, 2))


@attrs.frozen
class FragileOfEffects(Fragile):
    """The same of the effects of interventions."""

    name = "fragile-of-effects"
    asks = frozenset({"effects"})

    def most(self, truth, table):
        return truth.effects.amax((1, 2))


@pytest.fixture(scope="module")
def fast(tiny, registry):
    """tiny.toml with one of each in its stream, and the learning rates of quick.toml."""
    stream = attrs.evolve(
        tiny.stream,
        graphs=tiny.stream.graphs[:1],
        mechanisms=tiny.stream.mechanisms[:1],
        noises=tiny.stream.noises[1:2],
        rows=Draw.constant(40),
    )
    return changed(attrs.evolve(tiny, stream=stream), muon_lr=0.03, lr=0.006, log_every=5)


def changed(experiment, **settings):
    return attrs.evolve(experiment, trainer=attrs.evolve(experiment.trainer, **settings))


def columns(experiment, registry, **parts):
    """The experiment with a network that is cheaper still, and knows nothing of pairs."""
    plain = {"embedding": Columns(), "encoder": registry.find("encoder", "identity")()}
    head = registry.find("head", "bilinear")()
    return attrs.evolve(experiment, **{**plain, "head": head, **parts})


def follow(experiment, folder, steps, *, validate_every=1000):
    """Train; what was printed, and the lines of metrics.jsonl by kind."""
    folder.mkdir(exist_ok=True)
    out = io.StringIO()
    train(changed(experiment, steps=steps, validate_every=validate_every), folder, device=CPU, out=out)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kinds = ("train", "validation", "monitors", "health")
    return out.getvalue(), {kind: [line for line in lines if line["kind"] == kind] for kind in kinds}


def named(found):
    """(step, monitor) of every event."""
    return [(event["step"], event["monitor"]) for event in found["health"]]


def silent(found):
    """Whether nothing is said of the training; a shared machine may be slow indeed, whatever is trained on it."""
    return not [event for event in named(found) if event[1] not in ("slow", "starved")]


def measured(found, scalar):
    """The values of a scalar, in order."""
    return [line[scalar] for line in found["monitors"] if scalar in line]


def monitors(found):
    return {monitor for _, monitor in named(found)}


def test_an_alarm_rings_once_an_episode():
    alarm = Alarm(patience=2)
    looks = [True, False, True, True, True] + [False] * (RECOVERY - 1) + [True] + [False] * RECOVERY + [True, True]
    assert [look for look, wrong in enumerate(looks) if alarm.rings(wrong)] == [3, len(looks) - 1]


# steps enough for every monitor to have looked; without blocks on the pairs they take half the time
@pytest.mark.parametrize(("seed", "blocks"), [(0, True), *((seed, False) for seed in range(1, 7))])
def test_runs_that_learn_are_silent(fast, registry, tmp_path, seed, blocks):
    experiment = attrs.evolve(fast, seed=seed)
    if not blocks:
        alone = registry.find("encoder", "identity")()
        embedding = attrs.evolve(fast.embedding, between=alone)
        experiment = attrs.evolve(experiment, embedding=embedding, encoder=alone)
    _, found = follow(experiment, tmp_path, 160, validate_every=80)
    assert found["validation"][-1]["log_prob_gain"] > 0.01
    assert silent(found)


def test_squeezed_columns_are_a_collapse_within_300_steps(fast, registry, tmp_path):
    simple = registry.find("embedding", "simple")()
    encoder = registry.find("encoder", "columns")(layers=1)
    printed, found = follow(attrs.evolve(fast, embedding=simple, encoder=encoder), tmp_path, 200)
    (step,) = [step for step, monitor in named(found) if monitor == "collapse"]
    assert step == fast.trainer.warmup + 150
    (line,) = [line for line in printed.splitlines() if line.startswith("health: ") and "collapse: " in line]
    assert line.startswith("health: step 155: collapse: gain ")
    assert "no better than the base rate, and a falling loss is no proof of learning" in line


def test_logits_scaled_by_width_are_flat(fast, registry, tmp_path):
    _, found = follow(columns(fast, registry, head=Scaled()), tmp_path, 120)
    assert (115, "flat-logits") in named(found)
    assert max(measured(found, "logit_spread")) < 0.1


def test_logits_out_of_reach_are_saturated(fast, registry, tmp_path):
    _, found = follow(columns(fast, registry, head=Scaled(factor=1e5)), tmp_path, 16)
    assert (15, "saturated-logits") in named(found)


def test_the_term_that_explodes_is_named(fast, registry, tmp_path):
    large = attrs.evolve(fast.stream, variables=Draw.constant(12))
    half = registry.find("head", "bilinear")(density=0.5)
    naive = (Weighted(NaivePower(), Ramp.constant(0.1)),)
    _, found = follow(columns(fast, registry, head=half, stream=large, regularisers=naive), tmp_path, 5)
    first = found["health"][0]
    assert (first["step"], first["monitor"]) == (1, "explosion")
    assert first["value"] > 1000
    assert "; the term naive-power-alone makes it (by term: naive-power-alone " in first["line"]
    assert measured(found, "grad_share/naive-power-alone")[-1] > 0.99
    assert measured(found, "grad/bce")[-1] < 10


def test_the_term_that_is_norm_controlled_does_not_explode(fast, registry, tmp_path):
    stable = (Weighted(registry.find("regulariser", "acyclicity")(), Ramp.constant(0.1)),)
    _, found = follow(attrs.evolve(fast, regularisers=stable), tmp_path, 30, validate_every=5)
    assert silent(found)


def test_the_shipped_acyclicity_in_its_naive_form_is_named_at_the_weight_that_exploded(fast, registry, tmp_path):
    large = attrs.evolve(fast.stream, variables=Draw.constant(12))
    half = registry.find("head", "bilinear")(density=0.5)
    naive = (Weighted(registry.find("regulariser", "acyclicity")(form="naive-power"), Ramp.constant(0.1)),)
    _, found = follow(columns(fast, registry, head=half, stream=large, regularisers=naive), tmp_path, 2)
    assert named(found)[0] == (1, "explosion")
    assert "; the term acyclicity makes it (by term: acyclicity " in found["health"][0]["line"]


@pytest.mark.parametrize(
    ("kind", "name", "scalar"),
    [("embedding", "variational", "kl"), ("embedding", "gated-fusion", "gate_mean"), ("encoder", "moe", "expert_gini")],
)
def test_what_shipped_components_give_is_measured(fast, registry, tmp_path, kind, name, scalar):
    _, found = follow(columns(fast, registry, **{kind: registry.find(kind, name)()}), tmp_path, 5)
    assert math.isfinite(found["monitors"][0][scalar])
    assert silent(found)


def test_a_term_that_drowns_the_loss_is_named(fast, registry, tmp_path):
    heavy = (Weighted(Squares(), Ramp.constant(100.0)),)
    _, found = follow(columns(fast, registry, regularisers=heavy), tmp_path, 6, validate_every=2)
    assert (4, "drowned") in named(found)


def test_an_explosion_is_told_from_a_hard_batch_by_the_median():
    explosion = Explosion()
    norms = [0.3, 0.5] * 15 + [5.0, 30.0, 0.4]
    events = [explosion.look(step, norm, lambda: {"bce": 29.0, "kl": 2.0}) for step, norm in enumerate(norms)]
    assert [step for step, found in enumerate(events) if found] == [31]
    assert "the norm of the gradient is 30, 60 times its median; the term bce makes it" in events[31][0].line


def test_gradients_by_term_are_those_of_the_step(fast, registry):
    experiment = columns(fast, registry, embedding=Drowsy(), regularisers=(Weighted(Squares(), Ramp.constant(2.0)),))
    torch.manual_seed(3)
    model = Model(experiment).train()
    batch = Stream(experiment.stream, seed=0, device=CPU).batch(7)

    def terms(step, *parts):
        return loss_terms(experiment, step, *parts)

    expected = {}
    for name in ("bce", "squares"):
        torch.manual_seed(5)
        model.zero_grad()
        terms(7, model(batch[0]), batch[1], batch[0])[name].backward()
        expected[name] = float(
            torch.nn.utils.get_total_norm([w.grad for w in model.parameters() if w.grad is not None])
        )
    torch.manual_seed(5)
    model.zero_grad()
    torch.rand(1)
    state = torch.get_rng_state()
    found = by_term(model, [batch], terms, step=7, precision="fp32")
    assert found == pytest.approx(expected)
    assert torch.equal(state, torch.get_rng_state())
    assert all(weight.grad is None for weight in model.parameters())


def test_health_changes_nothing(fast, registry, tmp_path, monkeypatch):
    regularisers = (Weighted(Squares(), Ramp.constant(100.0)),)
    experiment = columns(fast, registry, embedding=Drowsy(), regularisers=regularisers)
    _, found = follow(experiment, tmp_path / "with", 8, validate_every=2)
    assert "drowned" in monitors(found)  # it has replayed
    for name in ("before_update", "after_update", "logged", "validated", "report"):
        monkeypatch.setattr(watch.Health, name, lambda *_, **__: None)
    _, without = follow(experiment, tmp_path / "without", 8, validate_every=2)
    assert without["monitors"] == []
    weights = [restore(tmp_path / name, "last")[0] for name in ("with", "without")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def variational(experiment, registry, weight):
    """The experiment with its embedding behind the shipped bottleneck, whose KL has the shipped price."""
    embedding = registry.find("embedding", "variational")(of=experiment.embedding)
    price = Weighted(registry.find("regulariser", "kl-cap")(), weight)
    return attrs.evolve(experiment, embedding=embedding, regularisers=(price,))


def test_a_kl_that_nothing_holds_runs_away(fast, registry, tmp_path):
    experiment = variational(attrs.evolve(fast, seed=1), registry, Ramp.constant(0.0))
    _, found = follow(experiment, tmp_path, 120)
    assert [monitor for _, monitor in named(found)] == ["high-kl"]
    assert measured(found, "kl")[0] < 15
    assert measured(found, "kl")[-1] > 20
    (event,) = found["health"]
    assert " nats at a weight of 0.0e+00; 8 to 15 is healthy. Usually the weight is too small, or " in event["line"]


def test_a_kl_whose_weight_reaches_its_cap_is_held(fast, registry, tmp_path):
    ramp = Ramp(start=0.0, end=3e-4, steps=20)
    _, found = follow(variational(attrs.evolve(fast, seed=1), registry, ramp), tmp_path, 120)
    assert silent(found)
    assert 8 < measured(found, "kl")[-1] < 20
    assert measured(found, "kl_weight") == pytest.approx([ramp.at(step - 1) for step in range(5, 125, 5)])


def test_a_weight_that_grows_with_every_step_makes_the_posterior_the_prior(fast, registry, tmp_path):
    growing = Ramp(start=0.0, end=6.0, steps=120)
    _, found = follow(variational(fast, registry, growing), tmp_path, 120)
    assert measured(found, "kl_weight")[-1] == pytest.approx(119 / 20)
    assert measured(found, "kl")[0] > 5
    assert measured(found, "kl")[-1] < 0.1
    assert "posterior-collapse" in monitors(found)
    assert "high-kl" not in monitors(found)


@pytest.mark.parametrize(("bias", "branch"), [(-9.0, "first"), (9.0, "second")])
def test_a_gate_forced_shut_is_a_dead_branch(fast, registry, tmp_path, bias, branch):
    _, found = follow(columns(fast, registry, embedding=Gated(bias=bias)), tmp_path, 16)
    (event,) = [event for event in found["health"] if event["monitor"] == "gate"]
    assert event["step"] == 15
    assert f": the {branch} branch is dead." in event["line"]


def test_an_open_gate_is_measured_and_fine(fast, registry, tmp_path):
    _, found = follow(columns(fast, registry, embedding=Gated()), tmp_path, 20)
    last = next(line for line in reversed(found["monitors"]) if "gate_min" in line)
    assert last["gate_min"] <= last["gate_median"] <= last["gate_max"]
    assert 0.02 < last["gate_mean"] < 0.98
    assert silent(found)


@pytest.mark.parametrize(("used", "fires"), [(1, True), (2, True), (4, False)])
def test_a_router_that_always_picks_the_same_is_named(fast, registry, tmp_path, used, fires):
    _, found = follow(columns(fast, registry, encoder=Router(used=used)), tmp_path, 16)
    assert named(found) == ([(15, "experts")] if fires else [])
    assert found["monitors"][0]["expert_gini"] == pytest.approx(1 - used / 4)
    assert found["monitors"][0]["expert_entropy"] == pytest.approx(math.log(used) / math.log(4), abs=1e-6)


def test_experts_in_their_healthy_range_are_fine():
    load = torch.tensor([[0.02, 0.08, 0.1, 0.12, 0.13, 0.15, 0.2, 0.2]])
    assert 0.25 < float(gini(load)) < 0.4
    prediction = Prediction(torch.zeros(1, 3, 3), {"load": load[None]})
    experts = Experts()
    assert [experts.logged(step, [prediction])[1] for step in range(5)] == [[]] * 5


def test_a_gate_that_believes_one_alone_is_named(fast):
    several = attrs.evolve(fast, specialists=("first", "second"), gate=fast.embedding)
    late = several.trainer.warmup + GRACE

    def follow(*rows):
        beliefs = Beliefs(several)
        prediction = Prediction(torch.zeros(len(rows), 3, 3), {"beliefs": torch.tensor(rows).log()})
        found = [beliefs.logged(step, [prediction]) for step in range(late - 2, late + 4)]
        assert found[0][0]["share/first"] == pytest.approx(sum(row[0] for row in rows) / len(rows))
        return [event for _, events in found for event in events]

    (event,) = follow([0.01, 0.99], [0.005, 0.995])
    assert (event.monitor, event.step) == ("one-for-all", late + 2)
    assert event.line.startswith("the gate believes second to 0.993 +- 0.002, whatever the table: ")
    assert not follow([0.01, 0.99], [0.99, 0.01])
    assert not follow([0.1, 0.9], [0.1, 0.9])


def test_tables_that_come_back_open_a_gap(fast, tmp_path, monkeypatch):
    real = Stream.batch

    def batch(self, step, part=0):
        return real(self, 0 if self.purpose == "train" else step, part)

    monkeypatch.setattr(Stream, "batch", batch)
    _, found = follow(fast, tmp_path, 120, validate_every=30)
    assert "gap" in monitors(found)
    assert found["monitors"][-1]["gap"] > 0.1


def test_a_best_validation_long_ago_is_named(fast, registry, tmp_path, monkeypatch):
    real, gains = trainer.judge, iter([0.1, 0.3, *[0.295] * 2, *[0.2] * 20])

    def judge(model, stream, *, tables):
        return {**real(model, stream, tables=tables), "log_prob_gain": next(gains)}

    monkeypatch.setattr(trainer, "judge", judge)
    _, found = follow(columns(fast, registry), tmp_path, 15, validate_every=1)
    (event,) = [event for event in found["health"] if event["monitor"] == "stale"]
    assert event["step"] == 12
    assert event["line"].startswith(
        "10 validations without a new best: +0.300 at step 2, +0.200 now; within 0.01 of the best from step 2 to 4."
    )


def test_validation_on_tables_of_levels_to_come_proves_nothing(fast, registry, tmp_path, monkeypatch):
    real = trainer.judge

    def judge(model, stream, *, tables):
        bad = {"log_prob_gain": -0.001, "auroc": 0.5, "auroc_se": 0.001}
        return {**real(model, stream, tables=tables), **(bad if stream.key == "stream" else {})}

    monkeypatch.setattr(trainer, "judge", judge)
    first = Level(stream=fast.stream, metric="ap", reach=2.0, most_steps=175)
    experiment = attrs.evolve(changed(fast, validation_tables=2), curriculum=(first,))
    _, found = follow(experiment, tmp_path, 192, validate_every=32)
    # after the grace, step 160 is on the first level and step 192 on the last; training itself goes well
    assert [line["level"] for line in found["train"] if line["step"] in (160, 190)] == [1, 2]
    assert [(step, monitor) for step, monitor in named(found) if monitor != "gap"] == [(192, "collapse")]


def test_the_best_validation_is_looked_for_on_the_last_level(fast, registry, tmp_path, monkeypatch):
    real, gains = trainer.judge, iter([0.9, *[0.1] * 40])

    def judge(model, stream, *, tables):
        found = real(model, stream, tables=tables)
        return {**found, "log_prob_gain": next(gains)} if stream.key == "stream" else found

    monkeypatch.setattr(trainer, "judge", judge)
    experiment = attrs.evolve(
        columns(fast, registry), curriculum=(Level(stream=fast.stream, metric="ap", reach=2.0, most_steps=15),)
    )
    _, found = follow(experiment, tmp_path, 28, validate_every=1)
    # the best of the last level is its first, after step 16
    assert [(event["step"], event["monitor"]) for event in found["health"] if event["monitor"] == "stale"] == [
        (26, "stale")
    ]


class Watch:
    """A clock that moves by a hundredth of a second when looked at."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 0.01
        return self.now


@pytest.mark.parametrize(
    ("stalls", "named_at"), [({30: 6.0}, [31]), ({30: 0.5, 31: 0.5, 32: 0.5}, [33]), ({30: 0.5}, [])]
)
def test_a_stalled_data_step_is_named_while_it_happens(fast, registry, tmp_path, monkeypatch, stalls, named_at):
    watch, real = Watch(), Stream.batch

    def batch(self, step, part=0):
        watch.now += stalls.get(step, 0.0) if self.purpose == "train" else 0.0
        return real(self, step, part)

    monkeypatch.setattr(clock, "time", watch)
    monkeypatch.setattr(Stream, "batch", batch)
    _, found = follow(columns(fast, registry), tmp_path, 36)
    events = [event for event in found["health"] if event["monitor"] == "slow"]
    assert [event["step"] for event in events] == named_at
    for event in events:
        assert "times what its size takes (0.05" in event["line"]
        assert "% of it went into making tables" in event["line"]


def test_larger_steps_may_take_longer(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(clock, "time", watch)
    times = StepTimes()
    for step in range(60):
        size = 1000.0 if step < 30 else 100_000.0
        times.begin()
        times.sampling()
        times.sampled(size)
        watch.now += size / 1000
        assert times.ended(step) == []


def test_a_stream_slower_than_the_network_starves_it(fast, registry, tmp_path, monkeypatch):
    watch, real = Watch(), Stream.batch

    def batch(self, step, part=0):
        watch.now += 0.1
        return real(self, step, part)

    monkeypatch.setattr(clock, "time", watch)
    monkeypatch.setattr(Stream, "batch", batch)
    _, found = follow(columns(fast, registry), tmp_path, 51)
    assert (50, "starved") in named(found)
    assert measured(found, "stream_share")[-1] > 0.8


def test_weights_that_do_not_move_are_named(fast, registry, tmp_path):
    _, found = follow(columns(changed(fast, muon_lr=1e-12, lr=1e-12), registry), tmp_path, 11)
    assert (10, "still") in named(found)
    assert found["monitors"][0]["movement"] < 1e-7


def test_a_loss_that_falls_is_no_proof(fast):
    collapse = Collapse(warmup=0)
    events = []
    for step in range(10, 310, 10):
        events += collapse.logged(step, {"loss": 30 / step**2, "log_prob_gain": -0.001, "auroc_pooled": 0.5})
    (event,) = events
    assert event.step == 150
    assert "over the last 100 steps while the loss went from 0.3 to 0.00133: no better than the base rate" in event.line


def test_one_bad_batch_after_a_resume_is_no_collapse():
    collapse = Collapse(warmup=0, step=1000)
    record = {"loss": 0.5, "log_prob_gain": -0.05, "auroc_pooled": 0.5}
    assert [step for step in range(1010, 1210, 10) if collapse.logged(step, record)] == [1100]


@pytest.mark.parametrize(("error", "rings"), [(0.05, False), (0.005, True)])
def test_a_validation_of_few_tables_is_no_proof_of_collapse(error, rings):
    found = {"log_prob_gain": -0.016, "auroc": 0.56, "auroc_se": error}
    assert bool(Collapse(warmup=0).validated(180, found)) == rings


def test_a_gap_of_what_is_undefined_is_undefined():
    scalars, events = Gap().validated(5, {"log_prob_gain": math.nan})
    assert math.isnan(scalars["gap"])
    assert events == []


def poison(monkeypatch, at):
    """Put a NaN into the training tables of step `at`."""
    real = Stream.batch

    def batch(self, step, part=0):
        table, truth = real(self, step, part)
        if self.purpose == "train" and step == at:
            table = attrs.evolve(table, x=table.x.clone())
            table.x[1, 2, 3] = math.nan
        return table, truth

    monkeypatch.setattr(Stream, "batch", batch)


def test_a_nan_in_a_batch_stops_the_run_and_is_named_with_its_seed(fast, registry, tmp_path, monkeypatch):
    # the stream itself gives no such batch: it looks, and names who made it, as below
    poison(monkeypatch, at=3)
    experiment = columns(attrs.evolve(fast, seed=11), registry)
    with pytest.raises(TrainingError) as refusal:
        follow(experiment, tmp_path, 6)
    assert str(refusal.value) == (
        "step 3: the term bce is not finite; it begins in the table itself: 1 cells, first table 1, row 2, variable 3. "
        "Its tables come back with tabscm.engine.stream: Stream(experiment.stream, seed=11, device=device).batch(3). "
        "Mend what makes them and start again with --overwrite."
    )


@pytest.mark.parametrize("loss", [Fragile(), FragileOfEffects()])
def test_tables_on_which_a_loss_is_not_a_number_come_back(fast, registry, tmp_path, replay, loss):
    experiment = columns(attrs.evolve(fast, seed=11, auxiliary_losses=(Weighted(loss),)), registry)
    with pytest.raises(TrainingError, match=f"the term {loss.name} is not finite") as refusal:
        follow(experiment, tmp_path, 60)
    table, truth = replay(refusal.value, experiment)
    assert not bool(torch.isfinite(loss(Model(experiment)(table), truth, table)).all())
    step = int(str(refusal.value).split(":")[0].removeprefix("step "))
    assert step > 0
    table, truth = Stream(experiment.stream, seed=11, device=CPU, effects=True).batch(step - 1)
    assert bool(torch.isfinite(loss(Model(experiment)(table), truth, table)).all())


@pytest.mark.parametrize("where", ["stream", "curriculum[0].stream"])
def test_a_mechanism_that_gives_a_nan_is_named_with_its_seed(fast, registry, tmp_path, replay, where):
    stream = attrs.evolve(fast.stream, mechanisms=(Weighted(Brittle()),))
    experiment = columns(attrs.evolve(fast, seed=12), registry)
    if where == "stream":
        experiment = attrs.evolve(experiment, stream=stream)
    else:
        experiment = attrs.evolve(experiment, curriculum=(Level(stream=stream, metric="ap", reach=2.0),))
    with pytest.raises(ContractError, match="mechanism brittle: ") as refusal:
        follow(experiment, tmp_path, 30)
    assert (
        f"\nIt comes back with tabscm.engine.stream: Stream(experiment.{where}, seed=12, device=device).batch("
        in str(refusal.value)
    )
    with pytest.raises(ContractError, match="mechanism brittle: "):
        replay(refusal.value, experiment)


@attrs.frozen
class Overflowing(Columns):
    """Squares of squares, until nothing is finite."""

    name = "overflowing"

    def build(self, width):
        module = _Columns(width)
        module.cell.append(Blow())
        return module


class Blow(nn.Module):
    def forward(self, cells):
        return cells * math.inf


def test_the_module_that_makes_it_is_named(fast, registry, tmp_path):
    with pytest.raises(
        TrainingError, match=r"it begins in the module embedding\.cell\.3 of the network, though its table"
    ):
        follow(columns(fast, registry, embedding=Overflowing()), tmp_path, 2)


@pytest.mark.parametrize("log_every", [1, 5])
@pytest.mark.parametrize(
    ("what", "named"),
    [("weights", "weights heads.0.bias"), ("momenta", "momenta heads.0.bias/exp_avg")],
)
def test_weights_and_momenta_that_an_update_broke_are_named(
    fast, registry, tmp_path, monkeypatch, replay, log_every, what, named
):
    class Breaking(trainer.Optimiser):
        def __init__(self, model, settings):
            super().__init__(model, settings)
            self.model = model

        def step(self, step):
            rate = super().step(step)
            if step == 1:
                broken = self.model.heads[0].bias if what == "weights" else self.state()["heads.0.bias/exp_avg"]
                broken.data.fill_(math.nan)
            return rate

    monkeypatch.setattr(trainer, "Optimiser", Breaking)
    experiment = columns(changed(fast, log_every=log_every), registry)
    with pytest.raises(TrainingError) as refusal:
        follow(experiment, tmp_path, 6)
    assert str(refusal.value) == (
        f"step 1: the {named} are not finite after the update, though loss and gradient were finite at every step. "
        "Its tables come back with tabscm.engine.stream: Stream(experiment.stream, seed=0, device=device).batch(1). "
        "Lower trainer.lr, trainer.muon_lr or trainer.clip and start again with --overwrite."
    )
    replay(refusal.value, experiment)


def test_scalars_and_events_reach_tensorboard(fast, registry, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow(columns(fast, registry, encoder=Router()), tmp_path, 16)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert {"health/expert_gini", "health/logit_spread", "health/step_seconds"} <= set(board.Tags()["scalars"])
    assert [(event.step, event.value) for event in board.Scalars("health/event/experts")] == [(15, 0.75)]
