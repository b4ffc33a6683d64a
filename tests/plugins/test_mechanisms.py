import math

import attrs
import pytest
import torch
from tabscm_builtin.mechanisms.additive import Additive
from tabscm_builtin.mechanisms.categorical import Categorical
from tabscm_builtin.mechanisms.conditional_table import ConditionalTable
from tabscm_builtin.mechanisms.discrete_additive import DiscreteAdditive
from tabscm_builtin.mechanisms.gaussian_process import GaussianProcess
from tabscm_builtin.mechanisms.heteroscedastic import Heteroscedastic
from tabscm_builtin.mechanisms.linear import Linear
from tabscm_builtin.mechanisms.mixture import Mixture
from tabscm_builtin.mechanisms.mlp import MLP
from tabscm_builtin.mechanisms.multiplicative import Multiplicative
from tabscm_builtin.mechanisms.noisy_or import NoisyOr
from tabscm_builtin.mechanisms.ordinal import Ordinal
from tabscm_builtin.mechanisms.polynomial import Polynomial
from tabscm_builtin.mechanisms.post_nonlinear import PostNonlinear
from tabscm_builtin.mechanisms.quadratic import Quadratic
from tabscm_builtin.mechanisms.random_fourier import RandomFourier
from tabscm_builtin.mechanisms.sine import Sine
from tabscm_builtin.mechanisms.tanh import Tanh
from tabscm_builtin.mechanisms.threshold import Threshold
from tabscm_builtin.mechanisms.tree import Tree

from tabscm import Draw, Ramp, Weighted

ONE = Draw.constant(1.0)
NONLINEAR = [
    MLP(),
    Sine(),
    Tanh(),
    Quadratic(),
    Threshold(),
    RandomFourier(),
    GaussianProcess(),
    Additive(),
    Polynomial(),
    Tree(),
    Multiplicative(multiplied=0.0),
]


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


def interaction(mechanism, nodes=200):
    """What the second parent changes about the effect of the first, of two: [G]."""
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).expand(nodes, 4, 2)
    return (draw(mechanism, nodes, 2)(corners) * torch.tensor([1.0, -1.0, -1.0, 1.0])).sum(1)


@pytest.mark.parametrize(
    "mechanism",
    [MLP(), RandomFourier(), GaussianProcess(), Polynomial(), Tree(), Multiplicative()],
    ids=lambda one: one.name,
)
def test_parents_interact(mechanism):
    assert interaction(mechanism).abs().median() > 0.1


@pytest.mark.parametrize(
    "mechanism",
    [Additive(), Polynomial(degree=1), Tree(depth=1), Multiplicative(order=1)],
    ids=lambda one: one.name,
)
def test_parents_do_not_interact(mechanism):
    assert interaction(mechanism).abs().max() < 1e-5


@pytest.mark.parametrize("parents", [1, 4])
def test_random_fourier_varies_like_a_gaussian_process(parents):
    length = 0.2
    steps = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.8])
    mechanism = RandomFourier(length=Draw.constant(length), features=20)
    values = draw(mechanism, 20_000, parents)(steps[None, :, None].expand(20_000, -1, parents))
    variogram = (values[:, 1:] - values[:, :1]).square().mean(0)
    expected = 1 - torch.exp(-steps[1:].square() / (2 * length**2))  # every parent moves, and P is in the length
    torch.testing.assert_close(variogram / variogram[-1], expected / expected[-1], rtol=0, atol=0.03)


def test_random_fourier_has_the_amplitude_it_was_asked_for():
    deviation = draw(RandomFourier(amplitude=Draw.constant(3.0)), 300, 3)(normal(300, 500, 3)).std(1)
    assert deviation.mean() == pytest.approx(3.0, abs=0.2)
    assert deviation.min() > 1.0
    straight = draw(RandomFourier(length=Draw.constant(50.0), amplitude=Draw.constant(3.0)))(line(-1.0, 0.0, 1.0))
    assert straight.diff(n=2, dim=1).abs().median() < 0.2
    assert straight.diff(dim=1).abs().mean() == pytest.approx(3.0, abs=0.5)


def roughness(length):
    """How much of a step of 0.2 is not a continuation of the step before, for a mechanism with one parent."""
    x = torch.arange(-2.0, 2.0, 0.2)[None, :, None].expand(200, -1, 1)
    steps = draw(RandomFourier(length=Draw.constant(length)), 200)(x).diff(dim=1)
    return steps.diff(dim=1).square().mean() / steps.square().mean()


