"""The stream: replayable, true to the graphs it reports, within its budgets."""

import attrs
import pytest
import torch
from tabscm_builtin.interventions.activity import Activity

from tabscm import ContractError, Draw, Ramp
from tabscm.engine.hidden import project
from tabscm.engine.standardise import standardise
from tabscm.engine.stream import Stream, tables_per_batch
from tabscm.kernel.experiment import Weighted
from tabscm.kernel.interfaces import GraphSampler, Intervention, Measurement, Mechanism, Noise

CPU = torch.device("cpu")


@attrs.frozen
class Chain(GraphSampler):
    """0 -> 1 -> 2 -> ..., always."""

    name = "chain"

    def sample(self, tasks, variables, rng):
        return torch.diag(torch.ones(variables - 1, dtype=torch.bool), 1).expand(tasks, -1, -1).clone()


@attrs.frozen
class Fork(GraphSampler):
    """0 -> 2 -> 3, and 1 alone."""

    name = "fork"

    def sample(self, tasks, variables, rng):
        adj = torch.zeros(tasks, 4, 4, dtype=torch.bool)
        adj[:, 0, 2] = adj[:, 2, 3] = True
        return adj


@attrs.frozen
class Ring(GraphSampler):
    """A cycle over all variables."""

    name = "ring"

    def sample(self, tasks, variables, rng):
        return torch.eye(variables, dtype=torch.bool).roll(1, 1).expand(tasks, -1, -1).clone()


@attrs.frozen
class Sum(Mechanism):
    """Gain times the sum of the parents, and the noise."""

    name = "sum"
    homogeneous = True
    gain: float = 1.0

    def draw(self, mask, rng):
        return lambda parents, noise: self.gain * (parents * mask[:, None]).sum(-1) + noise


@attrs.frozen
class Spy(Mechanism):
    """Squares its parents, and remembers on what scale they came."""

    name = "spy"
    gain: float = 100.0
    seen: list = attrs.field(factory=list, eq=False)

    def draw(self, mask, rng):
        def function(parents, noise):
            if mask.any():
                self.seen.append(float(parents.std()))
            return self.gain * (parents * mask[:, None]).sum(-1) + noise

        return function


@attrs.frozen
class RootOnly(Noise):
    """Standard normal in the first two variables, next to nothing in the others."""

    name = "root-only"

    def sample(self, shape, rng):
        noise = torch.randn(shape, generator=rng)
        noise[:, 2:] *= 1e-6
        return noise


@attrs.frozen
class Broken(Noise):
    """Not a number."""

    name = "broken"

    def sample(self, shape, rng):
        return torch.full(shape, float("nan"))


@attrs.frozen
class Normal(Noise):
    """Standard normal."""

    name = "normal"

    def sample(self, shape, rng):
        return torch.randn(shape, generator=rng)


