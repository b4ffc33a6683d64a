"""What measurements promise."""

import torch
from torch import Tensor

from tabscm.kernel.interfaces import Measurement
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import require, require_device, require_global_rng, require_same, restart


def shape(measurement: Measurement, rng: torch.Generator) -> None:
    """`record` returns float32 of the shape it was given."""
    expect(measurement.record(_values(rng), rng), "6 40 5", what="recorded", dtype=torch.float32)


def device(measurement: Measurement, rng: torch.Generator) -> None:
    """What is recorded is on the device of rng."""
    require_device(measurement.record(_values(rng), rng), rng, "recorded")


def degenerate(measurement: Measurement, rng: torch.Generator) -> None:
    """One row, one variable, one task, or columns of one value will do."""
    for wanted in ((1, 1, 1), (1, 40, 1), (2, 1, 3)):
        found = measurement.record(torch.zeros(wanted, device=rng.device), rng)
        require(tuple(found.shape) == wanted, f"shape {list(found.shape)} instead of {list(wanted)}")
        require(not bool(found.isinf().any()), "an infinite value of columns that are all zeros")


def reproducible(measurement: Measurement, rng: torch.Generator) -> None:
    """The same rng records the same."""
    values = _values(rng)
    first, second = (measurement.record(values, restart(rng)) for _ in range(2))
    lost = first.isnan()
    require(torch.equal(lost, second.isnan()), "two equal generators lose different cells")
    require_same(first[~lost], second[~lost], "values of two equal generators", tolerance=0.0)


def global_rng(measurement: Measurement, rng: torch.Generator) -> None:
    """Randomness comes from rng alone."""
    values = _values(rng)
    before = torch.get_rng_state()
    measurement.record(values, rng)
    require_global_rng(before)


def leaves_values(measurement: Measurement, rng: torch.Generator) -> None:
    """The values it is given stay as they are."""
    values = _values(rng)
    before = values.clone()
    measurement.record(values, rng)
    require(torch.equal(values, before), "the values it was given changed")


def not_infinite(measurement: Measurement, rng: torch.Generator) -> None:
    """No recorded value is infinite, whatever the values: a cell that was lost is NaN."""
    for size in (1.0, 8.0):
        found = measurement.record(size * _values(rng, tasks=200).sign(), rng)
        require(not bool(found.isinf().any()), "an infinite value")


def tells(measurement: Measurement, rng: torch.Generator) -> None:
    """A column still tells something of its variable: over many tables, some recorded values follow the true ones."""
    values = _values(rng, tasks=200)
    found = measurement.record(values, rng)
    found = torch.where(found.isnan(), 0.0, found).double()
    centred = found - found.mean(1, keepdim=True)
    deviation = centred.square().mean(1).sqrt()
    correlation = (centred * values).mean(1).abs() / deviation.clamp(min=1e-9)
    require(float(correlation.mean()) > 0.2, f"a mean correlation of {float(correlation.mean()):.2g} with what is true")


def _values(rng: torch.Generator, *, tasks: int = 6) -> Tensor:
    """[B=tasks, 40, 5], standardised."""
    values = torch.randn(tasks, 40, 5, generator=rng, device=rng.device)
    return (values - values.mean(1, keepdim=True)) / values.std(1, correction=0, keepdim=True)


CHECKS = (shape, device, degenerate, reproducible, global_rng, leaves_values, not_infinite, tells)
