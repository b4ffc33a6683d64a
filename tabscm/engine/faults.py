"""What a machine does to a training, each in one line: a disk that takes no more, memory that is short."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tabscm.engine.stream import Stream, tables_per_batch
from tabscm.kernel.errors import MachineError

Batch = tuple[Stream, int, int]
"""The stream of a batch, its step, its part."""

ADVICE = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EROFS: "Make it writable",
    errno.EACCES: "Make it writable",
    errno.EPERM: "Make it writable",
    errno.ENOENT: "Something removed it; put it back",
}
"""What to do first, by error."""

SHORT = ("out of memory", "not enough memory", "can't allocate memory", "unable to allocate")
"""What torch, CUDA and numpy say when there is none, in lower case."""


@contextmanager
def named(run: Path, batch: Callable[[], Batch | None] = lambda: None) -> Iterator[None]:
    """Name what the machine does to the work inside.

    Args:
        run: the folder that is written to.
        batch: the batch that was made last.

    Raises:
        MachineError: a file could not be written or read, or memory is short.
    """
    try:
        with enough_memory(batch):
            yield
    except BrokenPipeError:
        raise  # the reader of the output, not a file
    except OSError as error:
        first = ADVICE.get(error.errno or 0, "Look at the disk, and at what the system logs of it")
        raise MachineError(
            f"{error.filename or run}: {error.strerror or error}. {first}, then go on with --resume; the checkpoints "
            f"in {run} are as they were."
        ) from error


@contextmanager
def enough_memory(batch: Callable[[], Batch | None]) -> Iterator[None]:
    """Name the batch that memory is too short for, and the knob to turn.

    Args:
        batch: the batch that the work inside is done on, when asked after a failure.

    Raises:
        MachineError: memory is short, on the host or on a GPU.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise MachineError(_short(error, batch())) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is short, on the host or on a GPU."""
    said = str(error).lower()
    short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return short or (isinstance(error, RuntimeError) and any(words in said for words in SHORT))


def _short(error: Exception, batch: Batch | None) -> str:
    said = str(error).split("\n")[0].rstrip(". ") or "no more memory"
    if batch is None:
        return f"out of memory ({said}). Close other programs, then go on with --resume."
    stream, step, part = batch
    tables, rows, variables = stream.sizes(step, part)
    what = f"{tables} table{'s' if tables > 1 else ''} of {variables} variables (d) and {rows} rows (n)"
    return (
        f"out of memory at step {step} of the {stream.purpose} tables, with {what} ({said}). {_knob(stream, batch)} "
        "That is another experiment: start it from the weights of this run with --init, or close other programs and go "
        "on with --resume."
    )


def _knob(stream: Stream, batch: Batch) -> str:
    """What to turn so that such a batch takes less memory."""
    tables, rows, variables = stream.sizes(*batch[1:])
    settings, key = stream.settings, stream.key
    spare = "trainer.gradient_checkpointing = true keeps less of each"
    if tables == 1:
        most = "variables" if variables**2 > rows else "rows"
        return f"One table is too large: lower the upper end of {key}.{most}; {spare}."
    budgets = {
        "pairs": settings.pairs // variables**2,
        "cells": settings.cells // (variables * rows),
        "tables": settings.tables,
    }
    binding = min(budgets, key=lambda name: budgets[name])
    assert tables == tables_per_batch(settings, variables, rows)
    half = getattr(settings, binding) // 2
    knob = f"{key}.{binding} = {half}"
    if stream.purpose != "train":
        return f"Halve them: {knob}."
    return f"Halve it: {knob} with trainer.accumulate doubled leaves a step as many tables; {spare}."