@attrs.frozen
class First(Intervention):
    """Sets variable 0 to `value` in the first half of the rows."""

    name = "first"
    value: float = 3.0

    def draw(self, tasks, rows, variables, rng):
        cells = torch.zeros(tasks, rows, variables, dtype=torch.bool)
        cells[:, : rows // 2, 0] = True
        return cells, lambda values, task, variable: torch.full_like(values, self.value)


@attrs.frozen
class Nothing(Intervention):
    """Sets no cell."""

    name = "nothing"

    def draw(self, tasks, rows, variables, rng):
        return torch.zeros(tasks, rows, variables, dtype=torch.bool), lambda values, task, variable: values


def weighted(*components):
    return tuple(Weighted(component) for component in components)


@pytest.fixture
def settings(tiny):
    return attrs.evolve(
        tiny.stream,
        graphs=weighted(Chain()),
        mechanisms=weighted(Sum()),
        noises=weighted(Normal()),
        interventions=weighted(Nothing()),
        variables=Draw.constant(4),
        rows=Draw.constant(2000),
        noise_scale=Draw.constant(1.0),
        standardise="after",
        tables=4,
    )


def batch(settings, step=0, *, seed=0, purpose="train"):
    return Stream(settings, seed=seed, device=CPU, purpose=purpose).batch(step)


def test_a_batch_depends_on_seed_and_step_alone(tiny):
    stream = Stream(tiny.stream, seed=7, device=CPU)
    stream.batch(0)
    torch.rand(3)  # the global generator has no say
    table, truth = stream.batch(5)
    again, truth_again = batch(tiny.stream, 5, seed=7)
    assert torch.equal(table.x, again.x)
    assert torch.equal(table.intervened, again.intervened)
    assert torch.equal(truth.adj, truth_again.adj)


def test_seed_step_part_and_purpose_each_give_other_tables(tiny):
    stream = Stream(tiny.stream, seed=0, device=CPU)
    others = [
        stream.batch(1),
        stream.batch(0, part=1),
        batch(tiny.stream, seed=1),
        batch(tiny.stream, purpose="validation"),
        batch(tiny.stream, purpose="evaluation"),
    ]
    seen = {float(table.x[0, 0, 0]) for table, _ in [stream.batch(0), *others]}
    assert len(seen) == 6


def test_the_global_generator_is_left_alone(tiny):
    before = torch.random.get_rng_state()
    batch(tiny.stream)
    assert torch.equal(before, torch.random.get_rng_state())


def test_columns_are_standardised_and_nothing_is_missing(tiny):
    for step in range(5):
        table, truth = batch(tiny.stream, step)
        tasks, _, variables = table.x.shape
        assert truth.adj.shape == (tasks, variables, variables)
        assert table.observed.all()
        assert table.x.dtype == torch.float32
        torch.testing.assert_close(table.x.mean(1), torch.zeros(tasks, variables), atol=0.2, rtol=0)
        assert (table.x.std(1, correction=0) < 1.001).all()
        assert table.x.abs().max() <= 8


@pytest.mark.parametrize("how", ["between", "after"])
def test_values_follow_the_graph(settings, how):
    faint = attrs.evolve(settings, standardise=how, graphs=weighted(Fork()), noises=weighted(RootOnly()))
    table, truth = batch(faint)
    assert truth.adj[0].nonzero().tolist() == [[0, 2], [2, 3]]
    correlation = (table.x.mT @ table.x / table.x.shape[1]).abs()
    # no noise but that of the roots 0 and 1: what follows from 0 equals it, and has nothing to do with 1
    torch.testing.assert_close(correlation[:, 0, [2, 3]], torch.ones(4, 2), atol=1e-3, rtol=0)
    assert (correlation[:, 1, [0, 2, 3]] < 0.1).all()


def test_only_absolute_noise_may_have_one_scale_for_all_variables(settings):
    def explained(how):
        noisy = attrs.evolve(settings, standardise=how, equal_noise=1.0, noise_scale=Draw(low=0.2, high=2.0))
        table, _ = batch(attrs.evolve(noisy, mechanisms=weighted(Spy(gain=1.0))))
        return (table.x.mT @ table.x / table.x.shape[1]).square()[:, [0, 1, 2], [1, 2, 3]]

    # parents of unit scale and equal noise: the same share of each variable is explained; relative noise is its own
    assert explained("after")[:, 1:].std(1).max() < 0.05
    assert explained("between").std(1).min() > 0.02


def test_scale_between_variables_hides_what_scale_after_sampling_shows(settings):
    growing = attrs.evolve(settings, mechanisms=weighted(Sum(gain=3.0)))

    def share_explained(how):
        table, _ = batch(attrs.evolve(growing, standardise=how, equal_noise=1.0))
        correlation = table.x.mT @ table.x / table.x.shape[1]
        return correlation[:, [0, 1, 2], [1, 2, 3]].square().mean(0)

    raw, scaled = share_explained("after"), share_explained("between")
    assert raw[2] > raw[0] + 0.02  # signal grows along the chain, noise does not: order shows
    torch.testing.assert_close(scaled, torch.full((3,), 0.5), atol=0.06, rtol=0)  # noise as strong as the signal


def test_interventions_cut_a_variable_off_and_reach_its_children(settings):
    table, _ = batch(attrs.evolve(settings, interventions=weighted(First(value=50.0))))
    half = table.x.shape[1] // 2
    assert table.intervened[:, :half, 0].all()
    assert table.intervened.sum() == len(table.x) * half
    assert table.x[:, :half, 0].std(1).max() < 1e-3
    assert (table.x[:, :half, 1].mean(1) > table.x[:, half:, 1].mean(1) + 1.5).all()


@pytest.mark.parametrize("how", ["between", "after"])
def test_what_is_not_measured_of_a_variable_reaches_its_children(settings, how):
    first = First(value=50.0)
    settings = attrs.evolve(settings, standardise=how)
    table, truth = batch(attrs.evolve(settings, interventions=weighted(Activity(of=first))))
    half = table.x.shape[1] // 2
    assert table.intervened[:, :half, 0].all()
    assert truth.targets[:, 0].all()
    own = table.x[:, :, 0]
    assert (own[:, :half].std(1) / own[:, half:].std(1)).sub(1).abs().max() < 0.2
    assert (table.x[:, :half, 1].mean(1) > table.x[:, half:, 1].mean(1) + 1.5).all()
    mixed = weighted(Activity(of=first), first)
    table, _ = batch(attrs.evolve(settings, interventions=mixed))
    spread = table.x[:, :half, 0].std(1)
    assert (spread < 1e-3).any()
    assert (spread > 0.5).any()


def test_mechanisms_that_are_not_homogeneous_get_parents_on_unit_scale(settings):
    for how in ("between", "after"):
        spy = Spy()
        batch(attrs.evolve(settings, mechanisms=weighted(spy), standardise=how, rows=Draw.constant(500)))
        assert spy.seen
        assert all(0.8 < scale < 1.2 for scale in spy.seen)


def test_strong_weights_on_deep_graphs_do_not_overflow(settings):
    deep = attrs.evolve(
        settings, mechanisms=weighted(Sum(gain=4.0)), variables=Draw.constant(60), rows=Draw.constant(50)
    )
    table, _ = batch(deep)
    assert torch.isfinite(table.x).all()
    assert (table.x.std(1, correction=0) > 0.9).all()


@pytest.mark.parametrize(("variables", "rows"), [(1, 2), (2, 2), (1, 50), (3, 2)])
def test_the_smallest_tables(tiny, variables, rows):
    small = attrs.evolve(tiny.stream, variables=Draw.constant(variables), rows=Draw.constant(rows))
    for step in range(3):
        table, truth = batch(small, step)
        assert table.x.shape[1:] == (rows, variables)
        assert torch.isfinite(table.x).all()
        assert truth.adj.shape[1:] == (variables, variables)


def test_sizes_stay_within_range_and_budget(tiny):
    ranged = attrs.evolve(
        tiny.stream, variables=Draw(low=3, high=9), rows=Draw(low=20, high=90), tables=16, cells=3000, pairs=500
    )
    sizes = {batch(ranged, step)[0].x.shape for step in range(40)}
    assert {variables for _, _, variables in sizes} == set(range(3, 10))
    assert len({rows for _, rows, _ in sizes}) > 20
    for tables, rows, variables in sizes:
        assert tables == min(16, 3000 // (rows * variables), 500 // variables**2)


def test_a_budget_too_small_for_one_table_still_gives_one(tiny):
    assert tables_per_batch(attrs.evolve(tiny.stream, cells=10, pairs=10), 100, 1000) == 1


def test_weights_share_out_tables_and_may_move_with_the_steps(settings):
    moving = attrs.evolve(
        settings,
        tables=8,
        rows=Draw.constant(10),
        interventions=(
            Weighted(Nothing(), Ramp(start=1.0, end=0.0, steps=10)),
            Weighted(First(), Ramp(start=0.0, end=1.0, steps=10)),
        ),
    )
    assert not batch(moving, 0)[0].intervened.any()
    assert batch(moving, 10)[0].intervened.any((1, 2)).all()
    assert batch(moving, 0, purpose="validation")[0].intervened.any((1, 2)).all()


@attrs.frozen
class Tilted(Measurement):
    """Twice the value, and the first row lost."""

    name = "tilted"
    scale: float = 2.0

    def record(self, values, rng):
        recorded = self.scale * values
        recorded[:, 0] = torch.nan
        return recorded


def test_what_is_recorded_is_standardised_and_what_is_lost_is_not_observed(settings):
    table, _ = batch(attrs.evolve(settings, measurements=weighted(Tilted())))
    plain, _ = batch(settings)
    assert not table.observed[:, 0].any()
    assert table.observed[:, 1:].all()
    assert (table.x[:, 0] == 0).all()
    assert table.x[:, 1:].mean(1).abs().max() < 1e-5
    assert torch.allclose(table.x[:, 1:].std(1, correction=0), torch.ones(4, 4), atol=1e-5)
    assert torch.allclose(table.x[:, 1:], plain.x[:, 1:], atol=0.05)


def test_a_measurement_that_gives_an_infinite_value_is_named(settings):
    with pytest.raises(ContractError, match="measurement tilted: recorded an infinite value; a cell that is lost is"):
        batch(attrs.evolve(settings, measurements=weighted(Tilted(scale=float("inf")))))


def test_scales_are_those_before_anything_is_recorded(settings):
    # every table stays as it was
    plain, large = (batch(attrs.evolve(settings, noise_scale=Draw.constant(scale))) for scale in (1.0, 10.0))
    torch.testing.assert_close(large[0].x, plain[0].x, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(large[1].scales, 10 * plain[1].scales, rtol=1e-3, atol=0)


def test_hidden_variables_are_in_no_table_and_hand_on_their_causes(settings):
    table, truth = batch(attrs.evolve(settings, hidden=Draw.constant(0.25)))
    whole, chain = batch(attrs.evolve(settings, variables=Draw.constant(5)))
    assert table.x.shape == (4, 2000, 4)
    assert table.intervened.shape == table.x.shape
    assert torch.allclose(table.x, whole.x[:, :, :4], atol=1e-5)
    assert torch.equal(truth.adj, project(chain.adj, 4))


@attrs.frozen
class Upwards(GraphSampler):
    """The last variable causes the one before, and so on to the first."""

    name = "upwards"

    def sample(self, tasks, variables, rng):
        return Chain().sample(tasks, variables, rng).mT.contiguous()


@attrs.frozen
class Last(Intervention):
    """Sets the last variable to 50 in the first half of the rows."""

    name = "last"

    def draw(self, tasks, rows, variables, rng):
        cells = torch.zeros(tasks, rows, variables, dtype=torch.bool)
        cells[:, : rows // 2, -1] = True
        return cells, lambda values, task, variable: torch.full_like(values, 50.0)


def test_what_is_done_to_hidden_variables_shows_in_their_effects_alone(settings):
    changes = {"graphs": weighted(Upwards()), "interventions": weighted(Last()), "hidden": Draw.constant(0.25)}
    table, truth = batch(attrs.evolve(settings, **changes))
    assert not table.intervened.any()
    assert not truth.targets.any()
    assert truth.adj[0].nonzero().tolist() == [[1, 0], [2, 1], [3, 2]]
    assert table.x[:, :1000, 3].mean() > 0.9  # variable 4 causes it, and nobody sees that one


def test_projection_keeps_paths_through_hidden_variables_alone():
    adj = torch.zeros(1, 6, 6, dtype=torch.bool)
    for source, target in [(0, 4), (4, 5), (5, 1), (1, 2), (4, 3)]:
        adj[0, source, target] = True
    # 0 -> 4 -> 5 -> 1 and 0 -> 4 -> 3 lead through hidden variables; 4 as a common cause of 1 and 3 leaves nothing
    assert project(adj, 4)[0].nonzero().tolist() == [[0, 1], [0, 3], [1, 2]]
    assert torch.equal(project(adj, 6), adj)


def test_a_cycle_is_named(settings):
    with pytest.raises(ContractError, match=r"^graph ring: gave a graph with a cycle$"):
        batch(attrs.evolve(settings, graphs=weighted(Ring())))


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"mechanisms": weighted(Sum(gain=float("inf")))}, "mechanism sum"),
        ({"noises": weighted(Broken())}, "noise broken"),
        ({"interventions": weighted(First(value=float("nan")))}, "intervention first"),
    ],
)
def test_who_gave_what_is_not_finite_is_named(settings, changes, culprit):
    with pytest.raises(ContractError) as refusal:
        batch(attrs.evolve(settings, **changes))
    assert str(refusal.value) == f"{culprit}: holds NaN or infinity"


def test_standardise_ignores_missing_cells_and_scale():
    x = torch.tensor([[[1.0, 5e30], [3.0, -5e30], [99.0, 5e30], [5.0, -5e30]]])
    observed = torch.tensor([[[True, True], [True, True], [False, True], [True, True]]])
    z = standardise(x, observed)
    torch.testing.assert_close(z[0, :, 1], torch.tensor([1.0, -1, 1, -1]))
    root = (3 / 2) ** 0.5
    torch.testing.assert_close(z[0, :, 0], torch.tensor([-root, 0.0, 0.0, root]))