def test_random_fourier_bends_more_the_shorter_its_length():
    assert roughness(0.3) > 5 * roughness(1.0) > 25 * roughness(5.0)


@pytest.mark.parametrize(
    ("kernel", "covariance"),
    [
        ("matern-1/2", lambda r: torch.exp(-r)),
        ("matern-3/2", lambda r: (1 + 3**0.5 * r) * torch.exp(-(3**0.5) * r)),
        ("matern-5/2", lambda r: (1 + 5**0.5 * r + 5 / 3 * r.square()) * torch.exp(-(5**0.5) * r)),
        ("rational-quadratic", lambda r: 1 / (1 + r.square() / 2)),
    ],
)
@pytest.mark.parametrize("parents", [1, 3])
def test_gaussian_process_varies_as_its_kernel_says(kernel, covariance, parents):
    length = 0.1
    steps = torch.tensor([0.0, 0.025, 0.05, 0.1, 0.2, 0.4])
    mechanism = GaussianProcess(kernels=(kernel,), length=Draw.constant(length), features=40)
    values = draw(mechanism, 20_000, parents)(steps[None, :, None].expand(20_000, -1, parents))
    variogram = (values[:, 1:] - values[:, :1]).square().mean(0)
    expected = 1 - covariance(steps[1:] / length)  # every parent moves, and P is in the length
    size = (variogram @ expected) / (expected @ expected)  # whatever is left after standardising over the trial rows
    torch.testing.assert_close(variogram / size, expected, rtol=0, atol=0.03)


def test_nodes_of_a_gaussian_process_share_out_the_kernels():
    x = torch.arange(-1.0, 1.0, 0.02)[None, :, None].expand(600, -1, 1)
    mechanism = GaussianProcess(kernels=("matern-1/2", "matern-5/2", "matern-5/2"), length=ONE)
    values = draw(mechanism, 600)(x)
    rough = values.diff(n=2, dim=1).square().mean(1) > 0.01 * values.diff(dim=1).square().mean(1)
    assert rough.float().mean() == pytest.approx(1 / 3, abs=0.08)


def test_every_parent_of_a_gaussian_process_has_a_length_of_its_own():
    function = draw(GaussianProcess(kernels=("matern-5/2",), length=Draw(choices=(0.2, 20.0))), 400, 2)
    along = torch.linspace(-1.0, 1.0, 21)[None, :, None].expand(400, -1, 1)
    paths = [function(torch.cat(pair, 2)) for pair in ((along, 0 * along), (0 * along, along))]
    straight = torch.stack([path.diff(n=2, dim=1).square().mean(1) < 1e-3 for path in paths])
    assert straight.float().mean(1).tolist() == pytest.approx([0.5, 0.5], abs=0.1)
    assert (straight[0] != straight[1]).float().mean() == pytest.approx(0.5, abs=0.1)


def test_additive_gives_every_parent_a_curve_of_its_own():
    function = draw(Additive(), 50, 3)
    x = normal(50, 200, 3)
    alone = torch.stack([function(x * (torch.arange(3) == parent)) for parent in range(3)])
    silent = function(torch.zeros(50, 1, 3))
    torch.testing.assert_close(function(x), alone.sum(0) - 2 * silent, rtol=1e-4, atol=1e-4)
    assert (alone.std(2) > 0.1).all()
    first, second = alone[0], function(torch.stack([torch.zeros_like(x[:, :, 0]), x[:, :, 0], x[:, :, 0] * 0], 2))
    assert (first - second).std(1).min() > 0.05


def test_additive_curves_are_not_straight():
    values = draw(Additive())(line(-1.0, 0.0, 1.0))
    assert values.diff(n=2, dim=1).abs().median() > 0.3


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_polynomial_has_the_degree_it_was_asked_for(degree):
    values = draw(Polynomial(degree=degree, reach=10.0))(torch.linspace(-3, 3, 13)[None, :, None].expand(50, -1, 1))
    assert values.diff(n=degree + 1, dim=1).abs().max() < 1e-3
    assert values.diff(n=degree, dim=1).abs().median() > 1e-3


def test_polynomial_goes_on_along_its_tangent():
    function = draw(Polynomial(degree=4, reach=2.0))
    far = torch.cat([torch.linspace(-9, -2, 8), torch.linspace(2, 9, 8)])[None, :, None].expand(50, -1, 1)
    values = function(far)
    bends = torch.cat([values[:, :8].diff(n=2, dim=1), values[:, 8:].diff(n=2, dim=1)])
    assert bends.abs().max() < 1e-3
    inside, edge, outside = function(line(1.99, 2.0, 2.01)).unbind(1)
    torch.testing.assert_close(outside - edge, edge - inside, rtol=0.05, atol=0.02)


