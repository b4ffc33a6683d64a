"""One process against two: the same tasks, the same gradients, and a run that any number of them can go on with.

    python tests/faults/processes.py

prints each figure as "n of m", in some minutes, and exits with 1 where one falls short. CI does the quick ones.
"""

import argparse
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import attrs
import torch
from safetensors.torch import load_file, save_file

from tabscm.__main__ import main as tabscm
from tabscm.engine import processes, trainer
from tabscm.engine.optimiser import Optimiser
from tabscm.kernel.errors import ContractError

TINY = Path(__file__).parents[2] / "experiments" / "tiny.toml"
STEPS = 20

GRADIENT = 1e-5
"""How far the first gradient may be from that of one process, as a share of its norm: float32 sums in another order."""
LOSS = 2e-3
"""How far any loss of the run may be, as a share of it: Muon and AdamW make more of a last bit, as between processors
(see tests/test_golden.py)."""
MESSAGE = "loss made-up: broke at step"


@attrs.frozen
class Fault:
    """What happens in one of the processes, when step `step`, counted from 0, has been drawn in its first attempt."""

    what: str
    """"kill" it, or "fail" in it with an error."""
    rank: int
    step: int


@attrs.frozen
class Found:
    """What a run left behind."""

    code: int
    seconds: float
    errors: str
    losses: dict[int, float]
    tasks: dict[int, set[str]]
    """Tables trained on, by step."""
    twice: int
    """Tables that two processes trained on, or one process twice."""
    gradients: dict[str, torch.Tensor]
    """Of step 0, before clipping."""


def launch(
    folder: Path,
    count: int,
    *,
    settings: Sequence[str] = (),
    resume: bool = False,
    stop: int | None = None,
    fault: Fault | None = None,
    restarts: int = 0,
) -> Found:
    """Train the tiny experiment with `count` processes, up to the checkpoint of step `stop`, and look at the folder."""
    seen = folder.with_suffix(".seen")
    seen.mkdir(exist_ok=True)
    plan = {"stop": stop, "fault": None if fault is None else attrs.asdict(fault), "seen": str(seen)}
    words = [str(Path(__file__)), "--worker", json.dumps(plan), "run", str(TINY), "--out", str(folder)]
    words += [f"--set={setting}" for setting in ("evaluation.tables=1", *settings)] + ["--resume"] * resume
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", f"--max-restarts={restarts}"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *(start if count > 1 else []), *words], capture_output=True, text=True, timeout=600
    )
    return look(folder, done, time.monotonic() - began)


def look(folder: Path, done: subprocess.CompletedProcess, seconds: float) -> Found:
    """What a run left behind."""
    log = folder / "metrics.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    tasks: dict[int, set[str]] = {}
    twice = 0
    attempts: dict[str, Counter] = {}
    for file in sorted(folder.with_suffix(".seen").glob("*.jsonl")):
        attempt = attempts.setdefault(file.name.split("-")[0], Counter())
        for line in file.read_text().splitlines():
            step, names = json.loads(line)
            tasks.setdefault(step, set()).update(names)
            attempt.update((step, name) for name in names)
    for attempt in attempts.values():
        twice += sum(number - 1 for number in attempt.values())
    gradients = folder.with_suffix(".seen") / "gradients.safetensors"
    return Found(
        code=done.returncode,
        seconds=seconds,
        errors=done.stderr,
        losses={record["step"]: record["loss"] for record in records if record["kind"] == "train"},
        tasks=tasks,
        twice=twice,
        gradients=load_file(gradients) if gradients.exists() else {},
    )


def same_tasks(one: Found, other: Found) -> int:
    """Steps at which the two runs trained on the same tables, each of them once."""
    if other.twice or one.twice:
        return 0
    return sum(one.tasks.get(step) == other.tasks.get(step) != set() for step in range(STEPS))


def same_losses(one: Found, other: Found) -> int:
    """Steps whose losses are as near as LOSS."""
    return sum(
        math.isclose(one.losses.get(step, math.nan), other.losses.get(step, math.nan), rel_tol=LOSS)
        for step in range(1, STEPS + 1)
    )


def gradient_distance(one: Found, other: Found) -> float:
    """The distance of the first gradients, as a share of the norm."""
    if one.gradients.keys() != other.gradients.keys() or not one.gradients:
        return math.inf
    norm = torch.nn.utils.get_total_norm(one.gradients.values())
    apart = torch.nn.utils.get_total_norm([other.gradients[name] - value for name, value in one.gradients.items()])
    return float(apart / norm)


def one_message(found: Found) -> bool:
    """Whether all processes ended with the one message, in no more time than a run has."""
    return found.code != 0 and found.errors.count(MESSAGE) == 1 and "ended, so that" not in found.errors


