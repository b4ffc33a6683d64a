"""The process in which methods run, table after table; whoever started it ends it when one takes too long.

It reads a method and the number of a table per line, and writes for each, as JSON lines: {"at": "begin"} when the
method is imported and the table drawn, {"at": "end", "seconds", "why"}, {"at": "judged", "metrics", "bins"}.

    python -m tabscm.engine.benchmark.child ORDER    an Order as JSON; nobody types this
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

import attrs
import torch

from tabscm.engine.benchmark import scores
from tabscm.engine.benchmark.case import Suite
from tabscm.engine.benchmark.floors import empty
from tabscm.engine.benchmark.methods import METHODS, Work
from tabscm.engine.benchmark.record import plain
from tabscm.engine.benchmark.suites import catalogue
from tabscm.engine.lease import LOOK
from tabscm.engine.trial import one_line
from tabscm.kernel.config import load
from tabscm.kernel.registry import discover


@attrs.frozen
class Order:
    """What the process is told."""

    suite: str
    run: str | None
    """Folder of a trained run."""
    experiments: tuple[tuple[str, str], ...]
    """(name, file) of experiments whose cells are suites."""


def main(order: Order, questions: TextIO, answers: TextIO) -> None:
    """Answer every question."""

    def say(at: str, **values: object) -> None:
        answers.write(json.dumps({"at": at, **values}) + "\n")
        answers.flush()

    torch.set_num_threads(1)
    suite = suite_of(order)
    ready: dict[str, Work] = {}
    for line in questions:
        method, table = line.split()
        if method not in ready:
            ready[method] = METHODS[method].prepare(None if order.run is None else Path(order.run))
        case = suite.case(int(table))
        answer, why = empty(case), None
        say("begin")
        began = time.perf_counter()
        try:
            answer = ready[method](case)
        # methods of others raise what they like, and the other tables are tried all the same
        except Exception as error:  # noqa: BLE001
            why = one_line(error)
        say("end", seconds=time.perf_counter() - began, why=why)
        say("judged", metrics=plain(scores.judge(answer, case)), bins=scores.bins(answer, case))


def suite_of(order: Order) -> Suite:
    """The suite that an order names."""
    registry = discover()
    return catalogue([(name, load(Path(file), registry)) for name, file in order.experiments])[order.suite]


def _follow(parent: int) -> None:
    """End this process with its parent."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    # methods print; what they print must not be taken for answers
    reserved = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main(Order(**json.loads(sys.argv[1])), sys.stdin, reserved)
