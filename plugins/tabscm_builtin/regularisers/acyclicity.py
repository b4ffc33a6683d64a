"""How far the predicted edges are from an acyclic graph."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import attrs
import torch
from torch import Tensor

from tabscm import Prediction, Regulariser


@attrs.frozen
class Acyclicity(Regulariser):
    """How many cycles there are in the matrix A of edge probabilities, in one of five forms; without unit.

    "stable-power" is bounded in value and gradient at any size. "exponential", "log-determinant" and "spectral-radius"
    are the field's own, to compare with. "naive-power" is here to be ablated, never to be used: it drove gradient norms
    to 46 767 and then every probability to zero.

    Source: Yu et al. 2019, arXiv:1904.10098 (DAG-GNN), theorem 1, in the default form; each other form names its own.
    """

    name = "acyclicity"
    form: Literal["stable-power", "naive-power", "exponential", "log-determinant", "spectral-radius"] = "stable-power"
    """How cycles are counted: by bounded powers, by bare powers, as in NOTEARS, as in DAGMA, as in NO-BEARS."""

    def __call__(self, prediction: Prediction) -> Tensor:
        logits = prediction.logits
        itself = torch.eye(logits.shape[1], device=logits.device)
        return _FORMS[self.form](torch.sigmoid(logits) * (1 - itself))


def _stable_power(edge: Tensor) -> Tensor:
    """log( trace( (I + A / D)^K ) / D ), with K the power of two from D up: [B, D, D] -> [B].

    Source: DAG-GNN, theorem 1. Differs: logarithm instead of the bare trace, K rounded up to a power of two, rescaled
    powers, so that neither value nor gradient can overflow.
    """
    variables = edge.shape[1]
    power = torch.eye(variables, device=edge.device) + edge / variables
    log_scale = torch.zeros(len(edge), device=edge.device)
    for _ in range(max(1, math.ceil(math.log2(variables)))):
        power = power @ power
        size = power.amax((1, 2))
        power = power / size[:, None, None]
        log_scale = 2 * log_scale + size.log()
    return torch.relu(log_scale + _trace(power).log() - math.log(variables))


def _naive_power(edge: Tensor) -> Tensor:
    """1 / D times the sum over k = 1 ... D of trace(A^k), the weight of all closed walks: [B, D, D] -> [B].

    It grows like the largest eigenvalue to the power D: at probabilities of one half float32 ends near 30 variables.

    Source: the structure learner that this project grew out of, which punished trace(A^k) / D. Differs: all lengths k
    of a cycle, because it is not recorded which were taken.
    """
    variables = edge.shape[1]
    walks, total = edge, _trace(edge)
    for _ in range(variables - 1):
        walks = walks @ edge
        total = total + _trace(walks)
    return total / variables


def _exponential(edge: Tensor) -> Tensor:
    """trace(exp(A)) - D, closed walks of length k weighted by 1 / k!: [B, D, D] -> [B].

    It grows like e to the largest eigenvalue, which is at most D - 1: float32 ends at 88.

    Source: NOTEARS, Zheng et al. 2018, arXiv:1803.01422, theorem 1. Differs: probabilities are not squared, since they
    have no sign to lose.
    """
    return torch.relu(_trace(torch.matrix_exp(edge)) - edge.shape[1])


def _log_determinant(edge: Tensor) -> Tensor:
    """-log det(I - A / D), closed walks of length k weighted by 1 / (k D^k): [B, D, D] -> [B].

    It is finite while no eigenvalue of A reaches D. None can: a row of A sums to D - 1 at most.

    Source: DAGMA, Bello et al. 2022, arXiv:2209.08037, theorem 1, at s = D. Differs: probabilities are not squared.
    """
    variables = edge.shape[1]
    eye = torch.eye(variables, device=edge.device)
    _, log_determinant = torch.linalg.slogdet(eye - edge / variables)
    return torch.relu(-log_determinant)


def _spectral_radius(edge: Tensor) -> Tensor:
    """The largest eigenvalue of A, by power iteration: (sum of A^K / D)^(1 / K), K = max(16, D): [B, D, D] -> [B].

    One weak edge that closes a long cycle weighs much: 0.001 behind 20 sure ones gives 0.72.

    Source: NO-BEARS, Lee et al. 2019, arXiv:1911.00081; AVICI, Lorch et al. 2022, arXiv:2205.12934, does the same with
    10 steps. Differs: the growth of one vector instead of a quotient of the left and the right one, which have nothing
    in common where the graph is nearly acyclic; gradients go through all steps.
    """
    variables = edge.shape[1]
    steps = max(16, variables)
    # at least 1e-30: what vanishes has no growth, and smaller numbers have no reciprocal in float32
    edge = edge.clamp(min=1e-30)
    walks = edge.new_full((len(edge), variables, 1), 1 / variables)
    log_growth = edge.new_zeros(len(edge))
    for _ in range(steps):
        walks = edge @ walks  # [B, D, 1]
        size = walks.sum((1, 2))
        walks = walks / size[:, None, None]
        log_growth = log_growth + size.log()
    return torch.exp(log_growth / steps)


_FORMS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "stable-power": _stable_power,
        "naive-power": _naive_power,
        "exponential": _exponential,
        "log-determinant": _log_determinant,
        "spectral-radius": _spectral_radius,
    }
)


def _trace(matrix: Tensor) -> Tensor:
    """[B, D, D] -> [B]."""
    return torch.diagonal(matrix, dim1=1, dim2=2).sum(1)
