"""What discrete mechanisms share: cutting values into levels, numbering levels, and naming combinations of them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tabscm import Draw

FOLD = 0.02
"""Period at which noise is folded: far below any scale of noise, far above the steps of float32."""

OUTERMOST = 1 - 2.0**-24
"""The largest float32 below 1."""

SPAN = Draw.constant(3.0)
"""Width of all levels into which a parent is cut, in its deviations: codes of up to six equally likely levels are told
apart by as many cuts."""
MIDDLE = Draw.constant(0.0)
"""Where the middle of these lies, in deviations: an even number of levels is cut at the mean."""


def uniform(noise: Tensor) -> Tensor:
    """A variable uniform on [0, 1] made of noise of any kind and of any scale well above FOLD."""
    periods = noise / FOLD
    return periods - periods.floor()


def normal(noise: Tensor) -> Tensor:
    """A standard normal variable, finite, like noise [...] of any kind and of any scale well above FOLD."""
    return math.sqrt(2.0) * torch.erfinv((2.0 * uniform(noise) - 1.0).clamp(-OUTERMOST, OUTERMOST))


def cut(
    levels: Draw, span: Draw, shift: Draw, shape: tuple[int, int], rng: torch.Generator
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Draw how many levels there are and where they end.

    Levels are of one width, span over their number, in deviations of what is cut, and the outer ones are open.

    Returns:
        how many there are, [G, S] for `shape` (G, S), and values [G, S, N] -> levels, counted from 0.
    """
    count = levels.sample(shape, rng).round()
    per_deviation = count / span.sample(shape, rng)
    middle = (count / 2.0 - shift.sample(shape, rng) * per_deviation)[:, :, None]
    last, per_deviation = (count - 1.0)[:, :, None], per_deviation[:, :, None]

    def level(values: Tensor) -> Tensor:
        return torch.minimum(torch.addcmul(middle, values, per_deviation).floor_(), last).clamp_(min=0.0)

    return count, level


def codes(count: Tensor, most: int, nominal: float, rng: torch.Generator) -> Tensor:
    """The number that stands for each level: [G, K] where `count` [G, 1] levels are in use, of K = `most`.

    A level's place among the levels or, with chance `nominal`, the place that a random permutation gives it; either way
    with mean 0 and deviation 1 where all levels are equally likely.
    """
    level = torch.arange(most, device=rng.device)
    among = torch.rand(len(count), most, generator=rng, device=rng.device) + 2.0 * (level >= count)
    shuffled = torch.rand(len(count), 1, generator=rng, device=rng.device) < nominal
    place = torch.where(shuffled, among.argsort(1), level)
    return (place - (count - 1.0) / 2.0) / deviation(count)


def address(count: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """What each level of a parent adds to the number of an entry: [G, P], where parents have `count` [G, P] levels.

    As digits of a number do, as long as `size` entries are enough for all combinations; a random step beyond.
    """
    combinations = count.double().cumprod(1)  # 5^100 is too large for float32
    step = 1.0 + torch.floor(torch.rand(count.shape, generator=rng, device=rng.device) * (size - 1))
    return torch.where(combinations <= size, (combinations / count).float(), step)


def deviation(count: Tensor) -> Tensor:
    """Standard deviation of the place among `count` equally likely levels."""
    return ((count.square() - 1.0) / 12.0).sqrt()
