"""Images of a table: which columns are negated follows from what they hold, and the mean of what is said comes back.

python tests/engine/test_mirrors.py 250     what they are worth to each specialist of the package, on so many tables
"""

import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from tabscm import ConfigError
from tabscm.engine import mirrors, released
from tabscm.engine.benchmark.methods import fingerprint
from tabscm.engine.loading import load_model
from tabscm.engine.metrics import score
from tabscm.engine.mixture import mixed
from tabscm.engine.model import Model
from tabscm.engine.stream import Stream
from tabscm.kernel.config import dump, load
from tabscm.kernel.errors import Problem
from tabscm.kernel.interfaces import Table
from tabscm.kernel.registry import discover
from tabscm.kernel.values import Draw
from tabscm.testing.samples import Apart

CPU = torch.device("cpu")
NAMES = ("symmetric", "other")


@pytest.fixture
def two(tiny):
    return attrs.evolve(tiny, specialists=NAMES, gate=attrs.evolve(tiny.embedding, steps=0), mirrored=("symmetric",))


@pytest.fixture
def model(two, moved):
    return moved(1, two, by=0.2).eval()


@pytest.fixture
def tables(two):
    """Six of them, of each with other cells missing."""
    settings = attrs.evolve(two.stream, tables=6)
    table = Stream(settings, seed=5, device=CPU).batch(0)[0]
    rng = torch.Generator().manual_seed(2)
    there = torch.rand(table.x.shape, generator=rng) < torch.linspace(0.5, 1.0, 6)[:, None, None]
    return Table(table.x * there, table.intervened, table.observed & there)


def drawn(table, some=mirrors.MOST):
    return mirrors.draw(mirrors.joint_moments(table), some)


def logits(model, table):
    with torch.inference_mode():
        return model(table).logits


def plain(two, model):
    """The same network that reads no images."""
    same = Model(attrs.evolve(two, mirrored=()))
    same.load_state_dict(model.state_dict())
    return same.eval()


@pytest.mark.parametrize(
    ("rows", "variables", "some"),
    [
        (2, 1, 4),
        (5000, 45, 4),
        (1000, 50, 3),
        (1000, 64, 2),
        (1000, 65, 1),
        (100_000, 10, 4),
        (200_000, 10, 2),
        (200_001, 5, 1),
        (10**6, 50, 1),
        (10, 500, 1),
    ],
)
def test_the_larger_a_table_the_fewer_of_its_images_are_read(rows, variables, some):
    assert mirrors.count(rows, variables) == some


def test_the_first_image_is_the_table_and_every_two_differ(tables):
    signs = drawn(tables)
    assert signs.shape == (4, len(tables.x), tables.x.shape[2])
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert (signs[0] == 1).all()
    torch.testing.assert_close(signs[1] * signs[2], signs[3])
    for one, other in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        assert not torch.equal(signs[one], signs[other])
    assert torch.equal(drawn(tables, 2), signs[:2])


def test_about_half_of_all_columns_are_negated():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 300, 2000))).float()
    signs = drawn(Table(x, torch.zeros_like(x, dtype=torch.bool), torch.ones_like(x, dtype=torch.bool)))
    assert (signs[1:].mean((1, 2)).abs() < 0.1).all()


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_columns_of_the_same_values_are_told_apart(skew):
    values = torch.linspace(-1.7, 1.7, 500)
    values = (1.0 - skew) * values + skew * values.square()
    x = torch.stack([values[torch.randperm(500)] for _ in range(200)], 1)[None]
    x = (x - x.mean(1)) / x.std(1)
    signs = drawn(Table(x, torch.zeros_like(x, dtype=torch.bool), torch.ones_like(x, dtype=torch.bool)))
    assert (signs[1:].mean((1, 2)).abs() < 0.3).all()


def test_the_order_of_rows_and_columns_makes_no_difference(tables):
    by_row, by_column = torch.randperm(tables.x.shape[1]), torch.randperm(tables.x.shape[2])
    moved = Table(*(cells[:, by_row][:, :, by_column] for cells in (tables.x, tables.intervened, tables.observed)))
    assert torch.equal(drawn(moved), drawn(tables)[:, :, by_column])


def test_what_is_missing_does_not_count(tables):
    x, observed = tables.x.clone(), tables.observed.clone()
    x[:, -1], observed[:, -1] = 0.0, False
    there = Table(x[:, :-1], tables.intervened[:, :-1], observed[:, :-1])
    torch.testing.assert_close(
        mirrors.joint_moments(Table(x, tables.intervened, observed)), mirrors.joint_moments(there)
    )


def test_an_image_is_negated_in_its_columns_alone(tables):
    signs = drawn(tables)
    images = mirrors.images(tables, signs)
    one = images.of_tasks(slice(2 * len(tables.x), 3 * len(tables.x)))
    assert torch.equal(one.x, tables.x * signs[2][:, None])
    assert torch.equal(one.observed, tables.observed)
    assert torch.equal(one.intervened, tables.intervened)


def test_a_mirrored_specialist_says_the_mean_of_what_it_says_of_the_images(two, model, tables):
    once = plain(two, model)
    for name in NAMES:
        model.ask_alone(name)
        once.ask_alone(name)
        each = torch.stack(
            [logits(once, Table(tables.x * one[:, None], tables.intervened, tables.observed)) for one in drawn(tables)]
        )
        if name == "symmetric":
            torch.testing.assert_close(logits(model, tables), each.mean(0), atol=1e-4, rtol=1e-4)
            assert not torch.allclose(each[0], each[1], atol=1e-2)
        else:
            assert torch.equal(logits(model, tables), each[0])


