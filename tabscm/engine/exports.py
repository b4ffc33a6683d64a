"""A graph in the forms that other programs read. Everywhere an edge leads from the cause to the effect.

Names of variables are whatever somebody called the columns of a table: quotes, line breaks, markup, formulas. Each form
quotes them by its own rules, so that a reader gets back exactly the names that went in.
"""

import csv
import io
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import jinja2
import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.acyclic import decode
from tabscm.engine.layout import threshold_of
from tabscm.kernel.errors import TabSCMError

if TYPE_CHECKING:
    import pandas as pd
    from causallearn.graph.GeneralGraph import GeneralGraph

ENDS = ("from", "to", "probability")
"""What the columns of a list of edges are called."""
SHOWN = 20
"""Edges of a notebook's table; the others are counted."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet run a cell instead of showing it."""

# <bdi>: marks of writing direction in a name turn nothing outside of it round
TABLE = """\
<div>
<table>
<caption>{{ edges | length }} of {{ pairs }} possible edges are above {{ threshold }}</caption>
<thead><tr><th scope="col">from</th><th scope="col">to</th><th scope="col">probability</th></tr></thead>
<tbody>
{% for edge in edges[:shown] %}
<tr><td><bdi>{{ edge.source }}</bdi></td><td><bdi>{{ edge.target }}</bdi></td>\
<td>{{ "%.2f" | format(edge.probability) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% if edges | length > shown %}
<p>and {{ edges | length - shown }} less probable ones</p>
{% endif %}
{% for note in notes %}
<p>note: <bdi>{{ note }}</bdi></p>
{% endfor %}
</div>
"""


class Edge(NamedTuple):
    """source -> target: source causes target directly."""

    source: str
    target: str
    probability: float
    required: bool = False
    """Whether it was known before, see `Result.given`."""


def digraph(names: Sequence[str], edges: Sequence[Edge]) -> nx.DiGraph:
    """All variables by name, and the edges with the attribute "probability"."""
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_weighted_edges_from(((source, target, p) for source, target, p, _ in edges), weight="probability")
    return graph


def direction_prob(edge_prob: NDArray[np.float64]) -> NDArray[np.float64]:
    """Which way an edge points if there is one: the share of i -> j in the probabilities of i -> j and j -> i.

    Args:
        edge_prob: [D, D], at [i, j] of i -> j.

    Returns:
        [D, D], in [0, 1]; [i, j] and [j, i] have the sum 1, 0.5 each where both are impossible; 0 on the diagonal.
    """
    either = edge_prob + edge_prob.T
    share = np.divide(edge_prob, either, out=np.full_like(edge_prob, 0.5), where=either > 0)
    np.fill_diagonal(share, 0.0)
    return share


