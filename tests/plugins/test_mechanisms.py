import math

import pytest
import torch
from tabscm_builtin.mechanisms.linear import Linear
from tabscm_builtin.mechanisms.mixture import Mixture
from tabscm_builtin.mechanisms.mlp import MLP
from tabscm_builtin.mechanisms.quadratic import Quadratic
from tabscm_builtin.mechanisms.sine import Sine
from tabscm_builtin.mechanisms.tanh import Tanh
from tabscm_builtin.mechanisms.threshold import Threshold

from tabscm import Draw, Ramp, Weighted

ONE = Draw.constant(1.0)
NONLINEAR = [MLP(), Sine(), Tanh(), Quadratic(), Threshold()]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(mechanism, nodes=50, parents=1):
    """A noiseless function parents [G, N, P] -> values [G, N], all P slots in use."""
    function = mechanism.draw(torch.ones(nodes, parents, dtype=torch.bool), rng())
    return lambda x: function(x, torch.zeros(x.shape[:2]))


def line(*values, nodes=50):
    """The same values of a single parent for every node: [G, N, 1]."""
    return torch.tensor(values)[None, :, None].expand(nodes, -1, 1)


def normal(nodes=50, rows=500, parents=1):
    return torch.randn(nodes, rows, parents, generator=rng(1))


def test_linear_adds_up_its_parents_by_raw_weights():
    function = draw(Linear(strength=Draw(low=0.25, high=4.0)), nodes=500, parents=3)
    weights = function(torch.eye(3).expand(500, 3, 3))
    x = normal(500, 20, 3)
    torch.testing.assert_close(function(x), (x * weights[:, None]).sum(2), rtol=1e-4, atol=1e-4)
    assert weights.abs().min() >= 0.25
    assert weights.abs().max() <= 4.0
    assert weights.abs().mean() == pytest.approx((0.25 + 4.0) / 2, abs=0.1)
    assert (weights > 0).float().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("mechanism", [Linear(), *NONLINEAR], ids=lambda one: one.name)