def test_an_outlier_of_a_polynomial_stays_within_proportion():
    values = draw(Polynomial(degree=6), 200)(line(1.0, 30.0, nodes=200)).abs()
    assert values[:, 1].max() < 3000.0  # the sixth power itself is 7 million deviations


def test_tree_is_flat_between_its_thresholds():
    function = draw(Tree(trees=1, depth=3), 50, 5)
    x = normal(50, 2000, 5)
    values = function(x)
    assert max(len(node.unique()) for node in values) <= 8
    assert min(len(node.unique()) for node in values) >= 4
    assert (function(x + 1e-5) == values).float().mean() > 0.999


def test_tree_asks_where_its_threshold_is():
    function = draw(Tree(trees=2, depth=2, threshold=Draw.constant(0.5)))
    below, at, above = function(line(-9.0, 0.49, 0.51)).unbind(1)
    assert torch.equal(below, at)
    assert (above != at).all()


@pytest.mark.parametrize("parents", [2, 12, 30])
def test_every_parent_of_a_tree_has_its_say(parents):
    function = draw(Tree(trees=4, depth=3), 50, parents)
    x = normal(50, 300, parents)
    values = function(x)
    for parent in range(parents):
        changed = x.clone()
        changed[:, :, parent] += 5.0
        assert (function(changed) != values).any(1).all()


def test_multiplicative_is_a_product_of_what_its_parents_do_alone():
    # at an unlimited reach y(x1, x2) = w (1 + b1 x1) (1 + b2 x2): y(0, 0) y(1, 1) = y(1, 0) y(0, 1)
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).expand(50, 4, 2)
    none, both, first, second = draw(Multiplicative(reach=1e3), 50, 2)(corners).unbind(1)
    torch.testing.assert_close(none * both, first * second, rtol=1e-3, atol=1e-4)
    assert (first - none).abs().min() > 1e-2


def test_multiplicative_nears_a_sum_as_its_slope_goes_to_0():
    assert interaction(Multiplicative(slope=Draw.constant(0.01))).abs().max() < 0.1
    assert interaction(Multiplicative(slope=Draw.constant(3.0))).abs().median() > 2.0


@pytest.mark.parametrize("parents", [1, 2, 4, 7, 30])
def test_every_parent_of_a_product_has_its_say(parents):
    function = draw(Multiplicative(order=3, terms=3), 50, parents)
    x = normal(50, 100, parents)
    values = function(x)
    for parent in range(parents):
        changed = x.clone()
        changed[:, :, parent] += 1.0
        assert ((function(changed) - values).abs().amax(1) > 1e-3).all()


def test_an_outlier_of_a_product_stays_within_proportion():
    values = draw(Multiplicative(), 200, 3)(torch.full((200, 1, 3), 1e6)).abs()
    assert torch.equal(values, draw(Multiplicative(), 200, 3)(torch.full((200, 1, 3), 1e5)).abs())
    assert values.max() < 3.0 * (1 + 3 * 2.5) ** 3 / (1 + 3**2) ** 1.5 * 1.2


def test_noise_of_a_product_is_as_large_multiplied_as_added():
    noise = torch.randn(300, 2000, generator=rng(2))
    x, mask = normal(300, 2000, 3), torch.ones(300, 3, dtype=torch.bool)
    added, multiplied = (
        (function := Multiplicative(multiplied=share).draw(mask, rng()))(x, noise) - function(x, torch.zeros(300, 2000))
        for share in (0.0, 1.0)
    )
    torch.testing.assert_close(added, noise, rtol=1e-3, atol=1e-3)
    assert 0.7 < multiplied.std(1).median() < 1.5
    signal = draw(Multiplicative(multiplied=1.0), 300, 3)(x).abs()
    quiet = signal < signal.quantile(0.2, 1, keepdim=True)
    assert multiplied[quiet].std() < 0.3 * multiplied[~quiet].std()


def test_the_share_of_products_whose_noise_multiplies():
    zero, one = torch.zeros(2000, 2), torch.ones(2000, 2)
    x = line(-0.7, 1.3, nodes=2000)
    function = Multiplicative(multiplied=0.25).draw(torch.ones(2000, 1, dtype=torch.bool), rng())
    moved = function(x, one) - function(x, zero)
    assert ((moved - 1.0).abs() > 1e-4).any(1).float().mean() == pytest.approx(0.25, abs=0.03)
    roots = Multiplicative(multiplied=1.0).draw(torch.zeros(2000, 1, dtype=torch.bool), rng())
    assert torch.equal(roots(x, one), one)


