"""`predict`: from a file to the graph, in the forms that are asked for."""

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.commands.shared import chosen_device
from tabscm.engine import released
from tabscm.engine.checkpoint import CHECKPOINTS, EXPERIMENT, ORIGINS, is_released
from tabscm.engine.elsewhere import predict_on_cluster
from tabscm.engine.graphs import read_graph
from tabscm.engine.knowledge import read_knowledge
from tabscm.engine.loading import load_model
from tabscm.engine.looks import NO_VARIABLE
from tabscm.engine.predict import predict
from tabscm.engine.progress import Waiting
from tabscm.engine.reading import Wishes
from tabscm.engine.result import Result, render_score
from tabscm.engine.runs import RESULTS
from tabscm.engine.tables import Asked, DataTable, UselessColumns, read_table
from tabscm.engine.targets import read_targets, with_interventions
from tabscm.engine.written import check_place, write_text
from tabscm.kernel.errors import DataError, TabSCMError
from tabscm.kernel.registry import Registry

OUTPUTS = {
    ".html": "a page to explore",
    ".csv": "the edges",
    ".json": "everything",
    ".gml": "for networkx, Gephi, Cytoscape",
    ".dot": "for Graphviz",
}
"""What `predict --out` writes, by how the file's name ends."""

HOW_TO_LEAVE_OUT = (
    "text that is no variable is left out by --without COLUMN, chooses rows by --where, or says what was set by "
    "--interventions or --conditions"
)
"""Said where text was read as categories."""

MOST_SHOWN = 5
"""Columns that are named as options."""


def predict_graph(args: argparse.Namespace, registry: Registry) -> int:
    try:
        return _predict(args, registry)
    except UselessColumns as error:
        options = " ".join(_option("--without", name) for name in error.names[:MOST_SHOWN])
        more = " and so on" if len(error.names) > MOST_SHOWN else ""
        it = "it" if len(error.names) == 1 else "them"
        raise DataError(f"{error}, or leave {it} out by {options}{more}") from error


def _predict(args: argparse.Namespace, registry: Registry) -> int:
    file = Path(args.json) if args.json not in (None, "-") else None
    for out in args.out:
        if out.suffix.lower() not in OUTPUTS:
            offered = ", ".join(f"{suffix} ({what})" for suffix, what in OUTPUTS.items())
            raise TabSCMError(f"--out {out}: what it is to be is told by how its name ends: {offered}")
    run = released.find(args.run)
    for one in [*args.out, *([] if file is None else [file])]:
        if any(_is_part(one, given) for given in _inputs(args, run)):
            raise TabSCMError(f"{one}: is read for this result, which would replace it. Name another file.")
        check_place(one, overwrite=args.overwrite)
    if (args.conditions is None) != (args.targets is None):
        raise TabSCMError(
            "--conditions and --targets belong together: the column of the conditions, and the file that says what "
            "each of them sets."
        )
    if args.cluster:
        _check_for_cluster(args)
    device = torch.device("cpu") if args.cluster else chosen_device(args.device)
    wishes = _wishes(args)
    data, cells = (None, None) if args.cluster else _table(args, wishes)
    adj = read_graph(args.graph, data.names) if args.graph and data is not None else None
    knowledge = read_knowledge(args.knowledge) if args.knowledge else None
    model = load_model(run, registry, device)
    folder, _ = released.one_of(run)
    if not is_released(folder) and not (folder / RESULTS).exists():
        print(f"note: {folder} has not finished its training", file=sys.stderr)
    threshold = model.chosen_threshold() if args.threshold == "chosen" else args.threshold
    if data is None:
        result = predict_on_cluster(model, args.table, args.cluster, wishes=wishes, knowledge=knowledge, out=sys.stderr)
        adj = read_graph(args.graph, result.names) if args.graph else None
    else:
        result = predict(
            model,
            data,
            device=device,
            intervened=cells,
            knowledge=knowledge,
            repeats=args.bootstrap,
            threshold=threshold,
            acyclic=args.acyclic,
            out=sys.stderr,
        )
    score = result.score(adj, threshold, acyclic=args.acyclic) if adj is not None else None
    for out in args.out:
        _write(out, _written(result, out.suffix.lower(), threshold, args.acyclic, score))
    if args.json is not None:
        text = _written(result, ".json", threshold, args.acyclic, score)
        if file is None:
            print(text, end="")
            return 0
        _write(file, text)
    for note in result.doubts():
        print(f"note: {note}", file=sys.stderr)
    if any(note.endswith(NO_VARIABLE) for note in result.notes):
        print(f"note: {HOW_TO_LEAVE_OUT}", file=sys.stderr)
    print(result.render(threshold, acyclic=args.acyclic))
    if score is not None:
        print(f"\n{render_score(score)}")
    return 0


