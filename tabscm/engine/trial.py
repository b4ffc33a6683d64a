"""One trial of an ablation: a run in a process of its own.

What happens to it (an exception, a lack of memory, a crash) happens to no other, and its peak memory is its alone.

FOLDER/                 the folder of a run, see runs.py, made ready by `runs.prepare`
    cost.json           seconds of training (null before its end), peak memory in bytes; the last file to be written
    log.txt             what the process printed

    python -m tabscm.engine.trial ORDER    an Order as JSON; nobody types this
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs
import torch

from tabscm.engine.checkpoint import EXPERIMENT, restore
from tabscm.engine.journal import scalar
from tabscm.engine.lease import LOOK, holds
from tabscm.engine.lock import locked
from tabscm.engine.pace import pace
from tabscm.engine.runs import RESULTS, carry_out
from tabscm.engine.whole import read_json, write_whole
from tabscm.kernel.config import load
from tabscm.kernel.errors import ConfigError, TabSCMError
from tabscm.kernel.registry import discover

COST = "cost.json"
PRINTED = "log.txt"
PACE = "pace.json"

PATIENCE = 30.0
"""Seconds that a trial waits for another process in its folder to end."""
STOPPED = 75
"""Exit code of a trial that is not wanted any more."""


@attrs.frozen
class Order:
    """What a trial's process is told."""

    folder: str
    device: str
    """Or "auto": the best of the machine it runs on."""
    threads: int
    lease: str
    """A file; while it holds `token`, the trial is wanted, see lease.py."""
    token: str
    pace_for: float | None = None
    """Do not train but find out how long a step takes, for a training of this many seconds."""


@attrs.frozen
class Outcome:
    """What became of a trial."""

    results: dict[str, dict[str, float | None]] = attrs.field(factory=dict)
    """See `evaluate`; None is what is undefined."""
    seconds: float | None = None
    """Of training, validations included."""
    peak_memory: int | None = None
    """Bytes: of the process, or of the GPU where it ran on one; of a trial that was stopped and went on the larger."""
    failed: str | None = None
    """Why there are no results, in one line."""


def perform(order: Order) -> Outcome:
    """Run a trial to its end in a new process, on the machine where this is called."""
    folder = Path(order.folder)
    threads = str(order.threads)
    environment = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "4096", **os.environ}  # see __main__.py, for workers elsewhere
    environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    command = [sys.executable, "-m", "tabscm.engine.trial", json.dumps(attrs.asdict(order))]
    with (folder / PRINTED).open("a", encoding="utf-8") as log:
        code = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment).returncode
    if code != 0:
        return Outcome(failed=_end(code, folder / PRINTED))
    return Outcome() if order.pace_for is not None else finished(folder) or Outcome(failed="left no results")


def fulfil(order: Order) -> None:
    """What the process does, in this one."""
    torch.set_num_threads(order.threads)
    folder, device = Path(order.folder), _device(order)
    experiment = load(folder / EXPERIMENT, discover())
    if order.pace_for is not None:
        found = pace(experiment, device=device, seconds=order.pace_for)
        write_whole(folder / PACE, json.dumps(attrs.asdict(found), indent=2) + "\n")
        return
    with locked(folder, patience=PATIENCE):  # the process of an ablation that was killed may not have ended yet
        carry_out(folder, experiment, device=device, resume=True, out=sys.stdout)
    _write_cost(folder, device, seconds=restore(folder, "last")[2].seconds)


def finished(folder: Path) -> Outcome | None:
    """What a trial that came to its end left in its folder; None when it did not."""
    results, cost = read_json(folder / RESULTS), read_json(folder / COST)
    if results is None or cost is None or scalar(cost.get("seconds")) is None:
        return None
    peak = cost.get("peak_memory")
    return Outcome(results=results, seconds=scalar(cost["seconds"]), peak_memory=peak if type(peak) is int else None)


def main(order: Order) -> int:
    """Fulfil an order as long as it is wanted; the last line of the log says what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the lease stops this one
    threading.Thread(target=_watch, args=(order, os.getppid()), daemon=True).start()
    try:
        fulfil(order)
    except TabSCMError as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


def one_line(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, ConfigError):
        return "; ".join(f"{problem.where}: {', '.join(problem.lines)}" for problem in error.problems)
    text = " ".join(str(error).split())
    return text if isinstance(error, TabSCMError) else f"{type(error).__name__}: {text}"


def peak_memory(device: torch.device) -> int | None:
    """The most memory this process had at once, in bytes: on the GPU, or else all of it; None where it is unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # not getrusage, which on Linux counts what the parent had when it started this process
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def _watch(order: Order, parent: int) -> None:
    """End this process when nobody wants it any more; checkpoints bear that at any time."""
    while os.getppid() == parent and holds(Path(order.lease), order.token):
        time.sleep(LOOK)
    print("stopped: the ablation that this belongs to has ended", file=sys.stderr, flush=True)
    try:
        if order.pace_for is None:
            _write_cost(Path(order.folder), _device(order), seconds=None)
    finally:
        os._exit(STOPPED)


def _device(order: Order) -> torch.device:
    best = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(best if order.device == "auto" else order.device)


def _write_cost(folder: Path, device: torch.device, *, seconds: float | None) -> None:
    """Write down what the trial has cost; its peak memory is the largest of all its processes."""
    before = (read_json(folder / COST) or {}).get("peak_memory")
    peaks = [peak for peak in (before, peak_memory(device)) if peak is not None]
    cost = {"seconds": seconds, "peak_memory": max(peaks, default=None)}
    write_whole(folder / COST, json.dumps(cost, indent=2) + "\n")


def _end(code: int, log: Path) -> str:
    """Why a process ended with `code`, in one line."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    said = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    return said[-1].strip() if said else f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main(Order(**json.loads(sys.argv[1]))))
