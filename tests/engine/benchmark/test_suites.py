"""Suites give the same acyclic tables every time, of the size that their names tell."""

import re
from importlib.util import find_spec

import attrs
import numpy as np
import pytest
import torch
from tabscm_builtin.measurements.censored import Censored

from tabscm import Draw, TabSCMError, Weighted
from tabscm.engine.benchmark import bif, categories, equations, genes, graphs, sachs
from tabscm.engine.benchmark.case import Suite
from tabscm.engine.benchmark.equations import Equations
from tabscm.engine.benchmark.suites import CORE, NETWORKS, catalogue, choose
from tabscm.engine.stream import Stream

CPU = torch.device("cpu")

SUITES = catalogue()
SMALL = [name for name in SUITES if "d100" not in name]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", SMALL)
def test_tables_are_what_the_name_says(name):
    if name.split("-")[0] in NETWORKS and find_spec("pgmpy") is None:
        pytest.skip("needs the extra `baselines`")
    case, again = SUITES[name].case(1), SUITES[name].case(1)
    assert case.x.dtype == np.float64
    assert np.isfinite(case.x).all()
    assert case.x.shape == case.intervened.shape
    assert case.adj.shape == (case.x.shape[1], case.x.shape[1])
    assert case.adj.dtype == case.intervened.dtype == np.bool_
    assert len(graphs.causal_order(case.adj)) == len(case.adj)
    assert (np.ptp(case.x, axis=0) > 0).all()
    assert np.array_equal(case.x, again.x)
    assert np.array_equal(case.adj, again.adj)
    for letter, size in zip("dn", (case.x.shape[1], case.x.shape[0]), strict=True):
        said = re.search(rf"-{letter}(\d+)", name)
        assert said is None or int(said[1]) == size
    assert case.intervened.any() == (re.search(r"(^|-)do-", name) is not None)
    assert not np.array_equal(case.x, SUITES[name].case(2).x)


def test_names_that_a_figure_needs_are_there():
    asked = {"gauss", "uniform", "laplace", "exponential", "fourier", "network", "quadratic"}
    asked = {f"{family}-d{d}-n{n}" for family in asked for d in (10, 20, 50, 100) for n in (200, 1000)}
    asked |= {"lingam-d10-n500", "avici-linear-d30-n1000", "avici-fourier-d30-n1000", "genes-d20-n200", "sachs-e17"}
    asked |= {f"bcnp-{form}-e{edges}-d20-n1000" for form in ("linear", "network") for edges in (20, 40, 60)}
    assert asked <= set(SUITES)


def test_suites_are_chosen_by_name_or_by_its_beginning():
    assert [suite.name for suite in choose(["sachs-e17", "lingam"], SUITES)] == ["lingam-d10-n500", "sachs-e17"]
    assert {suite.name.split("-")[0] for suite in choose(["gauss"], SUITES)} == {"gauss"}
    assert [suite.name for suite in SUITES.values() if suite.core] == [s.name for s in choose(["core"], SUITES)]
    assert set(CORE) <= set(SUITES)
    assert len(choose(["all"], SUITES)) == len(SUITES) > len(choose(["core"], SUITES))
    with pytest.raises(TabSCMError) as refusal:
        choose(["sachs-e18"], {name: SUITES[name] for name in ("sachs-e17", "lingam-d10-n500")})
    assert str(refusal.value) == (
        '--suites: there is no "sachs-e18". Did you mean "sachs-e17"?\nthere are: sachs-e17, lingam-d10-n500'
    )


def with_cell(experiment, settings):
    return attrs.evolve(experiment, evaluation=attrs.evolve(experiment.evaluation, cells={"own": settings}))


def test_the_cells_of_an_experiment_are_suites(tiny):
    settings = tiny.stream
    suite = catalogue([("mine", with_cell(tiny, settings))])["mine/own"]
    case = suite.case(3)
    assert settings.variables.least <= case.x.shape[1] <= settings.variables.most
    assert np.array_equal(case.x, suite.case(3).x)
    assert len(graphs.causal_order(case.adj)) == len(case.adj)


def test_a_cell_with_other_settings_is_another_suite_of_the_same_name(tiny):
    cells = [tiny.stream, tiny.stream, attrs.evolve(tiny.stream, equal_noise=1.0)]
    suites = [catalogue([("mine", with_cell(tiny, cell))])["mine/own"] for cell in cells]
    assert suites[0].settings == suites[1].settings != suites[2].settings
    with pytest.raises(TabSCMError) as refusal:
        catalogue([("mine", with_cell(tiny, cell)) for cell in cells])
    assert str(refusal.value) == "--cells: 3 files are called mine, and suites are named after them; rename one"


def flat(tiny, below):
    """A cell whose columns are mostly at a limit of detection; all of them where `below` is large."""
    censored = Weighted(Censored(limit=Draw.constant(below)))
    return attrs.evolve(tiny.stream, rows=Draw.constant(20), measurements=(censored,))


