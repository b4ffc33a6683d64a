"""Start a run from weights that others trained, instead of from chance.

RUN                  the weights of a run or of a released model, of the same network; those of one network go into
                     every specialist
RUN:SPECIALIST       of several networks this one
SPECIALIST=RUN       into this one of several networks, also after a RUN for all of them
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from torch import Tensor

from tabscm.engine import released
from tabscm.engine.checkpoint import restore_weights, save, seal
from tabscm.engine.loading import check_fit
from tabscm.engine.model import Model
from tabscm.engine.state import Ancestor, State
from tabscm.kernel.errors import CheckpointError, did_you_mean

SPECIALISTS = "specialists."
"""What the names of weights of specialists begin with; that of the specialist follows."""


@attrs.frozen(eq=False)
class Start:
    """Weights to start from, and where they come from."""

    weights: Mapping[str, Tensor]
    ancestor: Ancestor


def read_start(sources: Sequence[str], model: Model) -> Start:
    """The best weights of one or more runs, for a new run of `model`.

    Args:
        sources: where each lies, see above; what a later one says of a weight counts.
        model: of the new run; untouched. A gate that no source has starts from chance, but for what its embedding has
            in common with that of the first specialist.

    Raises:
        CheckpointError: no weights there, or weights of another network: all names and shapes have to be the same.
    """
    weights: dict[str, Tensor] = {}
    ancestors = []
    for source in sources:
        found, ancestor = _read(source, model)
        weights |= found
        ancestors.append(ancestor)
    own = model.state_dict()
    if not any(name.startswith("gate.") for name in weights):
        for name in own.keys() - weights.keys():
            if name.startswith("gate."):
                weights[name] = _like(name, own[name], weights)
    check_fit(model, weights, Path(" ".join(sources)))
    return Start(weights={name: weights[name] for name in own}, ancestor=_together(ancestors))


def begin(run: Path, start: Start) -> None:
    """Write the checkpoint of step 0 that `train` goes on from: these weights, no momenta, and no step done."""
    state = State(step=0, best_step=0, best_gain=-math.inf, seconds=0.0, tables=0, init=start.ancestor)
    save(run, start.weights, {}, state)


def _read(source: str, model: Model) -> tuple[dict[str, Tensor], Ancestor]:
    """The weights that a source has for the model, by the names that they have there."""
    specialists = list(model.specialists) if model.gate is not None else []
    into, equals, rest = source.partition("=")
    if not equals or into not in specialists:
        into, rest = "", source
    path, of = rest, ""
    if not Path(rest).exists() and ":" in rest:
        path, _, of = rest.rpartition(":")
    folder = released.find(Path(path))
    weights, state = restore_weights(folder, "best")
    _, sha256 = seal(folder, "best")
    name = folder.resolve().name + (f":{of}" if of else "")
    ancestor = Ancestor(name=name, sha256=sha256, steps=state.all_steps, tables=state.all_tables)
    known = sorted({name.split(".")[1] for name in weights if name.startswith(SPECIALISTS)})
    if of:
        if of not in known:
            there = f"{did_you_mean(of, known)} There are: {', '.join(known)}" if known else " It is one network."
            raise CheckpointError(f'{path}: there is no specialist called "{of}".{there}')
        prefix = f"{SPECIALISTS}{of}."
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    elif known and (into or not specialists):
        raise CheckpointError(
            f"{path}: there are several networks, and one is wanted. Name it: {path}:{known[0]}, or another of "
            f"{', '.join(known)}"
        )
    if into or (specialists and (of or not known)):
        places = [into] if into else specialists
        weights = {f"{SPECIALISTS}{place}.{name}": value for place in places for name, value in weights.items()}
    return weights, ancestor


def _like(name: str, own: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """What a weight of the gate starts from: that of the same name and shape of the first specialist, or its own."""
    first = next((other for other in weights if other.startswith(SPECIALISTS)), None)
    if first is None:
        return own
    same = f"{SPECIALISTS}{first.split('.')[1]}.{name.removeprefix('gate.')}"
    return weights[same] if same in weights and weights[same].shape == own.shape else own


def _together(ancestors: Sequence[Ancestor]) -> Ancestor:
    """What several are the weights of: with as many steps as the one with the most, whose tables may be those of others
    as well, so that their sum is of tables read rather than of different ones."""
    if len(ancestors) == 1:
        return ancestors[0]
    tables = [ancestor.tables for ancestor in ancestors]
    return Ancestor(
        name=", ".join(ancestor.name for ancestor in ancestors),
        sha256=hashlib.sha256(" ".join(ancestor.sha256 for ancestor in ancestors).encode()).hexdigest(),
        steps=max(ancestor.steps for ancestor in ancestors),
        tables=None if None in tables else sum(count or 0 for count in tables),
    )
