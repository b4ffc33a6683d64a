"""Weights and state on disk: safetensors and JSON, never pickles, each folder sealed by a manifest of hashes.

    RUN/checkpoints/step-00000400/weights.safetensors     the network
                                  optimiser.safetensors   momenta, by parameter
                                  state.json              counters
                                  manifest.json           size and sha256 of these files and of the experiment, last

A folder without a manifest is not a checkpoint: it was cut short. The two newest and the best are kept. Where the one
asked for is damaged, the newest that is whole takes its place, with a note on standard error.

A released model (see release.py) is the same without a run around it, and is read by the same functions:

    base/model.safetensors, state.json, network.toml     what predicting needs
         experiment.toml, origins.json                   what its tables were, and whose the components
         manifest.json                                   size and sha256 of these five
         card.md                                         for people

Only what needs the tables of its training reads experiment.toml: a stream that changed leaves the network readable.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tabscm.engine.model import Model
from tabscm.engine.state import State
from tabscm.kernel.config import dump, load, load_network, origins
from tabscm.kernel.errors import CheckpointError, ConfigError
from tabscm.kernel.experiment import Experiment, Network
from tabscm.kernel.registry import Registry

EXPERIMENT = "experiment.toml"
"""The resolved experiment, in the run folder."""
ORIGINS = "origins.json"
"""The distribution and version of each component, in the run folder."""
NETWORK = "network.toml"
"""What of the experiment building the network needs, in a released model; the first ones came without it."""
CHECKPOINTS = "checkpoints"
WEIGHTS, MOMENTA, STATE = FILES = ("weights.safetensors", "optimiser.safetensors", "state.json")
MANIFEST = "manifest.json"
CARD = "card.md"
MODEL = "model.safetensors"
"""The network of a released model; it may be stored in half precision."""
RELEASED = (MODEL, STATE, EXPERIMENT, ORIGINS)
"""What the manifest of a released model seals, besides the file NETWORK."""
KEPT = 2
"""Newest checkpoints kept besides the best."""


def save(run: Path, weights: Mapping[str, Tensor], momenta: Mapping[str, Tensor], state: State) -> Path:
    """Write a checkpoint of `run` and drop those no longer kept. Returns its folder."""
    final = _folder(run, state.step)
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, part / WEIGHTS)
    save_file({name: value.contiguous() for name, value in momenta.items()}, part / MOMENTA)
    (part / STATE).write_text(json.dumps(attrs.asdict(state), indent=2) + "\n")
    _seal(part, {"experiment": _experiment_print(run)})
    _settle(part, final)
    for old in _folders(run)[:-KEPT]:
        if old != _folder(run, state.best_step):
            shutil.rmtree(old)
    return final


def save_released(
    folder: Path,
    weights: Mapping[str, Tensor],
    state: State,
    *,
    network: Network,
    experiment: str,
    origins: str,
    card: Callable[[str], str],
) -> None:
    """Write a released model, replacing the one in `folder`.

    Args:
        folder: its parent exists.
        weights: as they are to be stored.
        state: of the checkpoint they come from.
        network: whose weights they are.
        experiment: the text of experiment.toml.
        origins: the text of origins.json.
        card: what card.md says, given the sha256 of the weights.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    save_file({name: value.contiguous() for name, value in weights.items()}, part / MODEL)
    (part / MODEL).chmod(0o644)  # safetensors writes for the owner alone; an installation has many readers
    (part / STATE).write_text(json.dumps(attrs.asdict(state), indent=2) + "\n")
    (part / NETWORK).write_text(dump(network), "utf-8")
    (part / EXPERIMENT).write_text(experiment, "utf-8")
    (part / ORIGINS).write_text(origins, "utf-8")
    _seal(part, {})
    (part / CARD).write_text(card(str(_manifest(part)["files"][MODEL]["sha256"])), "utf-8")
    _settle(part, folder)


def is_released(folder: Path) -> bool:
    """Whether a folder holds a released model, be it damaged, and not a run."""
    return (folder / MANIFEST).is_file()


def has_checkpoint(run: Path) -> bool:
    """Whether there is anything to restore, be it damaged."""
    return bool(_folders(run))


