"""The report of a run: everything that is known of it on one page of HTML that needs no network and no script.

Read from the run's files, and, for pictures, from fresh tables that its best network reads once more. What is not there
(yet) is said to be missing; a report can be made of a run at any time.
"""

import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tabscm.engine import metrics
from tabscm.engine.checkpoint import EXPERIMENT, ORIGINS, has_checkpoint, seal
from tabscm.engine.health.event import Event
from tabscm.engine.journal import events, read_log, scalar
from tabscm.engine.loading import load_run
from tabscm.engine.model import parameter_count
from tabscm.engine.page import render
from tabscm.engine.page.charts import charts
from tabscm.engine.page.curves import Chart
from tabscm.engine.page.pictures import Drawn, layers
from tabscm.engine.runs import RESULTS, read_results
from tabscm.engine.sortability import r2_sortability
from tabscm.engine.state import State
from tabscm.engine.stopping import why_stop
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import LOG
from tabscm.engine.untrusted import read_object
from tabscm.engine.written import write_text
from tabscm.kernel.config import load
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.experiment import Experiment, StreamSettings
from tabscm.kernel.registry import Registry

TABLES = 32
"""Most tables of a cell that are read for calibration and sortability; the first is drawn."""
DRAWN = 50
"""Most variables of a graph that is drawn with its edges; larger ones are shown as matrices only."""
EVENTS = 60
"""Most health events that are listed."""

Scalars = Mapping[str, float | None]
"""Values by name, None where undefined."""


@attrs.frozen
class Edge:
    """What became of one edge, between variables counted from 0."""

    source: int
    target: int
    verdict: str
    """found, missed, reversed (drawn the way the network has it) or extra."""
    probability: float


@attrs.frozen(eq=False)
class Example:
    """One fresh table, truth beside prediction."""

    rows: int
    intervened: float
    """Share of its rows with an intervention that shows."""
    adj: NDArray[np.float64]
    """[D, D], 1 where an edge is."""
    edge_prob: NDArray[np.float64]
    """[D, D], 0 on the diagonal."""
    layers: list[list[int]]
    """The variables from 0, causes above effects."""
    edges: tuple[Edge, ...]
    scores: Scalars

    @property
    def order(self) -> list[int]:
        """The variables, causes before effects."""
        return [variable for layer in self.layers for variable in layer]

    @property
    def drawn(self) -> list[Drawn]:
        """Its edges for a drawing; none where they are too many to tell apart."""
        return [(edge.source, edge.target, edge.verdict) for edge in self.edges] if len(self.adj) <= DRAWN else []

    def of(self, verdict: str) -> list[Edge]:
        """The edges of one verdict, the most probable first."""
        return sorted((edge for edge in self.edges if edge.verdict == verdict), key=lambda edge: -edge.probability)


@attrs.frozen(eq=False)
class Reading:
    """What the network said of some fresh tables of a cell."""

    tables: int
    sortability: float | None
    """Mean R2-sortability of those that define it."""
    counts: list[float]
    claimed: list[float]
    occurred: list[float]
    """[bins] each, see `metrics.calibration`."""
    example: Example


@attrs.frozen(eq=False)
class Cell:
    """One kind of tables."""

    name: str
    results: Scalars | None
    """Its part of eval.json; None when it was not judged."""
    reading: Reading | None
    """None without a network."""


@attrs.frozen(eq=False)
class Report:
    """All that the page shows."""

    name: str
    made: str
    gaps: tuple[str, ...]
    """What is missing, one sentence each."""
    steps: int
    steps_done: int
    ending: str | None
    """Why training ended before its last step."""
    state: State | None
    parameters: int | None
    sha256: str | None
    seed: int
    cells: tuple[Cell, ...]
    charts: tuple[Chart, ...]
    events: tuple[Event, ...]
    """What the monitors saw, by step."""
    origins: tuple[tuple[str, tuple[str, ...]], ...]
    """Each distribution with its version, and the components that came from it."""
    versions: tuple[tuple[str, str], ...]
    experiment: str

    @property
    def listed(self) -> tuple[Event, ...]:
        """The events that the page lists."""
        return self.events[:EVENTS]

    @property
    def judged(self) -> list[Cell]:
        """The cells with results."""
        return [cell for cell in self.cells if cell.results is not None]

    @property
    def read(self) -> list[Cell]:
        """The cells whose tables a network has read."""
        return [cell for cell in self.cells if cell.reading is not None]


def write_report(run: Path, file: Path, registry: Registry, *, device: torch.device) -> None:
    """Write the page of `run` into `file`, replacing it.

    Raises:
        CheckpointError: not a run folder, or a file in it that cannot be read.
        ConfigError: the experiment needs a plugin that is not installed.
        TabSCMError: the file cannot be written.
    """
    write_text(file, render(gather(run, registry, device=device)))


