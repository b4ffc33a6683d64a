"""Does what a regression leaves still depend on what went in? Asked of every two variables at once.

If i causes j and nothing else joins them, what is left of j after regressing on i is independent of i; the other way
round it is not, unless everything is linear and normal. All of it is read off second moments of curves of the values,
so that rows are only ever added up. Letters: B tasks, N rows, D variables, K curves, C channels.
"""

import torch
from torch import Tensor

from tabscm_builtin.embeddings._common import asinh

CURVES = 3
"""K."""
REACH = 3.0
"""Values beyond are bent as if they were there: one outlier must not own a third moment."""
LEAST = 1e-3
"""Smallest share of a variance that is taken for more than rounding, of what is added up in float32."""


def curves(x: Tensor) -> tuple[Tensor, ...]:
    """Bent values, whose means tell skewed, flat and heavy-tailed distributions apart: K tensors like x."""
    near = x.clamp(-REACH, REACH)
    return near.square(), near**3, torch.tanh(2 * x)


def dependence(moments: Tensor, regressor: int, curve: slice, left: int) -> Tensor:
    """Partial correlation of curves of i with what is left of j, given i itself.

    Args:
        moments: [B, D, D, m, m], second moments of m columns of each variable, centred.
        regressor: which of them is i itself.
        curve: which are its K curves.
        left: which is what is left of j.

    Returns:
        [B, D, D, K] in [-1, 1]; at [b, i, j], 0 where j's remainder is independent of i, and where i leaves nothing.
    """
    scale = moments.diagonal(dim1=1, dim2=2).diagonal(dim1=1, dim2=2).clamp(min=1e-6).sqrt()  # [B, D, m]
    own = moments.diagonal(dim1=1, dim2=2)[:, regressor, curve].transpose(1, 2)  # [B, D, K], i with its own curves
    own = own / (scale[:, :, regressor, None] * scale[:, :, curve])
    straight = moments[..., regressor, left] / (scale[:, :, None, regressor] * scale[:, None, :, left])  # [B, D, D]
    bent = moments[..., curve, left] / (scale[:, :, None, curve] * scale[:, None, :, left, None])  # [B, D, D, K]
    unexplained = 1 - straight.square()
    rest = (1 - own.square()).clamp(min=LEAST)[:, :, None] * unexplained.clamp(min=LEAST)[..., None]
    found = ((bent - own[:, :, None] * straight[..., None]) / rest.sqrt()).clamp(-1, 1)
    return torch.where(unexplained[..., None] > LEAST, found, 0.0)


def spread(moments: Tensor) -> Tensor:
    """Does the spread of what i leaves of j depend on i? How x_i^2 and (x_j - rho x_i)^2 move together.

    `dependence` is blind where cause and noise are equally strong and alike: whatever the regression of the cause on
    the effect leaves is then symmetric in the two. Squares still tell.

    Args:
        moments: [B, D, D, 1 + K, 1 + K], second moments of values and their curves, centred; values of deviation 1.

    Returns:
        [B, D, D, 1], at [b, i, j] next to 0 where j's remainder is independent of i.
    """
    value, square, cube = range(3)
    rho = moments[..., value, value]
    own = moments.diagonal(dim1=1, dim2=2)  # [B, 1 + K, 1 + K, D]
    variance, power = own[:, square, square, :, None], own[:, value, value, :, None]  # [B, D, 1]
    crossed = moments[..., cube, value] - rho * power  # of x_i^2 and x_i x_j
    found = moments[..., square, square] - 2 * rho * crossed + rho.square() * variance
    unexplained = 1 - rho.square()
    scale = variance.clamp(min=LEAST).sqrt() * unexplained.clamp(min=LEAST) * 2**0.5
    others = ~torch.eye(rho.shape[1], dtype=torch.bool, device=rho.device)
    return torch.where(others & (unexplained > LEAST), (found / scale).clamp(-2, 2), 0.0)[..., None]


def together(moments: Tensor, first: slice, second: slice) -> Tensor:
    """Correlations of curves of i with the same curves of something of j: [B, D, D, m, m] -> [B, D, D, K]."""
    scale = moments.diagonal(dim1=1, dim2=2).diagonal(dim1=1, dim2=2).clamp(min=1e-6).sqrt()  # [B, D, m]
    found = moments[..., first, second].diagonal(dim1=3, dim2=4)
    return found / (scale[:, :, None, first] * scale[:, None, :, second])


def both_ways(channels: Tensor, rows: int) -> Tensor:
    """Channels of (i, j) and of (j, i), each as it is and in units of its sampling error, on a logarithmic scale.

    Args:
        channels: [B, D, D, C], correlations.
        rows: over how many rows.

    Returns:
        [B, D, D, 4 C].
    """
    both = torch.cat([channels, channels.transpose(1, 2)], -1)
    return torch.cat([both, asinh(both * rows**0.5) / 2], -1)
