"""Components inside components: an encoder between the steps of an embedding, an embedding that another one wraps."""

from collections.abc import Iterator

import attrs

from tabscm.kernel.experiment import Weighted
from tabscm.kernel.interfaces import Component, Embedding, Encoder


def parts(component: Component) -> Iterator[tuple[str, Component]]:
    """The components that another one holds in its fields, each with its key: ("between", ...), ("of[0]", ...)."""
    cls = type(component)
    for field in attrs.fields(cls) if attrs.has(cls) else ():
        held = getattr(component, field.name)
        several = isinstance(held, tuple)
        for index, entry in enumerate(held if several else (held,)):
            part = entry.component if isinstance(entry, Weighted) else entry
            if isinstance(part, Component):
                yield f"{field.name}[{index}]" if several else field.name, part


def evidence_given(component: Component) -> frozenset[str]:
    """All that an embedding or encoder puts into the evidence: what it `gives`, and what those inside it give."""
    inside = (part for _, part in parts(component) if isinstance(part, Embedding | Encoder))
    return component.gives.union(*(evidence_given(part) for part in inside))
