"""Start a run from weights that another one trained, instead of from chance."""

import math
from collections.abc import Mapping
from pathlib import Path

import attrs
from torch import Tensor, nn

from tabscm.engine.checkpoint import restore_weights, save, seal
from tabscm.engine.loading import check_fit
from tabscm.engine.state import Ancestor, State


@attrs.frozen(eq=False)
class Start:
    """Weights to start from, and where they come from."""

    weights: Mapping[str, Tensor]
    ancestor: Ancestor


def read_start(path: Path, model: nn.Module) -> Start:
    """The best weights of a run, for a new run of `model`.

    Args:
        path: the folder of a run, or of a released model.
        model: of the new run; untouched.

    Raises:
        CheckpointError: no weights there, or weights of another network: all names and shapes have to be the same.
    """
    weights, state = restore_weights(path, "best")
    check_fit(model, weights, path)
    _, sha256 = seal(path, "best")
    ancestor = Ancestor(name=path.resolve().name, sha256=sha256, steps=state.all_steps, tables=state.all_tables)
    return Start(weights=weights, ancestor=ancestor)


def begin(run: Path, start: Start) -> None:
    """Write the checkpoint of step 0 that `train` goes on from: these weights, no momenta, and no step done."""
    state = State(step=0, best_step=0, best_gain=-math.inf, seconds=0.0, tables=0, init=start.ancestor)
    save(run, start.weights, {}, state)
