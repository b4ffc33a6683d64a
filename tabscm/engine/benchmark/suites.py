"""Which tables everybody is judged on.

A name says the family, the number of variables and that of rows. All settings are written here and nowhere else; no
training may use them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import attrs
import numpy as np
import torch

from tabscm.engine.benchmark import bif, categories, equations, genes, graphs, sachs
from tabscm.engine.benchmark.case import ATTEMPTS, Bools, Case, Suite
from tabscm.engine.benchmark.equations import Equations
from tabscm.engine.stream import Stream
from tabscm.kernel.config import to_data
from tabscm.kernel.errors import TabSCMError, did_you_mean
from tabscm.kernel.experiment import Experiment

Rng = np.random.Generator

UNEQUAL = (0.5, 2.0)
"""Standard deviations of noise."""
NOISY = (0.3, 0.8)
"""The same beside a signal of variance 1."""
FAMILIES = {
    "gauss-equal": ("linear, Gaussian noise of equal variance", Equations(form="linear")),
    "gauss": ("linear, Gaussian noise", Equations(form="linear", scale=UNEQUAL)),
    "uniform": ("linear, uniform noise", Equations(form="linear", noise="uniform", scale=UNEQUAL)),
    "laplace": ("linear, Laplace noise", Equations(form="linear", noise="laplace", scale=UNEQUAL)),
    "exponential": ("linear, exponential noise", Equations(form="linear", noise="exponential", scale=UNEQUAL)),
    "fourier": ("random-Fourier functions", Equations(form="fourier", scale=NOISY, unit="signal")),
    "network": ("neural networks", Equations(form="network", scale=NOISY, unit="signal")),
    "quadratic": ("quadratic functions", Equations(form="quadratic", scale=NOISY, unit="signal")),
}
"""The families that are asked for at every size, by name."""
SIZES = ((10, 200), (10, 1000), (20, 200), (20, 1000), (50, 200), (50, 1000), (100, 200), (100, 1000))
"""Variables and rows."""
CORE = (
    *(f"{family}-d10-n200" for family in FAMILIES),
    *(f"{family}-d20-n1000" for family in ("gauss", "laplace", "fourier")),
    *("do-gauss-d10-n200", "do-fourier-d10-n200", "do-gauss-d20-n1000"),
    *("lingam-d10-n500", "bcnp-linear-e20-d20-n1000", "bcnp-network-e20-d20-n1000", "dense-d20-n1000"),
    *("genes-d20-n200", "mixed-d10-n1000", "discrete-d10-n1000", "asia-n1000", "child-n1000"),
    *("sachs-e17", "sachs-e20", "sachs-do-e17", "sachs-do-e20"),
)
"""What is run unless suites are named, beside the cells of experiments: tables for which no method needs minutes."""
PER_VARIABLE = 1.5
"""Edges per variable in those families."""

AVICI = {
    "linear": Equations(form="linear", weights=(0.25, 4.0), bias=3.0, scale=(0.2, 2.0)),
    "fourier": Equations(form="fourier", length=(5.0, 12.0), height=(8.0, 22.0), bias=3.0, scale=(0.2, 2.0)),
}
"""After Lorch et al. 2022, arXiv:2205.12934: d = 30, n = 1 000, two edges per variable. Written here after the
description: the same kind of tables, not the same tables."""
BCNP = {"linear": Equations(form="linear", unit="variable"), "network": Equations(form="network", unit="variable")}
"""After Dhir et al. 2025, arXiv:2412.16577: standard normal noise, every variable scaled to variance 1, d = 20,
n = 1 000. Written here after the description: the same kind of tables, not the same tables."""
NETWORKS = ("asia", "child", "alarm", "insurance")


def catalogue(experiments: Sequence[tuple[str, Experiment]] = ()) -> dict[str, Suite]:
    """Every suite by name: those of this project, and the cells of evaluation of experiments.

    Args:
        experiments: (name, experiment); a cell becomes the suite "name/cell".

    Raises:
        TabSCMError: two experiments of one name.
    """
    for name, count in Counter(name for name, _ in experiments).items():
        if count > 1:
            raise TabSCMError(f"--cells: {count} files are called {name}, and suites are named after them; rename one")
    found = [*_families(), *_interventional(), *_arenas(), *_stress(), *_typed(), *_real()]
    found = [attrs.evolve(suite, core=suite.name in CORE) for suite in found]
    for name, experiment in experiments:
        found += _cells(name, experiment)
    return {suite.name: suite for suite in found}


def choose(names: Sequence[str], known: dict[str, Suite]) -> list[Suite]:
    """The suites that are named: by their names, by the beginning of names up to a "-" or "/", by "core", or by "all".

    Raises:
        TabSCMError: a name that nothing has.
    """
    chosen: dict[str, Suite] = {}
    for name in names:
        fitting = [suite for suite in known.values() if _fits(suite, name)]
        if not fitting:
            raise TabSCMError(
                f'--suites: there is no "{name}".{did_you_mean(name, known)}\nthere are: {", ".join(known)}'
            )
        chosen |= {suite.name: suite for suite in fitting}
    return [suite for suite in known.values() if suite.name in chosen]


def _fits(suite: Suite, name: str) -> bool:
    return (
        name == "all"
        or (name == "core" and suite.core)
        or suite.name == name
        or suite.name.startswith((f"{name}-", f"{name}/"))
    )


def _families() -> Iterable[Suite]:
    for family, (about, form) in FAMILIES.items():
        for variables, rows in SIZES:
            edges = round(PER_VARIABLE * variables)
            draw = partial(_draw, variables=variables, rows=rows, edges=edges, forms=[form])
            yield Suite(f"{family}-d{variables}-n{rows}", about, draw)


def _interventional() -> Iterable[Suite]:
    for family in ("gauss", "laplace", "fourier", "network"):
        about, form = FAMILIES[family]
        for variables, rows in ((10, 200), (20, 1000)):
            edges = round(PER_VARIABLE * variables)
            draw = partial(_draw, variables=variables, rows=rows, edges=edges, forms=[form], half=True)
            yield Suite(f"do-{family}-d{variables}-n{rows}", f"{about}, half of the rows interventional", draw)


def _arenas() -> Iterable[Suite]:
    """Where others have published figures."""
    skewed = [FAMILIES[family][1] for family in ("uniform", "laplace", "exponential")]
    draw = partial(_draw, variables=10, rows=500, edges=15, forms=skewed)
    yield Suite("lingam-d10-n500", "linear, uniform, Laplace or exponential noise", draw)
    for form, settings in AVICI.items():
        draw = partial(_draw, variables=30, rows=1000, edges=60, forms=[settings])
        yield Suite(f"avici-{form}-d30-n1000", f"{form}, 60 edges, AVICI's settings", draw)
    for form, settings in AVICI.items():
        draw = partial(_draw, variables=30, rows=1000, edges=60, forms=[settings], half=True, strength="own")
        yield Suite(f"avici-do-{form}-d30-n1000", f"{form}, 60 edges, half of the rows interventional", draw)
    for form, settings in BCNP.items():
        for edges in (20, 40, 60):
            draw = partial(_draw, variables=20, rows=1000, edges=edges, forms=[settings], alternate=False)
            yield Suite(f"bcnp-{form}-e{edges}-d20-n1000", f"{form}, {edges} edges, BCNP's settings", draw)


def _stress() -> Iterable[Suite]:
    """Many variables, and many edges."""
    forms = [FAMILIES["gauss"][1], FAMILIES["fourier"][1]]
    dense = [attrs.evolve(forms[0], shrink=True), forms[1]]
    draw = partial(_draw, variables=100, rows=1000, edges=200, forms=forms)
    yield Suite("two-per-variable-d100-n1000", "linear or random-Fourier, 200 edges", draw)
    for variables in (20, 100):
        edges = round(0.3 * variables * (variables - 1) / 2)
        draw = partial(_draw, variables=variables, rows=1000, edges=edges, forms=dense, alternate=False)
        yield Suite(f"dense-d{variables}-n1000", "linear or random-Fourier, 30 % of all pairs", draw)


def _typed() -> Iterable[Suite]:
    """Tables that are not measurements on one scale."""
    yield Suite("genes-d20-n200", "gene counts, zero-inflated", partial(_genes, variables=20, rows=200))
    for variables in (10, 20):
        yield Suite(
            f"mixed-d{variables}-n1000", "measurements, levels and counts", partial(_mixed, variables=variables)
        )
        draw = partial(_discrete, variables=variables)
        yield Suite(f"discrete-d{variables}-n1000", "random conditional tables", draw)
    for name in NETWORKS:
        yield Suite(f"{name}-n1000", f"the discrete network {name}", partial(_shipped, name=name))


def _real() -> Iterable[Suite]:
    for edges in (17, 20):
        for name, about, interventions in (
            ("sachs", f"853 cells, graph of {edges} edges", False),
            ("sachs-do", f"7466 cells under nine conditions, graph of {edges} edges", True),
        ):
            draw = partial(_sachs, edges=edges, interventions=interventions)
            yield Suite(f"{name}-e{edges}", about, draw, spread="bootstrap")


def _cells(name: str, experiment: Experiment) -> Iterable[Suite]:
    """The cells of an experiment's evaluation, whose tables are drawn one at a time."""
    data = to_data(experiment)["evaluation"]["cells"]
    for cell, settings in experiment.evaluation.cells.items():
        stream = Stream(
            attrs.evolve(settings, tables=1), seed=experiment.seed, device=torch.device("cpu"), purpose="evaluation"
        )
        told = json.dumps([experiment.seed, data[cell]], sort_keys=True)
        yield Suite(
            f"{name}/{cell}",
            f"cell {cell} of {name}",
            partial(_streamed, name=f"{name}/{cell}", stream=stream),
            settings=hashlib.sha256(told.encode()).hexdigest()[:16],
        )