def test_directions_that_exclude_each_other_do_so_in_the_mean(model, tables):
    model.ask_alone("symmetric")
    probability = logits(model, tables).sigmoid()
    assert (probability + probability.mT)[:, ~torch.eye(tables.x.shape[2], dtype=torch.bool)].max() <= 1 + 1e-6


def test_a_gate_mixes_what_the_images_came_to(two, model, tables):
    with torch.inference_mode():
        mixture = model(tables)
    assert torch.equal(mixture.aux["beliefs"], model.gate(model.gate.embedding(tables)))
    said = []
    for name in NAMES:
        model.ask_alone(name)
        said.append(logits(model, tables))
    torch.testing.assert_close(mixture.logits, mixed(torch.stack(said), mixture.aux["beliefs"]), atol=1e-4, rtol=1e-4)


def test_of_tables_that_ask_others_each_is_answered_as_by_itself(model, tables, monkeypatch):
    sure = torch.tensor([[0.0, -9.0], [-9.0, 0.0]]).repeat(3, 1)  # one asks the first, the next the second
    shares = {len(tables.x): sure, 1: sure[:1]}
    monkeypatch.setattr(model.gate, "forward", lambda evidence: shares[len(evidence.nodes)])
    together = logits(model, tables)
    for place in range(len(tables.x)):
        shares[1] = sure[[place]]
        one = logits(model, tables.of_tasks(slice(place, place + 1)))
        torch.testing.assert_close(together[[place]], one, atol=1e-4, rtol=1e-4)


def test_specialists_that_learn_read_no_images(two, model, tables):
    once = plain(two, model)
    assert torch.equal(model.train()(tables).logits, once.train()(tables).logits)


def test_a_gate_learns_what_those_say_that_read_images(two, model, tables):
    only = Model(attrs.evolve(two, trainer=attrs.evolve(two.trainer, train="gate")))
    only.load_state_dict(model.state_dict())
    each = only.train()(tables).aux["specialists"].transpose(0, 1)
    for name, found in zip(NAMES, each, strict=True):
        model.ask_alone(name)
        torch.testing.assert_close(found, logits(model, tables), atol=1e-4, rtol=1e-4)


def test_a_table_whose_rows_lie_elsewhere_is_read_alike(model, tables):
    one = tables.of_tasks(slice(0, 1))
    for name in NAMES:
        model.ask_alone(name)
        with torch.inference_mode():
            found = model.read(Apart(one)).logits
        torch.testing.assert_close(found, logits(model, one), atol=1e-4, rtol=1e-4)


def test_who_is_mirrored_is_written_down_and_tells_networks_apart(two, model, registry, tmp_path):
    file = tmp_path / "written.toml"
    file.write_text(dump(two), "utf-8")
    assert load(str(file), registry).mirrored == ("symmetric",)
    assert two.network.mirrored == ("symmetric",)
    once = plain(two, model)
    assert fingerprint(model) != fingerprint(once)
    once.ask_alone("symmetric")
    assert fingerprint(model) != fingerprint(once)


def test_who_is_mirrored_has_to_be_there(two, tiny):
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(two, mirrored=("symetric",)))
    lines = ('no specialist is called "symetric". Did you mean "symmetric"?', "there are: symmetric, other")
    assert refusal.value.problems == (Problem("mirrored", lines),)
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(tiny, mirrored=("all",)))
    lines = ('no specialist is called "all".', "there are: none, for `specialists` names none")
    assert refusal.value.problems == (Problem("mirrored", lines),)


def gain(specialist, count):
    """By how much images change what a specialist of the package says of fresh tables of its own kind, of 4 to 40
    variables and up to 2 000 rows: differences of AP, and of the log-likelihood in nats per variable, [T, 2]."""
    registry = discover()
    model = load_model(Path(f"{released.released()}:{specialist}"), registry, CPU)
    settings = load(Path(__file__).parents[2] / f"experiments/specialists/{specialist}.toml", registry).stream
    settings = attrs.evolve(
        settings,
        variables=Draw(low=4, high=40, scale="log"),
        rows=Draw(low=50, high=2000, scale="log"),
        tables=1,
    )
    stream = Stream(settings, seed=990017, device=CPU, purpose="evaluation")
    found = []
    for step in range(count):
        table, truth = stream.batch(step)
        if truth.adj.any():
            figures = []
            for model.mirrored in ((), (specialist,)):
                said = score(logits(model, table), truth.adj)
                figures.append((float(said["ap"]), float(said["log_prob"]) / truth.adj.shape[1]))
            found.append(np.subtract(figures[1], figures[0]))
    return np.array(found)


def test_images_of_tables_of_its_own_kind_are_worth_reading():
    found = gain("nonlinear", 20)
    assert found.any(1).all()
    assert found[:, 1].mean() > 0.01


if __name__ == "__main__":
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    torch.set_num_threads(1)
    for name in load_model(released.released(), discover(), CPU).specialists:
        some = gain(name, tables)
        (ap, nats), (ap_error, nats_error) = some.mean(0), some.std(0) / len(some) ** 0.5
        print(f"{name}: AP {ap:+.4f} ± {ap_error:.4f}, log-likelihood {nats:+.4f} ± {nats_error:.4f} nats per variable")
