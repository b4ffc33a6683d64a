"""No step waits for the device: on a GPU the host runs ahead of it until something is logged.

A CPU cannot wait for itself, but it can be asked which operations it was given: those listed here make a GPU tell the
host a number, and each would stop the queue once per step. The encoder "moe" is not among the networks: it has to know
how many rows each expert gets, and says so.
"""

import traceback
from functools import partial

import attrs
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tabscm import Draw
from tabscm.engine.ahead import Ahead
from tabscm.engine.health.watch import Health
from tabscm.engine.model import Model
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms
from tabscm.kernel.config import load
from tests.engine.conftest import EXPERIMENTS

CPU = torch.device("cpu")
OWN = tuple(str(EXPERIMENTS.parent / name) for name in ("tabscm", "plugins"))

WAITS = {
    "_linalg_check_errors",
    "_local_scalar_dense",  # of item(), float(), bool(), if
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",  # also of an index that is a mask
    "unique_consecutive",
    "unique_dim",
}


class Waits(TorchDispatchMode):
    """Notes every operation that would make the host wait for a GPU; tensors `on_host` would be there as well."""

    def __init__(self, on_host=()):
        super().__init__()
        self.on_host = {tensor.data_ptr() for tensor in on_host}
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        indices = args[1] if name in {"index", "index_put", "index_put_"} else ()
        by_mask = any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)
        sizes_unknown = name == "repeat_interleave" and kwargs.get("output_size") is None
        on_host = bool(args) and isinstance(args[0], torch.Tensor) and args[0].data_ptr() in self.on_host
        if (name in WAITS and not on_host) or by_mask or sizes_unknown:
            here = [frame for frame in traceback.extract_stack() if frame.filename.startswith(OWN)]
            self.found.append(f"{func} in {here[-1].filename}:{here[-1].lineno}" if here else str(func))
        return func(*args, **(kwargs or {}))


def test_it_sees_what_waits():
    with Waits() as waits:
        x = torch.arange(4.0)
        float(x.sum())
        x[x > 1]
        torch.linalg.inv(torch.eye(2))
        x[torch.tensor([0, 2])]
    assert len(waits.found) == 3


@pytest.mark.parametrize(
    "name",
    [
        "quick.toml",
        "prod.toml",
        "released.toml",
        "specialists/nonlinear.toml",
        "specialists/discrete.toml",
        "ablations/axial.toml",
        "ablations/gated-fusion.toml",
    ],
)
def test_no_step_waits(name, registry):
    experiment = load(EXPERIMENTS / name, registry)
    small = attrs.evolve(experiment.stream, tables=2, variables=Draw.constant(6), rows=Draw.constant(60))
    experiment = attrs.evolve(experiment, stream=small)
    model = Model(experiment).train()
    optimiser = Optimiser(model, experiment.trainer)
    health = Health(experiment, model, partial(loss_terms, experiment), step=0)
    stream, ahead = Stream(small, seed=0, device=CPU), Ahead(CPU)
    for step in range(2):  # the first makes the optimiser's state, and the second is judged
        health.begin(step)
        table, truth = health.sample(stream, step, 0, ahead)
        # AdamW's counts of steps: on the host, unless it is fused, as it is on a GPU
        counts = [value for name, value in optimiser.state().items() if name.endswith("/step")]
        with Waits(counts) as waits:
            terms = loss_terms(experiment, step, model(table), truth, table)
            sum(terms.values()).backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), experiment.trainer.clip)
            torch.stack([*terms.values(), norm])
            optimiser.step(step)
            health.after_update(step, optimiser.state(), late=True)
    assert sorted(set(waits.found)) == []
