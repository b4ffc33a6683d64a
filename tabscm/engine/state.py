"""Where a run stands, as its checkpoints say in state.json.

Neither a random state nor the position in the stream nor that in the schedule of the learning rate is among it: all of
them follow from the seed and the number of steps.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs


@attrs.frozen
class Ancestor:
    """The weights that a run started from, instead of from chance."""

    name: str
    """Of the folder they were read from, or of several, by commas."""
    sha256: str
    """Of the file they were in; of several, that of their sha256 with spaces between."""
    steps: int
    """Steps behind them, those of their own ancestors included; of several those behind the one with the most."""
    tables: int | None
    """Tables behind them; None where some checkpoint on the way did not say. Of several their sum, in which those are
    counted for each that several began with."""


def _ancestor(found: Ancestor | Mapping[str, Any] | None) -> Ancestor | None:
    return Ancestor(**found) if isinstance(found, Mapping) else found


@attrs.frozen
class State:
    """Where a run stands, beyond weights and momenta."""

    step: int
    """Steps done."""
    best_step: int
    """Steps done when validation was best."""
    best_gain: float
    """Its log-probability over the base rate, nats per ordered pair."""
    seconds: float
    """Time spent training, validation and saving included."""
    threshold: float = 0.5
    """The best threshold of an edge in the validation of this step."""
    best_value: float | None = None
    """The value that made the best validation the best: its log-probability over the base rate, unless early stopping
    names another metric; None before the first."""
    mark: float | None = None
    """The value that early stopping waits to see improved; None while it waits for nothing."""
    waited: int = 0
    """Validations in which it was not."""
    level: int = 1
    """The level of the curriculum that the next step belongs to, counted from 1."""
    level_began: int = 0
    """Steps done when it began."""
    level_value: float | None = None
    """What its metric was in this validation; None where it has none, or was not validated yet."""
    precision: str | None = None
    """That of the forward pass, "auto" resolved; None in checkpoints that do not say."""
    tables: int | None = None
    """Tables trained on; None in checkpoints that do not say."""
    memory: Mapping[str, Any] = attrs.field(factory=dict)
    """What the monitors and training_log.csv remember of earlier steps, by name; empty in checkpoints that do not say,
    and in released models."""
    rollbacks: int = 0
    """How often it went back to a checkpoint because a value was not finite, see rollback.py."""
    rate: float = 1.0
    """What that has left of the learning rates, as a share of those of the experiment."""
    init: Ancestor | None = attrs.field(default=None, converter=_ancestor)
    """Whose weights the run started from; None when they were drawn."""

    @property
    def all_steps(self) -> int:
        """Steps behind the weights, in this run and in those it was started from."""
        return self.step + (self.init.steps if self.init else 0)

    @property
    def all_tables(self) -> int | None:
        """Tables behind the weights, counted as `all_steps`."""
        before = self.init.tables if self.init else 0
        return None if self.tables is None or before is None else self.tables + before


def read_state(data: Mapping[str, Any]) -> State:
    """The state that plain data describes, as anybody may have written it.

    Raises:
        ValueError: a key that is not there, unknown or of a value that cannot be, in one line.
    """
    _check(data, attrs.fields_dict(State), CHECKS, "")
    if isinstance(data.get("init"), Mapping):
        _check(data["init"], attrs.fields_dict(Ancestor), CHECKS_OF_INIT, "init.")
    return State(**data)


def _check(data: Mapping[str, Any], fields: Mapping[str, Any], checks: Mapping[str, Any], where: str) -> None:
    for name in data:
        if name not in fields:
            raise ValueError(f"unknown key {where}{name[:40]!r}")
    for name, field in fields.items():
        if name not in data:
            if field.default is attrs.NOTHING:
                raise ValueError(f"{where}{name} is missing")
        elif name in checks and not checks[name][0](data[name]):
            raise ValueError(f"{where}{name} is {repr(data[name])[:40]}, expected {checks[name][1]}")


def _whole(least: int) -> tuple[Callable[[object], bool], str]:
    # as many as fit into a double: what is beyond was never counted
    return lambda value: type(value) is int and least <= value < 2**53, f"a whole number from {least}"


def _number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**53)


def _between(low: float, high: float) -> tuple[Callable[[object], bool], str]:
    words = f"a number from {low:g}" + (f" to {high:g}" if math.isfinite(high) else "")
    return lambda value: _number(value) and low <= value < math.inf and value <= high, words


def _or_none(check: tuple[Callable[[object], bool], str]) -> tuple[Callable[[object], bool], str]:
    return lambda value: value is None or check[0](value), f"{check[1]} or null"


_ANY = (_number, "a number")
_TEXT = (lambda value: isinstance(value, str) and value.isprintable(), "a text")

CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "step": _whole(0),
    "best_step": _whole(0),
    "best_gain": _ANY,
    "seconds": _between(0, math.inf),
    "threshold": _between(0, 1),
    "best_value": _or_none(_ANY),
    "mark": _or_none(_ANY),
    "waited": _whole(0),
    "level": _whole(1),
    "level_began": _whole(0),
    "level_value": _or_none(_ANY),
    "precision": _or_none((lambda value: value in ("bf16", "fp32"), '"bf16", "fp32"')),
    "tables": _or_none(_whole(0)),
    "memory": (lambda value: isinstance(value, Mapping), "an object"),
    "rollbacks": _whole(0),
    "rate": _between(0, 1),
    "init": (lambda value: value is None or isinstance(value, Mapping), "an object or null"),
}
"""What each value of state.json may be."""
CHECKS_OF_INIT: dict[str, tuple[Callable[[object], bool], str]] = {
    "name": _TEXT,
    "sha256": _TEXT,
    "steps": _whole(0),
    "tables": _or_none(_whole(0)),
}
