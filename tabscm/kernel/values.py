"""Small closed values that an experiment file may put in place of a number: a distribution, or a ramp over steps."""

import math
from collections.abc import Callable
from typing import Any, Literal

import attrs
import numpy as np
import torch
from torch import Tensor

LARGEST = float(torch.finfo(torch.float32).max)
"""Number that can be drawn."""


@attrs.frozen
class Draw:
    """A number drawn anew each time: uniform, log-uniform, or one of a list.

    In TOML a bare number (always that number), `{ low = 0.25, high = 4.0 }`, `{ low = 50, high = 5000, scale = "log" }`
    or `{ choices = [100, 200, 400] }`. With `per_decade = 6` a log-uniform draw gives about so many values between a
    number and ten times it, each as likely as the others and both ends among them: sizes for which kernels are
    compiled should be few.
    """

    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    choices: tuple[float, ...] | None = None
    per_decade: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))

    def __attrs_post_init__(self) -> None:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.scale != "linear" or self.per_decade is not None:
                raise ValueError("give either choices or low and high, not both")
            if not self.choices:
                raise ValueError("choices is empty")
            return
        if self.low is None or self.high is None:
            raise ValueError("needs low and high (or choices)")
        if not self.low <= self.high:
            raise ValueError(f"low is {self.low:g}, above high, which is {self.high:g}")
        if max(-self.low, self.high, self.high - self.low) > LARGEST:
            raise ValueError(f"low and high have to be numbers of 32 bits, and no further apart: {LARGEST:.1e}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f'scale = "log" needs low above 0, found {self.low:g}')
        if self.scale != "log" and self.per_decade is not None:
            raise ValueError(f'per_decade belongs to scale = "log", found scale = "{self.scale}"')

    @classmethod
    def constant(cls, value: float) -> "Draw":
        """The draw that always gives `value`."""
        return cls(low=value, high=value)

    @property
    def least(self) -> float:
        """The smallest value it can give."""
        return min(self.choices) if self.choices is not None else _known(self.low)

    @property
    def most(self) -> float:
        """The largest value it can give."""
        return max(self.choices) if self.choices is not None else _known(self.high)

    @property
    def listed(self) -> tuple[float, ...] | None:
        """All that it can give, one as likely as the other; None where that is a range."""
        if self.per_decade is None:
            return self.choices
        low, high = self.least, self.most
        steps = max(1, round(self.per_decade * math.log10(high / low)))
        return (*(low * (high / low) ** (step / steps) for step in range(steps)), high)

    def sample(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Draw a tensor of `shape`, float32, on the device of `rng`."""
        drawn = torch.empty(shape, device=rng.device)
        if (listed := self.listed) is not None:
            values = torch.tensor(listed, dtype=torch.float32).to(rng.device, non_blocking=True)
            return values[drawn.uniform_(0, len(listed), generator=rng).long().clamp_(max=len(listed) - 1)]
        low, high = self.least, self.most
        if self.scale == "log":
            return drawn.uniform_(math.log(low), math.log(high), generator=rng).exp_()
        return drawn.uniform_(low, high, generator=rng)

    def number(self, rng: np.random.Generator) -> float:
        """Draw one number on the host."""
        if (listed := self.listed) is not None:
            return float(listed[int(rng.integers(len(listed)))])
        if self.scale == "log":
            return math.exp(rng.uniform(math.log(self.least), math.log(self.most)))
        return float(rng.uniform(self.least, self.most))

    def integer(self, rng: np.random.Generator) -> int:
        """Draw one whole number on the host, both ends included; for sizes, which must not wait for a device."""
        if (listed := self.listed) is not None:
            return round(listed[int(rng.integers(len(listed)))])
        low, high = round(self.least), round(self.most)
        if self.scale == "log":
            return int(np.clip(round(math.exp(rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))), low, high))
        return int(rng.integers(low, high + 1))


def within(
    least: float = -math.inf, most: float = math.inf
) -> "Callable[[Any, attrs.Attribute[Any], Draw | None], None]":
    """An attrs validator for a field that holds a Draw (or None): every value it can give lies in [least, most]."""

    def validate(_: object, field: "attrs.Attribute[Any]", draw: Draw | None) -> None:
        if draw is None:
            return
        if draw.least < least:
            raise ValueError(f"{field.name} must be at least {least:g}, found {draw.least:g}")
        if draw.most > most:
            raise ValueError(f"{field.name} must be at most {most:g}, found {draw.most:g}")

    return validate


@attrs.frozen
class Ramp:
    """A number that moves in a straight line from `start` to `end` over the first `steps` training steps, and stays.

    In TOML a bare number, or `{ start = 0.0, end = 1e-4, steps = 5000 }`.
    """

    start: float
    end: float
    steps: int = attrs.field(validator=attrs.validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if self.steps == 0 and self.start != self.end:
            raise ValueError(f"steps = 0 needs start and end to be equal, found {self.start:g} and {self.end:g}")

    @classmethod
    def constant(cls, value: float) -> "Ramp":
        """The ramp that is always at `value`."""
        return cls(start=value, end=value, steps=0)

    def at(self, step: int) -> float:
        """The value at training step `step`, counted from 0."""
        done = 1.0 if self.steps == 0 else min(1.0, step / self.steps)
        return self.start + (self.end - self.start) * done


def _known(value: float | None) -> float:
    assert value is not None
    return value