def test_noise_is_added(mechanism):
    mask = torch.ones(20, 2, dtype=torch.bool)
    function = mechanism.draw(mask, rng())
    x, noise = normal(20, 30, 2), normal(20, 30)[:, :, 0]
    torch.testing.assert_close(function(x, noise) - function(x, torch.zeros_like(noise)), noise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parents", [1, 3, 30])
@pytest.mark.parametrize("mechanism", NONLINEAR, ids=lambda one: one.name)
def test_signals_are_of_the_same_size_whatever_the_number_of_parents(mechanism, parents):
    signal = draw(mechanism, 200, parents)(normal(200, 500, parents)).std(1)
    assert 0.8 < signal.median() < 2.5
    assert signal.min() > 0.1
    assert signal.max() < 6.0


def test_tanh_saturates():
    function = draw(Tanh(amplitude=Draw.constant(2.0)))
    torch.testing.assert_close(function(line(-50.0, 50.0)).abs(), torch.full((50, 2), 2.0))
    near, far = function(line(0.0, 0.01, 50.0, 50.01)).diff(dim=1)[:, ::2].abs().unbind(1)
    assert (near > 100 * far).all()


def test_tanh_is_odd_and_nearly_linear_at_a_low_gain():
    function = draw(Tanh(gain=Draw.constant(0.01), amplitude=Draw.constant(100.0)))
    x = line(-2.0, -1.0, 1.0, 2.0)
    torch.testing.assert_close(function(x).abs(), x[:, :, 0].abs(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(function(x), -function(-x))


def test_sine_repeats_itself():
    function = draw(Sine(frequency=Draw.constant(3.0)))
    x = normal()
    torch.testing.assert_close(function(x + 2 * math.pi / 3.0), function(x), rtol=1e-4, atol=1e-4)
    assert function(x).abs().max() <= 3.0


def test_sine_is_odd_without_phase_and_even_at_a_quarter_turn():
    x = normal()
    odd, even = (draw(Sine(phase=Draw.constant(phase))) for phase in (0.0, math.pi / 2))
    torch.testing.assert_close(odd(-x), -odd(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(even(-x), even(x), rtol=1e-4, atol=1e-4)


def test_quadratic_is_even_and_bends_either_way():
    function = draw(Quadratic(curvature=ONE))
    x = normal()
    torch.testing.assert_close(function(-x), function(x))
    torch.testing.assert_close(function(2 * x), 4 * function(x))
    torch.testing.assert_close(function(x).abs(), x[:, :, 0].square())
    assert 10 < int((function(x).mean(1) > 0).sum()) < 40


@pytest.mark.parametrize("parents", [1, 5])
def test_threshold_steps_between_two_values(parents):
    values = draw(Threshold(threshold=Draw.constant(0.0), step=Draw.constant(2.0)), 50, parents)(
        normal(50, 500, parents)
    )
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert values.mean() == pytest.approx(1.0, abs=0.05)


def test_threshold_is_where_it_was_asked_to_be():
    function = draw(Threshold(threshold=Draw.constant(0.5)))
    above = function(line(-0.6, -0.4, 0.4, 0.6)) > 0
    up, down = torch.tensor([False, False, False, True]), torch.tensor([True, False, False, False])
    assert all(torch.equal(steps, up) or torch.equal(steps, down) for steps in above)
    assert (above == up).all(1).any()
    assert (above == down).all(1).any()


def test_mlp_is_bounded_and_not_monotone_everywhere():
    values = draw(MLP(hidden=8, amplitude=ONE), 200)(torch.linspace(-4, 4, 200)[None, :, None].expand(200, -1, 1))
    assert values.abs().max() <= 8**0.5
    steps = values.diff(dim=1)
    turning = (steps.max(1).values > 1e-3) & (steps.min(1).values < -1e-3)
    assert turning.float().mean() > 0.3


def test_mlp_lets_parents_interact():
    function = draw(MLP(), 50, 2)
    corners = function(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).expand(50, 4, 2))
    interaction = (corners * torch.tensor([1.0, -1.0, -1.0, 1.0])).sum(1)
    assert interaction.abs().median() > 0.1


def slopes(mixture, nodes):
    return draw(mixture, nodes)(line(1.0, nodes=nodes)).abs().flatten()


def weighted(slope, weight):
    return Weighted(Linear(strength=Draw.constant(slope)), Ramp.constant(weight))


def test_mixture_uses_its_parts_by_weight():
    found = slopes(Mixture(of=(weighted(1.0, 3.0), weighted(10.0, 1.0), weighted(100.0, 0.0))), 4000)
    values, counts = found.unique(return_counts=True)
    assert values.tolist() == [1.0, 10.0]
    assert counts[0] / 4000 == pytest.approx(0.75, abs=0.03)


def test_mixture_of_one_part_is_that_part():
    assert (slopes(Mixture(of=(weighted(2.0, 0.1),)), 20) == 2.0).all()


def test_mixture_gives_every_node_the_values_of_its_own_part():
    mixture = Mixture(of=(weighted(1.0, 1.0), Weighted(Threshold(step=Draw.constant(50.0)))))
    values = draw(mixture, 200)(line(-3.0, -2.0, 2.0, 3.0, nodes=200))
    linear = values.abs() == torch.tensor([3.0, 2.0, 2.0, 3.0])
    stepped = (values == 0) | (values == 50)
    assert (linear.all(1) ^ stepped.all(1)).all()
    assert linear.all(1).float().mean() == pytest.approx(0.5, abs=0.15)


def test_parts_of_a_mixture_within_a_mixture_keep_their_share():
    inner = Mixture(of=(weighted(1.0, 1.0), weighted(2.0, 3.0)))
    outer = Mixture(of=(weighted(3.0, 2.0), Weighted(inner, Ramp.constant(2.0))))
    strengths, shares = zip(*((part.strength.least, share) for part, share in outer.parts), strict=True)
    assert strengths == (3.0, 1.0, 2.0)
    assert shares == (2.0, 0.5, 1.5)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            [Weighted(Sine(), Ramp(start=0.0, end=1.0, steps=9))],
            "the weight of sine must be one number: a mixture knows no steps",
        ),
        ([weighted(1.0, -1.0)], "the weight of linear must be at least 0, found -1.0"),
        ([weighted(1.0, 0.0)], "needs at least one weight above 0"),
    ],
)
def test_mixture_refuses_weights_it_cannot_use(parts, message):
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"):
        Mixture(of=tuple(parts))
