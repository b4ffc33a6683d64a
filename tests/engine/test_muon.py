"""Muon in batches against torch's own."""

import pytest
import torch
from torch import nn

from tabscm.engine.muon import Muon, orthogonal


def weights():
    generator = torch.Generator().manual_seed(0)
    shapes = [(16, 16), (32, 16), (16, 16), (16, 48), (32, 16)]
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def run(kind, ours):
    optimiser = kind(ours)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        for weight in ours:
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimiser.step()
    return ours


def test_agrees_with_torch():
    ours = run(lambda w: Muon(w, lr=0.05, weight_decay=0.1), weights())
    theirs = run(lambda w: torch.optim.Muon(w, lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), weights())
    for start, mine, reference in zip(weights(), ours, theirs, strict=True):
        moved = (reference - start).norm()
        # both iterate in bfloat16, which rounds differently one by one and in a batch
        assert (mine - reference).norm() < 0.02 * moved


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_updates_are_nearly_orthogonal(dtype):
    matrices = torch.randn(3, 8, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    for matrix in (orthogonal(matrices), orthogonal(matrices.mT).mT):
        values = torch.linalg.svdvals(matrix.float())
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_in_float32_it_moves_weights_as_in_bfloat16():
    exact, rough = (
        run(lambda w, dtype=dtype: Muon(w, lr=0.05, weight_decay=0.1, dtype=dtype), weights())
        for dtype in (torch.float32, torch.bfloat16)
    )
    for start, one, other in zip(weights(), exact, rough, strict=True):
        assert 0 < (one - other).norm() < 0.02 * (other - start).norm()


def test_a_weight_without_gradient_stays():
    first, second = weights()[:2]
    first.grad = torch.ones_like(first)
    before = second.detach().clone()
    Muon([first, second], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(second, before)


def test_a_stack_moves_as_its_matrices_would_alone():
    stack = nn.Parameter(torch.randn(3, 16, 24, generator=torch.Generator().manual_seed(0)))
    alone = [nn.Parameter(matrix.detach().clone()) for matrix in stack]
    stack.grad = torch.randn(stack.shape, generator=torch.Generator().manual_seed(1))
    for weight, gradient in zip(alone, stack.grad, strict=True):
        weight.grad = gradient.clone()
    Muon([stack], lr=0.1, weight_decay=0.1).step()
    Muon(alone, lr=0.1, weight_decay=0.1).step()
    torch.testing.assert_close(stack.detach(), torch.stack([weight.detach() for weight in alone]), atol=1e-3, rtol=0)
