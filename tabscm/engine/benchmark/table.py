"""The benchmark as a table: a row for each suite, ours beside the best of the others."""

import math
from collections.abc import Mapping, Sequence

from tabscm.engine.benchmark.case import Suite
from tabscm.engine.benchmark.methods import METHODS, OURS
from tabscm.engine.benchmark.summary import Figure, Score, best, shared, wins
from tabscm.engine.comparison import markdown
from tabscm.engine.layout import number

HEAD = (
    "suite",
    "AUROC",
    "AP",
    "best other AP",
    "F1",
    "best other F1",
    "SHD (empty)",
    "direction",
    "ECE",
    "seconds",
    "var, R2",
    "given up",
)
LEGEND = """\
Means over the tables of a suite ± their standard error; in [ ] the 95 % bootstrap interval over the rows of one real
table. AUROC, AP, F1 and SHD at probability 0.5, direction (of true edges, chance .5), expected calibration error (ECE)
and seconds are TabSCM's; "other" is whichever of the other methods is best on that suite. An edge that a method leaves
without direction counts as one that a coin directs: half in each direction. A table without an answer counts as the
empty graph; a method over the limit twice on a suite is given up there and compared no more. All methods see
standardised columns (discrete tables as codes) but sortnregress, which sees the raw scale and is no rival. Methods that
cannot use interventions see all rows pooled. var, R2: varsortability and R2-sortability of the tables, .5 gives
nothing away."""


def table(suites: Sequence[Suite], results: Mapping[str, Mapping[str, Score]]) -> str:
    """Markdown that reads well in a terminal too, a legend below."""
    lines = [list(HEAD), *(_row(suite, results[suite.name]) for suite in suites if results.get(suite.name))]
    return f"{markdown(lines)}\n\n{LEGEND}"


def headline(results: Mapping[str, Mapping[str, Score]]) -> str:
    """On how many suites ours is ahead, in one line."""
    (ap, suites), (f1, judged) = wins(results, "ap"), wins(results, "f1")
    return f"AP above the best other method in {ap} of {suites} suites; F1 in {f1} of {judged}"


def _row(suite: Suite, scores: Mapping[str, Score]) -> list[str]:
    ours = scores.get(OURS)
    figures = ours.figures if ours is not None and not ours.given_up else {}
    none = Figure(math.nan, math.nan)
    given_up = [METHODS[name].title for name, score in scores.items() if score.given_up]
    failed = [f"{METHODS[name].title} failed {score.failed}" for name, score in scores.items() if score.failed]
    var, r2 = (shared(scores, name) for name in ("varsortability", "r2_sortability"))
    return [
        suite.name,
        _with_error(figures.get("auroc", none)),
        _with_error(figures.get("ap", none)),
        _rival(scores, "ap"),
        _with_error(figures.get("f1", none)),
        _rival(scores, "f1"),
        f"{number(figures.get('shd', none).mean, '.1f')} ({number(shared(scores, 'shd_empty'), '.1f')})",
        number(figures.get("direction", none).mean),
        number(figures.get("ece", none).mean),
        number(figures.get("seconds", none).mean, ".2f"),
        f"{number(var, '.2f')}, {number(r2, '.2f')}",
        "; ".join([*([", ".join(given_up)] if given_up else []), *failed]),
    ]


def _with_error(figure: Figure) -> str:
    if not math.isnan(figure.low):
        return f"{number(figure.mean)} [{number(figure.low)}, {number(figure.high)}]"
    return number(figure.mean) if math.isnan(figure.error) else f"{number(figure.mean)} ± {number(figure.error)}"


def _rival(scores: Mapping[str, Score], metric: str) -> str:
    name, mean = best(scores, metric)
    return f"{number(mean)} {METHODS[name].title}" if name else "-"