@pytest.mark.parametrize(("levels", "deviation"), [(2, 0.5), (3, (2 / 3) ** 0.5), (6, (35 / 12) ** 0.5)])
@pytest.mark.parametrize("nominal", [0.0, 1.0])
def test_levels_of_a_conditional_table_are_evenly_spaced_numbers(levels, deviation, nominal):
    mechanism = ConditionalTable(levels=Draw.constant(levels), nominal=nominal)
    values = mechanism.draw(torch.ones(50, 2, dtype=torch.bool), rng())(normal(50, 2000, 2), normal(50, 2000)[:, :, 0])
    expected = (torch.arange(levels) - (levels - 1) / 2) / deviation
    torch.testing.assert_close(values.unique(), expected, rtol=1e-4, atol=1e-4)


def test_a_conditional_table_says_one_thing_for_one_combination_of_levels():
    mechanism = ConditionalTable(parent_levels=Draw.constant(2.0), parent_shift=Draw.constant(0.0))
    function = draw(mechanism, 200, 2)
    x = normal(200, 300, 2)
    values, combination = function(x), (x > 0).long() @ torch.tensor([1, 2])
    for one in range(4):
        here = torch.where(combination == one, values, torch.nan)
        assert (here.nan_to_num(nan=-9.0).amax(1) == here.nan_to_num(nan=9.0).amin(1)).all()


def direction(interaction):
    """How many of the nodes with a parent of 5 levels never turn as it grows, of those which move at all."""
    mechanism = ConditionalTable(
        levels=Draw.constant(16.0),
        span=Draw.constant(4.0),
        parent_levels=Draw.constant(5.0),
        interaction=Draw.constant(interaction),
        nominal=0.0,
    )
    steps = draw(mechanism, 200)(torch.linspace(-3, 3, 100)[None, :, None].expand(200, -1, 1)).diff(dim=1)
    return ((steps >= 0).all(1) | (steps <= 0).all(1)).float().mean()


def test_entries_of_a_conditional_table_follow_the_levels_as_far_as_they_are_asked_to():
    assert direction(0.0) == 1.0
    assert direction(0.2) > direction(1.0)
    assert direction(1.0) < 0.3  # of 5 random entries 1 in 60 is in order


def test_parents_of_a_conditional_table_interact():
    settings = {"levels": Draw.constant(16.0), "span": Draw.constant(4.0), "nominal": 0.0}
    sums, tables = (
        interaction(ConditionalTable(interaction=Draw.constant(share), **settings)).abs().median()
        for share in (0.0, 1.0)
    )
    assert tables > 3 * sums  # what is left without is the width of a level