def test_a_table_of_a_cell_with_a_constant_column_is_drawn_again(tiny):
    suite = catalogue([("mine", with_cell(tiny, flat(tiny, 1.2)))])["mine/own"]
    cases = [suite.case(index) for index in range(10)]
    assert all((np.ptp(case.x, axis=0) > 0).all() for case in cases)
    stream = Stream(attrs.evolve(flat(tiny, 1.2), tables=1), seed=tiny.seed, device=CPU, purpose="evaluation")
    first = [stream.batch(index)[0].x[0].double().numpy() for index in range(10)]
    kept = [np.array_equal(x, case.x) for x, case in zip(first, cases, strict=True)]
    assert kept == [bool((np.ptp(x, axis=0) > 0).all()) for x in first]
    assert any(kept)
    assert not all(kept)


def test_a_cell_whose_columns_are_all_constant_is_named(tiny):
    with pytest.raises(TabSCMError) as refusal:
        catalogue([("mine", with_cell(tiny, flat(tiny, 9.0)))])["mine/own"].case(2)
    assert str(refusal.value) == (
        "mine/own: in each of 100 draws of table 2 some column is constant. Give the cell more rows, or measurements "
        "that leave more of a column"
    )


def test_a_constant_column_is_drawn_again(rng):
    drawn = []

    def draw(rng, index):
        drawn.append(index)
        x = np.zeros((3, 1)) if len(drawn) < 3 else np.arange(3.0)[:, None]
        return genes.Case(x=x, adj=np.zeros((1, 1), bool), intervened=np.zeros((3, 1), bool))

    assert Suite("stubborn", "", draw).case(7).x[:, 0].tolist() == [0, 1, 2]
    assert drawn == [7, 7, 7]


@pytest.mark.parametrize("draw", [graphs.uniform, graphs.preferential])
def test_graphs_have_the_edges_asked_for_and_no_order_in_their_labels(draw, rng):
    adj = np.stack([draw(20, 40, rng) for _ in range(200)])
    assert abs(adj.sum((1, 2)).mean() - 40) < 4
    forward = np.triu(adj).sum() / adj.sum()
    assert abs(forward - 0.5) < 0.03
    assert draw(1, 3, rng).tolist() == [[False]]
    assert draw(2, 1, rng).sum() <= 1


def test_preferential_graphs_have_hubs(rng):
    def largest(draw):
        return np.mean([max(adj.sum(0).max(), adj.sum(1).max()) for adj in (draw(30, 30, rng) for _ in range(50))])

    assert largest(graphs.preferential) > 1.5 * largest(graphs.uniform)


def test_a_cycle_has_no_order():
    with pytest.raises(ValueError, match="directed cycle"):
        graphs.causal_order(np.array([[False, True], [True, False]]))


def test_noise_has_variance_one_and_its_own_shape(rng):
    shapes = {}
    for family in ("gaussian", "uniform", "laplace", "exponential"):
        noise = equations.draw_noise(family, 200_000, rng)
        assert abs(noise.mean()) < 0.02
        assert abs(noise.var() - 1) < 0.03
        shapes[family] = (np.mean(noise**3), np.mean(noise**4))
    assert shapes["exponential"][0] > 1.5
    assert all(abs(shapes[family][0]) < 0.2 for family in ("gaussian", "uniform", "laplace"))
    assert shapes["uniform"][1] < 2 < shapes["gaussian"][1] < 3.3 < shapes["laplace"][1]


def test_what_is_left_of_a_linear_variable_is_its_noise(rng):
    adj = np.array([[False, False, True], [False, False, True], [False, False, False]])
    case = equations.sample(adj, 5000, Equations(form="linear", bias=2.0), rng)
    design = np.column_stack([case.x[:, :2], np.ones(5000)])
    weights, left, *_ = np.linalg.lstsq(design, case.x[:, 2])
    assert abs(left[0] / 5000 - 1) < 0.06
    assert (np.abs(weights[:2]) > 0.4).all()
    assert (np.abs(weights[:2]) < 2.1).all()


@pytest.mark.parametrize("form", ["fourier", "network", "quadratic"])
def test_a_nonlinear_signal_is_of_unit_variance_and_not_linear(form, rng):
    adj = np.array([[False, True], [False, False]])
    signals, curved = [], []
    for _ in range(20):
        case = equations.sample(adj, 2000, Equations(form=form, scale=(0.1, 0.1), unit="signal"), rng)
        signals.append(case.x[:, 1].var())
        curved.append(1 - np.corrcoef(case.x.T)[0, 1] ** 2)
    assert np.allclose(signals, 1.01, atol=0.05)
    assert np.mean(curved) > 0.1


def test_a_variable_scaled_as_sampled_has_variance_one(rng):
    case = equations.sample(graphs.uniform(8, 15, rng), 500, Equations(form="linear", unit="variable"), rng)
    assert np.allclose(case.x.var(0), 1)


