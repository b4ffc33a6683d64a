"""The tables that were dropped and the graphs read from them, each in a folder of its own, under random ids."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from tabscm.engine.local.gate import Refusal
from tabscm.engine.local.job import ANSWER, ORDER, SAID
from tabscm.engine.parquet import ENDINGS
from tabscm.engine.signatures import PARQUET

GZIP = b"\x1f\x8b"
"""How a packed file begins."""
KEPT = 20
"""Most tables, and most graphs, that are kept; the oldest go."""
FORMS = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "gml": "text/plain; charset=utf-8",
    "dot": "text/plain; charset=utf-8",
}
"""What a graph can be had as, with the type of its content."""


@attrs.frozen
class Limits:
    """What the work for one request may take."""

    upload: int = 256 << 20
    """Bytes of a table."""
    memory: int = 6 << 30
    """Bytes of address space of the process that reads it; torch alone maps two billion."""
    seconds: int = 120
    waiting: int = 4
    """Most requests that wait while one is worked on."""


@attrs.frozen
class Dropped:
    """A table as it came."""

    folder: Path
    file: str
    """In the folder; a name of ours."""
    name: str
    """What the user calls it, for people alone."""


@attrs.define
class Desk:
    """Where the work is done, one piece at a time."""

    folder: Path
    run: Path
    """Of the network."""
    limits: Limits = attrs.field(factory=Limits)
    tables: dict[str, Dropped] = attrs.field(factory=dict)
    graphs: dict[str, Path] = attrs.field(factory=dict)
    _reading: dict[Path, str] = attrs.field(factory=dict)
    """Of which table a graph is being read in a folder, or waits to be."""
    _turn: threading.Lock = attrs.field(factory=threading.Lock)
    _places: threading.Semaphore = attrs.field(init=False)
    _shelves: threading.Lock = attrs.field(factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None

    def __attrs_post_init__(self) -> None:
        self._places = threading.Semaphore(self.limits.waiting + 1)

    def drop(self, data: bytes, name: str) -> dict[str, Any]:
        """Take a table, and say what is to know of it."""
        with self._folder() as folder:
            table = Dropped(folder, f"table{_ending(name, data)}", name)
            (folder / table.file).write_bytes(data)
            answer = self._work(folder, {"do": "check", "table": table.file, "name": name})
        return {"table": self._keep(self.tables, table), "name": name, **answer}

    def read(self, table: str, wishes: Mapping[str, Any]) -> dict[str, Any]:
        """Read the graph of a table that was dropped, under `wishes` of the page."""
        dropped = self.tables.get(table)
        gone = Refusal(404, "there is no such table any more; drop it again")
        if dropped is None:
            raise gone
        with self._folder() as folder:
            try:
                os.link(dropped.folder / dropped.file, folder / dropped.file)
            except FileNotFoundError:  # it has fallen from its shelf since
                raise gone from None
            order = {"do": "read", "table": dropped.file, "name": dropped.name, "run": str(self.run), **wishes}
            self._reading[folder] = table
            try:
                answer = self._work(folder, order)
            finally:
                del self._reading[folder]
        return {"graph": self._keep(self.graphs, folder), **answer}

    def progress(self, table: str) -> str:
        """How far the graph of a table is that is being read; nothing where there is nothing to say."""
        for folder, own in list(self._reading.items()):
            if own == table:
                with suppress(FileNotFoundError):  # it waits, or has failed since
                    return (folder / SAID).read_text("utf-8")
        return ""

    def graph(self, graph: str, form: str) -> bytes:
        """A graph in one of the FORMS."""
        folder = self.graphs.get(graph)
        gone = Refusal(404, "there is no such graph any more; read it again")
        if folder is None or form not in FORMS:
            raise gone
        try:
            return (folder / f"graph.{form}").read_bytes()
        except FileNotFoundError:  # it has fallen from its shelf since
            raise gone from None

    def close(self) -> None:
        """Stop what is being worked on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A new folder, which goes again if what is done in it fails in any way."""
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _keep(self, shelf: dict[str, Any], value: object) -> str:
        """The id of a value that goes on a shelf, from which the oldest one falls."""
        with self._shelves:
            while len(shelf) >= KEPT:
                gone = shelf.pop(next(iter(shelf)))
                shutil.rmtree(gone.folder if isinstance(gone, Dropped) else gone, ignore_errors=True)
            number = secrets.token_hex(16)
            shelf[number] = value
        return number

    def _work(self, folder: Path, order: dict[str, Any]) -> dict[str, Any]:
        """Have a process of its own do what an order says, when its turn has come."""
        if not self._places.acquire(blocking=False):
            raise Refusal(503, "several tables are waiting already; try again in a minute", {"Retry-After": "60"})
        try:
            with self._turn:
                return self._done(folder, order)
        finally:
            self._places.release()

    def _done(self, folder: Path, order: dict[str, Any]) -> dict[str, Any]:
        limits = {"seconds": self.limits.seconds, "bytes": self.limits.memory}
        (folder / ORDER).write_text(json.dumps({**order, **limits}), "utf-8")
        code = self._ended(folder)
        if code is None or (os.name != "nt" and code == -signal.SIGXCPU):
            fewer = "; draw fewer tables again" if order.get("bootstrap") else ""
            line = f"{order['name']}: this took longer than {self.limits.seconds} seconds, and was stopped{fewer}"
            raise Refusal(422, line)
        if code or not (folder / ANSWER).is_file():
            raise Refusal(
                422,
                f"{order['name']}: the process that read it ended by itself (exit code {code}), most likely for want "
                f"of memory, of which it has {self.limits.memory >> 20} MiB",
            )
        answer: dict[str, Any] = json.loads((folder / ANSWER).read_text("utf-8"))
        if "error" in answer:
            raise Refusal(422, answer["error"])
        return answer

    def _ended(self, folder: Path) -> int | None:
        """The exit code of a process that does the order in a folder; None if it had to be stopped."""
        process = self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tabscm.engine.local.job"],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return process.wait(self.limits.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
            process.wait()


def _ending(name: str, data: bytes) -> str:
    """What the reader is told of a table: how its name ends, unless its first bytes know better."""
    lower = name.lower()
    if lower.endswith(ENDINGS) or (data.startswith(PARQUET) and data.endswith(PARQUET)):
        return ENDINGS[0]
    ending = ".tsv" if lower.removesuffix(".gz").endswith(".tsv") else ".csv"
    return f"{ending}.gz" if data.startswith(GZIP) else ending


def _environment() -> dict[str, str]:
    """This environment, with relative folders of modules named from here: the process starts elsewhere."""
    paths = os.environ.get("PYTHONPATH", "")
    absolute = [os.path.abspath(path) for path in paths.split(os.pathsep) if path]
    return {**os.environ, **({"PYTHONPATH": os.pathsep.join(absolute)} if absolute else {})}
