"""Files as a stranger may send them, changed at random: is the worst a message, and does none of them run?

    python tests/faults/strangers.py [N] [KIND...]      N of each kind (default: 200)

The kinds are weights, toml, tables and json. A file is taken whole and changed by a seed: bits flipped, an end cut off,
bytes put in, values swapped, or a hostile text put in its place, such as a pickle that would leave a folder behind when
it is opened. Where a manifest seals it, the manifest is made anew, as who sends a whole run would. The command line has
to end with a result or with a message, never in a traceback, and write nothing but what it was asked to.
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from tabscm.__main__ import main

ROOT = Path(__file__).parents[2]
TINY = ROOT / "experiments/tiny.toml"
KINDS = ("weights", "toml", "tables", "json")
DEEP = 100_000
VALUES = [
    "null",
    "true",
    "-1",
    "1e999",
    "NaN",
    "-Infinity",
    "0",
    '"x"',
    "[]",
    "{}",
    "9" * 30,
    "9" * 5000,
    "1.5",
    '"../x"',
]


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


class Workplace:
    """A trained run and a table, of which every try gets its own copy."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.canary = folder, folder / "canary"
        self.run = folder / "good"
        words = ["run", str(TINY), "--out", str(self.run), "--device", "cpu"]
        changes = ["trainer.steps=2", "trainer.validate_every=1", "trainer.validation_tables=2", "evaluation.tables=2"]
        code, _, said = call([*words, *(word for change in changes for word in ("--set", change))])
        assert code == 0, said
        rows = (ROOT / "tabscm/data/sachs.csv").read_text().splitlines()[:30]
        # without the column of text, so that small tables stay small
        self.table = "\n".join(",".join(row.split(",")[:5]) for row in rows) + "\n"
        self.experiment = re.sub(r"trainer\]\n", "trainer]\n", (self.run / "experiment.toml").read_text())

    def hostile(self, pick: random.Random) -> bytes:
        """What is no such file at all."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("archive/data.pkl", pickle.dumps(Canary(self.canary)))
        return pick.choice(
            [
                *(pickle.dumps(Canary(self.canary), protocol) for protocol in range(6)),
                archive.getvalue(),
                b"",
                b"\0" * 100,
                b"\xff\xfe" + "a,b\n1,2\n".encode("utf-16-le"),
                b"[" * DEEP,
                b'{"a":' * DEEP,
                b"a=" + b"[" * DEEP,
                b"a" + b".a" * DEEP + b"=1",
                (2**62).to_bytes(8, "little") + b"{}",
                b'"' + b"x" * 300_000,
                b"," * 1_000_000 + b"\n",
            ]
        )


def call(words: list[str]) -> tuple[int, str, str]:
    """Run a command in this process: exit code, output, errors. A code of -1 is a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            code = main(words)
        except SystemExit as end:
            code = int(str(end.code))
        except BaseException:  # noqa: BLE001 - what is looked for
            return -1, out.getvalue(), traceback.format_exc()
    return code, out.getvalue(), err.getvalue()


