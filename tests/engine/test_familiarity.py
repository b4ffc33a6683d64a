"""Tables like those of the training are told from others, whatever their order and units; released with the network."""

import json

import attrs
import numpy as np
import pytest
import torch

from tabscm import CheckpointError, Draw, Weighted
from tabscm.engine import familiarity as module
from tabscm.engine import outsiders
from tabscm.engine.checkpoint import read_familiarity
from tabscm.engine.familiarity import Reference, describe, fit, read_reference, survey
from tabscm.engine.likeness import statistics
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.tables import DataTable

CPU = torch.device("cpu")


def plain(rng, rows=None, variables=None):
    """A linear chain of normal noise, of some size, standardised."""
    rows, variables = rows or int(rng.integers(50, 400)), variables or int(rng.integers(2, 9))
    x = rng.normal(size=(rows, variables))
    for column in range(1, variables):
        x[:, column] += rng.uniform(-1, 1) * x[:, column - 1]
    return x


def seen(x, cells=None):
    x = (x - x.mean(0)) / x.std(0)
    there = torch.ones(x.shape, dtype=torch.bool)
    return statistics(torch.from_numpy(x), there, torch.zeros_like(there) if cells is None else torch.from_numpy(cells))


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    return fit([seen(plain(rng)) for _ in range(400)])


def test_one_table_in_fifty_of_the_same_kind_is_called_unfamiliar(reference):
    rng = np.random.default_rng(1)
    found = [reference.judge(seen(plain(rng))) for _ in range(300)]
    assert 0 <= sum(not one.inside for one in found) <= 18
    # scores are shares of such tables: even
    assert np.mean([one.score for one in found]) == pytest.approx(0.5, abs=0.08)
    assert found[0].line == (
        f"looks like the tables that the network was trained on: {100 * found[0].score:.2g} % of them are as unusual"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, rng: np.exp(2 * x), "how skewed columns are, more than usual"),
        (lambda x, rng: np.round(2 * x), "the share of distinct values, less than usual"),
        (lambda x, rng: x[:, :1] + 0.01 * x, "strong"),
        (lambda x, rng: np.where(rng.random(x.shape) < 0.02, 50 * x, x), "how heavy the tails of columns are, more"),
    ],
    ids=["skewed", "rounded", "collinear", "outliers"],
)
def test_other_tables_are_unfamiliar_and_it_says_how(reference, change, said):
    rng = np.random.default_rng(2)
    found = [reference.judge(seen(change(plain(rng, 300, 6), rng))) for _ in range(20)]
    assert sum(one.inside for one in found) <= 2
    assert all(one.score < 0.02 for one in found if not one.inside)
    lines = [one.line for one in found if not one.inside]
    assert any(said in line for line in lines)
    assert lines[0].startswith(
        "the table looks unlike those that the network was trained on (fewer than 0.25 % of them "
    )


def test_sizes_alone_are_no_reason(reference):
    """Small tables scatter more, and are beside small ones."""
    rng = np.random.default_rng(3)
    for rows, variables in ((50, 2), (50, 8), (400, 2), (400, 8)):
        found = [reference.judge(seen(plain(rng, rows, variables))).inside for _ in range(60)]
        assert sum(found) >= 52


def test_it_does_not_matter_how_columns_are_ordered_or_turned(reference):
    rng = np.random.default_rng(4)
    x = plain(rng, 200, 6)
    cells = rng.random(x.shape) < 0.1
    order = rng.permutation(6)
    first, second = seen(x, cells), seen(-3 * x[:, order] + 5, cells[:, order])
    assert first == pytest.approx(second, abs=1e-9)


@pytest.mark.parametrize(("rows", "variables"), [(2, 2), (3, 2), (2, 5), (5, 200)])
def test_degenerate_sizes(reference, rows, variables):
    rng = np.random.default_rng(5)
    described = seen(rng.normal(size=(rows, variables)))
    assert np.isfinite(list(described.values())).all()
    assert 0 < reference.judge(described).score <= 1


def test_a_column_without_any_observed_cell_and_one_that_is_constant_are_described():
    x = torch.from_numpy(np.random.default_rng(6).normal(size=(30, 4)))
    observed = torch.ones(30, 4, dtype=torch.bool)
    observed[:, 1] = False
    x[:, 2] = 0
    assert np.isfinite(list(statistics(x * observed, observed, ~observed).values())).all()


