"""Turn a finished run into a model that ships: its best weights, what reading them needs, and a card for people."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import attrs
import torch
from torch import Tensor

from tabscm.engine import released
from tabscm.engine.card import Facts, card
from tabscm.engine.checkpoint import (
    EXPERIMENT,
    MODEL,
    ORIGINS,
    add_familiarity,
    is_released,
    restore_weights,
    save_released,
)
from tabscm.engine.evaluate import evaluate
from tabscm.engine.familiarity import survey
from tabscm.engine.hardware import describe
from tabscm.engine.loading import load_run, load_weights
from tabscm.engine.model import Model, parameter_count
from tabscm.engine.runs import RESULTS, read_results
from tabscm.engine.untrusted import read_object
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import Registry

MOST = 20_000_000
"""Bytes of all released models of one folder together: they travel with every installation."""
HALF = 1e-3
"""By how much half precision may change any of `JUDGED`."""
JUDGED = ("auroc", "ap", "f1", "direction")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def release(
    run: Path,
    registry: Registry,
    *,
    name: str = released.DEFAULT,
    half: bool = False,
    hardware: str | None = None,
    into: Path | None = None,
    overwrite: bool = False,
    device: torch.device,
    out: TextIO | None = None,
) -> Path:
    """Write the best network of a run as a released model.

    Args:
        run: the folder of a run that was judged.
        registry: the components that are installed.
        name: of the released model.
        half: store the weights in float16, if that changes no result by more than 1e-3: they are judged twice.
        hardware: what the run was trained on, for the card; None says what is here.
        into: the folder to release into; None is that of the package.
        overwrite: a released model of this name may go.
        device: where `half` is tried.
        out: where progress is shown; None for nowhere.

    Returns:
        Its folder.

    Raises:
        CheckpointError: the run is not finished or not whole, the name is taken or no name, half precision changes
            results, there is no room, or nothing can be written.
        ConfigError: the experiment needs a plugin that is not installed.
    """
    if not NAME.fullmatch(name):
        raise CheckpointError(f'"{name}" is no name for a released model; use lower-case letters, digits and hyphens')
    into = released.WEIGHTS if into is None else into
    folder = into / name
    if is_released(run):
        raise CheckpointError(f"{run}: is released already; name the folder of a run")
    if folder.exists() and not (overwrite and is_released(folder)):
        how = "Use --overwrite to replace it." if is_released(folder) else "Use another --name."
        raise CheckpointError(f"{folder}: exists already. {how}")
    model, experiment = load_run(run, registry, device)
    results = read_results(run / RESULTS)
    if results is None:
        raise CheckpointError(
            f"{run}: was not judged on fresh tables yet, there is no {RESULTS}. Let it finish, or: "
            f"python -m tabscm eval {run}"
        )
    weights, state = restore_weights(run, "best")
    change = None
    if half:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise CheckpointError(
                f"{run}: some weights are beyond the largest number of half precision, 65504. Leave out --half."
            )
        change = _change(run, model, experiment, weights, device)
    size = sum(value.numel() * value.element_size() for value in weights.values())
    _check_room(into, name, size)
    facts = Facts(
        name=name,
        parameters=parameter_count(model.parameters()),
        stored="float16" if half else "float32",
        change=change,
        bytes=size,
        state=state,
        hardware=hardware or f"{describe(device)} (the machine of the release)",
        variables=model.trained_variables,
        rows=model.trained_rows,
        most_variables=model.max_variables,
    )
    try:
        try:
            origins = json.dumps(read_object(run / ORIGINS), indent=2) + "\n"
        except ValueError as error:
            raise CheckpointError(f"{run / ORIGINS}: not what a run writes ({error})") from None
        texts = {"experiment": (run / EXPERIMENT).read_text("utf-8"), "origins": origins}
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read: {error.strerror}. A release needs it.") from None
    reference = survey(experiment.stream, seed=experiment.seed, device=torch.device("cpu"), out=out)
    try:
        into.mkdir(parents=True, exist_ok=True)
        save_released(
            folder,
            weights,
            state,
            network=experiment.network,
            **texts,
            familiarity=reference.to_json(),
            card=lambda sha256: card(attrs.evolve(facts, sha256=sha256), experiment, results, registry),
        )
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.strerror}. Use --out for another place.") from None
    return folder


def renew_familiarity(folder: Path, registry: Registry, *, out: TextIO | None = None) -> None:
    """Look at the tables of a released model's training, and put what they look like beside its weights.

    Raises:
        CheckpointError: it is no released model, or damaged, or cannot be written.
        ConfigError: its stream needs components that are not there.
    """
    if not is_released(folder):
        raise CheckpointError(f"{folder}: not a released model. Make one: python -m tabscm release {folder}")
    _, experiment = load_run(folder, registry, torch.device("cpu"))
    reference = survey(experiment.stream, seed=experiment.seed, device=torch.device("cpu"), out=out)
    try:
        add_familiarity(folder, reference.to_json())
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.strerror}") from None


def _change(
    run: Path, model: Model, experiment: Experiment, weights: Mapping[str, Tensor], device: torch.device
) -> float:
    """The largest change that stored `weights` make to a result, means over the evaluation's tables."""
    whole = evaluate(model, experiment, device=device, threshold=model.threshold)
    rounded = Model(experiment).to(device)
    rounded.threshold = model.threshold
    load_weights(rounded, {name: value.float() for name, value in weights.items()}, run)
    found = evaluate(rounded, experiment, device=device, threshold=model.threshold)
    change, cell, metric = max(
        (abs(whole[cell][metric] - found[cell][metric]), cell, metric)
        for cell in whole
        for metric in JUDGED
        if not math.isnan(whole[cell][metric])  # what is undefined is so because of the tables
    )
    if not change <= HALF:
        raise CheckpointError(
            f"{run}: half precision changes {metric} of {cell} by {change:.4f}, more than {HALF:g}. Leave out --half."
        )
    return change


def _check_room(into: Path, name: str, size: int) -> None:
    others = sum(path.stat().st_size for path in into.glob(f"*/{MODEL}") if path.parent.name != name)
    if others + size > MOST:
        raise CheckpointError(
            f"{into}: no room for {size / 1e6:.1f} MB more beside {others / 1e6:.1f} MB; released models have at most "
            f"{MOST / 1e6:.0f} MB together. Use --half, or remove one."
        )
