"""How far a result can be trusted: what a resampled table says, and what is odd about the table."""

from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import exports

if TYPE_CHECKING:
    import pandas as pd


@attrs.frozen
class Finding:
    """Something about a table that the user should look at before the graph."""

    kind: str
    """One word or a few with hyphens, such as "duplicate" or "id-like"."""
    columns: tuple[str, ...]
    """The variables that it is about; empty for the whole table."""
    line: str
    """What was seen and what was done about it, for people."""


@attrs.frozen(eq=False)
class Bootstrap:
    """How often an edge is in the graph when rows are drawn again with replacement."""

    names: tuple[str, ...]
    """[D] the variables."""
    frequency: NDArray[np.float64]
    """[D, D], at [i, j] the share of the drawn tables in whose graph i -> j is; 0 on the diagonal. Where a graph has
    both directions of a pair, the more probable one counts."""
    repeats: int
    """How many tables were drawn."""
    threshold: float
    """Of their graphs."""
    acyclic: bool = False
    """Whether they are the best graphs without a cycle."""

    @property
    def none(self) -> NDArray[np.float64]:
        """[D, D], symmetric, the share of the drawn tables in whose graph there is no edge between i and j."""
        return np.clip(1 - self.frequency - self.frequency.T, 0.0, 1.0)

    def to_frame(self) -> "pd.DataFrame":
        """A row for each unordered pair: the columns a, b, "a->b", "b->a" and "none", whose shares have the sum 1.

        Raises:
            TabSCMError: pandas is not installed.
        """
        return exports.bootstrap_frame(self.names, self.frequency, self.none)

    def to_json(self) -> dict[str, object]:
        """The fields as plain values, without the names."""
        return {
            "repeats": self.repeats,
            "threshold": self.threshold,
            "acyclic": self.acyclic,
            "frequency": self.frequency.tolist(),
        }


@attrs.frozen
class Familiarity:
    """How much a table looks like those that the network was trained on."""

    score: float
    """The share of such tables that look at least as unusual; small where the table is unlike all of them."""
    inside: bool
    """Whether that is enough for the network to be trusted as measured."""
    line: str
    """The same for people, with what is unusual about the table."""