@pytest.mark.parametrize("entries", [2, 128])
@pytest.mark.parametrize("parents", [2, 12, 40])
def test_every_parent_of_a_conditional_table_has_its_say(entries, parents):
    function = draw(ConditionalTable(entries=entries, levels=Draw.constant(6.0)), 200, parents)
    x = normal(200, 100, parents)
    values = function(x)
    for parent in (0, parents // 2, parents - 1):
        changed = x.clone()
        changed[:, :, parent] = -changed[:, :, parent]
        assert (function(changed) != values).any(1).float().mean() > 0.9


def test_noise_blurs_a_conditional_table():
    function = ConditionalTable().draw(torch.ones(200, 2, dtype=torch.bool), rng())
    x, noise = normal(200, 300, 2), torch.randn(200, 300, generator=rng(2))
    certain = function(x, torch.zeros_like(noise))
    agree = [(function(x, scale * noise) == certain).float().mean() for scale in (0.1, 1.0, 10.0)]
    assert agree[0] > 0.9
    assert agree[0] > agree[1] + 0.1 > agree[2] + 0.2


@pytest.mark.parametrize("slots", [0, 2])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_roots_of_a_conditional_table_are_discrete_whatever_their_noise(slots, scale):
    mechanism = ConditionalTable(levels=Draw.constant(4.0), span=Draw.constant(2.7), shift=Draw.constant(0.0))
    function = mechanism.draw(torch.zeros(50, slots, dtype=torch.bool), rng())
    skewed = -torch.log1p(-torch.rand(50, 4000, generator=rng(1))) - 1.0
    levels, counts = function(torch.zeros(50, 4000, slots), scale * skewed).unique(return_counts=True)
    assert len(levels) == 4
    torch.testing.assert_close(counts / counts.sum(), torch.full((4,), 0.25), rtol=0, atol=0.02)


def test_the_share_of_nominal_variables():
    noise = torch.linspace(-6, 6, 200).expand(500, -1)
    mechanism = ConditionalTable(levels=Draw.constant(6.0), nominal=0.4)
    function = mechanism.draw(torch.ones(500, 1, dtype=torch.bool), rng())
    ordered = (function(torch.zeros(500, 200, 1), noise).diff(dim=1) >= 0).all(1)
    assert ordered.float().mean() == pytest.approx(0.6, abs=0.06)


def link(nodes=200, **settings):
    """A post-nonlinear mechanism over plus or minus one parent, and that sign: [G, 1]."""
    mechanism = PostNonlinear(of=Linear(strength=ONE), **settings)
    function = mechanism.draw(torch.ones(nodes, 1, dtype=torch.bool), rng())
    ends = function(line(-1.0, 1.0, nodes=nodes), torch.zeros(nodes, 2))
    return function, torch.sign(ends[:, 1:] - ends[:, :1])


def test_post_nonlinear_sees_only_the_sum_of_signal_and_noise():
    function, sign = link()
    x, noise = normal(200, 100), normal(200, 100).flip(1)[:, :, 0]
    together = x + (sign * noise)[:, :, None]
    torch.testing.assert_close(function(x, noise), function(together, torch.zeros_like(noise)), rtol=1e-4, atol=1e-4)


def test_post_nonlinear_rises_everywhere_and_is_no_straight_line():
    function, sign = link()
    x = torch.linspace(-8, 8, 200)[None, :, None] * sign[:, :, None]
    steps = function(x, torch.zeros(200, 200)).diff(dim=1)
    assert steps.min() > 0
    assert (steps.amax(1) / steps.amin(1)).median() > 3


def test_noise_of_post_nonlinear_is_not_added():
    function, _ = link()
    moved = function(line(-3.0, 0.0, 3.0, nodes=200), torch.ones(200, 3)) - function(
        line(-3.0, 0.0, 3.0, nodes=200), torch.zeros(200, 3)
    )
    assert (moved.amax(1) / moved.amin(1)).median() > 1.5
    assert not PostNonlinear(of=Linear()).additive


@pytest.mark.parametrize("wrapper", [PostNonlinear, Ordinal])
def test_some_wrappers_want_a_mechanism_that_adds_its_noise(wrapper):
    mixed = Mixture(of=(Weighted(Linear()), Weighted(Heteroscedastic(of=Linear()))))
    with pytest.raises(ValueError, match=r"^of must be a mechanism that adds its noise, and heteroscedastic does not$"):
        wrapper(of=mixed)


@pytest.mark.parametrize("levels", [2, 3, 40])
def test_ordinal_gives_levels_in_order(levels):
    function = Ordinal(of=MLP(), levels=Draw.constant(float(levels))).draw(torch.ones(50, 2, dtype=torch.bool), rng())
    found = function(torch.zeros(50, 2000, 2), torch.linspace(-9, 9, 2000).expand(50, -1))
    steps = found.diff(dim=1)
    assert steps.min() >= 0
    place = torch.arange(float(levels))
    each = (place - place.mean()) / place.std(correction=0)
    for column in found:
        torch.testing.assert_close(column.unique(), each, rtol=1e-4, atol=1e-5)


def test_ordinal_cuts_what_the_other_mechanism_gives():
    settings = {"levels": Draw.constant(40.0), "span": Draw.constant(4.0), "shift": Draw.constant(0.0)}
    x, noise = normal(100, 500, 2), 0.1 * normal(100, 500)[:, :, 0]
    mask = torch.ones(100, 2, dtype=torch.bool)
    plain, found = (one.draw(mask, rng())(x, noise) for one in (MLP(), Ordinal(of=MLP(), **settings)))
    for one, other in zip(plain, found, strict=True):
        assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.9


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_ordinal_takes_thresholds_and_noise_in_deviations_of_the_function(size):
    settings = {"levels": Draw.constant(100.0), "span": Draw.constant(12.0), "shift": Draw.constant(0.0)}
    mechanism = Ordinal(of=Threshold(step=Draw.constant(6.0), threshold=Draw.constant(0.0)), **settings)
    function = mechanism.draw(torch.ones(200, 1, dtype=torch.bool), rng())
    noise = size * torch.randn(200, 1000, generator=rng(2))
    levels = function(normal(200, 1000), noise) * ((100**2 - 1) / 12) ** 0.5  # in steps, of which 100 / 12 a deviation
    assert levels.mean() == pytest.approx(0.0, abs=1.5)
    assert levels.std(1).median() / (100 / 12) == pytest.approx((1 + size**2) ** 0.5, rel=0.1)


@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_roots_of_ordinal_are_normal_whatever_their_noise(scale):
    settings = {"levels": Draw.constant(2.0), "shift": Draw.constant(0.5)}
    for slots in (0, 2):
        function = Ordinal(of=Linear(), **settings).draw(torch.zeros(50, slots, dtype=torch.bool), rng())
        found = function(torch.ones(50, 4000, slots), scale * normal(50, 4000)[:, :, 0].expm1())
        assert (found > 0).float().mean() == pytest.approx(1 - 0.6915, abs=0.01)


def noise_size(mechanism, x):
    """By how much noise of 1 moves the values at x, which is [G, N, P]."""
    function = mechanism.draw(torch.ones(len(x), x.shape[2], dtype=torch.bool), rng())
    zero = torch.zeros(x.shape[:2])
    upwards, downwards = function(x, zero + 1) - function(x, zero), function(x, zero) - function(x, zero - 1)
    torch.testing.assert_close(upwards, downwards, rtol=1e-3, atol=1e-3)
    return upwards


def test_heteroscedastic_scales_noise_by_what_the_parents_are():
    size = noise_size(Heteroscedastic(of=MLP()), normal(300, 200, 2))
    assert size.min() >= 0
    assert (size.quantile(0.9, 1) / size.quantile(0.1, 1)).median() > 3
    assert size.median() == pytest.approx(1.0, abs=0.2)


def test_heteroscedastic_leaves_the_signal_as_it_is():
    mask, x = torch.ones(50, 3, dtype=torch.bool), normal(50, 100, 3)
    zero = torch.zeros(50, 100)
    plain, scaled = (one.draw(mask, rng())(x, zero) for one in (MLP(), Heteroscedastic(of=MLP())))
    assert torch.equal(plain, scaled)


def test_heteroscedastic_without_contrast_is_the_mechanism_itself():
    size = noise_size(Heteroscedastic(of=Tanh(), contrast=Draw.constant(0.0)), normal(50, 100, 2))
    torch.testing.assert_close(size, torch.ones_like(size), rtol=1e-4, atol=1e-4)


def test_heteroscedastic_leaves_the_noise_of_roots_as_it_is():
    noise = normal(50, 100)[:, :, 0]
    for slots in (0, 2):
        function = Heteroscedastic(of=Linear()).draw(torch.zeros(50, slots, dtype=torch.bool), rng())
        torch.testing.assert_close(function(torch.ones(50, 100, slots), noise), noise)


@pytest.mark.parametrize("wrapper", [PostNonlinear, Heteroscedastic, Ordinal])
def test_a_wrapped_mixture_is_a_mixture_of_wrapped_parts(wrapper):
    wrapped = wrapper(of=Mixture(of=(weighted(1.0, 3.0), Weighted(MLP()))))
    assert wrapped.parts == ((wrapper(of=Linear(strength=ONE)), 3.0), (wrapper(of=MLP()), 1.0))


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
        ([weighted(1.0, -1.0)], "the weight of linear must be at least 0, found -1"),
        ([weighted(1.0, 0.0)], "needs at least one weight above 0"),
    ],
)
def test_mixture_refuses_weights_it_cannot_use(parts, message):
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"):
        Mixture(of=tuple(parts))


