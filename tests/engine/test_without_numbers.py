"""What a step of training computes, on a device whose tensors have shapes and no numbers.

Code that reads a number, or whose shapes depend on one, fails there: on a GPU it would hold up the step. So does most
code that mixes in tensors left on the host, which on a GPU would end it; products of matrices and indexing do not look.
"""

import contextlib
from pathlib import Path

import pytest
import torch

from tabscm import Table, Truth
from tabscm.engine.model import Model
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.trainer import loss_terms
from tabscm.kernel.config import load

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TASKS, ROWS, VARIABLES = 3, 90, 11


@pytest.fixture
def device(monkeypatch):
    """Where autocast, which knows no such device, does nothing."""
    real = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **k: contextlib.nullcontext() if kind == "meta" else real(kind, *a, **k)
    )
    return torch.device("meta")


@pytest.mark.parametrize("name", ["prod", "released", "specialists/discrete", "ablations/variational"])
def test_no_step_reads_a_number_or_leaves_one_behind(registry, device, name):
    experiment = load(EXPERIMENTS / f"{name}.toml", registry)
    model = Model(experiment).to(device)
    optimiser = Optimiser(model, experiment.trainer)
    cells, pairs = (TASKS, ROWS, VARIABLES), (TASKS, VARIABLES, VARIABLES)
    table = Table(
        x=torch.empty(cells, device=device),
        intervened=torch.empty(cells, dtype=torch.bool, device=device),
        observed=torch.empty(cells, dtype=torch.bool, device=device),
    )
    truth = Truth(adj=torch.empty(pairs, dtype=torch.bool, device=device))
    prediction = model(table)
    terms = loss_terms(experiment, 1, prediction, truth, table)
    torch.autograd.backward(sum(terms.values(), torch.zeros((), device=device)))
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert gradients
    assert all(gradient.device == device for gradient in gradients)
    optimiser.step(1)
    state = [*model.state_dict().values(), *optimiser.state().values()]
    found = [prediction.logits, *prediction.aux.values(), norm, *terms.values()]
    # AdamW counts its steps on the host, unless it is fused
    assert all(one.device == device or one.ndim == 0 for one in state)
    assert {one.device for one in found} == {device}


def test_what_reads_a_number_fails(device):
    weight = torch.nn.Parameter(torch.empty(3, device=device))
    with pytest.raises(RuntimeError, match="meta"):
        bool(weight.sum() > 0)
    with pytest.raises(RuntimeError, match="meta"):
        weight + torch.ones(3)
