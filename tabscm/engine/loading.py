"""A trained network read back: of a run or a released model, ready to predict, and whether it is what it was."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tabscm.engine.checkpoint import (
    EXPERIMENT,
    FAMILIARITY,
    NETWORK,
    ORIGINS,
    is_released,
    note,
    read_familiarity,
    restore_weights,
    seal,
)
from tabscm.engine.familiarity import read_reference
from tabscm.engine.limits import check_sizes
from tabscm.engine.model import Model
from tabscm.engine.released import one_of
from tabscm.engine.state import State
from tabscm.engine.untrusted import read_object
from tabscm.kernel.config import load, load_network, origins
from tabscm.kernel.errors import CheckpointError, ConfigError, did_you_mean
from tabscm.kernel.experiment import Experiment, Network
from tabscm.kernel.registry import Registry


def load_model(run: Path, registry: Registry, device: torch.device) -> Model:
    """The best network of a run, or a released one, ready to predict; of RUN:SPECIALIST that specialist alone.

    Raises:
        CheckpointError: as `load_run`, or there is no such specialist.
        ConfigError: the network needs a plugin that is not installed.
    """
    run, of = one_of(run)
    if not (is_released(run) and (run / NETWORK).is_file()):
        return _alone(load_run(run, registry, device)[0], of, run)
    weights, state = restore_weights(run, "best")  # whether the network is the one it was is seen here
    with _absent_named(run, registry):
        network = load_network(run / NETWORK, registry)
    return _alone(_ready(network, weights, state, run, device), of, run)


def load_run(run: Path, registry: Registry, device: torch.device) -> tuple[Model, Experiment]:
    """The best network of a run, or a released one, ready to predict, and the experiment it was trained by.

    Raises:
        CheckpointError: not a run folder, no checkpoint, only damaged ones, or an experiment that changed.
        ConfigError: the experiment needs a plugin that is not installed.
    """
    if not (run / EXPERIMENT).is_file():
        raise CheckpointError(
            f"{run}: not a run folder, it has no {EXPERIMENT}. Train one: python -m tabscm run EXPERIMENT --out {run}"
        )
    weights, state = restore_weights(run, "best")  # whether the experiment is the one it was is seen here
    with _absent_named(run, registry):
        experiment = load(run / EXPERIMENT, registry)
    if not is_released(run):  # which was tried with the components it ships with
        compare_origins(run, experiment, registry)
    return _ready(experiment, weights, state, run, device), experiment


def unknown_specialist(of: str, known: Sequence[str], run: Path | str) -> CheckpointError:
    """What to raise where a run has no specialist of this name."""
    there = f"{did_you_mean(of, known)} There are: {', '.join(known)}" if known else " It is one network."
    return CheckpointError(f'{run}: there is no specialist called "{of}".{there}')


def _alone(model: Model, of: str, run: Path) -> Model:
    """The model, of which the specialist `of` alone is asked where one is named."""
    if of:
        known = list(model.specialists) if model.gate is not None else []
        if of not in known:
            raise unknown_specialist(of, known, run)
        model.ask_alone(of)
    return model


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], run: Path) -> None:
    """Put `weights` into `model`.

    Raises:
        CheckpointError: they are of another network.
    """
    check_fit(model, weights, run)
    model.load_state_dict(dict(weights))


def check_fit(model: torch.nn.Module, weights: Mapping[str, Tensor], run: Path | str) -> None:
    """Check that `weights`, read from `run`, are those of `model`: the same names, of the same shapes.

    Raises:
        CheckpointError: names the first parameters that differ, and how.
    """
    own = model.state_dict()
    names = [*own, *sorted(weights.keys() - own.keys())]
    wrong = [name for name in names if _shape(own, name) != _shape(weights, name)]
    if wrong:
        shown = [f"{name} ({_shape(weights, name)} there, {_shape(own, name)} here)" for name in wrong[:3]]
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(f"{run}: the weights do not fit the experiment: {', '.join(shown)}{more}")


def compare_origins(run: Path, experiment: Experiment, registry: Registry) -> None:
    """Note on standard error which components of a run come from another distribution or version now."""
    changed: dict[str, list[str]] = {}
    try:
        before = read_object(run / ORIGINS)
        for component, now in origins(experiment, registry).items():
            then = before[component]
            if then != now:
                both = [f"{origin['distribution']} {origin['version']}" for origin in (then, now)]
                changed.setdefault(" then, ".join(both) + " now", []).append(component)
    except (OSError, ValueError, KeyError, TypeError) as error:
        note(f"{run / ORIGINS}: cannot be compared with what is installed ({type(error).__name__}: {error})")
    for versions, components in changed.items():
        more = f" and {len(components) - 3} more" if len(components) > 3 else ""
        note(f"{run}: {versions}: {', '.join(components[:3])}{more}")


@contextlib.contextmanager
def _absent_named(run: Path, registry: Registry) -> Iterator[None]:
    """Where a file of `run` cannot be read, note which distributions its components came from that are gone now."""
    try:
        yield
    except ConfigError:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            for component, origin in read_object(run / ORIGINS).items():
                kind, _, name = component.partition("/")
                if name not in registry.names(kind):
                    away = [one for one in registry.left_out if one.distribution == origin["distribution"]]
                    then = f"which {away[0].how} leaves out" if away else "install it again"
                    came = f"{origin['distribution']} {origin['version']}"
                    note(f"{run}: {kind} {name} came from {came}{', ' if away else '; '}{then}")
        raise


def _ready(
    experiment: Experiment | Network, weights: Mapping[str, Tensor], state: State, run: Path, device: torch.device
) -> Model:
    """The network with the weights and the threshold that were read from `run`."""
    check_sizes(experiment)
    model = Model(experiment)
    load_weights(model, weights, run)
    model.threshold = state.threshold
    model.sha256 = seal(run, "best")[1]
    found = read_familiarity(run)
    if found is not None:
        try:
            model.reference = read_reference(found)
        except (ValueError, KeyError, TypeError) as error:
            note(
                f"{run / FAMILIARITY}: cannot be used here ({type(error).__name__}: {error}); tables are not compared "
                "with those of the training"
            )
    return model.to(device).eval()


def _shape(weights: Mapping[str, Tensor], name: str) -> str:
    if name not in weights:
        return "none"
    return " x ".join(map(str, weights[name].shape)) or "a scalar"