def table(function, rows, parents):
    """Share of rows in which a node is above 0, for each of the 4 combinations of two binary parents: [G, 4]."""
    noise = torch.randn(len(parents), rows, generator=rng(5))
    one = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    return torch.stack([(function(row.expand(len(parents), rows, 2), noise) > 0).float().mean(1) for row in one], 1)


def test_a_categorical_variable_has_a_distribution_for_each_combination_of_levels():
    mechanism = Categorical(levels=Draw.constant(2.0), parent_levels=Draw.constant(2.0), nominal=0.0)
    mask = torch.ones(300, 2, dtype=torch.bool)
    function = mechanism.draw(mask, rng())
    on = table(function, 4000, mask)
    noise = torch.randn(300, 4000, generator=rng(6))
    farther = (function(torch.tensor([2.5, -0.1]).expand(300, 4000, 2), noise) > 0).float().mean(1)
    torch.testing.assert_close(farther, on[:, 1], rtol=0, atol=0.05)  # the side of its mean is all that tells
    assert (on.amax(1) - on.amin(1) > 0.3).float().mean() > 0.6
    assert ((on > 0.02) & (on < 0.98)).any(1).float().mean() > 0.6


def test_categorical_parents_interact_as_far_as_they_are_asked_to():
    def interaction(share):
        settings = {"skew": Draw.constant(0.0), "amplitude": Draw.constant(1.0), "interaction": Draw.constant(share)}
        mechanism = Categorical(levels=Draw.constant(2.0), parent_levels=Draw.constant(2.0), nominal=0.0, **settings)
        mask = torch.ones(300, 2, dtype=torch.bool)
        logit = table(mechanism.draw(mask, rng()), 20_000, mask).clamp(1e-3, 1 - 1e-3).logit()
        return (logit[:, 0] - logit[:, 1] - logit[:, 2] + logit[:, 3]).abs().median()

    assert interaction(0.0) < 0.15  # a sum of logits, seen through sampling error
    assert interaction(1.0) > 1.0


