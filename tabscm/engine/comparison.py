"""What an ablation found: every row's mean and spread over seeds, and its paired difference to the base, as a table."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import attrs

from tabscm.engine.layout import number
from tabscm.engine.measures import MEASURES
from tabscm.engine.trial import Outcome

CONFIDENCE = 0.95
"""Of the intervals around differences."""
PERCENT = f"{100 * CONFIDENCE:g} %"
"""The same, to be read."""

SHOWN = ("auroc", "ap", "f1", "shd", "log_prob_gain")
"""Metrics of the table and the picture, unless others are asked for."""

LEGEND = f"""\
Mean ± standard deviation over seeds; below it the difference to the base over the same seeds and the same tables, ±
half of its {PERCENT} confidence interval (Student t). * the interval leaves out 0; it is not corrected for the number
of rows. Time (of training) and peak memory (of the GPU where there is one) are means over seeds."""

DIRECTIONAL = """\
One seed: directional, not a result. The second line of a row is its difference to the base on the same tables; how much
of it is the seed's doing is unknown."""


@attrs.frozen
class Row:
    """One variant of the experiment and what became of it."""

    label: str
    outcomes: Mapping[int, Outcome]
    """By seed, as far as they have ended."""
    steps: int | None = None
    """Steps of training; None where it was not to be trained."""
    reason: str | None = None
    """Why it was not to be trained, in one line."""

    def values(self, cell: str, metric: str) -> dict[int, float]:
        """The metric by seed, where it is there and defined."""
        found = {seed: outcome.results.get(cell, {}).get(metric) for seed, outcome in self.outcomes.items()}
        return {seed: value for seed, value in found.items() if value is not None}


@attrs.frozen
class Score:
    """One metric of one row. NaN is what cannot be known: the spread of one seed, say."""

    mean: float
    sd: float
    seeds: int
    difference: float
    """To the base: mean over the seeds that both have."""
    half_width: float
    """Of the difference's confidence interval."""
    pairs: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.difference) > self.half_width


def compare(here: Mapping[int, float], base: Mapping[int, float]) -> Score:
    """Compare values by seed with those of the base; the interval is Student's, over the differences seed by seed."""
    differences = [here[seed] - base[seed] for seed in here if seed in base]
    pairs = len(differences)
    half_width = t_quantile(pairs - 1) * statistics.stdev(differences) / math.sqrt(pairs) if pairs > 1 else math.nan
    return Score(
        mean=_mean(list(here.values())),
        sd=statistics.stdev(here.values()) if len(here) > 1 else math.nan,
        seeds=len(here),
        difference=_mean(differences),
        half_width=half_width,
        pairs=pairs,
    )


def t_quantile(df: int, confidence: float = CONFIDENCE) -> float:
    """The t with P(|T| < t) = `confidence` for Student's T with `df` degrees of freedom, by bisection."""
    low, high = 0.0, math.pi / 2  # of atan(t / sqrt(df))
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return math.sqrt(df) * math.tan(middle)
        low, high = (middle, high) if _t_within(middle, df) < confidence else (low, middle)


def scores(rows: Sequence[Row], cell: str, metric: str) -> list[Score]:
    """The metric of each row beside the first, which is the base."""
    base = rows[0].values(cell, metric)
    return [compare(row.values(cell, metric), base) for row in rows]


def empty_graph(rows: Sequence[Row], cell: str, metric: str) -> str | None:
    """What the graph without edges has on the tables of the base, as text; None where the metric has nothing to say."""
    measure = MEASURES[metric]
    if measure.empty is None:
        return None
    return measure.figure(scores(rows[:1], cell, measure.empty)[0].mean)


