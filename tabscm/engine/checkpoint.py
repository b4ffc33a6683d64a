"""Weights and state on disk: safetensors and JSON, never pickles, each folder sealed by a manifest of hashes.

    RUN/checkpoints/step-00000400/weights.safetensors     the network
                                  optimiser.safetensors   momenta and step counts, by parameter
                                  state.json              counters, and what the monitors remember
                                  manifest.json           size and sha256 of these files and of the experiment, and
                                                          the sha256 of all that it says itself

A checkpoint is written under another name beside its place, .step-00000400.part: the files, then the manifest, then it
takes its place, each kept by the disk before the next. It is read back, and only then do older ones go: the two newest
and the best are kept. So there is a whole one at any moment, and whatever has the name of one was whole once. Where the
one asked for is damaged, the newest that is whole takes its place, with a note on standard error.

A released model (see release.py) is the same without a run around it, and is read by the same functions:

    base/model.safetensors, state.json, network.toml     what predicting needs
         experiment.toml, origins.json                   what its tables were, and whose the components
         familiarity.json                                what its tables look like, see familiarity.py
         manifest.json                                   size and sha256 of these six
         card.md                                         for people

Only what needs the tables of its training reads experiment.toml: a stream that changed leaves the network readable.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from safetensors.torch import save as packed
from torch import Tensor

from tabscm.engine.state import State, read_state
from tabscm.engine.untrusted import read_object, read_tensors
from tabscm.engine.whole import flush, write_new
from tabscm.kernel.config import dump
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.experiment import Network

EXPERIMENT = "experiment.toml"
"""The resolved experiment, in the run folder."""
ORIGINS = "origins.json"
"""The distribution and version of each component, in the run folder."""
NETWORK = "network.toml"
"""What of the experiment building the network needs, in a released model; the first ones came without it."""
FAMILIARITY = "familiarity.json"
"""What the tables of the training look like, in a released model; the first ones came without it."""
CHECKPOINTS = "checkpoints"
WEIGHTS, MOMENTA, STATE = FILES = ("weights.safetensors", "optimiser.safetensors", "state.json")
MANIFEST = "manifest.json"
CARD = "card.md"
MODEL = "model.safetensors"
"""The network of a released model; it may be stored in half precision."""
RELEASED = (MODEL, STATE, EXPERIMENT, ORIGINS)
"""What the manifest of a released model seals, besides those of LATER that are there."""
LATER = (NETWORK, FAMILIARITY)
SEAL = "seal"
"""What a manifest says of itself."""
KEPT = 2
"""Newest checkpoints kept besides the best."""


def save(run: Path, weights: Mapping[str, Tensor], momenta: Mapping[str, Tensor], state: State) -> Path:
    """Write a checkpoint of `run`, an existing folder, and drop those no longer kept: older ones, and those of later
    steps, which a run that went back to an earlier one has given up.

    Returns:
        Its folder.

    Raises:
        CheckpointError: what was read back is not what was written.
        OSError: something could not be written; the checkpoints that there were are as they were.
    """
    final = _folder(run, state.step)
    if not final.parent.is_dir():
        final.parent.mkdir()
        flush(run)
    _sweep(final.parent)
    files = {WEIGHTS: _pack(weights), MOMENTA: _pack(momenta), STATE: _json(attrs.asdict(state))}
    _write(final, files, {"experiment": _experiment_print(run)})
    fault = _fault(final, FILES)
    if fault is not None:
        raise CheckpointError(
            f"{final}: what is read back is not what was written: {fault}. Look at the disk and at the memory of this "
            "machine, then go on with --resume; the checkpoints before this one are as they were."
        )
    folders = _folders(run)
    kept = [*[folder for folder in folders if folder <= final][-KEPT:], _folder(run, state.best_step)]
    for folder in folders:
        if folder not in kept:
            os.replace(folder, folder.with_name(f".{folder.name}.old"))  # at once, for it goes file by file
    _sweep(final.parent)
    return final


def save_released(
    folder: Path,
    weights: Mapping[str, Tensor],
    state: State,
    *,
    network: Network,
    experiment: str,
    origins: str,
    familiarity: Mapping[str, object] | None,
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
        familiarity: what familiarity.json says; None for a model without one.
        card: what card.md says, given the sha256 of the weights.
    """
    model = _pack(weights)
    files = {
        MODEL: model,
        STATE: _json(attrs.asdict(attrs.evolve(state, memory={}))),
        NETWORK: dump(network).encode(),
        EXPERIMENT: experiment.encode(),
        ORIGINS: origins.encode(),
    }
    if familiarity is not None:
        files[FAMILIARITY] = _plain(familiarity)
    _replace_released(folder, files, card(hashlib.sha256(model).hexdigest()).encode())


