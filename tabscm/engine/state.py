"""Where a run stands, as its checkpoints say in state.json."""

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Ancestor:
    """The weights that a run started from, instead of from chance."""

    name: str
    """Of the folder they were read from."""
    sha256: str
    """Of the file they were in."""
    steps: int
    """Steps behind them, those of their own ancestors included."""
    tables: int | None
    """Tables behind them; None where some checkpoint on the way did not say."""


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