def restore(run: Path, which: Literal["last", "best"]) -> tuple[dict[str, Tensor], dict[str, Tensor], State]:
    """Read a checkpoint of `run`: weights, momenta and state, on the host.

    Raises:
        CheckpointError: there is none, or none whose bytes are those that were written, or the experiment changed.
    """
    folder, state = _choose(run, which, FILES)
    return _tensors(folder / WEIGHTS), _tensors(folder / MOMENTA), state


def restore_weights(run: Path, which: Literal["last", "best"]) -> tuple[dict[str, Tensor], State]:
    """What `restore` reads without the momenta, which only training needs; of a released model, its one network.

    Raises:
        CheckpointError: as `restore`.
    """
    if is_released(run):
        state, _ = _released(run)
        return {name: _single(value) for name, value in _tensors(run / MODEL).items()}, state
    folder, state = _choose(run, which, (WEIGHTS, STATE))
    return _tensors(folder / WEIGHTS), state


def seal(run: Path, which: Literal["last", "best"]) -> tuple[State, str]:
    """The state of a checkpoint of `run`, and the sha256 of the file its weights are in.

    Raises:
        CheckpointError: as `restore`.
    """
    if is_released(run):
        return _released(run)
    folder, state = _choose(run, which, (WEIGHTS, STATE))
    return state, str(_manifest(folder)["files"][WEIGHTS]["sha256"])


def load_model(run: Path, registry: Registry, device: torch.device) -> Model:
    """The best network of a run, or a released one, ready to predict.

    Raises:
        CheckpointError: as `load_run`.
        ConfigError: the network needs a plugin that is not installed.
    """
    if not (is_released(run) and (run / NETWORK).is_file()):
        return load_run(run, registry, device)[0]
    weights, state = restore_weights(run, "best")  # whether the network is the one it was is seen here
    with _absent_named(run, registry):
        network = load_network(run / NETWORK, registry)
    return _ready(network, weights, state, run, device)


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


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], run: Path) -> None:
    """Put `weights` into `model`.

    Raises:
        CheckpointError: they are of another network.
    """
    check_fit(model, weights, run)
    model.load_state_dict(dict(weights))


def check_fit(model: torch.nn.Module, weights: Mapping[str, Tensor], run: Path) -> None:
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
        before = json.loads((run / ORIGINS).read_text("utf-8"))
        for component, now in origins(experiment, registry).items():
            then = before[component]
            if then != now:
                both = [f"{origin['distribution']} {origin['version']}" for origin in (then, now)]
                changed.setdefault(" then, ".join(both) + " now", []).append(component)
    except (OSError, ValueError, KeyError, TypeError) as error:
        _note(f"{run / ORIGINS}: cannot be compared with what is installed ({type(error).__name__}: {error})")
    for versions, components in changed.items():
        more = f" and {len(components) - 3} more" if len(components) > 3 else ""
        _note(f"{run}: {versions}: {', '.join(components[:3])}{more}")


@contextlib.contextmanager
def _absent_named(run: Path, registry: Registry) -> Iterator[None]:
    """Where a file of `run` cannot be read, note which distributions its components came from that are gone now."""
    try:
        yield
    except ConfigError:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            for component, origin in json.loads((run / ORIGINS).read_text("utf-8")).items():
                kind, _, name = component.partition("/")
                if name not in registry.names(kind):
                    who = f"{origin['distribution']} {origin['version']}"
                    _note(f"{run}: {kind} {name} came from {who}; install it again")
        raise


def _ready(
    experiment: Experiment | Network, weights: Mapping[str, Tensor], state: State, run: Path, device: torch.device
) -> Model:
    """The network with the weights and the threshold that were read from `run`."""
    model = Model(experiment)
    load_weights(model, weights, run)
    model.threshold = state.threshold
    return model.to(device).eval()


def _shape(weights: Mapping[str, Tensor], name: str) -> str:
    if name not in weights:
        return "none"
    return " x ".join(map(str, weights[name].shape)) or "a scalar"


def _folder(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step:08d}"


