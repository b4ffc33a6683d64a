"""Which weights go to which optimiser, and the learning rate over the steps."""

from itertools import pairwise

import attrs
import pytest
import torch
from torch import nn

from tabscm.engine.optimiser import Optimiser, schedule
from tabscm.kernel.experiment import TrainerSettings

SETTINGS = TrainerSettings(steps=100, warmup=10, floor=0.1, lr=0.01, muon_lr=0.02, weight_decay=0.0)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


def advance(model, optimiser, steps, first=0):
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    for step in range(first, first + steps):
        model(x).square().mean().backward()
        optimiser.step(step)


def test_muon_takes_matrices_and_adamw_the_rest():
    model = network()
    optimiser = Optimiser(model, SETTINGS)
    advance(model, optimiser, 1)
    quantities = {key.split("/")[0]: key.split("/")[1] for key in optimiser.state()}
    assert quantities["0.weight"] == "momentum_buffer"
    assert set(quantities) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert "2.weight/exp_avg" in optimiser.state()


def test_adamw_alone():
    model = network()
    optimiser = Optimiser(model, attrs.evolve(SETTINGS, optimiser="adamw"))
    advance(model, optimiser, 1)
    assert "0.weight/exp_avg" in optimiser.state()


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_state_taken_back_gives_the_same_next_steps(kind):
    settings = attrs.evolve(SETTINGS, optimiser=kind)
    model = network()
    optimiser = Optimiser(model, settings)
    advance(model, optimiser, 3)
    copy = network()
    copy.load_state_dict(model.state_dict())
    other = Optimiser(copy, settings)
    other.load_state({key: value.clone() for key, value in optimiser.state().items()})
    advance(model, optimiser, 3, first=3)
    advance(copy, other, 3, first=3)
    for ours, theirs in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_learning_rate_rises_and_falls():
    rates = [schedule(SETTINGS, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == rates[9]
    assert rates[9] > 0.97
    assert rates[50] == pytest.approx(0.1 + 0.9 * 0.5)
    assert rates[100] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[9:]))


def test_an_exponential_schedule_falls_by_the_same_factor_at_every_step_to_the_floor():
    rates = [schedule(attrs.evolve(SETTINGS, schedule="exponential"), step) for step in range(101)]
    factors = [later / earlier for earlier, later in pairwise(rates[10:])]
    assert factors == pytest.approx([0.1 ** (1 / 100)] * 90)
    assert rates[0] == pytest.approx(0.1)
    assert rates[50] == pytest.approx(0.1**0.5)
    assert rates[100] == pytest.approx(0.1)


def test_a_constant_schedule_drops_once_or_never():
    constant = attrs.evolve(SETTINGS, schedule="constant")
    assert [schedule(constant, step) for step in (0, 4, 9, 50, 99, 100)] == [0.1, 0.5, 1, 1, 1, 1]
    dropping = attrs.evolve(constant, drop_at=0.8)
    assert [schedule(dropping, step) for step in (4, 9, 79, 80, 99)] == [0.5, 1, 1, 0.1, 0.1]


def test_decay_spares_biases():
    model = network()
    with torch.no_grad():
        model[0].bias.fill_(1.0)
    optimiser = Optimiser(model, attrs.evolve(SETTINGS, weight_decay=10.0, warmup=0))
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    before = model[0].weight.abs().mean().item()
    optimiser.step(0)
    assert torch.equal(model[0].bias, torch.ones(16))
    assert model[0].weight.abs().mean().item() < before