def _option(option: str, value: str) -> str:
    """As a shell takes it."""
    return shlex.quote(f"{option}={value}") if value.startswith("-") else f"{option} {shlex.quote(value)}"


def _inputs(args: argparse.Namespace, run: Path) -> list[Path]:
    """The files that are read, and the folders of which every file may be."""
    folder, _ = released.one_of(run)
    network = [folder] if is_released(folder) else [folder / CHECKPOINTS, folder / EXPERIMENT, folder / ORIGINS]
    return [given for given in (args.table, args.graph, args.knowledge, args.targets, *network) if given is not None]


def _is_part(file: Path, given: Path) -> bool:
    """Whether a file is another one, or lies in it."""
    same = file.exists() and given.exists() and file.samefile(given)
    return same or (given.is_dir() and given.resolve() in file.resolve().parents)


def _check_for_cluster(args: argparse.Namespace) -> None:
    """Refuse what a cluster cannot do."""
    if args.bootstrap:
        raise TabSCMError(
            "--cluster: --bootstrap draws rows of the whole table again, which are nowhere together. Leave it out, or "
            "draw a million rows and read them here."
        )
    if args.device == "cuda":
        raise TabSCMError("--cluster: its workers compute on their CPUs. Leave out --device.")


def _wishes(args: argparse.Namespace) -> Wishes:
    """Which rows and columns are used, and how."""
    return Wishes(
        where=_once(args.where),
        categories=args.categories,
        without=args.without,
        labels=_labels(args),
        targets=read_targets(args.targets) if args.targets else None,
    )


def _table(args: argparse.Namespace, wishes: Wishes) -> tuple[DataTable, NDArray[np.bool_] | None]:
    """The table that is asked for, and which of its cells interventions set."""
    with Waiting(sys.stderr, f"reading {args.table.name}"):
        data = read_table(
            args.table,
            where=wishes.where,
            categories=wishes.categories,
            without=wishes.without,
            labels=wishes.labels,
        )
    return with_interventions(data, wishes.targets)


def _labels(args: argparse.Namespace) -> Asked | None:
    """The column that says how each row came about."""
    if args.interventions is not None:
        return Asked(args.interventions, "--interventions")
    return None if args.conditions is None else Asked(args.conditions, "--conditions")


def _write(file: Path, text: str) -> None:
    write_text(file, text)
    print(f"written: {file}", file=sys.stderr)


def _written(result: Result, suffix: str, threshold: float, acyclic: bool, score: dict[str, float] | None) -> str:
    """A result in the form that one of the OUTPUTS asks for."""
    if suffix == ".html":
        return result.to_html(threshold=threshold, acyclic=acyclic)
    if suffix == ".csv":
        return result.to_edges_csv(threshold, acyclic=acyclic)
    if suffix == ".gml":
        return result.to_gml(threshold, acyclic=acyclic)
    if suffix == ".dot":
        return result.to_dot(threshold, acyclic=acyclic)
    whole = result.to_json(threshold, acyclic=acyclic)
    if score is not None:
        whole["score"] = {name: value if math.isfinite(value) else None for name, value in score.items()}
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def _once(where: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The conditions on rows by column."""
    conditions: dict[str, str] = {}
    for column, value in where:
        if conditions.setdefault(column, value) != value:
            raise TabSCMError(
                f"--where gives column {column} two values, {conditions[column]} and {value}; no row has both"
            )
    return conditions
