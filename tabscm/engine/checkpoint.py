"""Weights and state on disk: safetensors and JSON, never pickles, each folder sealed by a manifest of hashes.

    RUN/checkpoints/step-00000400/weights.safetensors     the network
                                  optimiser.safetensors   momenta, by parameter
                                  state.json              counters
                                  manifest.json           size and sha256 of the other files, written last

A folder without a manifest is not a checkpoint: it was cut short. The two newest and the best are kept.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tabscm.engine.model import Model
from tabscm.kernel.config import load
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import Registry

EXPERIMENT = "experiment.toml"
"""The resolved experiment, in the run folder."""
CHECKPOINTS = "checkpoints"
KEPT = 2
"""Newest checkpoints kept besides the best."""


@attrs.frozen
class State:
    """Where a run stands, beyond weights and momenta."""

    step: int
    """Steps done."""
    best_step: int
    """Steps done when validation was best."""
    best_gain: float
    """Its log-probability over the base rate, nats per ordered pair."""
    seconds: float
    """Time spent training, validation and saving included."""


def save(run: Path, weights: Mapping[str, Tensor], momenta: Mapping[str, Tensor], state: State) -> Path:
    """Write a checkpoint of `run` and drop those no longer kept. Returns its folder."""
    final = _folder(run, state.step)
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, part / "weights.safetensors")
    save_file({name: value.contiguous() for name, value in momenta.items()}, part / "optimiser.safetensors")
    (part / "state.json").write_text(json.dumps(attrs.asdict(state), indent=2) + "\n")
    files = {path.name: _fingerprint(path) for path in sorted(part.iterdir())}
    (part / "manifest.json").write_text(json.dumps({"files": files}, indent=2) + "\n")
    for path in part.iterdir():
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(part, final)
    _flush(final.parent)
    for old in _folders(run)[:-KEPT]:
        if old != _folder(run, state.best_step):
            shutil.rmtree(old)
    return final


def restore(run: Path, which: Literal["last", "best"]) -> tuple[dict[str, Tensor], dict[str, Tensor], State]:
    """Read a checkpoint of `run`: weights, momenta and state, on the host.

    Raises:
        CheckpointError: there is none, or its bytes are not those that were written.
    """
    folders = _folders(run)
    if not folders:
        raise CheckpointError(f"{run}: no checkpoint here. Train one: python -m tabscm run EXPERIMENT --out {run}")
    folder = folders[-1]
    _verify(folder)
    state = _read_state(folder)
    if which == "best" and state.best_step != state.step:
        folder = _folder(run, state.best_step)
        _verify(folder)
        state = _read_state(folder)
    try:
        weights = load_file(folder / "weights.safetensors")
        momenta = load_file(folder / "optimiser.safetensors")
    except SafetensorError as error:
        raise CheckpointError(f"{folder}: not readable as safetensors ({error})") from error
    return weights, momenta, state


def load_run(run: Path, registry: Registry, device: torch.device) -> tuple[Model, Experiment]:
    """The best network of a run, ready to predict, and the experiment it was trained by.

    Raises:
        CheckpointError: not a run folder, no checkpoint, or a damaged one.
        ConfigError: the experiment needs a plugin that is not installed.
    """
    if not (run / EXPERIMENT).is_file():
        raise CheckpointError(
            f"{run}: not a run folder, it has no {EXPERIMENT}. Train one: python -m tabscm run EXPERIMENT --out {run}"
        )
    experiment = load(run / EXPERIMENT, registry)
    weights, _, _ = restore(run, "best")
    model = Model(experiment)
    load_weights(model, weights, run)
    return model.to(device).eval(), experiment


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], run: Path) -> None:
    """Put `weights` into `model`.

    Raises:
        CheckpointError: they are of another network.
    """
    own = model.state_dict()
    wrong = sorted(name for name in own.keys() | weights.keys() if _shape(own, name) != _shape(weights, name))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(f"{run}: the weights do not fit the experiment: {', '.join(wrong[:3])}{more}")
    model.load_state_dict(dict(weights))


def _shape(weights: Mapping[str, Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None


def _folder(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step:08d}"


def _folders(run: Path) -> list[Path]:
    """Every complete checkpoint, oldest first."""
    return sorted(path.parent for path in (run / CHECKPOINTS).glob("step-*/manifest.json"))


def _read_state(folder: Path) -> State:
    return State(**json.loads((folder / "state.json").read_text()))


def _verify(folder: Path) -> None:
    try:
        files = json.loads((folder / "manifest.json").read_text())["files"]
        damaged = [name for name, print_ in files.items() if _fingerprint(folder / name) != print_]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder}: incomplete or unreadable ({error}). Do not use it; delete it.") from error
    if damaged:
        raise CheckpointError(
            f"{folder}: {', '.join(damaged)} changed since it was written (sha256 differs). Do not use it; delete it."
        )


def _fingerprint(path: Path) -> dict[str, int | str]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