def add_familiarity(folder: Path, familiarity: Mapping[str, object]) -> None:
    """Put familiarity.json into a released model, or replace it; everything else stays as it is.

    Raises:
        CheckpointError: the model is not the one that was released.
        OSError: something could not be written; the model is as it was.
    """
    _released(folder)
    names = [*RELEASED, *(name for name in LATER if (folder / name).is_file())]
    files = {name: (folder / name).read_bytes() for name in names}
    _replace_released(folder, {**files, FAMILIARITY: _plain(familiarity)}, (folder / CARD).read_bytes())


def read_familiarity(folder: Path) -> dict[str, Any] | None:
    """What familiarity.json of a released model says; None where there is none.

    Raises:
        CheckpointError: it cannot be read.
    """
    if not (folder / FAMILIARITY).is_file():
        return None
    try:
        return read_object(folder / FAMILIARITY)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / FAMILIARITY}: cannot be read: {error}") from None


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
    return read_tensors(folder / WEIGHTS), read_tensors(folder / MOMENTA), state


def restore_weights(run: Path, which: Literal["last", "best"]) -> tuple[dict[str, Tensor], State]:
    """What `restore` reads without the momenta, which only training needs; of a released model, its one network.

    Raises:
        CheckpointError: as `restore`.
    """
    if is_released(run):
        state, _ = _released(run)
        return {name: _single(value) for name, value in read_tensors(run / MODEL).items()}, state
    folder, state = _choose(run, which, (WEIGHTS, STATE))
    return read_tensors(folder / WEIGHTS), state


def seal(run: Path, which: Literal["last", "best"]) -> tuple[State, str]:
    """The state of a checkpoint of `run`, and the sha256 of the file its weights are in.

    Raises:
        CheckpointError: as `restore`.
    """
    if is_released(run):
        return _released(run)
    folder, state = _choose(run, which, (WEIGHTS, STATE))
    return state, str(_manifest(folder)["files"][WEIGHTS]["sha256"])


def _folder(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step:08d}"


def _folders(run: Path) -> list[Path]:
    """Every checkpoint, be it damaged, oldest first."""
    found = (run / CHECKPOINTS).glob("step-*")
    return sorted(path for path in found if re.fullmatch(r"step-\d{8,}", path.name) and path.is_dir())


def _sweep(folder: Path) -> None:
    """Remove what is left of checkpoints that were cut short, and of those that have had their time."""
    for path in [*folder.glob(".step-*.part"), *folder.glob(".step-*.old")]:
        shutil.rmtree(path)
    flush(folder)


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
    # before its first validation a run has no best
    chosen = best = _folder(run, state.best_step) if which == "best" and state.best_step else newest
    if best not in faults and (fault := _fault(best, needed)):
        faults[best] = fault
    if best in faults:
        chosen = newest
    for folder, fault in faults.items():
        note(f"{folder}: {fault}; using {chosen.name} instead")
    sealed = _manifest(chosen).get("experiment")
    if sealed is not None and sealed != _experiment_print(run):
        raise CheckpointError(
            f"{run / EXPERIMENT}: changed since {chosen.name} was written (sha256 differs). Put it back as it was, "
            f"or start again: {_again(run)}"
        )
    return chosen, _read_state(chosen)


