"""Regress every variable on its believed causes, and see what each single cause more or less would change.

Read off second moments alone, in float64: where a variable nearly follows from others, what is left of it is the
difference of numbers that agree in many digits. Letters: B tasks, D variables.
"""

import attrs
import torch
from torch import Tensor

from tabscm_builtin.embeddings._common import asinh, parts

EXCLUDED = 1e12
"""Penalty of what must not be regressed on: a share of 1e-12 of it is still there."""
LEFT_OUT, SURE = -5.0, 20.0
"""Scores beyond are as good as these."""
UNEXPLAINED = 1e-9
"""Share of its variance that a regression leaves of a variable at least: columns are known to one part in 1e7, so that
less than 1e-14 is rounding, and what is left of a column, in float32, has some digits."""


@attrs.define(eq=False)  # torch.compile cannot trace what attrs writes for frozen classes
class Regressions:
    """The regressions of all variables, [b, i, j] of i in that of j."""

    weights: Tensor  # [B, D, D] float64, next to 0 on the diagonal
    penalty: Tensor  # [B, D, D] float64, added to the variance of each regressor, without gradient
    uncertainty: Tensor  # [B, D, D] float64, the diagonals of the inverses of the systems, without gradient


def regress(correlation: Tensor, score: Tensor, ridge: float) -> Regressions:
    """Regress every variable on those that are believed to be its causes.

    Each regressor has a penalty of its own, exp(-score): at -5 it is as good as out; how large a score lets it all in
    depends on how little the others leave of it.

    Args:
        correlation: [B, D, D] float64, without gradient.
        score: [B, D, D], log-odds that i is among the causes of j.
        ridge: added to all penalties; > 0.

    Returns:
        [B, D, D] each, see `Regressions`; of standardised variables, so without units.
    """
    variables = correlation.shape[1]
    eye = torch.eye(variables, dtype=correlation.dtype, device=correlation.device)
    penalty = torch.exp(-score.double().clamp(LEFT_OUT, SURE)) + ridge + EXCLUDED * eye  # [B, D, D]
    target, fixed = correlation * (1 - eye), penalty.detach()
    weights, uncertainty = [], []
    for part in parts(variables, (1 << 24) // (len(correlation) * variables**2)):  # systems at one time
        system = correlation[:, None] + torch.diag_embed(fixed[:, :, part].mT)  # [B, d, D, D]
        inverse = _inverse(system)
        found = inverse @ target[:, :, part].mT[..., None]  # [B, d, D, 1]
        # the same numbers once more, now with the gradient of the penalties: A dw = -dA w
        moved = (penalty - fixed)[:, :, part].mT[..., None] * found
        weights.append((found - inverse @ moved)[..., 0])
        uncertainty.append(inverse.diagonal(dim1=2, dim2=3))
    return Regressions(torch.cat(weights, 1).mT, fixed, torch.cat(uncertainty, 1).mT)


def _inverse(system: Tensor) -> Tensor:
    """Of [..., D, D] positive definite, which correlations with a penalty far above rounding on the diagonal are;
    checking that they are would wait for the device."""
    if system.is_cuda:  # where `cholesky_inverse` may take one matrix after the other
        inverse: Tensor = torch.linalg.inv_ex(system).inverse
        return inverse
    return torch.cholesky_inverse(torch.linalg.cholesky_ex(system).L)


def single_changes(correlation: Tensor, regressions: Regressions, rows: int) -> Tensor:
    """What would i, wholly in or wholly out of the regression of j, change of what is left of j?

    All other regressors stay as they are. It is what a search that adds and removes one edge at a time looks at.

    Args:
        correlation: [B, D, D] float64.
        regressions: what `regress` found on them.
        rows: N.

    Returns:
        [B, D, D, 4] float32 without gradient, 0 on the diagonal: z, the Fisher transform of the partial correlation of
        i and j given the other regressors of j; asinh(z sqrt(N)) / 2, the same in units of its sampling error;
        asinh(N g - log(N) / 2) / 2, where g is by how many nats a row the Gaussian likelihood pays for the edge, and
        log(N) / 2 the price of a parameter; and the logarithm of the deviation that they leave of i.

    Source: the inverse without one penalty by Sherman and Morrison 1950; the price by Schwarz 1978.
    """
    eye = torch.eye(correlation.shape[1], dtype=torch.bool, device=correlation.device)
    with torch.no_grad():
        weights, penalty, uncertainty = regressions.weights, regressions.penalty, regressions.uncertainty
        # the penalty of i taken from the system of j
        free = (1 - penalty * uncertainty).clamp(min=1e-15)
        spread = free / uncertainty  # the variance of i given the other regressors
        straight = weights / free  # the weight of i once it is all in
        own = correlation.diagonal(dim1=1, dim2=2)[:, None]
        left = own - torch.where(eye, 0.0, weights * correlation).sum(1, keepdim=True)  # [B, 1, D]
        within = (left - penalty * weights.square() / free).clamp(min=UNEXPLAINED)
        gain = torch.log1p(straight.square() * spread / within) / 2  # in nats a row
        rho = (-torch.expm1(-2 * gain)).sqrt()
        z = torch.atanh(rho.clamp(max=1 - 1e-12)) * weights.sign()
        count = torch.full((), float(rows), dtype=z.dtype, device=z.device)
        price = count.log() / 2
        found = torch.stack(
            [
                z,
                asinh(z * count.sqrt()) / 2,
                asinh(count * gain - price) / 2,
                spread.clamp(min=UNEXPLAINED).log() / 2,
            ],
            -1,
        )
        return torch.where(eye[:, :, None], 0.0, found).float()
