"""Every method finds what is too plain to miss."""

from importlib.util import find_spec

import numpy as np
import pytest

from tabscm import TabSCMError
from tabscm.engine.benchmark import bdeu, equations, methods, notears
from tabscm.engine.benchmark.case import Case
from tabscm.engine.benchmark.equations import Equations
from tabscm.engine.benchmark.graphs import uniform
from tabscm.engine.benchmark.methods import METHODS, OURS, choose

ROWS = 1500


def table(x, *edges, discrete=False, intervened=None):
    adj = np.zeros((x.shape[1], x.shape[1]), bool)
    for source, target in edges:
        adj[source, target] = True
    cells = np.zeros(x.shape, bool) if intervened is None else intervened
    return Case(x=x, adj=adj, intervened=cells, discrete=discrete)


def answer(name, case):
    needs = METHODS[name].needs
    if needs is not None and find_spec(needs) is None:
        pytest.skip("needs the extra `baselines`")
    found = METHODS[name].prepare(None)(case)
    assert found.scores.shape == found.graph.shape == case.adj.shape
    assert np.isfinite(found.scores).all()
    assert set(np.unique(found.graph)) <= {0, 0.5, 1}
    assert not np.diag(found.scores).any()
    assert not np.diag(found.graph).any()
    return found


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def collider(rng):
    """2 -> 0 <- 1, linear, Gaussian; and 3 by itself."""
    a, b, c = rng.normal(size=(3, ROWS))
    return table(np.stack([a + b + 0.5 * rng.normal(size=ROWS), a, b, c], axis=1), (1, 0), (2, 0))


@pytest.mark.parametrize("name", ["pc", "ges", "boss", "grasp"])
def test_a_collider_is_read_off_independences(name, collider):
    assert np.array_equal(answer(name, collider).graph, collider.adj)


@pytest.mark.parametrize("name", ["pc", "ges", "boss", "grasp"])
def test_the_direction_of_a_chain_is_left_open(name, rng):
    a = rng.normal(size=ROWS)
    b = a + 0.5 * rng.normal(size=ROWS)
    case = table(np.stack([b + 0.5 * rng.normal(size=ROWS), b, a], axis=1), (2, 1), (1, 0))
    assert np.array_equal(answer(name, case).graph, 0.5 * (case.adj | case.adj.T))


@pytest.mark.parametrize("name", ["pc", "ges", "boss", "grasp"])
def test_a_collider_of_codes(name, rng):
    a, b = rng.integers(2, size=(2, ROWS))
    noisy = np.where(rng.random(ROWS) < 0.1, rng.integers(4, size=ROWS), a + 2 * b)
    case = table(np.stack([noisy, a, b], axis=1).astype(float), (1, 0), (2, 0), discrete=True)
    assert np.array_equal(answer(name, case).graph, case.adj)


def test_bdeu_is_that_of_causal_learn(rng):
    theirs = pytest.importorskip("causallearn.score.LocalScoreFunction", reason="needs the extra `baselines`")
    codes = rng.integers(3, size=(60, 5)).astype(float)
    for parents in ([], [1], [4, 2], [1, 2, 3, 4]):
        assert bdeu.local_score(codes, 0, parents) == pytest.approx(theirs.local_score_BDeu(codes, 0, parents))


def test_lingam_reads_the_direction_off_uniform_noise(rng):
    a, e, f = rng.uniform(-1, 1, size=(3, ROWS))
    b = a + 0.5 * e
    case = table(np.stack([b + 0.5 * f, b, a], axis=1), (2, 1), (1, 0))
    found = answer("lingam", case)
    assert np.array_equal(found.scores > 0.3, case.adj)


def test_gies_reads_the_direction_off_interventions(rng):
    a = rng.normal(size=ROWS)
    b = np.where(np.arange(ROWS) % 2, a + 0.5 * rng.normal(size=ROWS), 3 * rng.normal(size=ROWS))
    cells = np.zeros((ROWS, 2), bool)
    cells[::2, 0] = True
    case = table(np.stack([b, a], axis=1), (1, 0), intervened=cells)
    assert np.array_equal(answer("gies", case).graph, case.adj)


