"""Guards that every change to the network must keep, on the network of quick.toml."""

import shutil

import attrs
import pytest
import torch

from tabscm import ConfigError, ContractError, Draw
from tabscm.engine.evaluate import judge
from tabscm.engine.metrics import summarise
from tabscm.engine.model import Model, check_wiring
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.stream import Stream
from tabscm.kernel.interfaces import Evidence, Table

CPU = torch.device("cpu")


def fit(experiment, batch_of, steps):
    """Train a fresh network for `steps` on the batches `batch_of(step)`."""
    torch.manual_seed(0)
    model = Model(experiment)
    optimiser = Optimiser(model, attrs.evolve(experiment.trainer, steps=steps, warmup=10))
    for step in range(steps):
        table, truth = batch_of(step)
        experiment.loss(model(table), truth, table).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(step)
    return model.eval()


@pytest.fixture(scope="module")
def small(quick):
    """quick.toml on tables of 6 variables: learned in seconds."""
    stream = attrs.evolve(quick.stream, variables=Draw.constant(6), rows=Draw.constant(100), tables=32)
    return attrs.evolve(quick, stream=stream)


@pytest.fixture(scope="module")
def trained(small):
    return fit(small, Stream(small.stream, seed=0, device=CPU).batch, 100)


@pytest.fixture
def untrained(quick):
    """Random everywhere, also where branches start at zero."""
    torch.manual_seed(0)
    model = Model(quick)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_(std=0.1)
    return model.eval()


def predict(model, table):
    with torch.inference_mode():
        return model(table).logits


def test_overfits_eight_tables(quick):
    eight = attrs.evolve(quick.stream, variables=Draw.constant(8), rows=Draw.constant(100), tables=8)
    table, truth = Stream(eight, seed=1, device=CPU).batch(0)
    assert len(table.x) == 8
    model = fit(quick, lambda step: (table, truth), 120)
    assert summarise([(predict(model, table), truth.adj)])["auroc_pooled"] == 1.0


def test_learns_from_joint_distributions_and_from_nothing_else(small, trained):
    fresh = Stream(small.stream, seed=0, device=CPU, purpose="evaluation")
    assert judge(trained, fresh, tables=192)["auroc"] > 0.75
    torch.manual_seed(0)
    batches = []
    for step in range(6):
        table, truth = fresh.batch(step)
        # cells move within their column, each column on its own
        order = torch.rand(table.x.shape).argsort(1)
        moved = Table(table.x.gather(1, order), table.intervened.gather(1, order), table.observed)
        batches.append((predict(trained, moved), truth.adj))
    shuffled = summarise(batches)
    assert abs(shuffled["auroc"] - 0.5) < 3 * shuffled["auroc_se"]


def test_columns_may_come_in_any_order(quick, untrained):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    order = torch.randperm(table.x.shape[2], generator=torch.Generator().manual_seed(0))
    moved = Table(table.x[:, :, order], table.intervened[:, :, order], table.observed[:, :, order])
    logits = predict(untrained, table)
    assert logits.std() > 0.1
    torch.testing.assert_close(predict(untrained, moved), logits[:, order][:, :, order], atol=1e-4, rtol=1e-4)


def test_rows_may_come_in_any_order(quick, untrained):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    order = torch.randperm(table.x.shape[1], generator=torch.Generator().manual_seed(0))
    moved = Table(table.x[:, order], table.intervened[:, order], table.observed[:, order])
    torch.testing.assert_close(predict(untrained, moved), predict(untrained, table), atol=1e-4, rtol=1e-4)


def test_tables_of_a_batch_do_not_see_each_other(quick, untrained):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    alone = Table(table.x[:1], table.intervened[:1], table.observed[:1])
    torch.testing.assert_close(predict(untrained, alone), predict(untrained, table)[:1], atol=1e-4, rtol=1e-4)


def test_starts_at_the_base_rate(quick):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    probability = predict(Model(quick).eval(), table).sigmoid()
    torch.testing.assert_close(probability, torch.full_like(probability, quick.head.density), atol=1e-5, rtol=0)


@pytest.mark.parametrize("variables", [1, 2])
def test_the_smallest_tables(quick, untrained, variables):
    least = attrs.evolve(quick.stream, variables=Draw.constant(variables), rows=Draw.constant(2))
    table, _ = Stream(least, seed=0, device=CPU).batch(0)
    assert torch.isfinite(predict(untrained, table)).all()


def test_an_unmet_need_is_named_before_the_first_step(quick, registry):
    simple = registry.find("embedding", "simple")()
    with pytest.raises(ConfigError) as refusal:
        check_wiring(attrs.evolve(quick, embedding=simple))
    assert str(refusal.value) == (
        "experiment: 1 problem\n\n"
        "  encoder\n"
        '    triangle needs "pairs", which nothing before it gives\n'
        "    given: nothing"
    )


def test_a_width_that_does_not_fit_the_heads_is_named(quick, registry):
    axial, identity = registry.find("embedding", "axial")(), registry.find("encoder", "identity")()
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(quick, embedding=axial, encoder=identity, width=30))
    assert str(refusal.value) == (
        "experiment: 1 problem\n\n  embedding\n    axial: width 30 is not a multiple of heads, which is 4"
    )


def test_evidence_of_the_wrong_shape_is_named(quick):
    class Narrow(torch.nn.Module):
        def forward(self, table):
            return Evidence(nodes=torch.zeros(len(table.x), 3, 64))

    model = Model(quick)
    model.embedding = Narrow()
    table, _ = Stream(attrs.evolve(quick.stream, variables=Draw.constant(5)), seed=0, device=CPU).batch(0)
    with pytest.raises(ContractError, match=r"^embedding cross-moment: nodes: expected shape \[B=\d+, D=5, E\], found"):
        model(table)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_compiled_it_gives_the_same(tiny):
    torch.manual_seed(0)
    model = Model(tiny)
    compiled = torch.compile(model, dynamic=True)
    for step in range(2):  # tables of two sizes
        table, truth = Stream(tiny.stream, seed=0, device=CPU).batch(step)
        found = []
        for forward in (model, compiled):
            model.zero_grad()
            prediction = forward(table)
            tiny.loss(prediction, truth, table).mean().backward()
            found.append((prediction.logits, [weight.grad.clone() for weight in model.parameters()]))
        torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-3)