def gather(run: Path, registry: Registry, *, device: torch.device) -> Report:
    """Everything known of `run`.

    Args:
        run: the folder of a run, in whatever state.
        registry: the components that are installed.
        device: where the tables are made and read; on another kind of device than evaluation had they are others.

    Raises:
        CheckpointError, ConfigError: see `write_report`.
    """
    if not (run / EXPERIMENT).is_file():
        raise CheckpointError(f"{run}: not a run folder, it has no {EXPERIMENT}, so there is nothing to report on")
    experiment = load(run / EXPERIMENT, registry)
    lines = read_log(run / LOG)
    results = read_results(run / RESULTS)
    done = max((step for step, kind, _ in lines if kind in ("train", "validation")), default=0)
    model, state, sha256, ending = None, None, None, None
    gaps: list[str] = []
    if has_checkpoint(run):
        try:
            model, _ = load_run(run, registry, device)
            state, sha256 = seal(run, "best")
            ending = why_stop(seal(run, "last")[0], experiment.trainer.early_stopping)
        except CheckpointError as error:
            gaps.append(f"The network cannot be read, so nothing is drawn that needs it: {error}")
    else:
        gaps.append("There is no checkpoint yet, so nothing is drawn that needs a network.")
    if done < experiment.trainer.steps and ending is None:
        gaps.insert(0, f"Training is not finished: {done} of {experiment.trainer.steps} steps are logged.")
    if results is None:
        gaps.append(f"The network was not judged on fresh tables yet: there is no {RESULTS}.")
    return Report(
        name=run.resolve().name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        gaps=tuple(gaps),
        steps=experiment.trainer.steps,
        steps_done=done,
        ending=ending,
        state=state,
        parameters=None if model is None else parameter_count(model.parameters()),
        sha256=sha256,
        seed=experiment.seed,
        cells=tuple(_cells(model, experiment, results or {}, device)),
        charts=charts(lines),
        events=tuple(events(lines)),
        origins=_origins(run / ORIGINS),
        versions=_versions(device),
        experiment=(run / EXPERIMENT).read_text("utf-8"),
    )


def _cells(
    model: nn.Module | None,
    experiment: Experiment,
    results: Mapping[str, Scalars],
    device: torch.device,
) -> Iterator[Cell]:
    """The experiment's cells, then any that only eval.json knows."""
    kinds = experiment.evaluation.cells or {"stream": experiment.stream}
    for name, settings in kinds.items():
        reading = None if model is None else _read(model, experiment, settings, device)
        yield Cell(name, results.get(name), reading)
    for name in results.keys() - kinds.keys():
        yield Cell(name, results[name], None)


def _read(model: nn.Module, experiment: Experiment, settings: StreamSettings, device: torch.device) -> Reading:
    """Let the network read the first tables of a cell, which are the first of those that evaluation judged."""
    tables = min(experiment.evaluation.tables, TABLES)
    stream = Stream(settings, seed=experiment.seed, device=device, purpose="evaluation")
    batches: list[tuple[Tensor, Tensor]] = []
    sortability: list[Tensor] = []
    example = None
    step, missing = 0, tables
    while missing > 0:
        table, truth = stream.batch(step)
        with torch.inference_mode():
            logits = model(table).logits[:missing]
        adj = truth.adj[:missing]
        batches.append((logits, adj))
        sortability.append(r2_sortability(table.x[:missing], adj))
        if example is None:
            example = _example(logits[:1], adj[:1], table.intervened[0])
        step, missing = step + 1, missing - len(adj)
    assert example is not None
    counts, claimed, occurred = (part.tolist() for part in metrics.calibration(batches))
    return Reading(tables, scalar(torch.cat(sortability).nanmean().item()), counts, claimed, occurred, example)


def _example(logits: Tensor, adj: Tensor, intervened: Tensor) -> Example:
    """One table: logits and adj [1, D, D], intervened [N, D]."""
    true = adj[0].cpu().numpy()
    edge_prob = logits[0].double().sigmoid().fill_diagonal_(0).cpu().numpy()
    return Example(
        rows=len(intervened),
        intervened=intervened.any(1).double().mean().item(),
        adj=true.astype(np.float64),
        edge_prob=edge_prob,
        layers=layers(true),
        edges=tuple(_verdicts(true, edge_prob)),
        scores={name: scalar(value.item()) for name, value in metrics.score(logits, adj).items()},
    )


def _verdicts(adj: NDArray[np.bool_], edge_prob: NDArray[np.float64]) -> Iterator[Edge]:
    """Every edge that is true or asserted; one that is asserted the wrong way round comes once."""
    asserted = edge_prob > 0.5
    for i, j in zip(*np.nonzero(adj | asserted), strict=True):
        source, target, probability = int(i), int(j), float(edge_prob[i, j])
        if adj[i, j] and asserted[i, j]:
            yield Edge(source, target, "found", probability)
        elif adj[i, j] and not asserted[j, i]:
            yield Edge(source, target, "missed", probability)
        elif asserted[i, j]:
            turned = adj[j, i] and not asserted[j, i]
            yield Edge(source, target, "reversed" if turned else "extra", probability)


def _origins(file: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each distribution and version in origins.json, with its components; nothing where it cannot be read."""
    found: dict[str, list[str]] = {}
    try:
        for component, origin in read_object(file).items():
            found.setdefault(f"{origin['distribution']} {origin['version']}", []).append(component)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()
    return tuple((name, tuple(components)) for name, components in found.items())


def _versions(device: torch.device) -> tuple[tuple[str, str], ...]:
    found = [
        ("tabscm", version("tabscm")),
        ("torch", torch.__version__),
        ("Python", platform.python_version()),
        ("platform", platform.platform()),
    ]
    if device.type == "cuda":
        found.append(("GPU", torch.cuda.get_device_name(device)))
    return tuple(found)
