"""The estimator and `discover`, with the network of the package."""

import pickle
from importlib.resources import files

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from tabscm import CheckpointError, DataError, Result, TabSCM, discover
from tabscm.engine.benchmark.sachs import TARGETS, case

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def pretrained():
    return TabSCM.from_pretrained()


@pytest.fixture(scope="module")
def chain():
    """Rows of a -> b -> c with an unrelated d; the noise of none is Gaussian."""
    noise = np.random.default_rng(0).exponential(size=(400, 4))
    noise[:, 1] += 2 * noise[:, 0]
    noise[:, 2] += 2 * noise[:, 1]
    return pd.DataFrame(noise, columns=NAMES)


def test_what_fit_finds(pretrained, chain):
    est = clone(pretrained)
    assert est.fit(chain) is est
    assert est.edge_prob_.shape == est.direction_prob_.shape == est.adjacency_matrix_.shape == (4, 4)
    assert set(est.causal_graph_.edges) == {("a", "b"), ("b", "c")}
    assert list(est.causal_graph_) == list(est.feature_names_in_) == NAMES
    np.testing.assert_array_equal(est.adjacency_matrix_, nx.to_numpy_array(est.causal_graph_, weight=None))
    np.testing.assert_array_equal(est.adjacency_matrix_, est.edge_prob_ > 0.5)
    share = est.edge_prob_[0, 1] / (est.edge_prob_[0, 1] + est.edge_prob_[1, 0])
    assert est.direction_prob_[0, 1] == share > 0.5
    assert est.direction_prob_[1, 0] == pytest.approx(1 - share)
    assert est.n_features_in_ == 4
    assert isinstance(est.result_, Result)
    check_is_fitted(est)


def test_one_call_says_the_same(pretrained, chain):
    np.testing.assert_array_equal(discover(chain).edge_prob, clone(pretrained).fit(chain).edge_prob_)


def test_an_array_has_no_names_of_its_own(pretrained, chain):
    est = clone(pretrained).fit(chain).fit(chain.to_numpy())
    assert not hasattr(est, "feature_names_in_")
    assert est.result_.names == ("x0", "x1", "x2", "x3")
    assert set(est.causal_graph_.edges) == {("x0", "x1"), ("x1", "x2")}


def test_parameters_decide_the_graph_and_not_the_probabilities(pretrained, chain):
    est = clone(pretrained).fit(chain)
    low = clone(est).set_params(threshold=0.0).fit(chain)
    np.testing.assert_array_equal(low.edge_prob_, est.edge_prob_)
    assert low.adjacency_matrix_.sum() == 12
    acyclic = clone(low).set_params(acyclic=True).fit(chain)
    assert nx.is_directed_acyclic_graph(acyclic.causal_graph_)
    assert acyclic.adjacency_matrix_.sum() == 6
    chosen = clone(est).set_params(threshold="chosen").fit(chain)
    threshold = pretrained._obtain()[0].threshold
    np.testing.assert_array_equal(chosen.adjacency_matrix_, est.edge_prob_ > threshold)


def test_missing_cells_and_categories_are_read(pretrained, chain):
    gaps = chain.mask(np.random.default_rng(1).uniform(size=chain.shape) < 0.05)
    level = pd.Series(np.where(chain["c"] > chain["c"].median(), "high", "low"), dtype="category")
    result = discover(gaps.assign(level=level, flag=chain["d"] > 1))
    assert {("a", "b"), ("b", "c")} <= set(result.to_networkx().edges)
    assert result.notes[:2] == (
        "column 'level' is read as numbers: 'high' = 0, 'low' = 1; leave out what is no variable",
        "column 'flag' is read as numbers: 'False' = 0, 'True' = 1",
    )
    assert "cells are missing and read as unknown: of " in result.notes[2]


def test_what_is_left_aside_is_warned_of_and_no_intervention(pretrained, chain):
    X = chain.assign(id=[f"p{row}" for row in range(len(chain))])
    said = f"column 'id' is text and left aside: {len(chain)} different values, and at most 20 are read as categories"
    mask = np.zeros(X.shape, dtype=bool)
    mask[:9, 1] = True
    with pytest.warns(UserWarning, match="text and left aside") as warned:
        est = clone(pretrained).fit(X, interventions=mask)
    assert str(warned[0].message) == f"X: {said}"
    assert warned[0].filename == __file__
    assert est.result_.notes[0] == said
    assert est.feature_names_in_.tolist() == list(chain.columns)
    expected = clone(pretrained).fit(chain, interventions=mask[:, :-1])
    np.testing.assert_array_equal(est.edge_prob_, expected.edge_prob_)
    mask[3, -1] = True
    with pytest.raises(DataError) as refused:
        clone(pretrained).fit(X, interventions=mask)
    assert str(refused.value) == (
        "interventions: they set 'id', of which no variable could be made; make numbers or categories of it, or leave "
        "these rows out."
    )


def test_without_names_no_column_is_left_aside(pretrained, chain):
    X = chain.assign(id=[f"p{row}" for row in range(len(chain))])[["a", "id", "b", "c", "d"]]
    for table, name in ((X.to_numpy(), "x1"), (X.set_axis(range(5), axis="columns"), "1")):
        with pytest.raises(DataError) as refused:
            clone(pretrained).fit(table)
        assert str(refused.value) == (
            f"X: column '{name}' is no variable, and no names of columns say which are; make numbers of it, or leave "
            "it out"
        )


