"""Which cells an intervention set, from the ways in which people write it down."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.columns import Labels
from tabscm.engine.frames import SOURCE, Frame, Values, missing, read_frame
from tabscm.engine.notation import MISSING
from tabscm.engine.rows import listed, show, suggest
from tabscm.engine.tables import DataTable
from tabscm.kernel.errors import ConfigError, DataError, Problem
from tabscm.kernel.files import parse
from tabscm.kernel.scratch import room

FORMS = (
    "interventions: expected a boolean mask [rows, variables], a column of target names with one entry a row, the name "
    "of such a column of X, or a mapping of conditions to targets together with conditions=."
)


def intervened_cells(frame: Frame, interventions: object, conditions: object = None) -> tuple[Frame, NDArray[np.bool_]]:
    """Read interventions in any of their forms.

    Args:
        frame: the table, perhaps with the column that holds targets or conditions.
        interventions: None, when all rows are observational; a boolean mask [N, D], as an array or as a DataFrame,
            which goes by name; a column [N] of targets, or the name of one in the table; or a mapping from each
            condition to its targets. Targets are the name of a variable (its number in an array), several of them (in a
            list, or in a text with semicolons between), or None, blank or empty for none.
        conditions: with a mapping, the condition of each row [N], or the name of a column of the table.

    Returns:
        The variables, without the column that was named, and the cells [N, D] bool.

    Raises:
        DataError: what does not fit, and where.
    """
    if not isinstance(interventions, Mapping):
        if conditions is not None:
            raise DataError(
                "conditions: they need interventions={condition: targets}, which says what each of them sets."
            )
        if isinstance(interventions, str):
            column, frame = frame.without(interventions, "interventions")
            return frame, _by_row(frame, column, f"{SOURCE}, column {show(interventions)}")
        if interventions is None:
            return frame, np.zeros((frame.rows, len(frame.names)), dtype=np.bool_)
        if _is_mask(interventions):
            return frame, _mask(frame, interventions)
        return frame, _by_row(frame, _column(frame, interventions, "interventions"), "interventions")
    if conditions is None:
        raise DataError("interventions: a mapping needs conditions=, the condition of each row or a column of X.")
    if isinstance(conditions, str):
        column, frame = frame.without(conditions, "conditions")
    else:
        column = _column(frame, conditions, "conditions")
    return frame, _by_condition(frame, column, interventions)


def cells_of_variables(frame: Frame, cells: NDArray[np.bool_], data: DataTable) -> NDArray[np.bool_]:
    """Of the cells [N, columns] of a frame that interventions set those of its table [N, D].

    Raises:
        DataError: a column is set that was left aside, and is no variable.
    """
    kept = [frame.names.index(name) for name in data.names]
    if len(kept) == len(frame.names):
        return cells
    lost = [name for place, name in enumerate(frame.names) if place not in kept and cells[:, place].any()]
    if lost:
        raise DataError(
            f"interventions: they set {listed(lost)}, of which no variable could be made; make numbers or categories "
            "of it, or leave these rows out."
        )
    return cells[:, kept]


def set_by(
    labels: Labels, names: Sequence[str], source: str, targets: Mapping[str, object] | None = None
) -> NDArray[np.bool_]:
    """The variables that interventions set in rows of each label, [K, D] bool.

    Args:
        labels: of the rows of a table: the target of each row, or its condition.
        names: [D] of the variables.
        source: of the table, for messages.
        targets: what each condition sets; None where the labels are targets themselves.

    Raises:
        DataError: a target that is no variable, or a condition of which `targets` says nothing.
    """
    kinds = np.zeros((len(labels.texts), len(names)), dtype=np.bool_)
    for kind, (text, row) in enumerate(zip(labels.texts, labels.rows, strict=True)):
        where = f"{source}, row {row}, column {show(labels.name)}"
        entry: object = text
        if targets is not None:
            if text not in targets:
                raise DataError(
                    f"{where}: the targets say nothing of {show(text)}; {_suggested(text, targets)} Give it [] as "
                    "targets when it sets nothing."
                )
            entry, where = targets[text], f"the targets of {show(text)}"
        elif text not in names and text.lower() in MISSING:
            entry = None
        kinds[kind, _targets(names, entry, where)] = True
    return kinds


def labelled_cells(labels: Labels, kinds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells [N, D] bool that interventions set, where `set_by` gives `kinds` [K, D] for the labels of the rows."""
    cells = room((kinds.shape[1], len(labels.codes)), np.bool_)
    for place, sets in enumerate(kinds.T):
        cells[place] = sets[labels.codes]
    return cells.T