def _released(folder: Path) -> tuple[State, str]:
    """The state of a released model whose files are those that were released, and the sha256 of its weights."""
    files = (*RELEASED, *(name for name in LATER if (folder / name).is_file()))
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
    try:
        if not folder.is_dir():
            return "this checkpoint is missing"
        missing = [name for name in (*needed, MANIFEST) if not (folder / name).is_file()]
        if missing:
            return f"{', '.join(missing)} missing"
        manifest = _manifest(folder)
        files = manifest["files"]
        seal = _seal(manifest)  # which the first versions did not write
        if manifest.get(SEAL, seal) != seal or not manifest.keys() <= {"files", "experiment", SEAL}:
            return f"{MANIFEST} changed since it was written"
        if sorted(files) != sorted(sealed):
            return f"{MANIFEST} does not list exactly {', '.join(sealed)}"
        changed = [name for name in needed if _fingerprint(folder / name) != files[name]]
        if changed:
            return f"{', '.join(changed)} changed since it was written (sha256 differs)"
        _read_state(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unreadable ({type(error).__name__}: {error})"
    return None


def _write(
    final: Path, files: Mapping[str, bytes], more: Mapping[str, object], *, unsealed: Mapping[str, bytes] | None = None
) -> None:
    """Write a folder of files and their manifest, which says `more`, and put it in its place, instead of what is there.

    Raises:
        OSError: something could not be written; what was in that place is there as it was.
    """
    part, old = _beside(final)
    manifest = {"files": {name: _print(data) for name, data in sorted(files.items())}, **more}
    try:
        part.mkdir()
        for name, data in {**files, **(unsealed or {}), MANIFEST: _json({**manifest, SEAL: _seal(manifest)})}.items():
            write_new(part / name, data)
        flush(part)
        if final.exists():
            os.replace(final, old)
        try:
            os.replace(part, final)
        except OSError:
            if old.exists():
                os.replace(old, final)
            raise
        flush(final.parent)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)  # on a full disk its place is wanted
        raise


def _replace_released(folder: Path, files: Mapping[str, bytes], card: bytes) -> None:
    """Write a released model in place of the one in `folder`."""
    part, old = _beside(folder)
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)
    _write(folder, files, {}, unsealed={CARD: card})
    shutil.rmtree(old, ignore_errors=True)


def _beside(final: Path) -> tuple[Path, Path]:
    """Where a folder is while it is written, and while it is replaced."""
    return final.with_name(f".{final.name}.part"), final.with_name(f".{final.name}.old")


def _seal(manifest: Mapping[str, object]) -> str:
    """The sha256 of what a manifest says, its own seal apart."""
    said = {name: value for name, value in manifest.items() if name != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors writes them."""
    return packed({name: value.contiguous() for name, value in tensors.items()})


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _plain(value: object) -> bytes:
    """JSON without room for people: thousands of numbers, which an indent would put on lines of their own."""
    return (json.dumps(value, allow_nan=False) + "\n").encode()


def _manifest(folder: Path) -> dict[str, Any]:
    return read_object(folder / MANIFEST)


def _read_state(folder: Path) -> State:
    return read_state(read_object(folder / STATE))


def _experiment_print(run: Path) -> dict[str, int | str] | None:
    return _fingerprint(run / EXPERIMENT) if (run / EXPERIMENT).is_file() else None


def _fingerprint(path: Path) -> dict[str, int | str]:
    """Size and sha256 of a file, of what the disk holds of it rather than of what memory does, where that can be."""
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return _print(file.read())


def _print(data: bytes) -> dict[str, int | str]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def note(text: str) -> None:
    """Say something on standard error."""
    print(f"note: {text}", file=sys.stderr)
