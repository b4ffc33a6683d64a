"""Rows drawn again: the same ones in whatever order they came, every condition kept, knowledge obeyed in each draw."""

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from tabscm import Prediction, TabSCMError
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.predict import predict
from tabscm.engine.progress import Counting
from tabscm.engine.tables import DataTable

CPU = torch.device("cpu")


class Fake(nn.Module):
    """An edge from i to j where they correlate and i is more skewed; remembers what it was shown."""

    max_variables = 100
    trained_variables = (2, 100)
    trained_rows = (2, 100_000)
    reference = None
    sha256 = None

    def __init__(self):
        super().__init__()
        self.tables = []

    def forward(self, table):
        self.tables.append(table)
        x = table.x
        correlation = x.transpose(1, 2) @ x / x.shape[1]
        skewness = (x**3).mean(1)
        return Prediction(logits=20 * correlation - 5 + 5 * (skewness[:, :, None] - skewness[:, None]))

    def drawn(self):
        """All tables but the first, one after the other."""
        return [x for table in self.tables[1:] for x in table.x]


def data(rows=200, names="abc"):
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(rows, len(names)))
    x[:, 1:] += 0.5 * x[:, :-1]
    return DataTable(names=tuple(names), x=x, source="t.csv")


def test_a_row_for_each_pair_whose_shares_have_the_sum_one():
    pytest.importorskip("pandas")
    found = predict(Fake(), data(), device=CPU, repeats=40).bootstrap
    frame = found.to_frame()
    assert list(frame.columns) == ["a", "b", "a->b", "b->a", "none"]
    assert frame[["a", "b"]].values.tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    np.testing.assert_allclose(frame[["a->b", "b->a", "none"]].sum(axis=1), 1)
    assert frame["a->b"].tolist() == [found.frequency[0, 1], found.frequency[0, 2], found.frequency[1, 2]]
    assert frame["a->b"][0] > 0.7
    assert 0 < frame["none"][1] <= 1


def test_it_says_how_often_an_edge_would_be_found_in_other_tables_of_its_kind():
    """The share of draws with an edge is near the share of fresh tables with it, where that is neither 0 nor 1."""
    rng = np.random.default_rng(1)

    def fresh():
        x = rng.normal(size=(400, 2))
        x[:, 1] += 0.26 * x[:, 0]
        return DataTable(names=("a", "b"), x=x, source="t.csv")

    class Correlated(Fake):
        def forward(self, table):
            correlation = table.x.transpose(1, 2) @ table.x / table.x.shape[1]
            return Prediction(logits=(100 * (correlation - 0.25)).triu(1) - 100 * torch.ones(2, 2).tril())

    model = Correlated()
    # which of the two the network is shown first depends on the table
    shares = [1 - predict(model, fresh(), device=CPU, repeats=50).bootstrap.none[0, 1] for _ in range(60)]
    found = [predict(model, fresh(), device=CPU).graph().any() for _ in range(400)]
    assert 0.3 < np.mean(found) < 0.7
    assert np.mean(shares) == pytest.approx(np.mean(found), abs=0.1)


def test_neither_the_order_of_rows_and_columns_nor_the_units_matter():
    table = data()
    cells = np.zeros(table.x.shape, dtype=bool)
    cells[:60, 1] = True
    rng = np.random.default_rng(2)
    rows, columns = rng.permutation(200), np.array([2, 0, 1])
    other = attrs.evolve(table, names=("c", "a", "b"), x=1000 * table.x[rows][:, columns] + 7)
    first = predict(Fake(), table, device=CPU, intervened=cells, repeats=20)
    second = predict(Fake(), other, device=CPU, intervened=cells[rows][:, columns], repeats=20)
    np.testing.assert_array_equal(first.bootstrap.frequency[np.ix_(columns, columns)], second.bootstrap.frequency)
    assert 0 < first.bootstrap.none[0, 2] < 1


def test_every_condition_keeps_its_rows():
    model = Fake()
    cells = np.zeros((200, 3), dtype=bool)
    cells[:7, 0], cells[7:60, 1] = True, True
    predict(model, data(), device=CPU, intervened=cells, repeats=12)
    for table in model.tables[1:]:
        assert (table.intervened.sum(1).sort().values == torch.tensor([0, 7, 53])).all()
        assert not (table.intervened.sum(2) > 1).any()


def test_rows_whose_targets_are_all_different_are_drawn_all_the_same():
    model = Fake()
    cells = np.random.default_rng(3).random((200, 12)) < 0.5  # hardly a row has the targets of another
    predict(model, data(names="abcdefghijkl"), device=CPU, intervened=cells, repeats=2)
    assert len(np.unique(model.drawn()[0].numpy(), axis=0)) < 150


