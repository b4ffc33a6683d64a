import math

import pytest
import torch
from tabscm_builtin.noises.bimodal import Bimodal
from tabscm_builtin.noises.cauchy import Cauchy
from tabscm_builtin.noises.exponential import Exponential
from tabscm_builtin.noises.gaussian import Gaussian
from tabscm_builtin.noises.gumbel import Gumbel
from tabscm_builtin.noises.laplace import Laplace
from tabscm_builtin.noises.log_normal import LogNormal
from tabscm_builtin.noises.student import Student
from tabscm_builtin.noises.uniform import Uniform

from tabscm import Draw


def sample(noise, size=400_000):
    return noise.sample((size,), torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(
    ("noise", "kurtosis", "decile"),
    [
        (Uniform(), 1.8, 0.8 * math.sqrt(3)),
        (Gaussian(), 3.0, 1.2816),
        (Laplace(), 6.0, math.log(5) / math.sqrt(2)),
        (Student(freedom=Draw.constant(10.0)), 4.0, 1.3722 * math.sqrt(0.8)),
        (Student(freedom=Draw.constant(1e6)), 3.0, 1.2816),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_shape_of_the_distribution(noise, kurtosis, decile):
    values = sample(noise)
    assert values.pow(4).mean() == pytest.approx(kurtosis, rel=0.03)
    for tail in (values, -values):
        assert (tail > decile).double().mean() == pytest.approx(0.1, abs=0.003)


def test_uniform_has_hard_ends():
    assert sample(Uniform()).abs().max() == pytest.approx(math.sqrt(3), abs=1e-4)


def test_laplace_is_finite_where_its_quantile_is_not(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **settings: torch.tensor([0.0, 0.5]))
    low, middle = Laplace().sample((2,), torch.Generator()).tolist()
    assert -12 < low < -10
    assert middle == 0.0


@pytest.mark.parametrize(
    ("noise", "skewness", "upper", "lower"),
    [
        (Exponential(), 2.0, math.log(10) - 1, math.log(10 / 9) - 1),
        (
            Gumbel(),
            1.1395,
            (-math.log(math.log(10 / 9)) - 0.5772) * math.sqrt(6) / math.pi,
            (-math.log(math.log(10)) - 0.5772) * math.sqrt(6) / math.pi,
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_shape_of_a_skewed_distribution(noise, skewness, upper, lower):
    values = sample(noise)
    assert values.pow(3).mean() == pytest.approx(skewness, rel=0.05)
    assert (values > upper).double().mean() == pytest.approx(0.1, abs=0.003)
    assert (values < lower).double().mean() == pytest.approx(0.1, abs=0.003)
    assert torch.equal(sample(type(noise)(mirrored=True)), -values)


def test_exponential_has_a_hard_lower_end():
    assert sample(Exponential()).min() == pytest.approx(-1.0, abs=1e-4)


def test_gumbel_and_student_are_finite_where_their_quantiles_are_not(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **settings: torch.tensor([0.0, 1.0 - 2.0**-24]))
    high, low = Gumbel().sample((2,), torch.Generator()).tolist()
    assert 12 < high < 14
    assert -3 < low < -2
    assert torch.isfinite(Student(freedom=Draw.constant(4.0)).sample((2,), torch.Generator())).all()


def test_heavy_tails_of_student_are_those_of_its_freedom():
    values = sample(Student(freedom=Draw.constant(4.0)))
    assert (values.abs() > 8.6103 * math.sqrt(0.5)).double().mean() == pytest.approx(0.001, abs=2e-4)
    assert values.square().mean() == pytest.approx(1.0, abs=0.1)


def test_student_draws_the_tails_of_every_line_anew():
    lines = Student(freedom=Draw(choices=(4.0, 1e6))).sample((200, 5000), torch.Generator().manual_seed(0))
    assert (lines.abs().amax(1) > 6).float().mean() == pytest.approx(0.5, abs=0.1)


def test_student_wants_a_deviation_that_can_be_measured():
    with pytest.raises(ValueError, match=r"^freedom must be at least 4, found 2\.5$"):
        Student(freedom=Draw(low=2.5, high=9.0))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
def test_log_normal_is_normal_after_a_logarithm(sigma):
    values = sample(LogNormal(sigma=Draw.constant(sigma)))
    logarithm = torch.log1p(values * math.sqrt(math.expm1(sigma**2))) / sigma + sigma / 2
    assert logarithm.mean() == pytest.approx(0.0, abs=0.01)
    assert logarithm.std() == pytest.approx(1.0, abs=0.01)
    assert logarithm.pow(3).mean() == pytest.approx(0.0, abs=0.03)
    assert logarithm.pow(4).mean() == pytest.approx(3.0, abs=0.1)


def test_log_normal_mirrored_has_its_tail_below():
    assert torch.equal(sample(LogNormal(mirrored=True)), -sample(LogNormal()))


def test_log_normal_draws_the_skewness_of_every_line_anew():
    lines = LogNormal(sigma=Draw(choices=(0.01, 1.0))).sample((200, 2000), torch.Generator().manual_seed(0))
    assert (lines.pow(3).mean(1) > 1.5).float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("kept", "farthest"), [(0.5, 1.913), (0.9, 3.392), (0.98, 7.176)])
def test_cauchy_ends_where_it_is_cut_off(kept, farthest):
    values = sample(Cauchy(kept=kept))
    assert values.abs().max() == pytest.approx(farthest, rel=0.01)
    assert values.square().mean() == pytest.approx(1.0, abs=0.02)
    ratio = values.quantile(0.9) / values.quantile(0.7)
    assert ratio == pytest.approx(math.tan(0.4 * math.pi * kept) / math.tan(0.2 * math.pi * kept), rel=0.03)


def test_cauchy_is_a_sharp_peak_and_far_values():
    values = sample(Cauchy()).abs()
    assert (values < 0.25).double().mean() > 0.5  # 0.2 of normal values
    assert (values > 4).double().mean() > 0.01  # 6 in 100 000 of normal values


def test_bimodal_has_its_peaks_as_far_apart_and_as_high_as_it_was_asked_to():
    values = sample(Bimodal(separation=Draw.constant(8.0), upper=Draw.constant(0.25)))
    deviation = math.sqrt(1 + 64 * 0.25 * 0.75)
    middle = (4.0 - 8.0 * 0.25) / deviation
    upper, lower = values[values > middle], values[values < middle]
    assert len(upper) / len(values) == pytest.approx(0.25, abs=0.005)
    assert upper.mean() - lower.mean() == pytest.approx(8.0 / deviation, rel=0.005)
    assert upper.std() == pytest.approx(1 / deviation, rel=0.01)
    assert lower.std() == pytest.approx(1 / deviation, rel=0.01)


def test_bimodal_without_separation_is_normal():
    assert sample(Bimodal(separation=Draw.constant(0.0))).pow(4).mean() == pytest.approx(3.0, abs=0.1)


def test_bimodal_draws_the_peaks_of_every_line_anew():
    noise = Bimodal(separation=Draw.constant(9.0), upper=Draw(choices=(0.2, 0.8)))
    lines = noise.sample((300, 1000), torch.Generator().manual_seed(0))
    assert (lines > 0).float().mean(1).gt(0.5).float().mean() == pytest.approx(0.5, abs=0.1)
