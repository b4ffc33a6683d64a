"""Prediction with a network whose answer is known, and everything a result can be turned into."""

import hashlib
import json
import math

import attrs
import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from tabscm import ConfigError, ContractError, DataError, Prediction, TabSCMError
from tabscm.engine.doubt import Finding
from tabscm.engine.exports import Edge
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.predict import predict
from tabscm.engine.provenance import fingerprint
from tabscm.engine.result import Result, render_score
from tabscm.engine.tables import DataTable

CPU = torch.device("cpu")


class Fake(nn.Module):
    """The correlation matrix stands for the log-odds; remembers what it was shown."""

    max_variables = 6
    trained_variables = (2, 4)
    trained_rows = (10, 1000)
    sha256 = "of the weights"
    reference = None

    def forward(self, table):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.table = table
        x = table.x
        return Prediction(logits=x.transpose(1, 2) @ x / x.shape[1] + table.intervened.float().sum())


def data(rows=100, variables=3, **changes):
    x = np.random.default_rng(0).normal(size=(rows, variables))
    x[:, 1:] += x[:, :-1]
    table = DataTable(names=tuple("abcdefgh"[:variables]), x=x, source="t.csv")
    return attrs.evolve(table, **changes)


def result(*edges, names=("pka", "raf", "erk")):
    edge_prob = np.zeros((len(names), len(names)))
    for source, target, probability in edges:
        edge_prob[names.index(source), names.index(target)] = probability
    return Result(names=names, edge_prob=edge_prob)


def test_probabilities_are_those_of_the_network():
    table = data()
    found = predict(Fake(), table, device=CPU)
    expected = 1 / (1 + np.exp(-np.corrcoef(table.x.T)))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found.edge_prob, expected, atol=1e-5)
    assert found.edge_prob.dtype == np.float64
    assert (found.names, found.notes) == (("a", "b", "c"), ())


