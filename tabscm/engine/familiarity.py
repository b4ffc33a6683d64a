"""Does a table look like those that a network was trained on?

Of some thousand tables of its stream a reference remembers how their statistics, see likeness.py, are distributed. Each
statistic is bent until it is standard normal over these tables; what the number of rows and variables explains of its
mean and spread is taken away, for statistics of small tables scatter; and a table is as unusual as it is far from the
mean, in units of the covariance (Mahalanobis), beside tables of its size. How far tables of the stream are is measured
on tables that the rest does not know. Letters: T tables, S statistics, Q quantiles, N rows, D variables.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.canonical import on_grid
from tabscm.engine.doubt import Familiarity
from tabscm.engine.likeness import statistics
from tabscm.engine.progress import Counting
from tabscm.engine.stream import Purpose, Stream
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.experiment import StreamSettings
from tabscm.kernel.interfaces import Table

TABLES = 6000
"""T, unless said otherwise: of the widest stream they take some two minutes of one core. With 1 500, four draws warned
of 38 to 81 % of tables with few hidden factors; with 3 000, two draws warned of 79 % each."""
AT_ONCE = 4
"""Tables of one size that are taken from the stream."""
PATIENCE = 1000
"""Batches without a table whose columns all vary, after which the stream is given up."""
WARNED = 0.02
"""Share of the stream's own tables that are called unlike it."""
LEVELS = 41
"""Q."""
FOLDS = 5
"""Parts of the tables, of which each in turn is judged by the others."""
SHRUNK = 0.1
"""Weight of the identity in the covariance: statistics that follow from others leave some directions without spread."""
BEYOND = 5.0
"""Deviations by which a statistic may lie beyond all tables of the reference."""
FARTHEST = 6.0
"""Deviations from what is usual at its size that count of one statistic: one alone does not make a table unfamiliar."""
CLOSE = 1e-6
"""Values of a statistic that differ by less count as equal."""
DIGITS = 6
"""Significant, of the numbers in the file."""
ODD = 2.0
"""Deviations from which a statistic is named as unusual."""
SIZES = ("rows", "variables")
"""Statistics that say how large a table is."""
TERMS = 6
"""Of a quadratic function of both."""
NAMED = 3
"""Most kinds of statistics that are named as unusual."""
LEAST_SLOPE = 1e-3
LEAST_SPREAD = 0.02
"""Of a statistic over its normal quantile, and of its deviation: they bound what hardly differs between tables."""

Floats = NDArray[np.float64]

WORDS = {
    "intervened": "the share of cells set by interventions",
    "missing": "the share of missing cells",
    "skewness": "how skewed columns are",
    "kurtosis": "how heavy the tails of columns are",
    "peakedness": "how even columns are",
    "farthest": "how far out the farthest cells are",
    "far-cells": "the share of cells far out",
    "distinct": "the share of distinct values",
    "correlation": "how strongly columns correlate",
    "strong-correlations": "the share of strong correlations",
    "rank-correlation-apart": "how far rank correlations are from linear ones",
    "square-with-value": "how the squares of columns go with others",
    "square-with-square": "how the squares of columns go together",
    "condition": "how nearly columns determine each other",
    "largest-component": "the share of one direction in the whole table",
    "components": "the number of directions that the table has",
    "partial-correlation": "how strongly columns correlate when the others are held",
    "explained": "how well columns explain each other",
    "rest-skewness": "how skewed is what columns leave of each other",
    "rest-kurtosis": "how heavy-tailed is what columns leave of each other",
    "rest-with-square": "how bent dependences are",
    "rest-square-with-square": "how the spread of one column depends on others",
}
"""What a statistic is, for people; of its mean, spread and extremes over columns or pairs alike."""


