"""What the page of a result says in words."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tabscm.engine.doubt import Bootstrap, Familiarity, Finding
from tabscm.engine.explorer.drawing import as_json, drawing
from tabscm.engine.exports import Edge
from tabscm.engine.frames import SOURCE
from tabscm.engine.provenance import Provenance

if TYPE_CHECKING:
    from tabscm.engine.result import Result

KNOWN = 200
"""Most edges of each sort that are listed as known; the others are counted."""


@attrs.frozen
class Known:
    """What was known before, by name."""

    source: str
    required: tuple[tuple[str, str], ...]
    forbidden: tuple[tuple[str, str], ...]
    more_required: int
    more_forbidden: int
    """How many more there are than are listed."""


@attrs.frozen(eq=False)
class Facts:
    """All that the page shows; its script reads the `data`."""

    title: str
    variables: int
    threshold: float
    edges: tuple[Edge, ...]
    """Of the graph that the page begins with, for who runs no script."""
    read_as: str
    """What kind of table it was taken for; empty where the network does not say."""
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    familiarity: Familiarity | None
    bootstrap: Bootstrap | None
    known: Known | None
    provenance: Provenance | None
    made: str
    data: Markup

    @property
    def strange(self) -> bool:
        """Whether the table is known to be unlike those of the training."""
        return self.familiarity is not None and not self.familiarity.inside

    @property
    def unusual_sizes(self) -> list[str]:
        """What of the table's size is outside of the training."""
        made = self.provenance
        if made is None:
            return []
        sizes = ((self.variables, made.trained_variables, "variables"), (made.rows, made.trained_rows, "rows"))
        return [what for size, (least, most), what in sizes if not least <= size <= most]


def facts(result: "Result", threshold: float, *, acyclic: bool) -> Facts:
    """Everything for the page of a result; see `render`."""
    made = result.provenance
    return Facts(
        # a table that is no file has no name
        title="A table" if made is None or made.table == SOURCE else made.name,
        variables=len(result.names),
        threshold=threshold,
        edges=tuple(result.edges(threshold, acyclic=acyclic)),
        read_as=result.read_as_words,
        notes=result.notes,
        findings=result.findings,
        familiarity=result.familiarity,
        bootstrap=result.bootstrap,
        known=_known(result),
        provenance=made,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=as_json(drawing(result, threshold, acyclic=acyclic)),
    )


def _known(result: "Result") -> Known | None:
    known = result.knowledge
    if known is None:
        return None

    def named(edges: NDArray[np.bool_]) -> tuple[tuple[str, str], ...]:
        return tuple((result.names[i], result.names[j]) for i, j in np.argwhere(edges)[:KNOWN])

    return Known(
        source=known.source,
        required=named(known.required),
        forbidden=named(known.forbidden),
        more_required=max(0, int(known.required.sum()) - KNOWN),
        more_forbidden=max(0, int(known.forbidden.sum()) - KNOWN),
    )
