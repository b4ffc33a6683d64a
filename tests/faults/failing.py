"""Have every file-system call of a save fail in turn, with ENOSPC, EIO and EROFS.

    python tests/faults/failing.py

Counted are the calls that Python makes in the folder of the run while a third checkpoint is written, read back, and the
oldest removed. Each failure must be heard of; the checkpoints that were there, or the new one and the one before it,
must be whole; and the next save must work.
"""

import errno
import shutil
import sys
from pathlib import Path

from harness import scratch
from injection import Calls, counted
from samples import contents, is_of, put, state, tensors

from tabscm import CheckpointError
from tabscm.engine.checkpoint import restore, save

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)


def failing(errors=ERRORS, *, say=print):
    """Try every call with every error; returns what went wrong, a line each."""
    tried = silent = harmed = stuck = 0
    wrong = []
    with scratch() as folder:
        base, run = Path(folder) / "base", Path(folder) / "run"
        put(base, 10, 20)
        before = contents(base)
        shutil.copytree(base, run)
        with counted(Calls(run)) as all_calls:
            save(run, *tensors(30), state(30))
        calls = len(all_calls.seen)
        for error in errors:
            for at in range(1, calls + 1):
                shutil.rmtree(run)
                shutil.copytree(base, run)
                tried += 1
                with counted(Calls(run, at=at, how=error)) as struck:
                    heard = attempt(run)
                what = f"{errno.errorcode[error]} at call {at}, {struck.struck}"
                if not heard:
                    silent += 1
                    wrong.append(f"{what}: not heard of")
                there = contents(run)
                intact = all(there.get(name) == data for name, data in before.items())
                if not intact and not is_of(30, restore(run, "last")):
                    harmed += 1
                    wrong.append(f"{what}: the checkpoints before are not as they were, and the new one is not whole")
                save(run, *tensors(30), state(30))
                if not is_of(30, restore(run, "last")) or len(list((run / "checkpoints").iterdir())) != 2:
                    stuck += 1
                    wrong.append(f"{what}: the next save is not right")
    say(f"failing calls tried: {tried} of {calls} calls x {len(errors)} errors")
    say(f"silent successes: {silent} of {tried}")
    say(f"previous checkpoints harmed: {harmed} of {tried}")
    say(f"saves after the failure that did not work: {stuck} of {tried}")
    return wrong


def attempt(run):
    """Save; whether a failure was heard of."""
    try:
        save(run, *tensors(30), state(30))
    except (OSError, CheckpointError):
        return True
    return False


if __name__ == "__main__":
    sys.exit("\n".join(failing()) or 0)