def test_what_is_written_is_what_is_read(reference):
    again = read_reference(json.loads(json.dumps(reference.to_json(), allow_nan=False)))
    rng = np.random.default_rng(7)
    for _ in range(20):
        one = seen(plain(rng))
        assert again.distance(one) == pytest.approx(reference.distance(one), abs=1e-3)
    assert len(json.dumps(reference.to_json())) < 80_000


@pytest.mark.parametrize(
    "change",
    [
        {"statistics": ["one"]},
        {"distances": []},
        {"distances": [float("nan")]},
        {"quantiles": "none"},
        {"precision": [[1.0]]},
    ],
)
def test_a_file_that_is_something_else(reference, change):
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_reference({**reference.to_json(), **change})


def test_the_stream_is_surveyed_with_tables_that_evaluation_does_not_see(tiny):
    found = survey(tiny.stream, seed=0, device=CPU)
    assert isinstance(found, Reference)
    assert len(found.distances) == module.TABLES == 60
    fresh = describe(tiny.stream, seed=0, device=CPU, tables=20, purpose="evaluation")
    known = describe(tiny.stream, seed=0, device=CPU, tables=60, purpose="validation")
    assert not any(one in known for one in fresh)
    assert np.mean([found.judge(one).inside for one in fresh]) > 0.7


def test_a_stream_of_constant_columns_is_given_up(tiny, registry, monkeypatch):
    levels = registry.find("measurement", "levels")(count=Draw.constant(1.0))
    monkeypatch.setattr(module, "PATIENCE", 5)
    with pytest.raises(CheckpointError) as refused:
        survey(attrs.evolve(tiny.stream, measurements=(Weighted(levels),)), seed=0, device=CPU)
    assert str(refused.value) == (
        "5 batches of the stream in a row have a constant column in every table: there is nothing to say what familiar "
        "tables look like"
    )


def test_predictions_say_it_whatever_the_order_of_the_table(tiny, reference):
    model = Model(tiny)
    rng = np.random.default_rng(8)
    x = plain(rng, 100, 4)
    table = DataTable(names=tuple("abcd"), x=x, source="t.csv")
    assert predict(model, table, device=CPU).familiarity is None
    model.reference = reference
    rows, columns = rng.permutation(100), rng.permutation(4)
    other = attrs.evolve(table, x=1000 * x[rows][:, columns] + 3)
    first, second = predict(model, table, device=CPU), predict(model, other, device=CPU)
    assert first.familiarity == second.familiarity
    assert first.familiarity.inside
    assert first.doubts() == [*first.notes]
    odd = predict(model, attrs.evolve(table, x=np.round(x)), device=CPU)
    assert not odd.familiarity.inside
    assert odd.doubts()[-1] == odd.familiarity.line
    assert odd.to_json()["familiarity"] == {
        "score": odd.familiarity.score,
        "inside": False,
        "line": odd.familiarity.line,
    }


def test_kinds_of_tables_are_measured_each_apart(tiny, reference, monkeypatch):
    monkeypatch.setattr(outsiders, "SUITES", ("genes-d20-n200",))
    held_out = attrs.evolve(
        tiny, evaluation=attrs.evolve(tiny.evaluation, cells={"cell": attrs.evolve(tiny.stream, tables=2)})
    )
    found = outsiders.familiarity_bench(reference, tiny, [("held", held_out)], inside=20, tables=6)
    assert [one.kind for one in found] == [
        "fresh tables of the stream",
        "held: cell",
        "genes-d20-n200: gene counts, zero-inflated",
        *outsiders.ODD,
    ]
    assert [one.tables for one in found] == [20] + [6] * (len(found) - 1)
    assert all(0 <= one.auroc <= 1 and 0 <= one.warned <= 1 for one in found)
    (lines, legend) = outsiders.render(found).split("\n\n")
    assert lines.splitlines()[0].split() == ["kind", "tables", "AUROC", "warned"]
    assert legend.startswith("AUROC: that such a table is more unusual than a fresh one of the stream; ")


def test_shares_of_pairs():
    assert outsiders._auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 0.875


def test_a_folder_without_the_file_says_nothing(tmp_path):
    assert read_familiarity(tmp_path) is None
    (tmp_path / "familiarity.json").write_text("[1]")
    with pytest.raises(CheckpointError) as refused:
        read_familiarity(tmp_path)
    assert str(refused.value) == (f"{tmp_path / 'familiarity.json'}: cannot be read: holds list, expected an object")