def test_a_large_amplitude_makes_a_categorical_variable_follow_from_its_parents():
    def certainty(amplitude):
        mechanism = Categorical(amplitude=Draw.constant(amplitude), skew=Draw.constant(0.0), nominal=0.0)
        values = mechanism.draw(torch.ones(200, 1, dtype=torch.bool), rng())(
            torch.ones(200, 500, 1), normal(200, 500)[:, :, 0]
        )
        return (values == values.mode(1, keepdim=True).values).float().mean()

    assert certainty(0.1) < 0.55 < 0.75 < certainty(3.0) < certainty(30.0)
    assert certainty(30.0) > 0.95


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_levels_of_a_categorical_root_are_as_rare_as_its_logits_say(scale):
    function = Categorical(levels=Draw.constant(2.0), skew=Draw.constant(100.0)).draw(
        torch.zeros(200, 0, dtype=torch.bool), rng()
    )
    values = function(torch.zeros(200, 8000, 0), scale * torch.randn(200, 8000, generator=rng(1)))
    rare = (values > 0).float().mean(1)
    rare = torch.minimum(rare, 1 - rare)  # nearly all logits are at one of the bounds: equal, or 5 apart
    expected = torch.tensor([0.5, 1 / (1 + math.exp(5.0))])
    assert ((rare[:, None] - expected).abs().amin(1) < 0.02).float().mean() > 0.9
    assert rare.min() > 0.003


def test_any_parent_turns_a_gate_on():
    settings = {"inhibition": Draw.constant(0.2), "leak": Draw.constant(0.05)}
    mask = torch.ones(20, 2, dtype=torch.bool)
    on = table(NoisyOr(turned=0.0, **settings).draw(mask, rng()), 20_000, mask)
    expected = 1.0 - 0.95 * torch.tensor([1.0, 0.2, 0.2, 0.04])
    torch.testing.assert_close(on, expected.expand(20, 4), rtol=0, atol=0.02)
    turned = table(NoisyOr(turned=1.0, **settings).draw(mask, rng()), 20_000, mask)
    torch.testing.assert_close(turned, 1.0 - expected.flip(0).expand(20, 4), rtol=0, atol=0.02)  # a noisy and


def test_parents_move_a_whole_number_and_leave_its_noise_as_it_is():
    mechanism = DiscreteAdditive(
        levels=Draw.constant(16.0),
        parent_levels=Draw.constant(2.0),
        strength=Draw(choices=(1.0, 2.0)),
        noise_levels=Draw.constant(3.0),
    )
    function = mechanism.draw(torch.ones(50, 1, dtype=torch.bool), rng())
    noise = torch.randn(50, 20_000, generator=rng(1))
    off, on = (function(torch.full((50, 20_000, 1), side), noise) for side in (-1.0, 1.0))
    moved = on - off
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), atol=1e-5, rtol=0)
    level = (off.amax(1) - off.amin(1)) / 2.0  # of three
    assert set((moved[:, 0] / level).round().tolist()) == {-2.0, -1.0, 1.0, 2.0}
    shares = (off == off.amax(1, keepdim=True)).float().mean(1)
    assert shares.min() < 0.1 < 0.6 < shares.max()  # some levels are rare