@attrs.frozen(eq=False)
class Reference:
    """What the tables of a training look like."""

    names: tuple[str, ...]
    """[S] the statistics, without the sizes."""
    sizes: Floats
    """[2, 2] the least and the most of SIZES, rows and variables; beyond, a table counts as one at the limit."""
    quantiles: Floats
    """[S, Q], each from the least to the largest value, at equal shares of the tables."""
    usual: Floats
    """[S, TERMS] of the mean of bent statistics, as a function of the sizes."""
    spread: Floats
    """[S, TERMS] of the logarithm of their spread."""
    precision: Floats
    """[S, S] the inverse of the covariance of what is left."""
    level: Floats
    """[2, TERMS] of the mean of log-distances, and of the logarithm of their spread."""
    distances: Floats
    """[T] of tables of the training that the rest did not know, without what their sizes explain, sorted."""

    def judge(self, described: Mapping[str, float]) -> Familiarity:
        """How familiar a table is.

        Args:
            described: its statistics by name, see `likeness.statistics`.
        """
        left = self._left(_matrix([described], self.names), _matrix([described], SIZES))
        as_far = len(self.distances) - int(np.searchsorted(self.distances, self.distance(described)))
        score = (1 + as_far) / (1 + len(self.distances))
        share = f"{100 * score:.2g} %"
        if score >= WARNED:
            line = f"looks like the tables that the network was trained on: {share} of them are as unusual"
            return Familiarity(score, True, line)
        line = (
            f"the table looks unlike those that the network was trained on ({'' if as_far else 'fewer than '}{share} "
            "of them are as unusual): how often it is right on such tables is not known"
        )
        odd = self._odd(left[0])
        return Familiarity(score, False, f"{line}. Most unusual: {'; '.join(odd)}" if odd else line)

    def distance(self, described: Mapping[str, float]) -> float:
        """How unusual a table is beside tables of its size: in deviations of the logarithm of its distance."""
        sizes = _matrix([described], SIZES)
        terms = self._terms(sizes)
        logarithm = self._logarithm(self._left(_matrix([described], self.names), sizes))
        return float(((logarithm - terms @ self.level[0]) / np.exp(terms @ self.level[1]))[0])

    def to_json(self) -> dict[str, object]:
        """For a file that `read_reference` reads."""
        upper = self.precision[np.triu_indices(len(self.names))]
        arrays = {name: getattr(self, name) for name in ("sizes", "quantiles", "usual", "spread", "level", "distances")}
        return {
            "statistics": list(self.names),
            **{name: _short(value) for name, value in arrays.items()},
            "precision": _short(upper),
        }

    def _left(self, values: Floats, sizes: Floats) -> Floats:
        """Statistics [T, S] of tables of some sizes [T, 2] in deviations from what is usual there: [T, S]."""
        terms = self._terms(sizes)
        left = (self._bend(values) - terms @ self.usual.T) / np.exp(terms @ self.spread.T)
        return np.clip(left, -FARTHEST, FARTHEST)

    def _bend(self, values: Floats) -> Floats:
        """Statistics [T, S] as standard normal quantiles; beyond the reference they go on in a straight line."""
        normal = _normal_levels(len(self.distances))
        bent = np.empty(values.shape)
        for index, quantiles in enumerate(self.quantiles):
            steps = quantiles + np.arange(LEVELS) * CLOSE / LEVELS  # growing, as interpolation needs
            slope = max((steps[-1] - steps[0]) / (normal[-1] - normal[0]), LEAST_SLOPE)
            value = values[:, index]
            beyond = np.maximum(value - steps[-1] - CLOSE, 0) + np.minimum(value - steps[0] + CLOSE, 0)
            # of many equal values, such as shares of missing cells that are 0, the middle
            around = np.interp(value - CLOSE, steps, normal) + np.interp(value + CLOSE, steps, normal)
            bent[:, index] = around / 2 + np.clip(beyond / slope, -BEYOND, BEYOND)
        return bent

    def _logarithm(self, left: Floats) -> Floats:
        """[T, S] -> [T], of the plain distance."""
        found: Floats = np.log(np.einsum("ts,su,tu->t", left, self.precision, left) + 1e-9)
        return found

    def _terms(self, sizes: Floats) -> Floats:
        """[T, 2] -> [T, TERMS]."""
        rows, variables = np.clip(sizes, self.sizes[:, 0], self.sizes[:, 1]).T - self.sizes.mean(1)[:, None]
        return np.stack([np.ones(len(sizes)), rows, variables, rows**2, variables**2, rows * variables], 1)

    def _odd(self, left: Floats) -> list[str]:
        """What is most unusual of the statistics [S], one of each kind, the most unusual first."""
        said: dict[str, str] = {}
        for index in np.argsort(-np.abs(left), kind="stable"):
            kind = self.names[index].split(",")[0]
            if abs(left[index]) < ODD or len(said) == NAMED:
                break
            said.setdefault(kind, f"{WORDS.get(kind, kind)}, {'more' if left[index] > 0 else 'less'} than usual")
        return list(said.values())