def test_sachs_with_its_conditions(pretrained):
    with (files("tabscm") / "data" / "sachs.csv").open() as file:
        cells = pd.read_csv(file)
    est = clone(pretrained).fit(cells, interventions=dict(TARGETS), conditions="condition")
    assert est.n_features_in_ == 11
    mask = np.array([[TARGETS[condition] == name for name in cells.columns[:-1]] for condition in cells["condition"]])
    assert mask.sum() == case(17, 0, np.random.default_rng(), interventions=True).intervened.sum()
    by_mask = clone(pretrained).fit(cells.drop(columns="condition"), interventions=mask)
    by_row = clone(pretrained).fit(
        cells.drop(columns="condition"), interventions=cells["condition"].map(TARGETS).tolist()
    )
    np.testing.assert_array_equal(by_mask.edge_prob_, est.edge_prob_)
    np.testing.assert_array_equal(by_row.edge_prob_, est.edge_prob_)
    for found in (est, by_mask, by_row):
        assert any(
            note.startswith("5711 of 7466 rows are interventional: set 'pkc' in") for note in found.result_.notes
        )
    assert np.abs(discover(cells.drop(columns="condition")).edge_prob - est.edge_prob_).max() > 0.1


def test_interventions_in_the_place_of_y_are_refused(pretrained, chain):
    for y in (np.zeros((400, 4), dtype=bool), np.zeros(400, dtype=bool)):
        with pytest.raises(DataError) as refused:
            clone(pretrained).fit(chain, y)
        assert str(refused.value) == "y is not used; give interventions by name, fit(X, interventions=...)"


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"threshold": 1.5}, ValueError, 'threshold: expected a number from 0 to 1, or "chosen", found 1.5'),
        ({"threshold": "best"}, ValueError, "threshold: expected a number from 0 to 1, or \"chosen\", found 'best'"),
        ({"device": "gpu"}, ValueError, 'device: expected "auto", "cpu" or "cuda", found \'gpu\''),
    ],
)
def test_parameters_are_judged_by_fit(pretrained, chain, params, error, message):
    with pytest.raises(error) as refused:
        clone(pretrained).set_params(**params).fit(chain)
    assert str(refused.value) == message


def test_a_network_that_is_not_there():
    with pytest.raises(CheckpointError):
        TabSCM.from_pretrained("nothing")


def test_a_parameter_that_is_not_there():
    with pytest.raises(ValueError, match=r"^Invalid parameter 'treshold' for estimator TabSCM\(\)\. Did you mean "):
        TabSCM().set_params(treshold=0.3)


def test_bootstrap(pretrained, chain):
    est = clone(pretrained).set_params(bootstrap=8, threshold=0.3).fit(chain)
    found = est.result_.bootstrap
    assert (found.repeats, found.threshold, found.names) == (8, 0.3, tuple(chain.columns))
    assert set(np.unique(found.frequency * 8)) <= set(range(9))
    assert discover(chain, bootstrap=8).bootstrap.repeats == 8
    assert clone(pretrained).fit(chain).result_.bootstrap is None
    for wrong in (-1, 2.5, True):
        with pytest.raises(
            ValueError, match=r"^bootstrap: expected a whole number from 0, how many tables to draw, fou"
        ):
            clone(pretrained).set_params(bootstrap=wrong).fit(chain)


def test_it_shows_what_differs_from_the_defaults():
    assert repr(TabSCM("base", threshold=0.3)) == "TabSCM(model='base', threshold=0.3)"
    assert TabSCM().get_params() == {
        "model": None,
        "threshold": 0.5,
        "acyclic": False,
        "knowledge": None,
        "bootstrap": 0,
        "device": "auto",
    }


def test_what_is_pickled_holds_no_weights(pretrained, chain):
    est = clone(pretrained).fit(chain)
    text = pickle.dumps(est)
    assert len(text) < 20_000
    again = pickle.loads(text)
    np.testing.assert_array_equal(again.edge_prob_, est.edge_prob_)
    np.testing.assert_array_equal(again.fit(chain).edge_prob_, est.edge_prob_)


# it has no predict, transform or score, so that checks of these do not apply, and scikit-learn leaves them out itself
@pytest.mark.filterwarnings("ignore:Estimator TabSCM does not inherit from:UserWarning")
def test_scikit_learn_finds_its_conventions_kept():
    done = check_estimator(TabSCM(), on_skip=None)
    found = {check["check_name"]: check["status"] for check in done}
    # this one needs SCIPY_ARRAY_API in the environment
    assert found.pop("check_array_api_input", "skipped") == "skipped"
    assert set(found.values()) == {"passed"}
    assert len(found) >= 30


def test_knowledge_may_be_the_path_of_a_file(tmp_path):
    file = tmp_path / "known.toml"
    file.write_text('exogenous = ["b"]\n')
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    for known in (file, str(file)):
        assert discover(x, knowledge=known).edge_prob[:, 1].max() == 0
    with pytest.raises(DataError, match="expected Knowledge or the path of a file, found dict"):
        discover(x, knowledge={"exogenous": ["b"]})
