"""The types that autocast chooses on a GPU, which are others than on a CPU.

They are chosen for the functions that code calls itself, not for what those call that torch has written in Python, as
`MultiheadAttention` is.

Source: "CUDA Ops that can autocast" in the documentation of torch.amp.
"""

# ruff: noqa: ANN401 - functions of torch take whatever they are given

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

LOWERED = frozenset(
    {"__matmul__", "__rmatmul__", "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "conv1d", "conv2d", "einsum"}
    | {"conv3d", "conv_transpose1d", "conv_transpose2d", "gru_cell", "linalg_vecdot", "linear", "lstm_cell", "matmul"}
    | {"mm", "multi_dot", "mv", "prelu", "scaled_dot_product_attention", "vecdot"}
)
"""Computed in the lower type."""

RAISED = frozenset(
    {"__pow__", "__rdiv__", "__rpow__", "__rtruediv__", "acos", "asin", "binary_cross_entropy_with_logits", "cdist"}
    | {"cosh", "cosine_similarity", "cross_entropy", "cumprod", "cumsum", "dist", "erfinv", "exp", "expm1"}
    | {"group_norm", "huber_loss", "kl_div", "l1_loss", "layer_norm", "linalg_matrix_norm", "linalg_vector_norm", "log"}
    | {"log10", "log1p", "log2", "log_softmax", "logsumexp", "matrix_norm", "mse_loss", "nll_loss", "norm", "normalize"}
    | {"pdist", "poisson_nll_loss", "pow", "prod", "reciprocal", "renorm", "rms_norm", "rsqrt", "sinh"}
    | {"smooth_l1_loss", "softmax", "softmin", "softplus", "sum", "tan", "vector_norm"}
)
"""Computed in float32."""

WIDEST = frozenset(
    {"addcdiv", "addcmul", "atan2", "bilinear", "cat", "cross", "dot", "grid_sample"}
    | {"index_put", "scatter_add", "stack", "tensordot", "vdot"}
)
"""Computed in the widest type of what is given."""


def cast(name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """What autocast makes of what a function is given, by its name."""
    given = [one for one in tree_leaves((args, kwargs)) if _may_be_cast(one)]
    if name in LOWERED:
        chosen = torch.get_autocast_dtype("cuda")
    elif name in RAISED or (name in WIDEST and any(one.dtype == torch.float32 for one in given)):
        chosen = torch.float32
    else:
        return args, kwargs
    return tree_map(lambda one: one.to(chosen) if _may_be_cast(one) else one, (args, kwargs))


def _may_be_cast(one: object) -> bool:
    return isinstance(one, Tensor) and one.is_cuda and one.is_floating_point() and one.dtype != torch.float64
