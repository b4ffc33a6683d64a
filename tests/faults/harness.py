"""What the fault scripts share: trainings to kill, and what has to be the same afterwards."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs
import torch

from tabscm.engine.checkpoint import restore
from tabscm.engine.runs import is_started

HERE = Path(__file__).parent
EXPERIMENT = HERE / "fault.toml"
CLOCK = {"tables_per_second", "step_seconds", "stream_share"}
"""What metrics.jsonl says of time, which no two runs share ..."""
CLOCKED = {"slow", "starved"}
"""... and the monitors that look at nothing else."""
FALLBACK = "instead"
"""The word in the note of a checkpoint that is not what was written."""


def scratch():
    """A folder that goes in the end: in memory where there is some, for what is tried here needs no disk."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


@attrs.frozen
class Ended:
    """How a training ended."""

    code: int
    """Its exit code; negative, the signal that killed it."""
    printed: str
    seconds: float
    """Since it was started."""


class Nursery:
    """Trainings, one at a time; see nursery.py."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def start(self, run, *more, strike=None, interrupt=None, experiment=EXPERIMENT):
        """Begin to train in the folder `run`; returns the number of the process."""
        self.printed, self.began = run.with_name(f"{run.name}.txt"), time.monotonic()
        words = ["run", str(experiment), "--out", str(run), "--device", "cpu", *more]
        order = {"words": words, "printed": str(self.printed), "folder": str(run)}
        order |= {"strike": strike, "interrupt": interrupt}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()["pid"]

    def end(self):
        """Wait until the training has ended."""
        code = self._answer()["code"]
        # one that was killed as it began has not opened it
        printed = self.printed.read_text("utf-8", errors="replace") if self.printed.exists() else ""
        return Ended(code, printed, time.monotonic() - self.began)

    def kill(self, pid, seconds, number=signal.SIGKILL):
        """Send a signal to a training after so many seconds, unless it has ended by then."""
        time.sleep(seconds)
        os.kill(pid, number)  # a process that has ended is there until its end was asked for
        return self.end()

    def whole(self, run, *more, **options):
        """Train in the folder `run` without disturbance, going on where there is something to go on with."""
        self.start(run, *more, **options)
        return self.end()

    def finish(self, run, *more):
        """Go on with a run that was cut short."""
        self.begin(run, *more)
        return self.end()

    def begin(self, run, *more, strike=None):
        """Begin to go on with a run, or to start it where nothing was begun."""
        return self.start(run, *more, *(["--resume"] if is_started(run) else []), strike=strike)

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, "the nursery has ended"
        return json.loads(line)


def outcome(run):
    """Everything that a run leaves and that does not depend on a clock, for comparison."""
    weights, momenta, state = restore(run, "last")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "weights": weights,
        "optimiser": momenta,
        "state": attrs.asdict(attrs.evolve(state, seconds=0.0)),
        "metrics.jsonl": [
            {name: value for name, value in line.items() if name not in CLOCK}
            for line in lines
            if line.get("monitor") not in CLOCKED
        ],
        "training_log.csv": (run / "training_log.csv").read_text(),
        "eval.json": json.loads((run / "eval.json").read_text()),
    }


def differences(one, other):
    """What of two outcomes is not the same, bit for bit."""
    found = []
    for part in one:
        if part in ("weights", "optimiser"):
            names = one[part].keys() | other[part].keys()
            found += [
                f"{part}: {name}"
                for name in sorted(names)
                if name not in one[part] or name not in other[part] or not same(one[part][name], other[part][name])
            ]
        elif json.dumps(one[part]) != json.dumps(other[part]):
            found.append(part)
    return found


def same(one, other):
    """Whether two tensors have the same bits."""
    bits = [tensor.contiguous().flatten().view(torch.uint8).tolist() for tensor in (one, other)]
    return one.shape == other.shape and one.dtype == other.dtype and bits[0] == bits[1]