def test_what_is_set_follows_from_nothing_and_has_its_consequences(rng):
    adj = np.array([[False, True, False], [False, False, True], [False, False, False]])
    targets = np.zeros((4000, 3), bool)
    targets[2000:, 1] = True
    case = equations.sample(adj, 4000, Equations(form="linear"), rng, targets=targets)
    free, set_ = (np.corrcoef(rows.T) for rows in (case.x[:2000], case.x[2000:]))
    assert abs(free[0, 1]) > 0.4
    assert abs(set_[0, 1]) < 0.08
    assert abs(set_[1, 2]) > 0.4
    assert np.array_equal(case.intervened, targets)


def test_half_of_the_rows_on_every_variable_equally_often(rng):
    cells = equations.half_on_every_variable(100, 10, rng)
    assert not cells[:50].any()
    assert (cells[50:].sum(1) == 1).all()
    assert (cells.sum(0) == 5).all()


def test_gene_counts_are_whole_and_often_zero(rng):
    counts = genes.sample(graphs.preferential(20, 40, rng), 500, rng).x
    assert np.array_equal(counts, counts.round())
    assert counts.min() == 0
    assert 0.15 < (counts == 0).mean() < 0.6
    assert (counts.mean(0) > 0.5).all()


def test_a_network_is_sampled_by_its_probabilities(rng):
    network = categories.Network(
        adj=np.array([[False, True], [False, False]]),
        parents=[(), (0,)],
        tables=[np.array([0.2, 0.8]), np.array([[0.7, 0.3, 0.0], [0.1, 0.1, 0.8]])],
    )
    case = categories.sample(network, 40_000, rng)
    assert case.discrete
    assert abs(case.x[:, 0].mean() - 0.8) < 0.01
    for state, expected in enumerate(network.tables[1]):
        rows = case.x[case.x[:, 0] == state, 1]
        assert np.allclose([np.mean(rows == code) for code in range(3)], expected, atol=0.02)


def test_few_parents_are_kept(rng):
    adj = np.triu(np.ones((8, 8), bool), 1)
    few = categories.with_few_parents(adj, rng)
    assert few.sum(0).tolist() == [0, 1, 2, 3, 3, 3, 3, 3]
    assert not (few & ~adj).any()


def test_mixed_tables_hold_several_types(rng):
    x = categories.mixed(graphs.uniform(30, 40, rng), 400, rng).x
    distinct = [len(np.unique(column)) for column in x.T]
    assert min(distinct) == 2
    assert max(distinct) == 400


ASIA = """\
network unknown {
}
variable smoke {
  type discrete [ 2 ] { yes, no };
}
variable lung {
  type discrete [ 2 ] { yes, no };
}
probability ( lung | smoke ) {
  (no) 0.01, 0.99;
  (yes) 0.1, 0.9;
}
probability ( smoke ) {
  table 0.6, 0.4;
}
"""


def test_a_network_file_is_read():
    network = bif.parse(ASIA, "asia.bif")
    assert network.adj.tolist() == [[False, True], [False, False]]
    assert network.parents == [(), (0,)]
    assert np.allclose(network.tables[0], [0.6, 0.4])
    assert np.allclose(network.tables[1], [[0.1, 0.9], [0.01, 0.99]])


@pytest.mark.parametrize("broken", [ASIA.replace("0.99", "0.5"), ASIA.replace("  (no) 0.01, 0.99;\n", "")])
def test_probabilities_that_are_none_are_named(broken):
    with pytest.raises(TabSCMError) as refusal:
        bif.parse(broken, "asia.bif")
    assert str(refusal.value) == "asia.bif: the probabilities of lung do not add up to 1"


def test_a_network_that_is_not_there(monkeypatch):
    monkeypatch.setattr(bif, "find_spec", lambda name: None)
    with pytest.raises(TabSCMError) as refusal:
        bif.shipped.__wrapped__("asia")
    assert str(refusal.value) == "the network asia comes with pgmpy 1.1: pip install 'tabscm[baselines]'"


@pytest.mark.parametrize(("name", "nodes", "edges"), [("asia", 8, 8), ("child", 20, 25), ("alarm", 37, 46)])
def test_the_networks_are_the_ones_that_are_known(name, nodes, edges):
    if find_spec("pgmpy") is None:
        pytest.skip("needs the extra `baselines`")
    network = bif.shipped(name)
    assert (len(network.adj), network.adj.sum()) == (nodes, edges)


def test_the_real_table_and_its_rows_drawn_again(rng):
    whole, again = (sachs.case(17, index, rng, interventions=False) for index in (0, 1))
    assert whole.x.shape == again.x.shape == (853, 11)
    assert whole.adj.sum() == 17
    rows = {tuple(row) for row in whole.x}
    assert {tuple(row) for row in again.x} < rows
    every = sachs.case(20, 0, rng, interventions=True)
    assert every.x.shape == (7466, 11)
    assert every.adj.sum() == 20
    assert sorted(every.intervened.sum(0).tolist()) == [0, 0, 0, 0, 0, 707, 799, 810, 848, 911, 1636]