def with_interventions(
    data: DataTable, targets: Mapping[str, object] | None
) -> tuple[DataTable, NDArray[np.bool_] | None]:
    """The table with a note on what its labels set, and the cells [N, D] that they do; None where it has no labels.

    Raises:
        DataError: as `set_by`, to which `targets` go.
    """
    if data.labels is None:
        return data, None
    kinds = set_by(data.labels, data.names, data.source, targets)
    note = described(data.names, kinds, np.bincount(data.labels.codes, minlength=len(kinds)))
    return attrs.evolve(data, notes=(*data.notes, note)), labelled_cells(data.labels, kinds)


def read_targets(path: Path) -> dict[str, list[str]]:
    """What each condition sets, from a TOML file: `condition = "variable"`, or a list of them; [] where it is none.

    Raises:
        ConfigError: the file cannot be read, or holds anything else.
    """
    targets = {}
    problems = []
    for condition, entry in parse(path).items():
        names = [entry] if isinstance(entry, str) else entry
        if isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names):
            targets[condition] = names
        else:
            problems.append(
                Problem(condition, (f"expected the name of a variable, or a list of names, found {entry!r}",))
            )
    if problems:
        raise ConfigError(str(path), problems)
    return targets


def described(names: Sequence[str], kinds: NDArray[np.bool_], counts: NDArray[np.int64]) -> str:
    """Say how many rows are interventional, and what they set.

    Args:
        names: [D] of the variables.
        kinds: [K, D] which of them each kind of row sets.
        counts: [K] how many rows are of each kind.
    """
    rows = int(counts[kinds.any(1)].sum())
    if not rows:
        return f"all {counts.sum()} rows are read as observational"
    of_each = {name: int(counts[sets].sum()) for name, sets in zip(names, kinds.T, strict=True) if sets.any()}
    by_size = sorted(of_each, key=lambda name: -of_each[name])
    shown = ", ".join(f"{show(name)} in {of_each[name]}" for name in by_size[:10])
    more = f" and {len(of_each) - 10} more" if len(of_each) > 10 else ""
    return f"{rows} of {counts.sum()} rows are interventional: set {shown}{more}"


def _is_mask(given: object) -> bool:
    if isinstance(given, list | tuple):  # of lists of truth values; lists of names are several targets of a row
        return all(isinstance(row, list | tuple) and row and isinstance(row[0], bool | np.bool_) for row in given)
    return len(getattr(given, "shape", ())) == 2


def _mask(frame: Frame, given: object) -> NDArray[np.bool_]:
    mask = np.asarray(given)
    if mask.dtype != np.bool_:
        raise DataError(
            f"interventions: a mask holds True and False, and this one {mask.dtype}; compare it, mask != 0."
        )
    if hasattr(given, "columns") or hasattr(given, "column_names"):
        by_name = read_frame(given)
        if set(by_name.names) != set(frame.names):
            odd = sorted(set(by_name.names) ^ set(frame.names))
            raise DataError(f"interventions: the columns of the mask are not those of X; they differ in {listed(odd)}.")
        mask = mask[:, [by_name.names.index(name) for name in frame.names]]
    shape = (frame.rows, len(frame.names))
    if mask.shape != shape:
        raise DataError(f"interventions: the mask has the shape {list(mask.shape)}, and X {list(shape)}.")
    return np.require(mask, requirements="W")  # torch warns of what may not be written, such as pandas gives out


