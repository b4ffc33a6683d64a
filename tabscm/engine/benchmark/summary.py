"""From records to figures: means over the tables of a suite with standard errors, and who is best."""

import math
import statistics
from collections.abc import Mapping, Sequence

import attrs

from tabscm.engine.benchmark.case import Suite
from tabscm.engine.benchmark.methods import METHODS, OURS
from tabscm.engine.benchmark.record import ENOUGH, Record
from tabscm.engine.benchmark.scores import SHARED, calibration_error

INTERVAL = (0.025, 0.975)
"""Quantiles of resampled tables that are the ends of a bootstrap interval."""


@attrs.frozen
class Figure:
    """A metric of a method on a suite. NaN is what cannot be known."""

    mean: float
    error: float
    """Standard error of the mean."""
    low: float = math.nan
    high: float = math.nan
    """Ends of the bootstrap interval, of a table that is resampled."""


@attrs.frozen
class Score:
    """What a method did on a suite."""

    figures: Mapping[str, Figure]
    """By metric; "ece" and "seconds" among them."""
    tables: int
    failed: int
    over: int
    invalid: int
    """Graphs with a directed cycle."""

    @property
    def given_up(self) -> bool:
        """Whether tables were not tried because the limit was reached too often."""
        return self.over >= ENOUGH

    def mean(self, metric: str) -> float:
        """NaN where undefined, and of a method that was given up."""
        return self.figures[metric].mean if metric in self.figures and not self.given_up else math.nan


def summarise(suite: Suite, records: Sequence[Record]) -> Score:
    """The records of one method on one suite.

    A table without an answer counts as the empty graph. A suite that resamples one table has its value, and of the
    resampled ones the interval.
    """
    ordered = sorted(records, key=lambda record: record.table)
    names = dict.fromkeys(name for record in ordered for name in record.metrics)
    figures = {name: _figure(suite, [record.metrics.get(name) for record in ordered]) for name in names}
    figures["seconds"] = _mean([record.seconds for record in ordered])
    judged = [record.bins for record in ordered if record.bins is not None]
    figures["ece"] = Figure(calibration_error(judged), math.nan)
    return Score(
        figures=figures,
        tables=len(ordered),
        failed=sum(record.state == "failed" for record in ordered),
        over=sum(record.state == "over" for record in ordered),
        invalid=sum(bool(record.metrics.get("invalid")) for record in ordered),
    )


def best(scores: Mapping[str, Score], metric: str) -> tuple[str, float]:
    """The best rival and its mean, larger being better; ("", NaN) without one.

    Rivals are all methods but ours, those that see the raw scale, and those that were given up.
    """
    means = {name: score.mean(metric) for name, score in scores.items() if name != OURS and not METHODS[name].raw}
    means = {name: mean for name, mean in means.items() if not math.isnan(mean)}
    name = max(means, key=means.__getitem__, default="")
    return name, means.get(name, math.nan)


def wins(results: Mapping[str, Mapping[str, Score]], metric: str) -> tuple[int, int]:
    """On how many suites ours is above the best rival, and of how many that can be said."""
    pairs = [(scores[OURS].mean(metric), best(scores, metric)[1]) for scores in results.values() if OURS in scores]
    pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
    return sum(ours > theirs for ours, theirs in pairs), len(pairs)


def to_json(suites: Sequence[Suite], results: Mapping[str, Mapping[str, Score]]) -> dict[str, object]:
    """Everything, for a program to read; NaN as null."""
    return {
        suite.name: {
            "about": suite.about,
            "table": _shared(results[suite.name]),
            "methods": {
                name: {
                    "tables": score.tables,
                    "failed": score.failed,
                    "over": score.over,
                    "invalid": score.invalid,
                    **{metric: _plain(figure) for metric, figure in score.figures.items() if metric not in SHARED},
                }
                for name, score in results[suite.name].items()
            },
        }
        for suite in suites
        if results.get(suite.name)
    }


def shared(scores: Mapping[str, Score], name: str) -> float:
    """What is known of the tables whoever answers, from the method that has most of them."""
    fullest = max(scores.values(), key=lambda score: score.tables)
    return fullest.figures[name].mean


def _shared(scores: Mapping[str, Score]) -> dict[str, float | None]:
    values = {name: shared(scores, name) for name in SHARED}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _figure(suite: Suite, values: Sequence[float | None]) -> Figure:
    if suite.spread == "tables" or not values:
        return _mean([value for value in values if value is not None])
    first = math.nan if values[0] is None else values[0]
    again = sorted(value for value in values[1:] if value is not None)
    if len(again) < 2:
        return Figure(first, math.nan)
    low, high = (_quantile(again, share) for share in INTERVAL)
    return Figure(first, statistics.stdev(again), low, high)


def _mean(values: Sequence[float]) -> Figure:
    if not values:
        return Figure(math.nan, math.nan)
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Figure(statistics.fmean(values), error)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _plain(figure: Figure) -> dict[str, float]:
    return {name: value for name, value in attrs.asdict(figure).items() if not math.isnan(value)}
