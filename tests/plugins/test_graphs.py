import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.scale_free import ScaleFree

from tabscm import Draw


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def edges_per_variable(adj):
    return adj.sum((1, 2)) / adj.shape[1]


def test_erdos_renyi_has_the_density_it_was_asked_for():
    adj = ErdosRenyi(density=Draw.constant(0.3)).sample(400, 20, rng())
    assert adj.float().mean() * 20 / 19 * 2 == pytest.approx(0.3, abs=0.01)


def test_erdos_renyi_has_the_degree_it_was_asked_for():
    adj = ErdosRenyi(degree=Draw.constant(2.0)).sample(400, 20, rng())
    assert edges_per_variable(adj).mean() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("density", "edges"), [(0.0, 0), (1.0, 10)])
def test_erdos_renyi_at_the_ends_of_density(density, edges):
    adj = ErdosRenyi(density=Draw.constant(density)).sample(20, 5, rng())
    assert (adj.sum((1, 2)) == edges).all()


def test_erdos_renyi_leaves_edges_out_where_the_degree_asks_for_more_than_there_are():
    adj = ErdosRenyi(degree=Draw.constant(5.0)).sample(2000, 3, rng())
    assert adj.float().mean() * 3 == pytest.approx(0.8, abs=0.02)


def test_erdos_renyi_draws_the_density_of_each_task_anew():
    sparse_to_dense = (
        ErdosRenyi(density=Draw(low=0.0, high=1.0)).sample(400, 20, rng()).float().mean((1, 2)) * 20 / 19 * 2
    )
    assert sparse_to_dense.min() < 0.1
    assert sparse_to_dense.max() > 0.9
    assert sparse_to_dense.std() == pytest.approx(12**-0.5, abs=0.03)


def test_erdos_renyi_takes_density_or_degree():
    with pytest.raises(ValueError, match=r"^give either density or degree, not both$"):
        ErdosRenyi(density=Draw.constant(0.3), degree=Draw.constant(2.0))
    assert ErdosRenyi().degree == Draw(low=0.5, high=3.5)
    assert ErdosRenyi(density=Draw.constant(0.3)).degree is None


def test_fields_say_which_range_they_accept():
    with pytest.raises(ValueError, match=r"^density must be at most 1, found 1\.5$"):
        ErdosRenyi(density=Draw(low=0.2, high=1.5))
    with pytest.raises(ValueError, match=r"^degree must be at least 0, found -1$"):
        ScaleFree(degree=Draw(low=-1.0, high=2.0))


def test_every_arriving_variable_of_scale_free_brings_its_edges():
    adj = ScaleFree(degree=Draw.constant(2.0)).sample(50, 20, rng())
    assert (adj.sum((1, 2)) == 2 * 20 - 3).all()  # the first can bring none, the second one
    assert (adj.sum(2).sort(1, descending=True).values == torch.tensor([2] * 18 + [1, 0])).all()


def test_a_fractional_degree_of_scale_free_is_kept_on_average():
    adj = ScaleFree(degree=Draw.constant(0.5)).sample(400, 21, rng())
    assert adj.sum((1, 2)).float().mean() == pytest.approx(0.5 * 20, abs=0.3)


def test_scale_free_attaches_in_proportion_to_causes_plus_one():
    # 1 -> 0 comes first; then 2 chooses 0 with weight 2, 1 with weight 1
    adj = ScaleFree(degree=Draw.constant(1.0)).sample(6000, 3, rng())
    stars = (adj.sum(1) == 2).any(1).float().mean()
    assert stars == pytest.approx(2 / 3, abs=0.02)


def test_scale_free_has_hubs_where_erdos_renyi_has_none():
    hubs = ScaleFree(degree=Draw.constant(2.0)).sample(100, 60, rng())
    even = ErdosRenyi(degree=Draw.constant(float(edges_per_variable(hubs)[0]))).sample(100, 60, rng())
    assert edges_per_variable(even).mean() == pytest.approx(float(edges_per_variable(hubs)[0]), rel=0.03)
    assert hubs.sum(1).max(1).values.float().mean() > 2 * even.sum(1).max(1).values.float().mean()
    assert hubs.sum(2).max() == 2


@given(
    sampler=st.sampled_from([ErdosRenyi(density=Draw(low=0.0, high=1.0)), ScaleFree(degree=Draw(low=0.0, high=5.0))]),
    variables=st.integers(1, 12),
    seed=st.integers(0, 2**31),
)
def test_acyclic_and_reproducible_whatever_the_size_and_seed(sampler, variables, seed):
    adj = sampler.sample(3, variables, rng(seed))
    assert not torch.linalg.matrix_power(adj.float(), variables).any()
    assert torch.equal(adj, sampler.sample(3, variables, rng(seed)))
