"""A run without a network in it: checkpoints of a few made-up tensors, for what is tried a thousand times."""

import math

import attrs
import torch

from tabscm.engine.checkpoint import save
from tabscm.engine.state import State

STEPS = (10, 20, 30)
"""Steps of the checkpoints that a sample may have."""


def tensors(step):
    """Weights and momenta at a step."""
    rng = torch.Generator().manual_seed(step)
    weights = {"a.weight": torch.randn(4, 3, generator=rng), "b": torch.tensor(float(step))}
    return weights, {"a.weight/momentum_buffer": torch.randn(4, 3, generator=rng), "b/step": torch.tensor(float(step))}


def state(step):
    """The state at a step."""
    first = State(step=step, best_step=0, best_gain=-math.inf, seconds=1.5, tables=8 * step)
    return attrs.evolve(first, memory={"health": {"Gap": {"gains": [0.1, -0.2]}}, "training_log": []})


def put(run, *steps):
    """Save checkpoints in a new run folder."""
    run.mkdir()
    (run / "experiment.toml").write_text("seed = 0\n")
    for step in steps:
        save(run, *tensors(step), state(step))


def is_of(step, restored):
    """Whether what was restored is what was saved at a step."""
    weights, momenta, found = restored
    pairs = zip((weights, momenta), tensors(step), strict=True)
    return found == state(step) and all(
        one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one) for one, other in pairs
    )


def contents(folder):
    """Every file below a folder, and what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
