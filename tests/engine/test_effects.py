"""Effects of interventions, measured with the functions of the table itself."""

import attrs
import pytest
import torch
from tabscm_builtin.interventions.none import NoIntervention

from tabscm import ContractError, Draw, GraphSampler, Intervention, Mechanism, Noise, Weighted
from tabscm.engine.stream import Stream

CPU = torch.device("cpu")


@attrs.frozen
class Chain(GraphSampler):
    """0 -> 1 -> 2, and 3 alone."""

    name = "chain"

    def sample(self, tasks, variables, rng):
        adj = torch.zeros(tasks, 4, 4, dtype=torch.bool)
        adj[:, 0, 1] = adj[:, 1, 2] = True
        return adj


@attrs.frozen
class Double(Mechanism):
    """Twice the parents, or their square."""

    name = "double"
    homogeneous = True
    squared: bool = False

    def draw(self, mask, rng):
        def function(parents, noise):
            total = (parents * mask[:, None]).sum(-1)
            return (total**2 if self.squared else 2 * total) + noise

        return function


@attrs.frozen
class Normal(Noise):
    """Standard normal."""

    name = "normal"

    def sample(self, shape, rng):
        return torch.randn(shape, generator=rng)


@attrs.frozen
class Half(Intervention):
    """Sets variable 1 to 0 in the first half of the rows."""

    name = "half"
    hidden: bool = False

    @property
    def shown(self):
        return not self.hidden

    def draw(self, tasks, rows, variables, rng):
        cells = torch.zeros(tasks, rows, variables, dtype=torch.bool)
        cells[:, : rows // 2, 1] = True
        return cells, lambda values, task, variable: torch.zeros_like(values)


def stream(tiny, *, mechanism=Double(), **changes):
    settings = attrs.evolve(
        tiny.stream,
        graphs=(Weighted(Chain()),),
        mechanisms=(Weighted(mechanism),),
        noises=(Weighted(Normal()),),
        variables=Draw.constant(4),
        rows=Draw.constant(4000),
        noise_scale=Draw.constant(1.0),
        tables=2,
        **{"standardise": "after", **changes},
    )
    return Stream(settings, seed=0, device=CPU, effects=True)


@pytest.mark.parametrize("how", ["after", "between"])
def test_a_linear_effect_is_the_correlation_along_a_chain(tiny, how):
    table, truth = stream(tiny, standardise=how, interventions=(Weighted(NoIntervention()),)).batch(0)
    for x, effects in zip(table.x, truth.effects, strict=True):
        correlation = torch.corrcoef(x.mT)
        for cause, effect in ((0, 1), (1, 2), (0, 2)):
            torch.testing.assert_close(effects[cause, effect], correlation[cause, effect], atol=0.05, rtol=0)
        # what is no descendant does not move
        assert not effects[1:, 0].any()
        assert not effects[2:, 1].any()
        assert not effects[:3, 3].any()
        assert not effects[3, :3].any()


def test_interventions_of_the_table_do_not_reach_the_probes(tiny):
    _, truth = stream(tiny, interventions=(Weighted(Half()),)).batch(0)
    # variable 1, 2 x0 + noise, is set to 0 in half of the rows: its variance over all of them is 5 / 2
    torch.testing.assert_close(truth.effects[:, 0, 1], torch.full((2,), 2 / 2.5**0.5), atol=0.08, rtol=0)


def test_a_curved_effect_is_that_of_the_same_function(tiny):
    _, truth = stream(tiny, mechanism=Double(squared=True), interventions=(Weighted(NoIntervention()),)).batch(0)
    # x1 = x0^2 + noise, of variance 3: from x0 = 0 to 1 its mean rises by 1
    torch.testing.assert_close(truth.effects[:, 0, 1], torch.full((2,), 3**-0.5), atol=0.08, rtol=0)


def test_asking_for_effects_changes_no_table(tiny):
    for step in range(3):
        (one, truth), (other, plain) = (
            Stream(tiny.stream, seed=3, device=CPU, effects=effects).batch(step) for effects in (True, False)
        )
        assert torch.equal(one.intervened, other.intervened)
        torch.testing.assert_close(one.x, other.x)
        assert plain.effects is None
        assert truth.effects.shape == truth.adj.shape
        assert bool(torch.isfinite(truth.effects).all())


@attrs.frozen
class Gap(Mechanism):
    """`beyond` where the parents lie in a gap that no row of the table falls into, next to nothing elsewhere."""

    name = "gap"
    beyond: float

    def draw(self, mask, rng):
        def function(parents, noise):
            inside = (parents * mask[:, None]).sum(-1).abs() < 0.5
            there = torch.full_like(noise, self.beyond)
            return torch.where(inside, there, 1e-20 * noise) if mask.shape[1] else noise

        return function


@attrs.frozen
class Coin(Noise):
    """-1 or 1, as often: the mean of a variable is a value that none of its rows has."""

    name = "coin"

    def sample(self, shape, rng):
        return torch.where(torch.arange(shape[-1]) % 2 == 0, 1.0, -1.0).expand(shape)


@pytest.mark.parametrize(
    ("beyond", "message"),
    [
        (float("inf"), "mechanism gap: holds NaN or infinity"),
        (1e30, "step 7 of the stream: effects of interventions overflow float32; lower the weights of mechanisms"),
    ],
)
def test_effects_that_are_not_finite_are_no_truth(tiny, beyond, message):
    settings = stream(tiny, mechanism=Gap(beyond), interventions=(Weighted(NoIntervention()),)).settings
    settings = attrs.evolve(settings, noises=(Weighted(Coin()),))
    assert bool(torch.isfinite(Stream(settings, seed=0, device=CPU).batch(7)[0].x).all())
    with pytest.raises(ContractError) as refusal:
        Stream(settings, seed=0, device=CPU, effects=True).batch(7)
    assert str(refusal.value) == message


def test_effects_reach_descendants_and_no_others(tiny):
    for step in range(5):
        _, truth = Stream(tiny.stream, seed=3, device=CPU, effects=True).batch(step)
        reach = truth.adj.clone()
        for _ in range(truth.adj.shape[1]):
            reach |= (reach.float() @ truth.adj.float()) > 0
        off = ~torch.eye(reach.shape[1], dtype=torch.bool)
        assert (truth.effects[~reach & off] == 0).all()
        assert (truth.effects[reach] != 0).float().mean() > 0.9


def test_hidden_targets_are_true_and_not_shown(tiny):
    for hidden in (False, True):
        table, truth = stream(tiny, interventions=(Weighted(Half(hidden=hidden)),)).batch(0)
        assert truth.targets.tolist() == [[False, True, False, False]] * 2
        assert bool(table.intervened.any()) is not hidden
