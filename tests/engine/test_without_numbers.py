"""A step of training on a device whose tensors have shapes and no numbers.

Whatever waits for a number fails there, and so does what was left on the host: on a GPU the one would hold up the step,
the other end it.
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
def test_no_step_waits_for_a_number_or_leaves_one_behind(registry, device, name):
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
    optimiser.step(1)
    assert {one.device for one in (prediction.logits, norm, *terms.values())} == {device}


def test_what_waits_for_a_number_fails(device):
    weight = torch.nn.Parameter(torch.empty(3, device=device))
    with pytest.raises(RuntimeError, match="meta"):
        bool(weight.sum() > 0)
    with pytest.raises(RuntimeError, match="meta"):
        weight + torch.ones(3)
