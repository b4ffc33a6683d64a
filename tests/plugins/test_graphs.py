import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tabscm_builtin.graphs.blocks import Blocks
from tabscm_builtin.graphs.erdos_renyi import ErdosRenyi
from tabscm_builtin.graphs.geometric import Geometric
from tabscm_builtin.graphs.layered import Layered
from tabscm_builtin.graphs.scale_free import ScaleFree
from tabscm_builtin.graphs.small_world import SmallWorld

from tabscm import Draw


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def edges_per_variable(adj):
    return adj.sum((1, 2)) / adj.shape[1]


def clustering(adj):
    """Triangles among the pairs of neighbours of a variable, over all of them: [B]."""
    edge = (adj | adj.mT).float()
    paths = edge @ edge * (1 - torch.eye(adj.shape[1]))
    return (paths * edge).sum((1, 2)) / paths.sum((1, 2))


def distances(adj):
    """The mean number of steps between two variables that some path joins."""
    edge = (adj | adj.mT).float()
    reached, found = torch.eye(adj.shape[1]).expand_as(edge), []
    for steps in range(1, adj.shape[1]):
        wider = ((reached + reached @ edge) > 0).float()
        found.append(torch.full((int((wider - reached).sum()),), float(steps)))
        reached = wider
    return torch.cat(found).mean()


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


def test_transposed_scale_free_has_hubs_of_effects_instead_of_causes():
    causes, effects = (
        ScaleFree(degree=Draw.constant(2.0), transposed=transposed).sample(100, 60, rng())
        for transposed in (False, True)
    )
    torch.testing.assert_close(effects.sum(2).sort().values, causes.sum(1).sort().values)
    torch.testing.assert_close(effects.sum(1).sort().values, causes.sum(2).sort().values)
    assert effects.sum(2).max(1).values.float().mean() > 12
    assert effects.sum(1).max() == 2


@pytest.mark.parametrize(
    "sampler",
    [SmallWorld(degree=Draw.constant(1.7)), Blocks(degree=Draw.constant(1.7)), Geometric(degree=Draw.constant(1.7))],
)
@pytest.mark.parametrize("variables", [8, 30])
def test_degree_is_kept_on_average(sampler, variables):
    assert edges_per_variable(sampler.sample(1000, variables, rng())).mean() == pytest.approx(1.7, abs=0.05)


@pytest.mark.parametrize("sampler", [SmallWorld, Blocks, Geometric])
def test_edges_are_left_out_where_the_degree_asks_for_more_than_there_are(sampler):
    adj = sampler(degree=Draw.constant(50.0)).sample(500, 10, rng())
    assert adj.float().mean() * 10 / 9 * 2 == pytest.approx(0.8, abs=0.01)


def test_small_world_without_rewiring_is_a_ring():
    adj = SmallWorld(degree=Draw.constant(2.0), rewired=Draw.constant(0.0)).sample(50, 12, rng())
    assert ((adj | adj.mT).sum(1) == 4).all()
    torch.testing.assert_close(clustering(adj), torch.full((50,), 0.5))  # 3 (k - 2) / 4 (k - 1) with k = 4 neighbours


def test_small_world_has_clusters_and_short_paths():
    ring, small, random = (
        SmallWorld(degree=Draw.constant(3.0), rewired=Draw.constant(share)).sample(20, 80, rng())
        for share in (0.0, 0.15, 1.0)
    )
    assert ring.sum() == small.sum() == random.sum() == 20 * 80 * 3
    assert clustering(small).mean() > 4 * clustering(random).mean()
    assert distances(small) < 0.6 * distances(ring)


def test_small_world_moves_its_share_of_the_edges():
    # of 10 variables with degree 2 the ring takes 20 of 45 pairs: what moves finds room off the ring
    adj = SmallWorld(degree=Draw.constant(2.0), rewired=Draw.constant(1.0)).sample(300, 10, rng())
    assert (adj.sum((1, 2)) == 20).all()
    assert clustering(adj).mean() < 0.4


def two_blocks(between):
    """Larger eigenvalues of the skeleton show how many blocks there are: [B, 2], relative to the degree."""
    adj = Blocks(degree=Draw.constant(5.0), blocks=Draw.constant(2.0), between=Draw.constant(between))
    edge = adj.sample(60, 60, rng())
    return torch.linalg.eigvalsh((edge | edge.mT).float())[:, -2:].flip(1) / 10


def test_blocks_keep_edges_within():
    apart, alike = two_blocks(0.05).mean(0), two_blocks(1.0).mean(0)
    assert apart[1] > 0.8  # a second direction as strong as the first: the other block
    assert alike[1] < 0.7


