"""How the workers of a cluster read the parts of a table: what is wished of it, what its texts are, and then numbers.

What a column of text is, and which number a category has, is decided once, of all parts; see `looks`. A look over the
parts finds that out, and is left out where there is neither text nor a wish.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import levels, notation
from tabscm.engine.columns import Cells, Labels, as_texts, too_many
from tabscm.engine.levels import MOST_LEVELS
from tabscm.engine.looks import Looks, level
from tabscm.engine.parquet import Layout, Part, called, changed, read_cells
from tabscm.engine.rows import show
from tabscm.engine.tables import Asked, Choice, check_asked, check_count, without_note
from tabscm.engine.targets import described, set_by
from tabscm.kernel.errors import DataError


@attrs.frozen(eq=False)
class Wishes:
    """What is wished of a table; the same as `tables.read_table` takes."""

    where: Mapping[str, str] = attrs.field(factory=dict)
    categories: Collection[str] = ()
    without: Collection[str] = ()
    labels: Asked | None = None
    targets: Mapping[str, object] | None = None
    """What each condition sets, where the labels are conditions."""


@attrs.frozen(eq=False)
class Plan:
    """A table in parts, and what is wished of it."""

    path: Path
    layout: Layout
    wishes: Wishes

    def check(self) -> None:
        """Refuse wishes for columns that are not there, or that contradict each other.

        Raises:
            DataError: names the column and the wish.
        """
        wishes = self.wishes
        choice = Choice(self.path, self.layout.names, wishes.where)
        check_asked(
            self.path,
            self.layout.names,
            where=choice.where,
            categories=wishes.categories,
            without=wishes.without,
            labels=wishes.labels,
        )

    def candidates(self) -> list[int]:
        """The columns that may be variables."""
        aside = {*self.wishes.where, *self.wishes.without, *([self.wishes.labels.name] if self.wishes.labels else [])}
        return [index for index, name in enumerate(self.layout.names) if name not in aside]

    def texts(self) -> list[int]:
        """Those of the candidates whose cells are text, or are wished to be categories."""
        kinds, names = self.layout.kinds, self.layout.names
        return [
            place for place in self.candidates() if kinds[place] == "text" or names[place] in self.wishes.categories
        ]

    def needs_a_look(self) -> bool:
        """Whether the numbers of the parts alone do not say what the table is."""
        return bool(self.wishes.where or self.wishes.labels or self.texts())

    def chosen(self, part: Part) -> tuple[Choice, NDArray[np.bool_]]:
        """Which rows of a part are used [n], and what was seen in the columns that choose them."""
        choice = Choice(self.path, self.layout.names, self.wishes.where)
        cells = list(read_cells(part, self.layout, choice.columns)) if choice.columns else []
        return choice, choice.fits(part.rows, cells)


@attrs.frozen(eq=False)
class Seen:
    """What a look over parts found."""

    choice: Choice
    kept: tuple[int, ...]
    """Of each part, how many rows are used."""
    looks: dict[int, Looks]
    """Of the columns of text."""
    categories: dict[int, dict[str, None]]
    """Of the columns that are wished to be categories."""
    labels: dict[str, int | str]
    """What occurs in the column of labels, and the row it is first in."""
    counts: Counter[str]
    """How many rows have each."""

    def join(self, other: "Seen") -> "Seen":
        """Of the parts of both."""
        return Seen(
            self.choice.join(other.choice),
            (*self.kept, *other.kept),
            {place: looks.join(other.looks[place]) for place, looks in self.looks.items()},
            {place: found | other.categories[place] for place, found in self.categories.items()},
            other.labels | self.labels,
            self.counts + other.counts,
        )


def look(plan: Plan, part: Part) -> Seen:
    """Look at a part.

    Raises:
        DataError: a cell that cannot be read, as `tables.read_table` says it.
    """
    choice, fits = plan.chosen(part)
    rows, names = called(plan.path, part, fits), plan.layout.names
    looks, categories = {}, {}
    for place, cells in zip(plan.texts(), read_cells(part, plan.layout, plan.texts()), strict=True):
        texts = _texts(cells, fits)
        if names[place] in plan.wishes.categories:
            categories[place] = dict.fromkeys(text for text in dict.fromkeys(map(level, texts)) if text is not None)
            if len(categories[place]) > MOST_LEVELS:
                raise too_many(str(plan.path), names[place])
        else:
            looks[place] = Looks(str(plan.path), names[place])
            looks[place].add(rows, texts)
    labels: Sequence[str] = ()
    if plan.wishes.labels:
        (cells,) = read_cells(part, plan.layout, [names.index(plan.wishes.labels.name)])
        labels = _texts(cells, fits)
    first: dict[str, int] = {}
    for place, text in enumerate(labels):
        first.setdefault(text, place)
    return Seen(
        choice,
        (int(fits.sum()),),
        looks,
        categories,
        {text: rows[place] for text, place in first.items()},
        Counter(labels),
    )


@attrs.frozen(eq=False)
class Reading:
    """How each part becomes numbers."""

    plan: Plan
    columns: dict[int, tuple[str, ...]]
    """The variables by their place in the file, and their categories in order; none where they are numbers."""
    rows: int
    """N, of the whole table."""
    parts: tuple[Part, ...]
    """Those of which rows are used."""
    sets: dict[str, NDArray[np.bool_]] = attrs.field(factory=dict)
    """[D] what is set in rows of each label, where there are labels."""
    notes: tuple[str, ...] = ()
    """What was decided."""
    described: tuple[str, ...] = ()
    """What interventions set."""

    @property
    def names(self) -> tuple[str, ...]:
        """[D] of the variables."""
        return tuple(self.plan.layout.names[place] for place in self.columns)

    def read(self, part: Part) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """The rows of a part that are used: [n, D], NaN where a cell is missing, and which were set; None if none.

        Raises:
            DataError: a cell is infinite, or the file is not what it was.
        """
        _, fits = self.plan.chosen(part)
        x = np.empty((int(fits.sum()), len(self.columns)), order="F")
        columns = read_cells(part, self.plan.layout, list(self.columns))
        for index, (found, cells) in enumerate(zip(self.columns.values(), columns, strict=True)):
            if found:
                texts = list(map(level, _texts(cells, fits)))
                if not {None, *found}.issuperset(texts):
                    raise changed(part)
                x[:, index] = levels.numbered(texts, found)
            elif isinstance(cells, np.ndarray):
                x[:, index] = cells[fits]
            else:
                numbers = notation.numbers(_texts(cells, fits))
                if numbers is None:
                    raise changed(part)
                x[:, index] = numbers
        for index, column in enumerate(x.T):
            infinite = np.flatnonzero(np.isinf(column))
            if len(infinite):
                row = called(self.plan.path, part, fits)[int(infinite[0])]
                fault = notation.fault(str(column[infinite[0]]), self.names[index])
                raise DataError(f"{self.plan.path}, row {row}, column {show(self.names[index])}: {fault}")
        if not any(some.any() for some in self.sets.values()):
            return x, None
        assert self.plan.wishes.labels is not None
        (cells,) = read_cells(part, self.plan.layout, [self.plan.layout.names.index(self.plan.wishes.labels.name)])
        labels = _texts(cells, fits)
        if not self.sets.keys() >= set(labels):
            raise changed(part)
        return x, np.array([self.sets[text] for text in labels]).reshape(x.shape)


def reading(plan: Plan, seen: Seen | None) -> Reading:
    """How to read a table of which a look found `seen`; None where it needs none.

    Raises:
        DataError: the table cannot be used.
    """
    layout, wishes = plan.layout, plan.wishes
    left_out = without_note(layout.names, wishes.without)
    if seen is None:
        columns: dict[int, tuple[str, ...]] = dict.fromkeys(plan.candidates(), ())
        check_count(plan.path, [layout.names[place] for place in columns])
        rows = sum(part.rows for part in layout.parts)
        if rows < 2:
            raise DataError(f"{plan.path}: there is one row; a table needs at least two rows")
        return Reading(plan, columns, rows, layout.parts, notes=tuple(left_out))
    seen.choice.check()
    columns, notes, aside = {}, [*seen.choice.notes(), *left_out], []
    suspected = []
    for place in plan.candidates():
        if place in seen.categories:
            columns[place] = tuple(levels.ordered(seen.categories[place]))
            if len(columns[place]) > MOST_LEVELS:
                raise too_many(str(plan.path), layout.names[place])
            notes.append(levels.note(layout.names[place], columns[place]))
        elif place not in seen.looks:
            columns[place] = ()
        else:
            found = seen.looks[place].verdict(typed=True)
            notes += [found.note] if found.note else []
            suspected.append(levels.as_targets(layout.names[place], seen.looks[place].words_alone, layout.names))
            if found.numeric or found.levels:
                columns[place] = found.levels
            elif found.note:
                aside.append(found.note)
    notes += filter(None, suspected)
    names = [layout.names[place] for place in columns]
    check_count(plan.path, names, aside)
    parts = tuple(part for part, kept in zip(layout.parts, seen.kept, strict=True) if kept)
    whole = Reading(plan, columns, seen.choice.count, parts, notes=tuple(levels.together(notes)))
    if wishes.labels is None:
        return whole
    labels = Labels(wishes.labels.name, tuple(seen.labels), tuple(seen.labels.values()), np.zeros(0, dtype=np.int32))
    kinds = set_by(labels, names, str(plan.path), wishes.targets)
    counts = np.array([seen.counts[text] for text in labels.texts])
    return attrs.evolve(
        whole, sets=dict(zip(labels.texts, kinds, strict=True)), described=(described(names, kinds, counts),)
    )


def _texts(cells: Cells, fits: NDArray[np.bool_]) -> list[str]:
    """The chosen cells without space around them."""
    chosen = as_texts(cells[fits]) if isinstance(cells, np.ndarray) else compress(cells, fits)
    return [text.strip() for text in chosen]
