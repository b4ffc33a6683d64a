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
from tabscm.engine.loading import check_fit, unknown_specialist
from tabscm.engine.model import Model
from tabscm.engine.state import Ancestor, State
from tabscm.kernel.errors import CheckpointError, did_you_mean

SPECIALISTS, GATE = "specialists.", "gate."
"""What the names of weights of specialists and gates begin with; of the former the name of the specialist follows."""


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
    if not any(name.startswith(GATE) for name in weights):
        weights |= {name: _of_gate(name, own[name], weights, model) for name in own if name.startswith(GATE)}
    check_fit(model, weights, " ".join(sources))
    # a file holds no tensor twice, and one network may be in several places
    return Start(weights={name: weights[name].clone() for name in own}, ancestor=_together(ancestors))


def begin(run: Path, start: Start) -> None:
    """Write the checkpoint of step 0 that `train` goes on from: these weights, no momenta, and no step done."""
    state = State(step=0, best_step=0, best_gain=-math.inf, seconds=0.0, tables=0, init=start.ancestor)
    save(run, start.weights, {}, state)


def _read(source: str, model: Model) -> tuple[dict[str, Tensor], Ancestor]:
    """The weights that a source has for the model, by the names that they have there."""
    specialists = [] if model.gate is None else list(model.specialists)
    into, rest = _split(source, specialists)
    path, of = released.one_of(Path(rest))
    folder = released.find(path)
    weights, state = restore_weights(folder, "best")
    called = folder.resolve().name + (f":{of}" if of else "")
    ancestor = Ancestor(name=called, sha256=seal(folder, "best")[1], steps=state.all_steps, tables=state.all_tables)
    known = list(dict.fromkeys(name.split(".")[1] for name in weights if name.startswith(SPECIALISTS)))
    if of:
        if of not in known:
            raise unknown_specialist(of, known, path)
        prefix = f"{SPECIALISTS}{of}."
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    elif known and (into or not specialists):
        raise CheckpointError(
            f"{path}: there are several networks, and one is wanted: --init {path}:NAME, of {', '.join(known)}"
        )
    if specialists and (into or of or not known):
        places = [into] if into else specialists
        weights = {f"{SPECIALISTS}{place}.{name}": value for place in places for name, value in weights.items()}
    return weights, ancestor


def _split(source: str, specialists: Sequence[str]) -> tuple[str, str]:
    """A source as the specialist that it is for, "" for all, and the rest."""
    into, equals, rest = source.partition("=")
    if not equals or Path(source).exists():
        return "", source
    if into not in specialists:
        there = f"{did_you_mean(into, specialists)} There are: {', '.join(specialists)}" if specialists else ""
        raise CheckpointError(
            f'--init {source}: no specialist of this experiment is called "{into}".{there or " It is one network."}'
        )
    if not rest:
        raise CheckpointError(f"--init {source}: names no run after the =")
    return into, rest


def _of_gate(name: str, own: Tensor, weights: Mapping[str, Tensor], model: Model) -> Tensor:
    """What a weight of a new gate starts from: that of the first specialist at the same place, or its own."""
    first = next(iter(model.specialists))
    found = weights.get(f"{SPECIALISTS}{first}.{name.removeprefix(GATE)}", own)
    return found if found.shape == own.shape else own


def _together(ancestors: Sequence[Ancestor]) -> Ancestor:
    """What several are the weights of, see `Ancestor`."""
    if len(ancestors) == 1:
        return ancestors[0]
    tables = [ancestor.tables for ancestor in ancestors]
    return Ancestor(
        name=", ".join(ancestor.name for ancestor in ancestors),
        sha256=hashlib.sha256(" ".join(ancestor.sha256 for ancestor in ancestors).encode()).hexdigest(),
        steps=max(ancestor.steps for ancestor in ancestors),
        tables=None if None in tables else sum(count or 0 for count in tables),
    )
