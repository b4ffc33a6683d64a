"""The folder of a run: started, gone on with, or replaced, and never by accident.

RUN/experiment.toml          the resolved experiment: what the run is
    origins.json             the distribution and version of each component
    checkpoints/             see checkpoint.py
    metrics.jsonl            losses and validations
    training_log.csv         a line per validation
    events.out.tfevents.*    losses and validations for TensorBoard
    eval.json                {cell: {metric: value}} on fresh tables
    report.html              all of it on one page, see report.py
    lock                     held by the process that trains here, see lock.py
    starting                 there until everything is that a run starts with
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

import torch

from tabscm.engine.checkpoint import CHECKPOINTS, EXPERIMENT, ORIGINS, has_checkpoint
from tabscm.engine.evaluate import evaluate
from tabscm.engine.journal import scalar
from tabscm.engine.loading import compare_origins
from tabscm.engine.lock import LOCK
from tabscm.engine.processes import ALONE, Processes
from tabscm.engine.start import Start, begin
from tabscm.engine.trainer import LOG, train
from tabscm.engine.training_log import TRAINING_LOG
from tabscm.engine.untrusted import read_object
from tabscm.engine.whole import flush, part_of, write_whole
from tabscm.kernel.config import dump, load, origins, to_data
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import Registry

RESULTS = "eval.json"
REPORT = "report.html"
STARTING = "starting"
EVENTS = "events.out.tfevents.*"

SHOWN = 5
"""Differences between two experiments that a message names."""
AGAIN = "Give the file and the --set of then to go on, or --overwrite to start again."


def prepare(
    run: Path,
    experiment: Experiment,
    registry: Registry,
    *,
    resume: bool,
    overwrite: bool,
    start: Start | None = None,
) -> None:
    """Make the folder `run` ready to train in.

    Args:
        run: a folder, which need not exist.
        experiment: what will be trained.
        registry: who brought its components.
        resume: the folder holds this experiment already, and training goes on.
        overwrite: what an earlier run left in the folder may go.
        start: weights to start from; None draws them. Not together with `resume`, which has weights.

    Raises:
        CheckpointError: the folder holds something that neither `resume` nor `overwrite` covers.
    """
    if run.exists() and not run.is_dir():
        raise CheckpointError(f"{run}: is a file, not a folder. Use --out for another place.")
    empty = not run.is_dir() or all(path.name in (LOCK, part_of(run / STARTING).name) for path in run.iterdir())
    used = not empty and not (run / STARTING).exists()
    if resume:
        _check_same(run, experiment, registry)
        compare_origins(run, experiment, registry)
        return
    if used and not overwrite:
        raise CheckpointError(
            f"{run}: is not empty. Use --resume to go on with it, --overwrite to start it again, or --out for another "
            "folder."
        )
    if used and not (run / EXPERIMENT).is_file():
        raise CheckpointError(
            f"{run}: is not empty, and not the folder of a run, which would hold {EXPERIMENT}; --overwrite replaces "
            "only runs. Use --out for another folder."
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_whole(run / STARTING, "")
        _clear(run)
        write_whole(run / EXPERIMENT, dump(experiment))
        write_whole(run / ORIGINS, json.dumps(origins(experiment, registry), indent=2) + "\n")
        if start is not None:
            begin(run, start)
        (run / STARTING).unlink()
        flush(run)
    except OSError as error:
        raise CheckpointError(f"{run}: cannot be written: {error.strerror}. Use --out for another place.") from None


def is_started(run: Path) -> bool:
    """Whether there is a run in a folder, with everything that it starts with."""
    return (run / EXPERIMENT).is_file() and not (run / STARTING).exists()


def carry_out(
    run: Path,
    experiment: Experiment,
    *,
    device: torch.device,
    resume: bool,
    out: TextIO,
    processes: Processes = ALONE,
) -> dict[str, dict[str, float]] | None:
    """Train in a folder made ready by `prepare`, judge the network on fresh tables, and write down the results.

    Args:
        run: the folder.
        experiment: what `prepare` was told.
        device: where everything happens.
        resume: go on from the newest checkpoint, as a run must that `prepare` gave weights to start from; cut short
            before its first, a run starts from step 0.
        out: where progress is printed.
        processes: which train together; the first one judges.

    Returns:
        See `evaluate`; None in a process that is not the first.
    """
    resume = processes.tell(lambda: resume and has_checkpoint(run))
    model = train(experiment, run, device=device, resume=resume, out=out, processes=processes)
    if not processes.leads:
        return None
    results = evaluate(model, experiment, device=device, threshold=model.threshold)
    write_results(run, results)
    return results


def write_results(run: Path, results: Mapping[str, Mapping[str, float]]) -> None:
    """Write eval.json; NaN, a value undefined here, becomes null."""
    known = {
        cell: {metric: value if math.isfinite(value) else None for metric, value in values.items()}
        for cell, values in results.items()
    }
    write_whole(run / RESULTS, json.dumps(known, indent=2) + "\n")


def read_results(file: Path) -> dict[str, dict[str, float | None]] | None:
    """What eval.json says; None when it is not there.

    Raises:
        CheckpointError: it says something else.
    """
    if not file.is_file():
        return None
    try:
        found = read_object(file)
        return {cell: {metric: scalar(value) for metric, value in values.items()} for cell, values in found.items()}
    except (ValueError, AttributeError):
        raise CheckpointError(
            f"{file}: not what an evaluation writes. To judge again: python -m tabscm eval {file.parent} --overwrite"
        ) from None


def _check_same(run: Path, experiment: Experiment, registry: Registry) -> None:
    if (run / STARTING).exists():
        raise CheckpointError(f"{run}: nothing to resume, its start was cut short. Leave out --resume to start.")
    if not (run / EXPERIMENT).is_file():
        raise CheckpointError(f"{run}: nothing to resume, there is no {EXPERIMENT}. Leave out --resume to start.")
    there = load(run / EXPERIMENT, registry)
    if there != experiment:
        found = list(_differences(to_data(there), to_data(experiment)))
        more = [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise CheckpointError(
            "\n".join(
                [
                    f"{run}: this is the run of another experiment, so it cannot be resumed:",
                    *found[:SHOWN],
                    *more,
                    AGAIN,
                ]
            )
        )


def _differences(there: object, here: object, path: str = "") -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in {**there, **here}:
            yield from _differences(there.get(key), here.get(key), f"{path}.{key}" if path else key)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for index, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif there != here:
        yield f"  {path}: {json.dumps(there)} there, {json.dumps(here)} here"


def _clear(run: Path) -> None:
    """Delete what a run makes, and nothing else that may lie in the folder."""
    if (run / CHECKPOINTS).exists():
        shutil.rmtree(run / CHECKPOINTS)
    for file in [
        *run.glob(EVENTS),
        *(run / name for name in (LOG, TRAINING_LOG, RESULTS, REPORT, ORIGINS, EXPERIMENT)),
    ]:
        file.unlink(missing_ok=True)