def _folders(run: Path) -> list[Path]:
    """Every complete checkpoint, oldest first."""
    return sorted(path.parent for path in (run / CHECKPOINTS).glob("step-*/manifest.json"))


def _choose(run: Path, which: Literal["last", "best"], needed: tuple[str, ...]) -> tuple[Path, State]:
    """The checkpoint asked for, or the newest whose `needed` files are whole, and its state."""
    folders = _folders(run)
    if not folders:
        raise CheckpointError(f"{run}: no checkpoint here. Train one: python -m tabscm run EXPERIMENT --out {run}")
    faults: dict[Path, str] = {}
    newest = None
    for folder in reversed(folders):
        fault = _fault(folder, needed)
        if fault is None:
            newest = folder
            break
        faults[folder] = fault
    if newest is None:
        found = "; ".join(f"{folder.name}: {fault}" for folder, fault in faults.items())
        raise CheckpointError(f"{run}: no checkpoint can be used ({found}). To start again: {_again(run)}")
    state = _read_state(newest)
    chosen = best = _folder(run, state.best_step) if which == "best" else newest
    if best not in faults and (fault := _fault(best, needed)):
        faults[best] = fault
    if best in faults:
        chosen = newest
    for folder, fault in faults.items():
        _note(f"{folder}: {fault}; using {chosen.name} instead")
    sealed = _manifest(chosen).get("experiment")
    if sealed is not None and sealed != _experiment_print(run):
        raise CheckpointError(
            f"{run / EXPERIMENT}: changed since {chosen.name} was written (sha256 differs). Put it back as it was, "
            f"or start again: {_again(run)}"
        )
    return chosen, _read_state(chosen)


def _released(folder: Path) -> tuple[State, str]:
    """The state of a released model whose files are those that were released, and the sha256 of its weights."""
    files = (*RELEASED, NETWORK) if (folder / NETWORK).is_file() else RELEASED
    fault = _fault(folder, files, files)
    if fault is not None:
        raise CheckpointError(
            f"{folder}: this released model cannot be used ({fault}). Install the package again, or release it anew"
        )
    return _read_state(folder), str(_manifest(folder)["files"][MODEL]["sha256"])


def _single(value: Tensor) -> Tensor:
    """In single precision, whatever it was stored in."""
    return value.float() if value.is_floating_point() else value


def _again(run: Path) -> str:
    return f"python -m tabscm run EXPERIMENT --out {run} --overwrite"


def _fault(folder: Path, needed: tuple[str, ...], sealed: tuple[str, ...] = FILES) -> str | None:
    """What keeps a checkpoint, whose manifest lists the files `sealed`, from being used; None when nothing does."""
    if not folder.is_dir():
        return "this checkpoint is missing"
    missing = [name for name in (*needed, MANIFEST) if not (folder / name).is_file()]
    if missing:
        return f"{', '.join(missing)} missing"
    try:
        files = _manifest(folder)["files"]
        if sorted(files) != sorted(sealed):
            return f"{MANIFEST} does not list exactly {', '.join(sealed)}"
        changed = [name for name in needed if _fingerprint(folder / name) != files[name]]
        if changed:
            return f"{', '.join(changed)} changed since it was written (sha256 differs)"
        _read_state(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unreadable ({type(error).__name__}: {error})"
    return None


def _seal(folder: Path, more: Mapping[str, object]) -> None:
    """Write the manifest of the files in a folder, and `more` into it."""
    files = {path.name: _fingerprint(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"files": files, **more}, indent=2) + "\n")


def _settle(part: Path, final: Path) -> None:
    """Put a folder that is complete in its place."""
    for path in part.iterdir():
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(part, final)
    _flush(final.parent)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return manifest


def _read_state(folder: Path) -> State:
    return State(**json.loads((folder / STATE).read_text()))


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file}: not readable as safetensors ({error})") from error


def _experiment_print(run: Path) -> dict[str, int | str] | None:
    return _fingerprint(run / EXPERIMENT) if (run / EXPERIMENT).is_file() else None


def _fingerprint(path: Path) -> dict[str, int | str]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _flush(path: Path) -> None:
    """Have the disk keep a file, or the entries of a folder."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
