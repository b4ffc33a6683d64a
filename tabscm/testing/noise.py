"""What noise promises."""

import torch
from torch import Tensor

from tabscm.kernel.interfaces import Noise
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import (
    require,
    require_device,
    require_finite,
    require_global_rng,
    require_same,
    restart,
)


def shape(noise: Noise, rng: torch.Generator) -> None:
    """`sample` returns float32 of the shape it is asked for."""
    expect(noise.sample((4, 5, 6), rng), "4 5 6", what="noise", dtype=torch.float32)


def device(noise: Noise, rng: torch.Generator) -> None:
    """Noise is on the device of rng."""
    require_device(noise.sample((4, 5), rng), rng, "noise")


def degenerate(noise: Noise, rng: torch.Generator) -> None:
    """Any shape will do: one value, none, no axes."""
    for wanted in ((), (1,), (0, 3), (1, 1, 1, 1)):
        found = noise.sample(wanted, rng)
        require(tuple(found.shape) == wanted, f"shape {list(found.shape)} instead of {list(wanted)}")


def reproducible(noise: Noise, rng: torch.Generator) -> None:
    """The same rng gives the same values."""
    first, second = (noise.sample((10, 20), restart(rng)) for _ in range(2))
    require_same(first, second, "values of two equal generators", tolerance=0.0)


def global_rng(noise: Noise, rng: torch.Generator) -> None:
    """Randomness comes from rng alone."""
    before = torch.get_rng_state()
    noise.sample((4, 5), rng)
    require_global_rng(before)


def finite(noise: Noise, rng: torch.Generator) -> None:
    """Every value is finite."""
    require_finite(noise.sample((2_000_000,), rng), "noise")


def mean(noise: Noise, rng: torch.Generator) -> None:
    """The mean is 0."""
    values = noise.sample((200_000,), rng).double()
    found, error = float(values.mean()), float(values.std()) / len(values) ** 0.5
    require(abs(found) < 5 * error + 1e-6, f"mean {found:.3g}, with a standard error of {error:.1g}")


def deviation(noise: Noise, rng: torch.Generator) -> None:
    """The standard deviation is 1."""
    values = noise.sample((200_000,), rng).double()
    squares = (values - values.mean()).square()
    found, error = float(squares.mean()), float(squares.std()) / len(values) ** 0.5
    # a heavy tail may hide in one sample of any length: 0.02 on top of the sampling error
    require(abs(found - 1) < 5 * error + 0.02, f"variance {found:.3g}, with a standard error of {error:.1g}")


def independent(noise: Noise, rng: torch.Generator) -> None:
    """Values are independent along every axis, and from one call to the next."""
    values = noise.sample((40, 50, 60), rng)
    for axis in range(3):
        size = values.shape[axis]
        neighbours = values.narrow(axis, 0, size - 1), values.narrow(axis, 1, size - 1)
        _require_uncorrelated(*neighbours, f"neighbours on axis {axis} of 3")
    _require_uncorrelated(values, noise.sample((40, 50, 60), rng), "two calls")


def _require_uncorrelated(first: Tensor, second: Tensor, what: str) -> None:
    for name, change in (("values", torch.clone), ("sizes", torch.abs)):
        pairs = torch.stack([change(first).flatten(), change(second).flatten()]).double()
        found = float(torch.corrcoef(pairs)[0, 1])
        require(abs(found) < 6 / pairs.shape[1] ** 0.5, f"{what}: {name} have correlation {found:.3g}")


CHECKS = (shape, device, degenerate, reproducible, global_rng, finite, mean, deviation, independent)