def _draw(
    rng: Rng,
    index: int,
    *,
    variables: int,
    rows: int,
    edges: int,
    forms: Sequence[Equations],
    half: bool = False,
    strength: Literal["own", "deviations"] = "deviations",
    alternate: bool = True,
) -> Case:
    """Graphs take turns from table to table, and so do forms, at half or a third of the pace."""
    adj = (graphs.alternating if alternate else _uniform)(variables, edges, rng, index)
    targets = equations.half_on_every_variable(rows, variables, rng) if half else None
    form = forms[(index // 2 if alternate else index) % len(forms)]
    return equations.sample(adj, rows, form, rng, targets=targets, strength=strength)


def _uniform(variables: int, edges: int, rng: Rng, index: int) -> Bools:
    return graphs.uniform(variables, edges, rng)


def _genes(rng: Rng, index: int, *, variables: int, rows: int) -> Case:
    return genes.sample(graphs.preferential(variables, round(PER_VARIABLE * variables), rng), rows, rng)


def _mixed(rng: Rng, index: int, *, variables: int) -> Case:
    return categories.mixed(graphs.alternating(variables, round(PER_VARIABLE * variables), rng, index), 1000, rng)


def _discrete(rng: Rng, index: int, *, variables: int) -> Case:
    adj = graphs.alternating(variables, round(PER_VARIABLE * variables), rng, index)
    return categories.sample(categories.random_network(categories.with_few_parents(adj, rng), rng), 1000, rng)


def _shipped(rng: Rng, index: int, *, name: str) -> Case:
    """Columns in random order: that of the file is a causal one."""
    case = categories.sample(bif.shipped(name), 1000, rng)
    order = rng.permutation(len(case.adj))
    return attrs.evolve(
        case, x=case.x[:, order], adj=case.adj[np.ix_(order, order)], intervened=case.intervened[:, order]
    )


def _sachs(rng: Rng, index: int, *, edges: int, interventions: bool) -> Case:
    return sachs.case(edges, index, rng, interventions=interventions)


def _streamed(rng: Rng, index: int, *, name: str, stream: Stream) -> Case:
    """As standardised in the stream; where a cell is missing, everybody is shown the mean of its column."""
    for part in range(ATTEMPTS):  # one part of a step is always the same, a constant column included
        table, truth = stream.batch(index, part)
        x = table.x[0].double().numpy()
        if (np.ptp(x, axis=0) > 0).all():
            return Case(x=x, adj=truth.adj[0].numpy(), intervened=table.intervened[0].numpy())
    raise TabSCMError(
        f"{name}: in each of {ATTEMPTS} draws of table {index} some column is constant. Give the cell more rows, or "
        "measurements that leave more of a column"
    )