def test_blocks_without_edges_between_fall_apart():
    adj = Blocks(degree=Draw.constant(1.0), blocks=Draw.constant(4.0), between=Draw.constant(0.0)).sample(50, 40, rng())
    joined = torch.linalg.matrix_power((adj | adj.mT).float() + torch.eye(40), 40) > 0
    assert joined.sum(2).max() < 25


def test_geometric_joins_neighbours_of_neighbours():
    flat, even = (
        clustering(sampler.sample(50, 60, rng())).mean()
        for sampler in (Geometric(degree=Draw.constant(3.0)), ErdosRenyi(degree=Draw.constant(3.0)))
    )
    assert flat > 0.5  # 0.587 in the plane, Dall and Christensen 2002, doi:10.1103/PhysRevE.66.016121
    assert even < 0.15


def test_geometric_clusters_less_in_more_dimensions():
    one, many = (
        clustering(Geometric(degree=Draw.constant(3.0), dimensions=dimensions).sample(50, 60, rng())).mean()
        for dimensions in (1, 10)
    )
    assert one > 0.7
    assert many < 0.5


def longest_path(adj):
    """Edges on the longest path of each graph: [B]."""
    step, reached, longest = adj.float(), torch.ones(adj.shape[:2]), torch.zeros(len(adj), dtype=torch.long)
    for length in range(1, adj.shape[1]):
        reached = ((reached[:, None] @ step).squeeze(1) > 0).float()
        longest = torch.where(reached.any(1), length, longest)
    return longest


@pytest.mark.parametrize("variables", [20, 40])
def test_layered_keeps_its_degree_on_average(variables):
    adj = Layered(degree=Draw.constant(1.7)).sample(1000, variables, rng())
    assert edges_per_variable(adj).mean() == pytest.approx(1.7, abs=0.05)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_paths_of_layered_are_no_longer_than_its_layers_are_many(layers):
    adj = Layered(degree=Draw.constant(4.0), layers=Draw.constant(layers), skips=Draw.constant(0.5)).sample(
        100, 20, rng()
    )
    assert (longest_path(adj) == layers - 1).float().mean() > 0.95
    assert longest_path(adj).max() == layers - 1


def test_edges_of_layered_lead_to_the_next_layer_only():
    adj = Layered(degree=Draw.constant(3.0), layers=Draw.constant(4.0), skips=Draw.constant(0.0)).sample(100, 20, rng())
    step = adj.float()
    assert not (adj & (step @ step > 0)).any()  # whatever is reached in two steps lies two layers on
    assert not (adj & (step @ step @ step > 0)).any()
    skipping = Layered(degree=Draw.constant(3.0), layers=Draw.constant(4.0), skips=Draw.constant(0.5))
    step = (adj := skipping.sample(100, 20, rng())).float()
    assert (adj & (step @ step > 0)).any((1, 2)).float().mean() > 0.9


def test_layered_with_a_layer_for_each_variable_is_a_chain():
    adj = Layered(degree=Draw.constant(50.0), layers=Draw.constant(9.0), skips=Draw.constant(0.0)).sample(400, 5, rng())
    assert adj.sum(1).max() == adj.sum(2).max() == 1
    assert adj.sum((1, 2)).float().mean() == pytest.approx(0.8 * 4, abs=0.1)


def test_labels_of_layered_carry_no_order():
    adj = Layered().sample(4000, 6, rng()).float().mean(0)
    off = adj[~torch.eye(6, dtype=torch.bool)]
    assert (off - off.mean()).abs().max() < 0.04


@given(
    sampler=st.sampled_from(
        [
            ErdosRenyi(density=Draw(low=0.0, high=1.0)),
            ScaleFree(degree=Draw(low=0.0, high=5.0)),
            ScaleFree(transposed=True),
            SmallWorld(degree=Draw(low=0.0, high=6.0), rewired=Draw(low=0.0, high=1.0)),
            Blocks(degree=Draw(low=0.0, high=6.0), between=Draw(low=0.0, high=1.0)),
            Geometric(degree=Draw(low=0.0, high=6.0), dimensions=1),
            Layered(degree=Draw(low=0.0, high=6.0), layers=Draw(low=1.0, high=9.0), skips=Draw(low=0.0, high=1.0)),
        ]
    ),
    variables=st.integers(1, 12),
    seed=st.integers(0, 2**31),
)
def test_acyclic_and_reproducible_whatever_the_size_and_seed(sampler, variables, seed):
    adj = sampler.sample(3, variables, rng(seed))
    assert not torch.linalg.matrix_power(adj.float(), variables).any()
    assert torch.equal(adj, sampler.sample(3, variables, rng(seed)))
