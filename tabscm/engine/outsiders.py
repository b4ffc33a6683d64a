"""Are tables told apart that are unlike those of a training? Kinds of tables against fresh ones of its stream.

Letters: N rows, D variables.
"""

from collections.abc import Callable, Sequence
from typing import TextIO

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.benchmark import suites
from tabscm.engine.canonical import on_grid
from tabscm.engine.familiarity import WARNED, Reference, describe
from tabscm.engine.layout import align, number
from tabscm.engine.likeness import statistics
from tabscm.engine.progress import Counting
from tabscm.engine.standardise import standardise_exactly
from tabscm.kernel.experiment import Experiment

Floats = NDArray[np.float64]

SUITES = (
    *("gauss-d20-n1000", "laplace-d20-n1000", "fourier-d20-n1000", "mixed-d10-n1000", "discrete-d10-n1000"),
    *("child-n1000", "genes-d20-n200", "sachs-e17", "sachs-do-e17"),
)
"""Of the accuracy benchmark; the rows of Sachs are drawn again for each table but the first."""
VARIABLES, ROWS = (5, 30), (200, 2000)
"""Of the odd tables, from and up to."""


@attrs.frozen
class Found:
    """How unlike the training the tables of one kind are."""

    kind: str
    """What they are, for people."""
    tables: int
    """How many were judged."""
    auroc: float
    """That a table of this kind is more unusual than a fresh one of the stream; 0.5 where they are as unusual."""
    warned: float
    """Share of the tables that are called unlike the training."""


def familiarity_bench(
    reference: Reference,
    experiment: Experiment,
    held_out: Sequence[tuple[str, Experiment]],
    *,
    inside: int,
    tables: int,
    out: TextIO | None = None,
) -> list[Found]:
    """Judge fresh tables of the stream, first in the list, and other kinds.

    Args:
        reference: of the training.
        experiment: its stream.
        held_out: experiments, each cell of whose evaluation is a kind.
        inside: fresh tables of the stream.
        tables: of every other kind.
        out: where the progress is shown; None for nowhere.
    """
    cpu = torch.device("cpu")
    cells = [
        (f"{name}: {cell}", settings, other.seed)
        for name, other in held_out
        for cell, settings in other.evaluation.cells.items()
    ]
    counting = Counting(out, "tables", inside + tables * (len(cells) + len(SUITES) + len(ODD)))
    fresh = [
        reference.distance(one)
        for one in describe(
            experiment.stream,
            seed=experiment.seed,
            device=cpu,
            tables=inside,
            purpose="evaluation",
            done=counting.show,
        )
    ]
    kinds: list[tuple[str, list[dict[str, float]]]] = []

    def add(kind: str, found: list[dict[str, float]]) -> None:
        kinds.append((kind, found))
        counting.show(inside + tables * len(kinds))

    for kind, settings, seed in cells:
        add(kind, describe(settings, seed=seed, device=cpu, tables=tables, purpose="evaluation"))
    catalogue = suites.catalogue()
    for name in SUITES:
        cases = (catalogue[name].case(index) for index in range(tables))
        add(f"{name}: {catalogue[name].about}", [_described(case.x, case.intervened) for case in cases])
    for what, draw in ODD.items():
        rng = np.random.default_rng([len(what), *what.encode()])
        add(what, [_described(draw(*_size(rng), rng)) for _ in range(tables)])
    counting.end()
    limit = np.quantile(reference.distances, 1 - WARNED)
    results = [Found("fresh tables of the stream", inside, 0.5, float(np.mean(np.array(fresh) > limit)))]
    for what, described in kinds:
        distances = np.array([reference.distance(one) for one in described])
        results.append(
            Found(what, len(distances), _auroc(np.array(fresh), distances), float((distances > limit).mean()))
        )
    return results


def render(results: Sequence[Found]) -> str:
    """The results for the terminal."""
    lines = [("kind", "tables", "AUROC", "warned")]
    for found in results:
        auroc = "" if found is results[0] else number(found.auroc)
        lines.append((found.kind, str(found.tables), auroc, f"{found.warned:.1%}"))
    return (
        f"{align(lines)}\n\nAUROC: that such a table is more unusual than a fresh one of the stream; 0.5 where they "
        "cannot be told apart.\nWarned: share that is called unlike the training."
    )


def _described(x: Floats, intervened: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """The statistics of a table [N, D], as those of a user's table are taken: in an order that says nothing."""
    order = np.random.default_rng(len(x)).permutation(len(x))
    z = on_grid(standardise_exactly(torch.from_numpy(np.ascontiguousarray(x[order]))).numpy())
    cells = np.zeros(x.shape, dtype=np.bool_) if intervened is None else intervened[order]
    return statistics(torch.from_numpy(z), torch.ones(x.shape, dtype=torch.bool), torch.from_numpy(cells))


def _auroc(inside: Floats, outside: Floats) -> float:
    """The share of pairs in which the second is larger, ties counting half."""
    larger = (outside[:, None] > inside).mean() + (outside[:, None] == inside).mean() / 2
    return float(larger)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(*ROWS)), int(rng.integers(*VARIABLES))


def _noise(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    return rng.normal(size=(rows, variables))


def _walks(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    walks: Floats = np.cumsum(rng.normal(size=(rows, variables)), axis=0)
    return walks


def _autoregressive(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    x = rng.normal(size=(rows, variables))
    for row in range(1, rows):
        x[row] += 0.95 * x[row - 1]
    return x


def _waves(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    """Smooth along the rows, as lines of a picture are: each column a sum of four waves."""
    place = np.linspace(0, 1, rows)[:, None]
    waves: Floats = np.zeros((rows, variables))
    for count in range(1, 5):
        phase = rng.random((1, variables))
        waves += rng.normal(size=(1, variables)) * np.sin(2 * np.pi * (count * place + phase))
    return waves


def _outliers(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    """A linear chain of which one cell in a hundred is ten to a hundred times as large."""
    x = rng.normal(size=(rows, variables))
    x[:, 1:] += 0.6 * x[:, :-1]
    wild = rng.random(x.shape) < 0.01
    x[wild] *= rng.uniform(10, 100, wild.sum())
    return x


def _few_factors(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    """Mixtures of a quarter as many hidden factors, with little noise."""
    factors = max(1, variables // 4)
    x: Floats = rng.normal(size=(rows, factors)) @ rng.normal(size=(factors, variables))
    return x + 0.05 * rng.normal(size=x.shape)


def _circles(rows: int, variables: int, rng: np.random.Generator) -> Floats:
    """Cosines of multiples of one hidden angle: dependent, and hardly correlated."""
    angle = 2 * np.pi * rng.random((rows, 1))
    x: Floats = np.cos(angle * rng.integers(1, 4, size=(1, variables)) + 2 * np.pi * rng.random((1, variables)))
    return x + 0.05 * rng.normal(size=x.shape)


ODD: dict[str, Callable[[int, int, np.random.Generator], Floats]] = {
    "independent normal noise": _noise,
    "random walks": _walks,
    "autoregressive series": _autoregressive,
    "smooth waves": _waves,
    "outliers in a linear chain": _outliers,
    "few hidden factors": _few_factors,
    "circles": _circles,
}
"""Tables that no structural model of the stream makes, by what they are."""