def table(rows: Sequence[Row], seeds: Sequence[int], cell: str, metrics: Sequence[str]) -> str:
    """The whole ablation as Markdown that reads well in a terminal too.

    Args:
        rows: the base first.
        seeds: all that were asked for.
        cell: of the evaluation.
        metrics: a column each.
    """
    found = [scores(rows, cell, metric) for metric in metrics]
    heads = [
        MEASURES[metric].title + (f" (empty {empty})" if (empty := empty_graph(rows, cell, metric)) else "")
        for metric in metrics
    ]
    lines = [["", *heads, "steps", "time", "memory", "note"]]
    for index, row in enumerate(rows):
        own = [column[index] for column in found]
        lines.append(
            [
                f"{row.label} (base)" if index == 0 else row.label,
                *(_mean_and_spread(score, metric) for score, metric in zip(own, metrics, strict=True)),
                "-" if row.steps is None else f"{row.steps:,}",
                _clock(_mean(_known(outcome.seconds for outcome in row.outcomes.values()))),
                _megabytes(_mean(_known(outcome.peak_memory for outcome in row.outcomes.values()))),
                _note(row, seeds, one_pair=any(score.pairs == 1 for score in own)),
            ]
        )
        if index > 0 and any(score.pairs for score in own):
            differences = [_difference(score, metric) for score, metric in zip(own, metrics, strict=True)]
            lines.append(["  difference", *differences, "", "", "", ""])
    return f"{markdown(lines)}\n\n{LEGEND if len(seeds) > 1 else DIRECTIONAL}"


def to_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Everything, for a program to read: every metric of every cell and seed, and what `compare` makes of it."""
    cells = {cell: list(metrics) for row in rows for o in row.outcomes.values() for cell, metrics in o.results.items()}
    return [
        {
            "row": row.label,
            "base": row is rows[0],
            "steps": row.steps,
            "reason": row.reason,
            "trials": {str(seed): attrs.asdict(outcome) for seed, outcome in row.outcomes.items()},
            "summary": {
                cell: {
                    metric: _plain(compare(row.values(cell, metric), rows[0].values(cell, metric))) for metric in names
                }
                for cell, names in cells.items()
            },
        }
        for row in rows
    ]


def _t_within(angle: float, df: int) -> float:
    """P(|T| < sqrt(df) tan(angle)), a finite sum for a whole df: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if df % 2 else (1.0, 0.0)
    for k in range(1 + df % 2, df, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    return 2 / math.pi * (angle + sine * total) if df % 2 else sine * total


def _mean_and_spread(score: Score, metric: str) -> str:
    figure = MEASURES[metric].figure
    return figure(score.mean) if math.isnan(score.sd) else f"{figure(score.mean)} ± {figure(score.sd)}"


def _difference(score: Score, metric: str) -> str:
    measure = MEASURES[metric]
    if math.isnan(score.half_width):
        return measure.signed(score.difference)
    return f"{measure.signed(score.difference)} ± {measure.figure(score.half_width)}{'*' if score.decided else ''}"


def _note(row: Row, seeds: Sequence[int], *, one_pair: bool) -> str:
    if row.reason is not None:
        return row.reason
    alone = ["one seed: directional"] if one_pair and len(seeds) > 1 else []  # else the legend says it of all rows
    failed = [f"seed {seed} failed: {o.failed}" for seed, o in row.outcomes.items() if o.failed is not None]
    open_ = [str(seed) for seed in seeds if seed not in row.outcomes]
    return "; ".join([*alone, *failed, *([f"not yet run: seed {', '.join(open_)}"] if open_ else [])])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Pipes, with the columns below each other; the last column may be long and is not padded."""
    lines = [[text.replace("|", "\\|") for text in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:-1]), ":--"]
    padded = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:-1]), line[-1]] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _clock(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{round(seconds) // 60}:{round(seconds) % 60:02d}"


def _megabytes(size: float) -> str:
    return number(size / 1e6, ",.0f") + ("" if math.isnan(size) else " MB")


def _plain(score: Score) -> dict[str, float | int | None]:
    """NaN as null."""
    return {name: None if value != value else value for name, value in attrs.asdict(score).items()}


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan
