"""What checks are made of: say what was found, compare tensors, watch for side effects."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from tabscm.kernel.interfaces import Prediction


class Broken(AssertionError):
    """A promise was not kept; the text says what was found."""


def require(kept: bool | Tensor, found: str) -> None:
    """Go on if `kept`.

    Raises:
        Broken: says what was `found` instead.
    """
    if not bool(kept):
        raise Broken(found)


def require_same(found: Tensor, expected: Tensor, what: str, *, tolerance: float = 1e-4) -> None:
    """Go on if two tensors are equal up to `tolerance`, relative to the largest expected value above 1."""
    require(found.shape == expected.shape, f"{what}: shape {list(found.shape)} instead of {list(expected.shape)}")
    if found.numel() == 0:
        return
    if not found.is_floating_point():
        require(torch.equal(found, expected), f"{what}: differ in {int((found != expected).sum())} places")
        return
    scale = max(1.0, float(expected.abs().max()))
    difference = float((found - expected).abs().max()) / scale
    require(difference <= tolerance, f"{what}: differ by {difference:.2g}, more than {tolerance:g}")


def require_finite(found: Tensor, what: str) -> None:
    """Go on if no value is NaN or infinite."""
    wrong = int((~torch.isfinite(found)).sum())
    require(wrong == 0, f"{what}: {wrong} of {found.numel()} values are NaN or infinite")


def require_device(found: Tensor, rng: torch.Generator, what: str) -> None:
    """Go on if a tensor is where the generator is."""
    require(found.device == rng.device, f"{what}: on {found.device}, while rng is on {rng.device}")


def require_global_rng(before: Tensor) -> None:
    """Go on if the state of torch's global generator is still `before`."""
    require(torch.equal(torch.get_rng_state(), before), "torch's global generator moved")


def restart(rng: torch.Generator, salt: int = 0) -> torch.Generator:
    """A new generator on the same device; with the same `salt` always in the same state."""
    return torch.Generator(rng.device).manual_seed(rng.initial_seed() + salt)


def traced(prediction: Prediction) -> Prediction:
    """The same prediction, ready to be asked for gradients."""
    aux = {name: value.detach().clone().requires_grad_() for name, value in prediction.aux.items()}
    return Prediction(prediction.logits.detach().clone().requires_grad_(), aux)


def gradients(total: Tensor, prediction: Prediction) -> dict[str, Tensor]:
    """The gradient of the sum of `total` for everything in a traced prediction that it depends on, by name."""
    require(total.requires_grad, "no gradient reaches the prediction")
    leaves = {"logits": prediction.logits, **prediction.aux}
    values = torch.autograd.grad(total.sum(), list(leaves.values()), allow_unused=True)
    return {name: value for name, value in zip(leaves, values, strict=True) if value is not None}


@contextmanager
def unchanged(**tensors: Tensor) -> Iterator[None]:
    """Require that the block leaves the named tensors as they are."""
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    yield
    for name, tensor in tensors.items():
        require(torch.equal(tensor, before[name]), f"{name} was modified in place")
