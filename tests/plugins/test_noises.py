import math

import pytest
import torch
from tabscm_builtin.noises.gaussian import Gaussian
from tabscm_builtin.noises.laplace import Laplace
from tabscm_builtin.noises.uniform import Uniform


def sample(noise, size=400_000):
    return noise.sample((size,), torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(
    ("noise", "kurtosis", "decile"),
    [
        (Uniform(), 1.8, 0.8 * math.sqrt(3)),
        (Gaussian(), 3.0, 1.2816),
        (Laplace(), 6.0, math.log(5) / math.sqrt(2)),
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