def partly_directed(
    edge_prob: NDArray[np.float64], threshold: float, sure: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Edges with a direction where the direction is known, and without one where it is not.

    There is an edge between i and j where the probabilities of i -> j and j -> i have a sum above `threshold`. It
    points from i to j where the share of i -> j in that sum is above `sure`. Where such edges hold a cycle, those that
    `decode` leaves out, judged by these shares, have no direction.

    Args:
        edge_prob: [D, D], at [i, j] of i -> j.
        threshold: of an edge, in [0, 1].
        sure: of a direction, in [0.5, 1].

    Returns:
        directed: [D, D] bool, True at [i, j] for i -> j; acyclic.
        undirected: [D, D] bool, symmetric, True at [i, j] and [j, i] for i - j.
    """
    if not 0.5 <= sure <= 1:
        raise ValueError(f"sure: expected a number from 0.5 to 1, found {sure!r}")
    between = edge_prob + edge_prob.T > threshold
    np.fill_diagonal(between, False)
    share = direction_prob(edge_prob)
    directed = decode(np.where(between & (share > sure), share, 0.0))
    return directed, between & ~(directed | directed.T)


def pdag(names: Sequence[str], edge_prob: NDArray[np.float64], threshold: float, sure: float) -> nx.DiGraph:
    """`partly_directed` by name: an edge without a direction is there both ways.

    Edge attributes: "directed", and "probability" of this direction.
    """
    directed, undirected = partly_directed(edge_prob, threshold, sure)
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    for source, target in np.argwhere(directed | undirected):
        graph.add_edge(
            names[source],
            names[target],
            probability=float(edge_prob[source, target]),
            directed=bool(directed[source, target]),
        )
    return graph


def gml(graph: nx.DiGraph) -> str:
    """Graph modelling language, for networkx, igraph, Gephi, Cytoscape and DoWhy.

    Two names, [] and (), are right in it, and networkx still reads them as an empty list and an empty tuple.
    """
    return "\n".join(nx.generate_gml(graph)) + "\n"


def dot(graph: nx.DiGraph) -> str:
    """The language of Graphviz. An identifier is the name, in which backslash, quote and line break are escaped."""
    lines = ["digraph {"]
    for name in graph.nodes:
        # Graphviz reads &amp; in what it draws as HTML does, though not in what it calls a node
        label = f" [label={_quoted(name.replace('&', '&amp;'))}]" if "&" in name else ""
        lines.append(f"  {_quoted(name)}{label};")
    for source, target, probability in graph.edges(data="probability"):
        shown = f'probability={probability!r}, label="{probability:.2f}"'
        lines.append(f"  {_quoted(source)} -> {_quoted(target)} [{shown}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(name: str) -> str:
    # a backslash before a quote is all that the lexer of Graphviz knows of escapes; doubled, none is read as one. What
    # is drawn undoes the doubling, and breaks lines at \n
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def edges_csv(edges: Sequence[Edge], *, spreadsheet: bool) -> str:
    """Comma-separated lines under the header from,to,probability.

    Args:
        edges: a line each.
        spreadsheet: put an apostrophe before a name that a spreadsheet would run as a formula; a reader that is none
            gets that name with the apostrophe.
    """
    text = io.StringIO()
    # all text is quoted: the csv module would leave a carriage return bare, which readers take for the end of a line
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(ENDS)
    for source, target, probability, _ in edges:
        names = [f"'{name}" if spreadsheet and name.startswith(FORMULA) else name for name in (source, target)]
        writer.writerow([*names, probability])
    return text.getvalue()


def frame(names: Sequence[str], values: NDArray[np.float64]) -> "pd.DataFrame":
    """[D, D] values by name: the row is the cause, the column the effect."""
    pandas = _pandas()
    rows, columns = (pandas.Index(names, name=name, dtype=object) for name in ENDS[:2])
    found: pd.DataFrame = pandas.DataFrame(values, index=rows, columns=columns)
    return found


def edges_frame(edges: Sequence[Edge]) -> "pd.DataFrame":
    """A row for each edge: from, to, probability."""
    found: pd.DataFrame = _pandas().DataFrame(
        {
            "from": np.array([edge.source for edge in edges], dtype=object),
            "to": np.array([edge.target for edge in edges], dtype=object),
            "probability": np.array([edge.probability for edge in edges], dtype=np.float64),
        }
    )
    return found


def bootstrap_frame(names: Sequence[str], frequency: NDArray[np.float64], none: NDArray[np.float64]) -> "pd.DataFrame":
    """A row for each unordered pair: two names, the shares [D, D] of either direction, and that of neither."""
    named = np.array(names, dtype=object)
    a, b = np.triu_indices(len(names), 1)
    columns = {"a": named[a], "b": named[b], "a->b": frequency[a, b], "b->a": frequency[b, a], "none": none[a, b]}
    found: pd.DataFrame = _pandas().DataFrame(columns)
    return found


def causal_learn(
    names: Sequence[str], directed: NDArray[np.bool_], undirected: NDArray[np.bool_] | None = None
) -> "GeneralGraph":
    """causal-learn's graph, of edges with a direction [D, D] and of edges without [D, D]."""
    try:
        from causallearn.graph.Edge import Edge as Link
        from causallearn.graph.Endpoint import Endpoint
        from causallearn.graph.GeneralGraph import GeneralGraph
        from causallearn.graph.GraphNode import GraphNode
    except ImportError:
        raise TabSCMError(
            "causal-learn is not installed, whose graph is asked for. Run: pip install causal-learn"
        ) from None
    nodes = [GraphNode(name) for name in names]
    graph = GeneralGraph(nodes)
    for source, target in np.argwhere(directed):
        graph.add_directed_edge(nodes[source], nodes[target])
    if undirected is not None:
        for one, other in np.argwhere(np.triu(undirected)):
            graph.add_edge(Link(nodes[one], nodes[other], Endpoint.TAIL, Endpoint.TAIL))
    return graph


def table_html(edges: Sequence[Edge], notes: Sequence[str], *, pairs: int, threshold: float) -> str:
    """The most probable edges, as a notebook shows them; nothing in it runs or loads anything."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TABLE).render(
        edges=edges, notes=notes, pairs=pairs, threshold=threshold_of(threshold), shown=SHOWN
    )


def _pandas() -> ModuleType:
    try:
        return import_module("pandas")
    except ImportError:
        raise TabSCMError("pandas is not installed, whose DataFrame is asked for. Run: pip install pandas") from None
