"""Check tensors where they cross from a component into the engine."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tabscm.kernel.errors import ContractError


def expect(
    value: object,
    shape: str,
    *,
    what: str,
    dtype: torch.dtype | None = None,
    finite: bool = False,
    **sizes: int,
) -> dict[str, int]:
    """Check that `value` is a tensor whose axes match `shape`, and return the sizes of its axes.

        expect(adj, "B D D", what="graph erdos-renyi: adj", dtype=torch.bool, B=32)

    Args:
        value: what a component returned.
        shape: one letter per axis; the same letter means the same size, a number means itself.
        what: component (kind and name, by which `Registry.blame` finds who brought it) and value, for the message.
        dtype: the dtype it must have; None allows any.
        finite: also refuse NaN and infinity (reads the values: not for use in a training step on a GPU).
        sizes: the sizes that are known already, by letter.

    Returns:
        The size of every letter in `shape`.

    Raises:
        ContractError: says what was expected and what was found.
    """
    axes = shape.split()
    if not isinstance(value, Tensor):
        raise ContractError(f"{what}: expected a tensor {_wanted(axes, sizes)}, found {type(value).__name__}")
    found = dict(sizes)
    fits = len(axes) == value.ndim
    for axis, size in zip(axes, value.shape, strict=False):
        fits = fits and size == (int(axis) if axis.isdigit() else found.setdefault(axis, size))
    if not fits:
        raise ContractError(f"{what}: expected shape {_wanted(axes, sizes)}, found {list(value.shape)}")
    if dtype is not None and value.dtype != dtype:
        raise ContractError(f"{what}: expected {dtype}, found {value.dtype}")
    if finite and value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise ContractError(f"{what}: holds NaN or infinity")
    return {axis: found[axis] for axis in axes if not axis.isdigit()}


def _wanted(axes: Sequence[str], sizes: Mapping[str, int]) -> str:
    """Written only when it is needed: torch.compile makes a graph of its own for each size that is put into words."""
    return "[" + ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes) + "]"