def test_weights_of_several_parents_add_up_in_whole_numbers():
    settings = {"parent_levels": Draw.constant(2.0), "strength": Draw(choices=(1.0, 2.0)), "skew": Draw.constant(0.0)}
    mechanism = DiscreteAdditive(levels=Draw.constant(16.0), **settings)
    mask = torch.ones(30, 2, dtype=torch.bool)
    function = mechanism.draw(mask, rng())
    noise = torch.randn(1, 1, generator=rng(1)).expand(30, 1)
    at = {
        (i, j): function(torch.tensor([[[i, j]]], dtype=torch.float32).expand(30, 1, 2), noise)
        for i in (-1, 1)
        for j in (-1, 1)
    }
    torch.testing.assert_close(at[1, 1] - at[1, -1], at[-1, 1] - at[-1, -1], atol=1e-5, rtol=0)
    ratio = ((at[1, 1] - at[-1, 1]) / (at[1, 1] - at[1, -1])).abs()
    assert set(ratio.flatten().mul(2).round().tolist()) == {1.0, 2.0, 4.0}


def test_a_scale_of_whole_numbers_ends_near_its_middle():
    mask = torch.ones(200, 4, dtype=torch.bool)
    function = DiscreteAdditive(levels=Draw.constant(3.0), skew=Draw.constant(0.0)).draw(mask, rng())
    values = function(torch.randn(200, 2000, 4, generator=rng(1)), torch.randn(200, 2000, generator=rng(2)))
    levels = torch.tensor([-1.0, 0.0, 1.0]) * math.sqrt(1.5)
    torch.testing.assert_close(values.unique(), levels)
    shares = torch.stack([(values - level).abs().lt(0.1).float().mean(1) for level in levels])
    assert shares.amax(0).median() < 0.7
    assert shares.amax(0).max() < 0.98
    assert (shares[0] - shares[2]).mean().abs() < 0.1  # neither end is kept more than the other


def test_a_whole_number_without_parents_has_levels_of_its_own():
    mechanism = DiscreteAdditive(levels=Draw.constant(3.0), noise_levels=Draw.constant(2.0), skew=Draw.constant(0.0))
    values = mechanism.draw(torch.zeros(20, 0, dtype=torch.bool), rng())(
        torch.zeros(20, 5000, 0), torch.randn(20, 5000, generator=rng(1))
    )
    levels, counts = values.unique(return_counts=True)
    torch.testing.assert_close(levels, torch.tensor([-1.0, 0.0, 1.0]) * math.sqrt(1.5))
    torch.testing.assert_close(counts / values.numel(), torch.full((3,), 1 / 3), atol=0.02, rtol=0)


def test_every_parent_of_a_whole_number_matters():
    mask = torch.ones(400, 3, dtype=torch.bool)
    function = DiscreteAdditive(skew=Draw.constant(0.0)).draw(mask, rng())
    noise = torch.linspace(0.0, 0.02, 60)[:-1].expand(400, -1) + 1e-5  # all that it can be, once folded
    sides = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    means = torch.stack([function(side.expand(400, noise.shape[1], 3), noise).mean(1) for side in sides], 1)
    means = means.view(400, 2, 2, 2)
    moved = torch.stack([(means.select(axis, 0) - means.select(axis, 1)).abs().amax((1, 2)) for axis in (1, 2, 3)])
    assert (moved > 1e-3).float().mean() > 0.99


def test_a_gate_without_parents_is_on_as_often_as_its_prevalence_says():
    function = NoisyOr(prevalence=Draw.constant(0.03), turned=0.0).draw(torch.zeros(20, 2, dtype=torch.bool), rng())
    values = function(torch.zeros(20, 20_000, 2), torch.randn(20, 20_000, generator=rng(1)))
    assert set(values.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close((values > 0).float().mean(1), torch.full((20,), 0.03), rtol=0, atol=0.006)


def test_rare_levels_of_categorical_variables_do_not_tell_effects_from_causes():
    nodes, rows = 400, 1000

    def rarest(spec, parents):
        generator = torch.Generator().manual_seed(7)
        function = spec.draw(torch.ones(nodes, parents, dtype=torch.bool), generator)
        coins = 2.0 * (torch.rand(nodes, rows, parents, generator=generator) < 0.5) - 1.0
        found = function(coins, torch.randn(nodes, rows, generator=generator))
        return (found > 0).float().mean(1).sub(0.5).abs().median()

    binary = Categorical(levels=Draw.constant(2.0), parent_levels=Draw.constant(2.0), nominal=0.0)
    strong = attrs.evolve(binary, amplitude=Draw.constant(5.0))
    flat = attrs.evolve(strong, rarity=Draw.constant(0.0))
    assert rarest(flat, 2) < rarest(binary, 0) - 0.05
    assert abs(rarest(strong, 2) - rarest(binary, 0)) < 0.05