def test_the_network_sees_one_standardised_table():
    model = Fake()
    predict(model, data(), device=CPU)
    table = model.table
    assert table.x.shape == (1, 100, 3)
    assert table.x.dtype == torch.float32
    torch.testing.assert_close(table.x.mean(1), torch.zeros(1, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(table.x.std(1, correction=0), torch.ones(1, 3))
    assert table.observed.all()
    assert not table.intervened.any()


def test_interventions_reach_the_network():
    model = Fake()
    cells = np.zeros((100, 3), dtype=bool)
    cells[5, 2] = True
    table = data()
    predict(model, table, device=CPU, intervened=cells)
    (value,) = model.table.x[model.table.intervened]  # rows and columns may have another order there
    column = table.x[:, 2]
    assert value == pytest.approx((column[5] - column.mean()) / column.std(), abs=1e-6)
    with pytest.raises(ContractError) as refused:
        predict(model, data(), device=CPU, intervened=cells[:9])
    assert str(refused.value) == "intervened: expected shape [N=100, D=3], found [9, 3]"


def test_missing_cells_reach_the_network_as_missing():
    model = Fake()
    table = data()
    table.x[[5, 5, 7], [0, 2, 2]] = np.nan
    predict(model, table, device=CPU)
    assert model.table.observed.shape == (1, 100, 3)
    assert (~model.table.observed).sum(1).sort().values.tolist() == [[0, 1, 2]]
    assert (model.table.x[~model.table.observed] == 0).all()
    # what is there is on one scale, whatever is missing
    there = model.table.observed
    count = there.sum(1)
    torch.testing.assert_close(model.table.x.sum(1) / count, torch.zeros(1, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.table.x.square().sum(1) / count, torch.ones(1, 3), atol=1e-5, rtol=0)


class Lopsided(Fake):
    """Depends on the order of rows and columns as no network should."""

    def forward(self, table):
        weight = torch.arange(table.x.shape[1]).float()[:, None]
        logits = ((table.x + 2 * table.observed) * weight).sum(1)[:, :, None] - table.x[:, 0, None]
        return Prediction(logits=logits + torch.arange(table.x.shape[2]))


@settings(deadline=None)
@example(seed=212, coarse=True, gaps=True)  # gaps make two columns the same
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_the_order_and_the_units_of_a_table_change_no_digit_even_if_the_network_would(seed, coarse, gaps):
    rng = np.random.default_rng(seed)
    rows, variables = rng.integers(3, 30), rng.integers(2, 6)
    # coarse: many equal cells and rows; each column has levels enough of its own to be told from the others
    x = (
        np.stack([rng.permutation(np.arange(rows) % (2.0 + column)) for column in range(variables)], 1)
        if coarse
        else rng.normal(size=(rows, variables))
    )
    cells = rng.uniform(size=x.shape) < 0.2
    names = tuple("abcdef"[:variables])
    if gaps:
        x[rng.uniform(size=x.shape) < 0.2] = np.nan
        if (np.nanmax(x, 0, initial=-np.inf) <= np.nanmin(x, 0, initial=np.inf)).any():
            return  # a column without two values that differ
    seen = np.nan_to_num((x - np.nanmean(x, 0)) / np.nanstd(x, 0), nan=99.0).round(6)
    if len(np.unique(np.sort(seen + 1000 * cells, 0), axis=1).T) < variables:
        return  # two columns that are the same but for units and the order of rows may have no order of their own

    def read(x, cells):
        return predict(Lopsided(), DataTable(names=names, x=x, source=""), device=CPU, intervened=cells).edge_prob

    before = read(x, cells)
    by_row, by_column = rng.permutation(rows), rng.permutation(variables)
    scale, shift = 10 ** rng.uniform(-3, 3, size=variables), rng.uniform(-10, 10, size=variables)
    moved = ((x + shift) * scale)[by_row[:, None], by_column]
    after = read(moved, cells[by_row[:, None], by_column])
    assert (after == before[np.ix_(by_column, by_column)]).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e20, 1e300])
def test_units_do_not_matter(scale):
    table = data()
    moved = attrs.evolve(table, x=table.x * [scale, 1, -1])
    before, after = (predict(Fake(), each, device=CPU).edge_prob for each in (table, moved))
    np.testing.assert_allclose(after[0, 1], before[0, 1], atol=1e-6)


def test_an_offset_that_float32_could_not_hold_does_not_matter():
    table = data()
    moved = attrs.evolve(table, x=table.x + 1e9)
    before, after = (predict(Fake(), each, device=CPU).edge_prob for each in (table, moved))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_too_many_variables():
    with pytest.raises(DataError) as refused:
        predict(Fake(), data(variables=7), device=CPU)
    assert str(refused.value) == (
        "t.csv: 7 variables, and this model takes at most 6; remove columns, or train a model on larger tables"
    )


def test_a_column_whose_differences_are_lost_in_rounding():
    table = data()
    table.x[:, 1] = 1e16 + 2 * (table.x[:, 1] > 0)
    with pytest.raises(DataError) as refused:
        predict(Fake(), table, device=CPU)
    assert str(refused.value) == (
        "t.csv: 'b' cannot be told from constant, so small are the differences beside the values; "
        "subtract a constant or remove the column"
    )


def test_notes_say_how_far_a_table_is_from_the_training():
    table = data(rows=1001, variables=5, notes=("a note of the reader",))
    table.x[[3, 4], [0, 2]] = 1e6
    assert predict(Fake(), table, device=CPU).notes == (
        "a note of the reader",
        "the table has 5 variables; the model was trained on 2 to 4",
        "the table has 1001 rows; the model was trained on 10 to 1000",
        "cells cut at 8 standard deviations: 2, in 'a', 'c'; look for codes of missing values, such as -999, and take "
        "logarithms of heavy tails",
    )


def test_a_network_that_is_broken():
    model = Fake()
    model.forward = lambda table: Prediction(logits=torch.full((1, 3, 3), math.nan))
    with pytest.raises(ContractError) as refused:
        predict(model, data(), device=CPU)
    assert str(refused.value) == "logits: holds NaN or infinity"


def test_edges_are_those_above_the_threshold_most_probable_first():
    found = result(("raf", "erk", 0.7), ("pka", "raf", 0.9), ("erk", "pka", 0.5), ("pka", "erk", 0.7))
    assert found.edges() == [Edge("pka", "raf", 0.9), Edge("pka", "erk", 0.7), Edge("raf", "erk", 0.7)]
    assert found.edges(0.8) == [Edge("pka", "raf", 0.9)]
    assert len(found.edges(0.0)) == 4


def test_plain_values():
    found = attrs.evolve(result(("pka", "raf", 0.9), ("raf", "erk", 0.25)), notes=("a note",))
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == {
        "variables": ["pka", "raf", "erk"],
        "edge_prob": [[0, 0.9, 0], [0, 0, 0.25], [0, 0, 0]],
        "threshold": 0.5,
        "acyclic": False,
        "edges": [{"from": "pka", "to": "raf", "probability": 0.9}],
        "read_as": {},
        "notes": ["a note"],
        "knowledge": None,
        "findings": [],
        "bootstrap": None,
        "familiarity": None,
        "provenance": None,
    }


def test_networkx_graph():
    graph = result(("pka", "raf", 0.9), ("raf", "erk", 0.25)).to_networkx()
    assert list(graph.nodes) == ["pka", "raf", "erk"]
    assert list(graph.edges(data=True)) == [("pka", "raf", {"probability": 0.9})]
    assert type(graph.edges["pka", "raf"]["probability"]) is float
    "".join(nx.generate_gml(graph))  # which refuses the numbers of numpy


def test_printed_edges():
    found = result(
        ("p38", "mek1/2", 0.934), ("mek1/2", "p38", 0.2), ("p38", "akt", 0.6), names=("p38", "akt", "mek1/2")
    )
    assert found.render() == "\n".join(
        [
            "p38 -> mek1/2  0.93",
            "p38 -> akt     0.60",
            "2 above 0.5, of 6 ordered pairs of 3 variables.",
        ]
    )
    assert str(found) == found.render()
    noted = attrs.evolve(found, notes=("column 'day' is left aside",))
    assert str(noted) == f"{found.render()}\n1 note on this table: doubts() lists it."
    noted = attrs.evolve(noted, findings=(Finding("id-like", ("akt",), "column 'akt' counts the rows"),))
    assert str(noted) == f"{found.render()}\n2 notes on this table: doubts() lists them."


def test_printed_edges_when_none_is_above_the_threshold():
    names = tuple("abcd")
    found = result(*((source, target, 0.1) for source, target in zip("abc", "bcd", strict=True)), names=names)
    assert found.render() == "\n".join(
        [
            "No edge is above 0.5, of 12 ordered pairs of 4 variables. The most probable ones:",
            "a -> b  0.10",
            "b -> c  0.10",
            "c -> d  0.10",
            "a -> c  0.00",
            "a -> d  0.00",
        ]
    )


def test_a_cycle_is_owned_up_to():
    found = result(("pka", "raf", 0.9), ("raf", "erk", 0.8), ("erk", "pka", 0.7))
    assert found.render().splitlines()[-1] == (
        "They are judged one by one, and here they hold a cycle: pka -> raf -> erk -> pka. --acyclic shows the best "
        "graph without one."
    )


def test_the_acyclic_graph_leaves_out_the_weakest_edge_and_says_so():
    found = result(("pka", "raf", 0.9), ("raf", "erk", 0.8), ("erk", "pka", 0.7))
    assert found.edges(acyclic=True) == [Edge("pka", "raf", 0.9), Edge("raf", "erk", 0.8)]
    assert list(found.to_networkx(acyclic=True).edges) == [("pka", "raf"), ("raf", "erk")]
    assert [edge["from"] for edge in found.to_json(acyclic=True)["edges"]] == ["pka", "raf"]
    assert found.render(acyclic=True) == "\n".join(
        [
            "pka -> raf  0.90",
            "raf -> erk  0.80",
            "2 above 0.5, of 6 ordered pairs of 3 variables.",
            "Left out, because they close a cycle:",
            "erk -> pka  0.70",
        ]
    )
    assert len(found.edges(0.75, acyclic=True)) == 2
    adj = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    marginal, acyclic = found.score(adj), found.score(adj, acyclic=True)
    assert (marginal["shd"], acyclic["shd"]) == (1, 0)
    assert (marginal["precision"], acyclic["precision"]) == (pytest.approx(2 / 3), 1)
    assert marginal["auroc"] == acyclic["auroc"]


def test_scores_against_a_known_graph():
    found = result(("pka", "raf", 1.0), ("erk", "raf", 0.7), ("raf", "erk", 0.2))
    adj = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    scores = found.score(adj)
    assert scores["auroc"] == pytest.approx(7 / 8)
    assert (scores["shd"], scores["shd_empty"], scores["edges"]) == (1, 2, 2)
    assert (scores["precision"], scores["recall"], scores["direction"]) == (0.5, 0.5, 0.5)
    assert found.score(adj, threshold=0.8)["precision"] == 1
    assert render_score(scores) == "\n".join(
        [
            "Against the known graph, which has 2 edges:",
            "AUROC      0.875  guessing: 0.500",
            "AP         0.833  guessing: 0.333",
            "direction  0.500  true edges that point the right way; guessing: 0.500",
            "F1         0.500  edges above 0.5: precision 0.500, recall 0.500",
            "SHD        1      edges above 0.5; the graph without edges: 2",
        ]
    )


def test_scores_against_an_empty_graph():
    text = render_score(result(("pka", "raf", 0.9)).score(np.zeros((3, 3), dtype=bool)))
    assert text.splitlines()[1] == "AUROC      -      guessing: 0.500"


def test_knowledge_is_obeyed_and_what_it_changes_is_said():
    known = Knowledge(required=[("erk", "pka")], forbidden=[("pka", "raf")], source="k.toml")
    found = result(("pka", "raf", 0.9), ("raf", "pka", 0.04), ("pka", "erk", 0.6), ("raf", "erk", 0.2)).given(known)
    assert found.edges() == [Edge("erk", "pka", 1.0, required=True)]
    assert found.edge_prob[1, 0] == pytest.approx(0.04 / 0.1)
    assert found.edge_prob[1, 2] == 0.2
    assert found.notes == (
        "k.toml: 1 edge required, 2 forbidden",
        "forbidden, though the network gives it more than 0.5: 'pka' -> 'raf' (0.90), 'pka' -> 'erk' (0.60)",
        "required, though the network gives it less than 0.1: 'erk' -> 'pka' (0.00)",
    )
    for graph in (found.graph(1.0), found.graph(1.0, acyclic=True)):
        assert np.argwhere(graph).tolist() == [[2, 0]]
    assert found.sample(20)[:, 2, 0].all()
    assert found.render(0.3) == "\n".join(
        [
            "erk -> pka  1.00  required",
            "raf -> pka  0.40",
            "2 above 0.3 or required, of 6 ordered pairs of 3 variables.",
        ]
    )
    assert found.to_json()["knowledge"] == {
        "source": "k.toml",
        "required": [{"from": "erk", "to": "pka"}],
        "forbidden": [{"from": "pka", "to": "raf"}, {"from": "pka", "to": "erk"}],
    }
    json.dumps(found.to_json(), allow_nan=False)
    with pytest.raises(TabSCMError) as refused:
        found.given(known)
    assert str(refused.value) == "this result obeys k.toml already; write both into one Knowledge"


def test_what_is_forbidden_is_not_among_the_most_probable_ones():
    found = result(("pka", "raf", 0.4)).given(Knowledge(exogenous=["erk", "raf"]))
    assert found.render().splitlines()[1:] == ["raf -> pka  0.00", "erk -> pka  0.00"]


def test_no_path_of_the_acyclic_graph_leads_back_to_an_earlier_tier():
    found = result(("erk", "pka", 0.9), ("pka", "raf", 0.8)).given(Knowledge(tiers=[["raf"], ["erk"]]))
    assert len(found.edges()) == 2  # each by itself is allowed
    assert found.edges(acyclic=True) == [Edge("erk", "pka", 0.9)]
    assert "Left out, because they close a cycle, or a path against what is known:" in found.render(acyclic=True)


def test_samples_are_the_same_for_the_same_seed():
    found = result(("pka", "raf", 0.5), ("raf", "erk", 0.5))
    assert (found.sample(50, seed=1) == found.sample(50, seed=1)).all()
    assert (found.sample(50, seed=1) != found.sample(50, seed=2)).any()


def test_knowledge_of_other_variables_is_refused_before_the_network_is_asked():
    model = Fake()
    known = Knowledge(exogenous=["a", "z"])
    with pytest.raises(ConfigError) as refused:
        predict(model, data(), device=CPU, knowledge=known)
    assert "no variable is called 'z'; there are 'a', 'b', 'c'" in str(refused.value)
    assert not hasattr(model, "table")
    found = predict(model, data(), device=CPU, knowledge=Knowledge(exogenous=["a"]))
    assert (found.edge_prob[:, 0] == 0).all()


def test_a_result_says_which_table_and_which_network_it_is_of():
    table = data()
    found = predict(Fake(), table, device=CPU).provenance
    assert (found.table, found.rows, found.network) == ("t.csv", 100, "of the weights")
    assert (found.trained_variables, found.trained_rows) == ((2, 4), (10, 1000))
    assert dict(found.versions)["torch"] == torch.__version__
    same = predict(Fake(), attrs.evolve(table, source="moved.csv"), device=CPU).provenance
    renamed = predict(Fake(), attrs.evolve(table, names=("a", "b", "d")), device=CPU).provenance
    turned = predict(Fake(), attrs.evolve(table, x=table.x[::-1].copy()), device=CPU).provenance
    assert found.data == same.data != renamed.data
    assert found.data != turned.data


def test_plain_values_say_which_table_it_was_but_not_in_whose_folder():
    found = predict(Fake(), attrs.evolve(data(), source="/home/somebody/t.csv"), device=CPU)
    plain = json.loads(json.dumps(found.to_json()))["provenance"]
    assert plain == {
        "table": "t.csv",
        "rows": 100,
        "data": found.provenance.data,
        "network": "of the weights",
        "trained_variables": [2, 4],
        "trained_rows": [10, 1000],
        "versions": dict(found.provenance.versions),
        "specialist": "",
    }


def test_the_fingerprint_of_a_table_is_what_its_docstring_says():
    x = np.array([[1.0, np.nan], [2.0, -0.5]])
    nan = np.array([np.nan])
    cells = np.concatenate([x[:, 0], nan, x[1:, 1]]).astype("<f8").tobytes()
    assert fingerprint(["a", "é"], x) == hashlib.sha256("a\né\n".encode() + cells).hexdigest()