VARIANTS = {
    "as it is": [],
    "parts of 1, 2 and 7 tasks": ["trainer.accumulate=3", "stream.tables=7", "stream.pairs=60"],
    "one task": ["stream.tables=1"],
    "layers computed again": ["trainer.gradient_checkpointing=true", "stream.tables=5"],
}


def main() -> int:
    """All figures, the long way."""
    good = True

    def show(what: str, right: int, of: int, more: str = "") -> None:
        nonlocal good
        good &= right == of
        print(f"{what}: {right} of {of}{more}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ones = {}
        for number, (what, settings) in enumerate(VARIANTS.items()):
            one = ones[what] = launch(folder / f"{number}-one", 1, settings=settings)
            for count in (2, 3) if settings else (2,):
                many = launch(folder / f"{number}-{count}", count, settings=settings)
                pair = f"1 against {count} processes, {what}"
                show(f"{pair}: steps on the same tasks", same_tasks(one, many), STEPS)
                show(f"{pair}: losses within {LOSS:g}", same_losses(one, many), STEPS)
                apart = gradient_distance(one, many)
                show(f"{pair}: first gradient within {GRADIENT:g}", int(apart <= GRADIENT), 1, f" ({apart:.1e})")
        one = ones["as it is"]
        resumed = [(1, 2), (2, 1)]
        right = 0
        for first, then in resumed:
            there = folder / f"from-{first}-to-{then}"
            launch(there, first, stop=10)
            found = launch(there, then, resume=True)
            right += same_losses(one, found) == same_tasks(one, found) == STEPS
        show("resumed by another number of processes, the run that would have been", right, len(resumed))
        kills = [Fault("kill", rank, step) for rank in (0, 1) for step in (0, 9, 10, 19)]
        right = 0
        for number, fault in enumerate(kills):
            found = launch(folder / f"kill-{number}", 2, fault=fault, restarts=1)
            right += found.code == 0 and same_losses(one, found) == same_tasks(one, found) == STEPS
        show("a killed process restarted by torchrun, the run that would have been", right, len(kills))
        fails = [Fault("fail", rank, step) for rank in (0, 1) for step in (0, 13)]
        found = [launch(folder / f"fail-{number}", 2, fault=fault) for number, fault in enumerate(fails)]
        slowest = f" (the slowest in {max(one.seconds for one in found):.0f} s, its start included)"
        show("an error in one process ends all with one message", sum(map(one_message, found)), len(fails), slowest)
    return 0 if good else 1


class Stopped(Exception):
    """Pulls the plug after a checkpoint."""


def work(plan: dict, words: list[str]) -> int:
    """One process: tabscm with these words, watched."""
    rank, attempt = os.environ.get("RANK", "0"), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    again = "--resume" in words
    seen = Path(plan["seen"])
    file = seen / f"{attempt}{'r' if again else ''}-{rank}.jsonl"
    fault = None if plan["fault"] is None or attempt != "0" else Fault(**plan["fault"])
    loss_terms, cut, move, save = trainer.loss_terms, processes.Share.cut, Optimiser.step, trainer.save
    shares: list[processes.Share] = []

    def watched_cut(share, table, truth):
        shares.append(share)
        return cut(share, table, truth)

    def watched_terms(experiment, step, prediction, truth, table):
        if not shares:  # the rehearsal, which all do alike
            return loss_terms(experiment, step, prediction, truth, table)
        names = [hashlib.sha256(x.numpy().tobytes()).hexdigest() for x in table.x] if shares.pop().weight else []
        with file.open("a") as log:
            log.write(json.dumps([step, names]) + "\n")
        if fault is not None and (fault.rank, fault.step) == (int(rank), step):
            if fault.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ContractError(f"{MESSAGE} {step}")
        return loss_terms(experiment, step, prediction, truth, table)

    def watched_move(optimiser, step):
        if step == 0 and rank == "0":
            parts = [parameters for _, parameters, _ in optimiser._parts]
            gradients = {
                name: weight.grad for part in parts for name, weight in part.items() if weight.grad is not None
            }
            save_file({name: value.contiguous() for name, value in gradients.items()}, seen / "gradients.safetensors")
        return move(optimiser, step)

    def watched_save(run, weights, momenta, state):
        written = save(run, weights, momenta, state)
        if state.step == plan["stop"]:
            raise Stopped
        return written

    processes.Share.cut, Optimiser.step = watched_cut, watched_move
    trainer.loss_terms, trainer.save = watched_terms, watched_save
    try:
        return tabscm(words)
    except Stopped:
        return 75


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    sys.exit(main() if given.worker is None else work(given.worker, rest))
