"""The tables of one suite: a process apart, a limit for every table and method, a line as soon as one is answered."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import attrs

from tabscm.engine.benchmark import scores
from tabscm.engine.benchmark.child import Order, suite_of
from tabscm.engine.benchmark.floors import empty
from tabscm.engine.benchmark.record import ENOUGH, Record, State, plain
from tabscm.engine.lease import LOOK, holds

PROGRAM = (sys.executable, "-m", "tabscm.engine.benchmark.child")

BESIDES = 300.0
"""Seconds for what is not timed: starting, drawing a table, judging the answer."""


@attrs.frozen(kw_only=True)
class Part:
    """What is left to do of a method."""

    method: str
    tables: tuple[int, ...]
    over: int
    """Tables that were over the limit before."""
    file: str
    """Where lines are added."""
    weights: str | None


@attrs.frozen(kw_only=True)
class Cell:
    """What is left to do of a suite."""

    order: Order
    settings: str | None
    """See `Suite.settings`."""
    parts: tuple[Part, ...]
    seconds: float
    """The limit for each table."""
    lease: str
    """A file; while it holds `token`, the work is wanted, see lease.py."""
    token: str


def perform(cell: Cell) -> list[Record]:
    """Run every method on every table, unless it was over the limit on ENOUGH of them or is not wanted any more.

    Returns:
        What was added to the files.
    """
    found: list[Record] = []
    child: _Child | None = None
    try:
        for part in cell.parts:
            over = part.over
            for table in part.tables:
                if over >= ENOUGH:
                    break
                # the process before was too slow, or has died
                child = child if child is not None and child.alive else _Child(cell)
                record = child.ask(part, table)
                if record is None:
                    return found
                with Path(part.file).open("a", encoding="utf-8") as file:
                    file.write(record.line())
                found.append(record)
                over += record.state == "over"
    finally:
        if child is not None:
            child.end()
    return found


class _Late(Exception):
    """An answer did not come in time, or never will."""


class _Unwanted(Exception):
    """Nobody waits for the answer."""


class _Child:
    """A process that answers, until it is too late once."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.alive = True
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        # closed with the process
        self.printed = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*PROGRAM, json.dumps(attrs.asdict(cell.order))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.printed,
            text=True,
            encoding="utf-8",
            env={"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "4096", **os.environ, **one},
            start_new_session=True,  # Ctrl-C reaches all processes of a terminal; the lease stops this one
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, part: Part, table: int) -> Record | None:
        """The record of a method and a table; None when nobody waits for it."""
        began, judged = time.perf_counter(), None
        state: State
        try:
            self._send(f"{part.method} {table}\n")
            self._expect("begin", BESIDES)
            began = time.perf_counter()
            ended = self._expect("end", self.cell.seconds)
            seconds, why = ended["seconds"], ended["why"]
            state = "answered" if why is None else "failed"
            judged = self._expect("judged", BESIDES)
        except _Late as late:
            seconds, why = time.perf_counter() - began, str(late)
            state = "over" if self.process.poll() is None else "failed"
            self.end()
        except _Unwanted:
            self.end()
            return None
        return self._record(part, table, state, seconds, why, judged)

    def end(self) -> None:
        """Kill the process and what it started."""
        self.alive = False
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.printed):
            if stream is not None:
                stream.close()

    def _record(
        self, part: Part, table: int, state: State, seconds: float, why: str | None, judged: dict[str, Any] | None
    ) -> Record:
        order = self.cell.order
        if judged is None:
            case = suite_of(order).case(table)
            judged = {"metrics": plain(scores.judge(empty(case), case)), "bins": None}
        return Record(
            suite=order.suite,
            table=table,
            method=part.method,
            state=state,
            seconds=seconds,
            limit=self.cell.seconds,
            metrics=judged["metrics"],
            bins=judged["bins"] if state == "answered" else None,
            why=why,
            weights=part.weights,
            settings=self.cell.settings,
        )

    def _expect(self, at: str, seconds: float) -> dict[str, Any]:
        """The next line, which must be of that kind and come within so many seconds."""
        until = time.perf_counter() + seconds
        while True:
            left = until - time.perf_counter()
            try:
                line = self.lines.get(timeout=max(0.0, min(left, LOOK)))
                break
            except queue.Empty:
                if left <= 0:
                    raise _Late(f"over {seconds:g} s") from None
                if not holds(Path(self.cell.lease), self.cell.token):
                    raise _Unwanted from None
        if not line:
            self.process.wait()
            raise _Late(self._last_words())
        found: dict[str, Any] = json.loads(line)
        assert found["at"] == at, f"{found['at']} in place of {at}"
        return found

    def _send(self, text: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise _Late(self._last_words()) from None

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def _last_words(self) -> str:
        """Why the process ended, in one line."""
        code = self.process.wait()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        self.printed.seek(0)
        said = [line for line in self.printed.read().splitlines() if line.strip()]
        return said[-1].strip() if said and code == 1 else f"ended with exit code {code}"
