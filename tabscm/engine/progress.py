"""What a person sees of what takes long: a line that moves on a terminal; of a training, lines that stay, too."""

import threading
import time
from types import TracebackType
from typing import Self, TextIO

SILENCE = 20.0
"""Seconds without a line after which a file, which has no line that moves, gets one."""

SOON = 2.0
"""Seconds that pass before a short work is worth a line."""


class Counting:
    """How far a work of a known number of parts is, on a line that goes away in the end; in a file now and then.

    Args:
        out: where to; None for nowhere.
        what: is counted.
        whole: how many there are.
    """

    def __init__(self, out: TextIO | None, what: str, whole: int) -> None:
        self.out = out
        self.what = what
        self.whole = whole
        self.began = self.said = time.perf_counter()
        self.moved = False

    def show(self, done: int) -> None:
        """So many are done."""
        now = time.perf_counter()
        if self.out is None or now - self.began < SOON:
            return
        left = round((now - self.began) / max(1, done) * (self.whole - done))
        line = f"{self.what}: {done}/{self.whole}  {left // 60}:{left % 60:02d} left"
        if self.out.isatty():
            print(f"\r{line}", end="\x1b[K", file=self.out, flush=True)
            self.moved = True
        elif now - self.said > SILENCE:
            print(line, file=self.out, flush=True)
            self.said = now

    def end(self) -> None:
        """It is over: clear the line."""
        if self.moved:
            print("\r\x1b[K", end="", file=self.out, flush=True)


class Waiting:
    """What goes on and for how long, while a work lasts whose parts nobody counts; shown as `Counting` shows its line.

    Args:
        out: where to; None for nowhere.
        what: goes on.
    """

    def __init__(self, out: TextIO | None, what: str) -> None:
        self.out = out
        self.what = what
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Self:
        if self.out is not None:
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self.out is not None:
            self._watch.join()

    def _show(self) -> None:
        assert self.out is not None
        began, moving, moved = time.perf_counter(), self.out.isatty(), False
        pause = SOON if moving else SILENCE
        while not self._over.wait(pause):
            seconds = round(time.perf_counter() - began)
            line = f"{self.what}: {seconds // 60}:{seconds % 60:02d}"
            if moving:
                print(f"\r{line}", end="\x1b[K", file=self.out, flush=True)
                pause, moved = 1.0, True
            else:
                print(line, file=self.out, flush=True)
        if moved:
            print("\r\x1b[K", end="", file=self.out, flush=True)


class Progress:
    """Prints, and counts what it prints: tables a second, time left.

    Args:
        out: where to.
        steps: of the whole training.
        step: steps done before, in a run that is resumed.
        levels: of the curriculum; 1 without one.
    """

    def __init__(self, out: TextIO, *, steps: int, step: int, levels: int = 1) -> None:
        self.out = out
        self.steps = steps
        self.first = step
        self.levels = levels
        self.tables = 0
        self.peak: float | None = None  # bytes on a GPU
        self.began = self.said = time.perf_counter()
        self.moving = out.isatty()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._clear()
        print(line, file=self.out, flush=True)
        self.said = time.perf_counter()

    def count(self, tables: int) -> None:
        """So many more tables were trained on."""
        self.tables += tables

    def tables_per_second(self) -> float:
        return self.tables / max(1e-9, time.perf_counter() - self.began)

    def show(self, step: int, level: int, record: dict[str, float]) -> None:
        """How a logged step went: on a line that the next one replaces, in a file on a line of its own now and then."""
        self.peak = record.get("peak_memory")
        line = self._line(step, level, record["loss"], record["log_prob_gain"], record["auroc_pooled"])
        if self.moving:
            print(f"\r{line}", end="\x1b[K", file=self.out, flush=True)
        elif time.perf_counter() - self.said > SILENCE:
            self.say(line)

    def validated(self, step: int, level: int, loss: float, found: dict[str, float]) -> None:
        """How a validation went."""
        self.say(self._line(step, level, loss, found["log_prob_gain"], found["auroc"]))

    def _line(self, step: int, level: int, loss: float, gain: float, auroc: float) -> str:
        per_step = (time.perf_counter() - self.began) / max(1, step - self.first)
        left = round(per_step * (self.steps - step))
        where = f"level {level}/{self.levels}  " if self.levels > 1 else ""
        memory = "" if self.peak is None else f"{self.peak / 1e9:.1f} GB  "
        return (
            f"step {step:>{len(str(self.steps))}}/{self.steps}  {where}loss {loss:.4f}  gain {gain:+.3f}  "
            f"AUROC {auroc:.3f}  {self.tables_per_second():.0f} tables/s  {memory}{left // 60}:{left % 60:02d} left"
        )

    def _clear(self) -> None:
        if self.moving:
            print("\r\x1b[K", end="", file=self.out)