def _column(frame: Frame, given: object, what: str) -> Values:
    """One entry for each row, [N] objects."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(FORMS if what == "interventions" else "conditions: expected a column of X or one entry a row.")
    entries: list[Any] = list(given)
    if len(entries) != frame.rows:
        raise DataError(f"{what}: {len(entries)} entries, and X has {frame.rows} rows; give one for each row.")
    column = np.empty(len(entries), dtype=object)
    for row, entry in enumerate(entries):  # numpy would unpack entries that are lists
        column[row] = entry.as_py() if hasattr(entry, "as_py") else entry
    return column


def _suggested(word: str, known: Iterable[str]) -> str:
    """`suggest` as the end of a sentence."""
    found = suggest(word, known)
    return found if found.endswith("?") else f"{found}."


def _by_row(frame: Frame, column: Values, where: str) -> NDArray[np.bool_]:
    cells = np.zeros((frame.rows, len(frame.names)), dtype=np.bool_)
    known: dict[object, list[int]] = {}
    for row, entry in enumerate(column):
        key = tuple(entry) if isinstance(entry, list | set | np.ndarray) else entry
        if key not in known:
            known[key] = _targets(frame.names, key, f"{where}, row {row}, counted from 0", named=frame.named)
        cells[row, known[key]] = True
    return cells


def _by_condition(frame: Frame, column: Values, mapping: Mapping[Any, object]) -> NDArray[np.bool_]:
    cells = np.zeros((frame.rows, len(frame.names)), dtype=np.bool_)
    targets = {
        condition: _targets(frame.names, entry, f"interventions, condition {show(str(condition))}", named=frame.named)
        for condition, entry in mapping.items()
    }
    for row, condition in enumerate(column):
        if missing(condition):
            raise DataError(f"conditions, row {row}, counted from 0: holds none; give each row a condition.")
        if condition not in targets:
            raise DataError(
                f"conditions, row {row}, counted from 0: interventions says nothing of {show(str(condition))}; "
                f"{_suggested(str(condition), map(str, targets))} Map a condition to None when it sets nothing."
            )
        cells[row, targets[condition]] = True
    return cells


def _targets(names: Sequence[str], entry: object, where: str, *, named: bool = True) -> list[int]:
    """The variables that an entry names, by number; several in a text are separated by semicolons."""
    if missing(entry):
        return []
    if isinstance(entry, Iterable) and not isinstance(entry, str | bytes):
        return [place for one in entry for place in _targets(names, one, where, named=named)]
    if isinstance(entry, str) and entry.strip() in names:
        return [names.index(entry.strip())]
    if isinstance(entry, str) and entry in names:
        return [names.index(entry)]
    if isinstance(entry, str) and ";" in entry:
        return [place for one in entry.split(";") for place in _targets(names, one, where, named=named)]
    if isinstance(entry, Integral) and not isinstance(entry, bool) and not named:
        if 0 <= int(entry) < len(names):
            return [int(entry)]
        raise DataError(f"{where}: there is no variable {entry}; X has {len(names)}, counted from 0.")
    raise DataError(f"{where}: no variable is called {show(str(entry))}; {_suggested(str(entry), names)}")


def aligned(X: object, given: object, what: str) -> None:
    """Refuse a Series or DataFrame of pandas whose rows are in another order than those of X.

    Raises:
        DataError: its index differs.
    """
    one, other = getattr(X, "index", None), getattr(given, "index", None)
    if one is None or other is None or callable(one) or callable(other):
        return
    if len(one) == len(other) and not one.equals(other):
        raise DataError(
            f"{what}: its index is not that of X; sort it the same way, or pass .to_numpy() if the rows are in order."
        )