def test_notears_finds_the_graph_where_all_noise_has_one_scale(rng):
    pytest.importorskip("scipy")
    x = rng.normal(size=(ROWS, 3))
    x[:, 0] += 1.5 * x[:, 1] - 1.5 * x[:, 2]
    weights = notears.solve(x - x.mean(0))
    assert np.allclose(weights, [[0, 0, 0], [1.45, 0, 0], [-1.45, 0, 0]], atol=0.1)


def test_notears_gives_an_acyclic_graph_of_standardised_columns(rng):
    a = rng.normal(size=ROWS)
    b = a + 0.5 * rng.normal(size=ROWS)
    case = table(np.stack([b + 0.5 * rng.normal(size=ROWS), b, a], axis=1), (2, 1), (1, 0))
    graph = answer("notears", case).graph > 0
    assert np.array_equal(graph | graph.T, case.adj | case.adj.T)
    assert not (graph & graph.T).any()


def test_score_matching_reads_the_direction_off_curves(rng):
    curves = Equations(form="fourier", length=(1.0, 1.0))
    right = edges = 0
    for _ in range(4):
        case = equations.sample(uniform(6, 7, rng), 400, curves, rng)
        scores = answer("score", case).scores
        right += (scores > scores.T)[case.adj].sum()
        edges += case.adj.sum()
    assert right / edges > 0.75


def test_sorting_by_variance_needs_the_raw_scale(rng):
    pytest.importorskip("sklearn")
    a = rng.normal(size=ROWS)
    b = 3 * a + rng.normal(size=ROWS)
    case = table(np.stack([b, a], axis=1), (1, 0))
    assert METHODS["sortnregress"].raw
    assert np.array_equal(answer("sortnregress", case).graph, case.adj)
    shrunk = table(case.x * [0.01, 1.0], (1, 0))
    assert np.array_equal(answer("sortnregress", shrunk).graph, case.adj.T)


def test_sorting_by_r2_does_not(rng):
    pytest.importorskip("sklearn")
    a, b = rng.normal(size=(2, ROWS))
    case = table(np.stack([a + b + 0.5 * rng.normal(size=ROWS), a, b], axis=1), (1, 0), (2, 0))
    for scale in (1.0, 0.01):
        found = answer("r2-sortnregress", table(case.x * [scale, 1.0, 1.0], (1, 0), (2, 0)))
        assert np.array_equal(found.scores > 0.3, case.adj)


def test_correlations_have_no_direction(rng):
    a = rng.normal(size=ROWS)
    b = a + 0.5 * rng.normal(size=ROWS)
    x = np.stack([a, b, b + 0.5 * rng.normal(size=ROWS)], axis=1)
    case = table(x, (0, 1), (1, 2))
    plain, partial = answer("correlation", case), answer("partial-correlation", case)
    assert plain.scores[0, 2] == pytest.approx(abs(np.corrcoef(x.T)[0, 2]))
    assert plain.graph.tolist() == [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    assert partial.graph.tolist() == [[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]]
    assert not answer("empty", case).graph.any()


@pytest.mark.parametrize("name", [name for name in METHODS if name != OURS])
def test_a_second_answer_is_the_same(name, collider):
    first, second = answer(name, collider), answer(name, collider)
    assert np.array_equal(first.scores, second.scores)


def test_names_that_nothing_has():
    with pytest.raises(TabSCMError) as refusal:
        choose(["gess"])
    assert str(refusal.value).splitlines()[0] == '--methods: there is no "gess". Did you mean "ges"?'
    assert choose(["empty", "correlation"]) == ["correlation", "empty"]


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(methods, "find_spec", lambda name: None if name == "causallearn" else object())
    with pytest.raises(TabSCMError) as refusal:
        choose(["pc", "ges", "empty"])
    assert str(refusal.value) == "pc, ges: not installed. Run: pip install 'tabscm[baselines]'"


def test_a_partial_correlation_of_nothing_is_asserted_as_often_as_its_level_says():
    """With few rows for so many variables, rows that are spent on the others must not be counted."""
    rng = np.random.default_rng(0)
    tables = [table(rng.normal(size=(24, 16))) for _ in range(300)]
    share = np.mean([(answer("partial-correlation", case).graph > 0).sum() / (16 * 15) for case in tables])
    assert 0.007 < share < 0.013
