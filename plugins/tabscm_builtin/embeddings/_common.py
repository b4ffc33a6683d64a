"""What several embeddings read from a table."""

import torch
from torch import Tensor

from tabscm import Table


def channels(table: Table) -> Tensor:
    """What is known of each cell: [B, N, D, 3] float32: value, intervened, observed."""
    return torch.stack([table.x, table.intervened.float(), table.observed.float()], -1)


def parts(count: int, most: int) -> list[slice]:
    """All of `count`, `most` at one time or one.

    Where one part does, none is counted out: torch.compile would make a graph of its own for each `count`.
    """
    most = max(1, most)
    return [slice(None)] if count <= most else [slice(first, first + most) for first in range(0, count, most)]


def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine, several times faster than torch's on a CPU, which takes one number after the other.

    As exact; at 0 itself its gradient is 0, and at infinity it is not a number.
    """
    if x.device.type != "cpu":
        return torch.asinh(x)
    size = x.abs()
    return torch.copysign(torch.log1p(size + size * (size / (1 + torch.hypot(size, torch.ones_like(size))))), x)
