import math

import pytest
import torch
from tabscm_builtin.measurements.censored import Censored
from tabscm_builtin.measurements.chain import Chain
from tabscm_builtin.measurements.common_factor import CommonFactor
from tabscm_builtin.measurements.counts import Counts
from tabscm_builtin.measurements.exact import Exact
from tabscm_builtin.measurements.levels import Levels
from tabscm_builtin.measurements.missing import Missing
from tabscm_builtin.measurements.mixture import Mixture
from tabscm_builtin.measurements.noisy import Noisy
from tabscm_builtin.measurements.positive import Positive
from tabscm_builtin.measurements.rounded import Rounded
from tabscm_builtin.measurements.warped import Warped

from tabscm import Draw, Ramp, Weighted


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def values(tasks=50, rows=1000, variables=4):
    x = torch.randn(tasks, rows, variables, generator=rng(7))
    return (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)


def distinct(recorded):
    """Distinct values of every column."""
    return [len(column.unique()) for table in recorded for column in table.T]


def test_exact_changes_nothing():
    assert torch.equal(Exact().record(values(), rng()), values())


def test_noisy_adds_an_error_of_the_size_it_says():
    error = Noisy(size=Draw.constant(0.5)).record(values(), rng()) - values()
    assert error.std() == pytest.approx(0.5, rel=0.02)
    assert (error * values()).mean().abs() < 0.01


def test_a_common_factor_is_one_for_a_row_felt_by_each_column_as_it_loads():
    factor = CommonFactor(size=Draw(low=0.2, high=1.0), loading=Draw(low=0.2, high=1.0))
    added = factor.record(values(), rng()) - values()
    moved = added.std(1, keepdim=True)  # [50, 1, 4]
    torch.testing.assert_close(added / moved, (added / moved)[..., :1].expand_as(added), atol=1e-3, rtol=0)
    assert 0.04 * 0.9 < moved.min() < moved.max() < 1.1
    of_columns = moved / moved[..., :1]
    assert of_columns.std() > 0.2  # each loads by itself,
    assert moved.mean(-1).std() > 0.1  # and tables differ
    assert (added / moved * values()).mean().abs() < 0.01


@pytest.mark.parametrize("rising", [Positive(), Warped(), Rounded(), Censored()], ids=lambda one: one.name)
def test_order_is_kept(rising):
    x, found = values(tasks=20, rows=200), rising.record(values(tasks=20, rows=200), rng())
    steps = found.gather(1, x.argsort(1)).diff(dim=1)
    assert steps.min() > -1e-5


def test_positive_readings_are_log_normal():
    found = Positive(gain=Draw.constant(0.7)).record(values(), rng())
    assert found.min() > 0
    assert found.log().std() == pytest.approx(0.7, rel=0.02)


def test_warped_draws_out_or_presses_together():
    out, together = (
        Warped(power=Draw.constant(power), centre=Draw.constant(0.0)).record(values(), rng()) for power in (2.0, 0.5)
    )
    torch.testing.assert_close(out, values() * values().abs())
    assert together.abs().max() < 2.5


def test_counts_are_poisson_around_their_mean():
    plain = Counts(
        gain=Draw.constant(0.0), mean=Draw.constant(5.0), size=Draw.constant(0.0), detection=Draw.constant(0.0)
    )
    found = plain.record(values(), rng())
    assert torch.equal(found, found.round())
    assert found.mean() == pytest.approx(5.0, rel=0.01)
    assert found.var() == pytest.approx(5.0, rel=0.03)


def test_counts_below_detection_are_lost_by_half_where_it_says():
    half = Counts(
        gain=Draw.constant(0.0), mean=Draw.constant(3.0), size=Draw.constant(0.0), detection=Draw.constant(3.0)
    )
    zeros = (half.record(values(), rng()) == 0).float().mean()
    assert zeros == pytest.approx(0.5 + 0.5 * math.exp(-3), abs=0.01)


def test_the_size_of_a_row_moves_all_its_counts_together():
    sized = Counts(
        gain=Draw.constant(0.0), mean=Draw.constant(50.0), size=Draw.constant(0.5), detection=Draw.constant(0.0)
    )
    found = sized.record(values(), rng())
    assert torch.corrcoef(found.flatten(0, 1).T)[0, 1] > 0.8


def test_rounded_leaves_few_marks():
    assert max(distinct(Rounded(marks=Draw.constant(1.0)).record(values(), rng()))) <= 12


def test_levels_are_as_many_as_drawn_and_sorted_unless_shuffled():
    three = Levels(count=Draw.constant(3.0), shuffled=0.0)
    found = three.record(values(), rng())
    assert max(distinct(found)) == 3
    assert found.gather(1, values().argsort(1)).diff(dim=1).min() >= 0
    mixed = Levels(count=Draw.constant(3.0), shuffled=1.0).record(values(), rng())
    falls = mixed.gather(1, values().argsort(1)).diff(dim=1).amin(1) < 0
    assert falls.float().mean() == pytest.approx(5 / 6, abs=0.12)  # one order in six is the sorted one


def test_censored_heaps_one_end():
    found = Censored(limit=Draw.constant(0.0)).record(values(), rng())
    at_limit = (found == 0).float().mean(1)
    assert at_limit.mean() == pytest.approx(0.5, abs=0.02)
    low = (found >= 0).all(1).float().mean()
    assert 0.3 < low < 0.7


def test_missing_loses_its_share_and_by_value_the_large_ones():
    at_random = Missing(share=Draw.constant(0.1), by_value=0.0).record(values(), rng()).isnan()
    assert at_random.float().mean() == pytest.approx(0.1, abs=0.005)
    assert values()[at_random].mean().abs() < 0.03
    by_value = Missing(share=Draw.constant(0.1), by_value=1.0).record(values(), rng()).isnan()
    assert by_value.float().mean() == pytest.approx(0.1, abs=0.005)
    assert values()[by_value].mean() > 0.5


def test_mixture_gives_each_column_a_measurement_of_its_own():
    mixed = Mixture(of=(Weighted(Exact(), Ramp.constant(3.0)), Weighted(Levels(count=Draw.constant(2.0)))))
    found = torch.tensor(distinct(mixed.record(values(tasks=200), rng())))
    assert ((found <= 2) | (found > 990)).all()
    assert (found > 990).float().mean() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([Ramp(start=0.0, end=1.0, steps=9)], "the weight of exact must be one number: a mixture knows no steps"),
        ([Ramp.constant(-1.0)], "the weight of exact must be at least 0, found -1"),
        ([Ramp.constant(0.0)], "needs at least one weight above 0"),
    ],
)
def test_mixture_refuses_weights_that_are_no_shares(weights, message):
    with pytest.raises(ValueError, match=message):
        Mixture(of=tuple(Weighted(Exact(), weight) for weight in weights))


def test_chain_records_what_was_recorded_and_what_is_lost_stays_lost():
    both = Chain(of=(Missing(share=Draw.constant(0.2), by_value=0.0), Levels(count=Draw.constant(2.0), shuffled=0.0)))
    found = both.record(values(), rng())
    assert found.isnan().float().mean() == pytest.approx(0.2, abs=0.01)
    assert set(found[~found.isnan()].unique().tolist()) == {0.0, 1.0}
    twice = Chain(of=(Positive(gain=Draw.constant(1.0)), Exact())).record(values(), rng())
    assert twice.mean(1).abs().max() < 1e-4
    assert twice.std(1, correction=0) == pytest.approx(torch.ones(50, 4), abs=1e-3)
