"""TensorBoard as training uses it: what goes wrong there is said once, and training goes on without it."""

import contextlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class Board:
    """Scalars for TensorBoard, in the folder of a run.

    Args:
        run: the folder; None writes nothing.
        purge: the first step that will be written; what an earlier process wrote of it and after is not shown. None
            shows everything.
        note: is told what went wrong, in one line; by default standard error is.
    """

    def __init__(
        self, run: Path | None, *, purge: int | None = None, note: Callable[[str], None] | None = None
    ) -> None:
        self.run, self.note = run, note or (lambda line: print(line, file=sys.stderr))
        self.writing = run is not None
        self.uncaught = threading.excepthook
        threading.excepthook = self._hear
        if run is not None:
            self._try(lambda: self._open(run, purge))

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._try(lambda: self.writer.close())
        threading.excepthook = self.uncaught

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Write one number."""
        self._try(lambda: self.writer.add_scalar(name, value, step))

    def _open(self, run: Path, purge: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import, for nobody but a trainer

        run.stat()  # which the writer would make
        self.writer = SummaryWriter(run, purge_step=purge)

    def _try(self, write: Callable[[], None]) -> None:
        """Write while that works. What its thread could not write, the writer raises at one of the next calls."""
        if not self.writing:
            return
        try:
            write()
        except (OSError, ValueError, RuntimeError) as error:
            self.writing = False
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.note(f"note: {self.run}: nothing more is written for TensorBoard ({why}); training goes on without it")
            if hasattr(self, "writer"):
                with contextlib.suppress(OSError, ValueError, RuntimeError):
                    self.writer.close()

    def _hear(self, failed: threading.ExceptHookArgs) -> None:
        """Keep the traceback of the writer's thread, whose error the writer raises too, off the terminal."""
        if not type(failed.thread).__module__.startswith("tensorboard."):
            self.uncaught(failed)