def changed(data: bytes, pick: random.Random, hostile: Callable[[random.Random], bytes]) -> bytes:
    """The file, changed in one way."""
    way = pick.choice(["flip", "flip", "cut", "insert", "swap", "value", "value", "hostile"])
    at = pick.randrange(max(1, len(data)))
    if way == "flip":
        changed = bytearray(data)
        for _ in range(pick.choice([1, 1, 8])):
            changed[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
        return bytes(changed)
    if way == "cut":
        return data[:at]
    if way == "insert":
        return data[:at] + pick.randbytes(pick.choice([1, 4, 64])) + data[at:]
    if way == "hostile":
        return hostile(pick)
    words = list(re.finditer(rb'"[^"\n]*"|-?[\d.]+(?:e-?\d+)?|\btrue\b|\bnull\b', data[: 1 << 16]))
    if not words:
        return data[:at]
    one, other = sorted(pick.choices(words, k=2), key=lambda word: word.start())
    new = pick.choice(VALUES).encode() if way == "value" or one is other else other[0]
    return data[: one.start()] + new + data[one.end() :]


def attempt(kind: str, seed: int, place: Workplace) -> str | None:
    """Change one file and give it to the command line; what went wrong, or None."""
    pick = random.Random(f"{kind} {seed}")
    here = place.folder / f"{kind}-{seed}"
    here.mkdir()
    try:
        words = globals()[f"_{kind}"](place, here, pick)
        before = _seen(place.folder, here)
        code, _, said = call(words)
        if place.canary.exists():
            return f"{words}: code of a stranger ran"
        if _seen(place.folder, here) != before:
            return f"{words}: wrote outside of its folder"
        if code == -1:
            return f"{words}:\n{said}"
        if code not in (0, 2) or (code == 2 and not said.strip()) or "Traceback" in said:
            return f"{words}: exit code {code}, said {said!r}"
        return None
    finally:
        shutil.rmtree(here)


def _seen(folder: Path, here: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path != here} | set((folder / "good").iterdir())


def _weights(place: Workplace, here: Path, pick: random.Random) -> list[str]:
    run = Path(shutil.copytree(place.run, here / "run"))
    for folder in (run / "checkpoints").iterdir():
        _change(
            folder / pick.choice(["weights.safetensors", "weights.safetensors", "optimiser.safetensors"]), place, pick
        )
        _seal(folder)
    return _use(run, here, place, pick)


def _json(place: Workplace, here: Path, pick: random.Random) -> list[str]:
    run = Path(shutil.copytree(place.run, here / "run"))
    name = pick.choice(["state.json", "state.json", "manifest.json", "origins.json", "eval.json", "metrics.jsonl"])
    if name in ("state.json", "manifest.json"):
        for folder in (run / "checkpoints").iterdir():
            _change(folder / name, place, pick)
            if name == "state.json":
                _seal(folder)
    else:
        _change(run / name, place, pick)
    return _use(run, here, place, pick)


def _toml(place: Workplace, here: Path, pick: random.Random) -> list[str]:
    if pick.random() < 0.3:  # the experiment of a run that somebody sends
        run = Path(shutil.copytree(place.run, here / "run"))
        _change(run / "experiment.toml", place, pick)
        for folder in (run / "checkpoints").iterdir():
            _seal(folder)
        return _use(run, here, place, pick)
    file = here / "experiment.toml"
    file.write_text(place.experiment)
    _change(file, place, pick)
    if pick.random() < 0.2:
        (here / "above.toml").write_text(
            f"extends = {pick.choice(['experiment.toml', '/dev/zero', '..', 'above.toml'])!r}"
        )
        return ["check", str(here / "above.toml")]
    return ["check", str(file)]


def _tables(place: Workplace, here: Path, pick: random.Random) -> list[str]:
    table, graph = here / pick.choice(["table.csv", "table.tsv", "table.csv.gz"]), here / "graph.csv"
    table.write_text(place.table)
    graph.write_text("from,to\nraf,mek\nplc,pip2\n")
    _change(graph if pick.random() < 0.2 else table, place, pick)
    return ["predict", str(table), "--run", str(place.run), "--graph", str(graph), "--device", "cpu"]


def _change(file: Path, place: Workplace, pick: random.Random) -> None:
    file.write_bytes(changed(file.read_bytes(), pick, place.hostile))


def _seal(folder: Path) -> None:
    """Make the manifest of a checkpoint anew, as whoever sends a whole run can."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    experiment = (folder.parents[1] / "experiment.toml").read_bytes()
    prints = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in {**files, "experiment": experiment}.items()
    }
    whole = {"files": {name: prints[name] for name in files}, "experiment": prints["experiment"]}
    (folder / "manifest.json").write_text(json.dumps(whole))


def _use(run: Path, here: Path, place: Workplace, pick: random.Random) -> list[str]:
    """One of the commands that read a run."""
    table = here / "table.csv"
    table.write_text(place.table)
    started = ["run", str(run / "experiment.toml"), "--device", "cpu"]
    return pick.choice(
        [
            ["predict", str(table), "--run", str(run), "--device", "cpu"],
            ["report", str(run), "--device", "cpu"],
            ["release", str(run), "--out", str(here), "--device", "cpu"],
            ["eval", str(run), "--tables", "1", "--device", "cpu"],
            [*started, "--out", str(run), "--resume"],
            [
                "run",
                str(place.run / "experiment.toml"),
                "--init",
                str(run),
                "--out",
                str(here / "new"),
                "--device",
                "cpu",
            ],
        ]
    )


def campaign(count: int, kinds: tuple[str, ...] = KINDS, say=print) -> int:
    """Try `count` files of each kind and say how many were borne; returns how many were not."""
    failed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder))
        for kind in kinds:
            for seed in range(count):
                fault = attempt(kind, seed, place)
                if fault:
                    failed[kind] += 1
                    say(f"{kind} {seed}: {fault}", flush=True)
            ran = "ran" if place.canary.exists() else "none ran"
            say(f"{kind}: {count - failed[kind]} of {count} without a traceback, {ran}", flush=True)
    return failed.total()


if __name__ == "__main__":
    torch.set_num_threads(1)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    sys.exit(campaign(number, tuple(sys.argv[2:]) or KINDS) > 0)
