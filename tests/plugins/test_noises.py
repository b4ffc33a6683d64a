import math

import pytest
import torch
from tabscm_builtin.noises.exponential import Exponential
from tabscm_builtin.noises.gaussian import Gaussian
from tabscm_builtin.noises.gumbel import Gumbel
from tabscm_builtin.noises.laplace import Laplace
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