def test_each_draw_is_a_table_of_its_own_on_its_own_scale():
    model = Fake()
    table = data()
    table.x[::9, 2] = np.nan
    predict(model, table, device=CPU, repeats=5)
    drawn = model.drawn()
    assert len(drawn) == 5
    for x in drawn:
        assert x.mean(0).abs().max() < 1e-5
        assert (x.std(0, correction=0) > 1 - 1e-5).sum() == 2  # the column with missing cells has less
        assert 100 < len(torch.unique(x, dim=0)) < 150  # of 200 rows some come twice and some not at all
    assert not torch.equal(drawn[0], drawn[1])
    missing = [int((~observed).sum()) for part in model.tables[1:] for observed in part.observed]
    assert len(set(missing)) > 1
    assert all(10 < count < 40 for count in missing)


def test_the_draws_are_the_same_however_many_are_read_at_once(monkeypatch):
    at_once = predict(Fake(), data(), device=CPU, repeats=20).bootstrap.frequency
    monkeypatch.setitem(predict.__globals__["bootstrap"].__globals__["CELLS"], "cpu", 1)
    model = Fake()
    np.testing.assert_array_equal(predict(model, data(), device=CPU, repeats=20).bootstrap.frequency, at_once)
    assert [len(table.x) for table in model.tables] == [1] * 21


def test_knowledge_holds_in_every_draw():
    known = Knowledge(required=[("c", "a")], forbidden=[("a", "b")], source="k.toml")
    found = predict(Fake(), data(), device=CPU, repeats=20, knowledge=known).bootstrap
    assert (found.frequency[2, 0], found.frequency[0, 2], found.frequency[0, 1]) == (1, 0, 0)
    with pytest.raises(TabSCMError) as refused:
        predict(Fake(), data(), device=CPU, repeats=2).given(known)
    assert str(refused.value) == ("the bootstrap of this result was drawn without knowledge; give both to `discover`")


def test_a_column_that_does_not_vary_in_a_draw_has_no_edge_there():
    table = data()
    table.x[:, 1] = 0
    table.x[[3, 4], 1] = table.x[[3, 4], 0].max() + 5  # the network is sure of an edge wherever it sees one
    table.x[[3, 4], 0] = 30
    found = predict(Fake(), table, device=CPU, repeats=100)
    either = found.bootstrap.frequency + found.bootstrap.frequency.T
    assert either[0, 1] == pytest.approx(1 - np.exp(-2), abs=0.1)
    (note,) = found.notes[1:]  # the first is about the cells that were cut
    flat = round(100 * (1 - either[0, 1]))
    assert note == f"bootstrap: in up to {flat} of 100 draws a column does not vary, and has no edge there: 'b'"


def test_two_directions_of_one_pair_count_once():
    class Both(Fake):
        def forward(self, table):
            logits = torch.full((len(table.x), 3, 3), 2.0)
            logits[:, 0, 1] = 3.0
            return Prediction(logits=logits)

    # whichever way round the columns are shown
    frequency = predict(Both(), data(), device=CPU, repeats=4).bootstrap.frequency
    assert sorted(frequency[np.triu_indices(3, 1)].tolist() + frequency[np.tril_indices(3, -1)].tolist()) == [
        0.0,
        0.5,
        0.5,
        0.5,
        0.5,
        1.0,
    ]


def test_graphs_are_those_that_were_asked_for():
    class Ring(Fake):
        def forward(self, table):
            logits = torch.full((len(table.x), 3, 3), -5.0)
            logits[:, [0, 1, 2], [1, 2, 0]] = torch.tensor([3.0, 2.0, 1.0])
            return Prediction(logits=logits)

    def sums(**options):
        found = predict(Ring(), data(), device=CPU, repeats=3, **options)
        assert found.to_json()["bootstrap"] == {
            "repeats": 3,
            "threshold": options.get("threshold", 0.5),
            "acyclic": options.get("acyclic", False),
            "frequency": found.bootstrap.frequency.tolist(),
        }
        return found.bootstrap.frequency.sum()

    assert (sums(), sums(acyclic=True), sums(threshold=0.8)) == (3, 2, 2)


def test_what_is_printed_beside_the_probabilities():
    known = Knowledge(required=[("c", "a")], source="k.toml")
    found = predict(Fake(), data(), device=CPU, repeats=10, knowledge=known)
    frequency, none = found.bootstrap.frequency, found.bootstrap.none
    lines = found.render().splitlines()
    assert lines[0] == "c -> a  1.00  100% ->    0% <-    0% none  required"
    assert lines[1].startswith("b -> c  1.00  ")
    assert lines[1].endswith(f"  {frequency[1, 2]:>4.0%} ->  {frequency[2, 1]:>4.0%} <-  {none[1, 2]:>4.0%} none")
    assert "In per cent: what 10 graphs at 0.5 of rows drawn again have there." in lines


def test_progress_is_shown_once_it_takes_long(monkeypatch, capsys):
    import sys

    from tabscm.engine import progress

    predict(Fake(), data(), device=CPU, repeats=5, out=sys.stderr)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "SOON", -1.0)
    monkeypatch.setattr(progress, "SILENCE", -1.0)
    counting = Counting(sys.stderr, "rows drawn again", 10)
    counting.show(10)
    counting.end()
    assert capsys.readouterr().err == "rows drawn again: 10/10  0:00 left\n"