def survey(
    settings: StreamSettings,
    *,
    seed: int,
    device: torch.device,
    tables: int | None = None,
    out: TextIO | None = None,
) -> Reference:
    """Look at fresh tables of a stream.

    Args:
        settings: what its tables look like.
        seed: of the stream; the tables are among those of validation, not those that evaluation sees.
        device: where they are made.
        tables: how many; None for TABLES.
        out: where the progress is shown; None for nowhere.

    Raises:
        CheckpointError: in nearly all tables of the stream some column is constant.
    """
    count = TABLES if tables is None else tables
    counting = Counting(out, "tables that say what familiar ones look like", count)
    found = describe(settings, seed=seed, device=device, tables=count, purpose="validation", done=counting.show)
    counting.end()
    return fit(found)


def describe(
    settings: StreamSettings,
    *,
    seed: int,
    device: torch.device,
    tables: int,
    purpose: Purpose,
    done: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """The statistics of the first tables of a stream in which every column varies, as no other is predicted; `done` is
    told how many there are.

    Raises:
        CheckpointError: there are hardly any.
    """
    stream = Stream(attrs.evolve(settings, tables=AT_ONCE), seed=seed, device=device, purpose=purpose)
    found: list[dict[str, float]] = []
    step = last = 0
    while len(found) < tables:
        batch, _ = stream.batch(step)
        step += 1
        for x, intervened, observed in zip(batch.x.cpu(), batch.intervened.cpu(), batch.observed.cpu(), strict=True):
            if bool((x != 0).any(0).all()) and len(found) < tables:
                # rounded as a user's table is
                rounded = torch.from_numpy(on_grid(x.double().numpy()))
                found.append(statistics(rounded, observed, intervened))
                last = step
        if done is not None:
            done(len(found))
        if step - last > PATIENCE:
            raise CheckpointError(
                f"{PATIENCE:,} batches of the stream in a row have a constant column in every table: there is nothing "
                "to say what familiar tables look like"
            )
    return found


def fit(described: Sequence[Mapping[str, float]]) -> Reference:
    """The reference of some tables; distances are those of a fifth of them from the rest, for each fifth.

    Args:
        described: [T] their statistics by name; tables of one size beside each other.
    """
    fold = np.arange(len(described)) * FOLDS // len(described)
    names = tuple(name for name in described[0] if name not in SIZES)
    values, sizes = _matrix(described, names), _matrix(described, SIZES)
    logarithms = np.empty(len(described))
    for number in range(FOLDS):
        away = fold == number
        rest = _fitted(names, values[~away], sizes[~away])
        logarithms[away] = rest._logarithm(rest._left(values[away], sizes[away]))
    whole = _fitted(names, values, sizes)
    mean, spread, left = _explained(whole._terms(sizes), logarithms[:, None])
    return attrs.evolve(whole, level=np.concatenate([mean, spread]), distances=np.sort(left[:, 0]))


def read_reference(found: Mapping[str, Any]) -> Reference:
    """What `Reference.to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is something else, or of statistics that are not taken any more.
    """
    names = tuple(str(name) for name in found["statistics"])
    there = torch.ones(2, 2, dtype=torch.bool)
    gone = set(names) - statistics(torch.eye(2), there, there).keys()
    if gone:
        raise ValueError(f"no statistic is called {min(gone)}")
    count = len(names)
    shapes = {
        "sizes": (2, 2),
        "quantiles": (count, LEVELS),
        "usual": (count, TERMS),
        "spread": (count, TERMS),
        "level": (2, TERMS),
        "distances": (-1,),
    }
    arrays = {name: np.array(found[name], dtype=np.float64).reshape(shape) for name, shape in shapes.items()}
    upper = np.array(found["precision"], dtype=np.float64).reshape(count * (count + 1) // 2)
    if not all(np.isfinite(value).all() and value.size for value in (*arrays.values(), upper)):
        raise ValueError("numbers are missing or not finite")
    precision = np.zeros((count, count))
    precision[np.triu_indices(count)] = upper
    return Reference(names=names, precision=precision + np.triu(precision, 1).T, **arrays)


def _fitted(names: tuple[str, ...], values: Floats, sizes: Floats) -> Reference:
    """The reference of tables with statistics [T, S] and sizes [T, 2], but for its distances."""
    count = len(names)
    plain = Reference(
        names=names,
        sizes=np.stack([sizes.min(0), sizes.max(0)], 1),
        quantiles=np.quantile(values, np.linspace(0, 1, LEVELS), axis=0).T,
        usual=np.zeros((count, TERMS)),
        spread=np.zeros((count, TERMS)),
        precision=np.eye(count),
        level=np.zeros((2, TERMS)),
        distances=np.zeros(len(values)),
    )
    usual, spread, _ = _explained(plain._terms(sizes), plain._bend(values))
    reference = attrs.evolve(plain, usual=usual, spread=spread)
    left = reference._left(values, sizes)
    covariance = (1 - SHRUNK) * (left.T @ left / len(left)) + SHRUNK * np.eye(count)
    return attrs.evolve(reference, precision=np.linalg.inv(covariance).astype(np.float64))


def _explained(terms: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Of values [T, S] what terms [T, TERMS] explain of mean and log-spread, [S, TERMS] each, and what is left [T, S].

    Least squares; what is left has variance 1 where it has any.
    """
    mean = np.linalg.lstsq(terms, values, rcond=None)[0].astype(np.float64)
    left = values - terms @ mean
    spread = np.linalg.lstsq(terms, np.log(np.abs(left) + LEAST_SPREAD), rcond=None)[0].astype(np.float64)
    deviation = np.sqrt(((left / np.exp(terms @ spread)) ** 2).mean(0))
    spread[0] += np.log(np.maximum(deviation, LEAST_SPREAD))
    return mean.T, spread.T, left / np.exp(terms @ spread)


def _matrix(described: Sequence[Mapping[str, float]], names: Sequence[str]) -> Floats:
    """[T, S]."""
    return np.array([[one[name] for name in names] for one in described])


def familiarity(reference: Reference, table: Table) -> Familiarity:
    """How familiar the one table [1, N, D] of a batch is."""
    return reference.judge(statistics(table.x[0], table.observed[0], table.intervened[0]))


def _normal_levels(tables: int) -> NDArray[np.float64]:
    """The standard normal quantiles [Q] at equal shares, the outermost those of one among so many tables."""
    shares = torch.linspace(0, 1, LEVELS, dtype=torch.float64).clamp(0.5 / tables, 1 - 0.5 / tables)
    normal: NDArray[np.float64] = torch.special.ndtri(shares).numpy()
    return normal


def _short(values: Floats) -> Any:  # noqa: ANN401 - lists in lists
    """As nested lists of numbers with few digits."""
    rounded = [float(f"{value:.{DIGITS}g}") for value in values.flatten()]
    return np.array(rounded).reshape(values.shape).tolist()
