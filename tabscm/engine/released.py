"""The trained models that ship in the package: one folder each under tabscm/weights, read as a run is."""

from pathlib import Path

from tabscm.engine.checkpoint import is_released
from tabscm.kernel.errors import CheckpointError, did_you_mean

WEIGHTS = Path(__file__).parents[1] / "weights"
"""The folder in which they lie."""
DEFAULT = "base"
"""The one that is used when nobody asks for another."""


def released(name: str = DEFAULT) -> Path:
    """The folder of a released model, for `loading.load_model`.

    Raises:
        CheckpointError: there is none of this name, or none at all.
    """
    known = names()
    if name in known:
        return WEIGHTS / name
    if not known:
        raise CheckpointError(
            "no trained model comes with this installation. Train one, python -m tabscm run EXPERIMENT, and name its "
            "folder, or put it into the package: python -m tabscm release RUN"
        )
    raise CheckpointError(
        f'no released model is called "{name}".{did_you_mean(name, known)} There are: {", ".join(known)}'
    )


def names() -> list[str]:
    """What the released models are called."""
    return sorted(path.name for path in WEIGHTS.glob("*") if is_released(path)) if WEIGHTS.is_dir() else []


def find(run: Path | None, *, whole: bool = False) -> Path:
    """The folder that somebody means who says `run`: that folder, a released model of that name, or, by None, the
    default one; of RUN:SPECIALIST that and the specialist, for `loading.load_model`.

    Raises:
        CheckpointError: None was said, and there is no released model; or a specialist by itself, and `whole` is asked;
            or as `one_of`.
    """
    if run is None:
        return released()
    folder, of = one_of(run)
    if of and whole:
        raise CheckpointError(f"{run}: one specialist is for predict, serve and bench accuracy; here use {folder}")
    return WEIGHTS / run if not folder.exists() and str(folder) in names() else run


def one_of(run: Path) -> tuple[Path, str]:
    """RUN:SPECIALIST as the folder and the name of the specialist; RUN as the folder and "".

    Raises:
        CheckpointError: there is nothing after the colon.
    """
    name, colon, of = run.name.rpartition(":")
    if not (colon and name) or run.exists():
        return run, ""
    if not of:
        raise CheckpointError(f"{run} names no specialist after the colon; leave out the colon, or say which")
    return run.with_name(name), of
