"""What the network says of a table: probabilities, graphs, and their other forms."""

from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine import explorer, exports, metrics
from tabscm.engine.acyclic import decode
from tabscm.engine.doubt import Bootstrap, Familiarity, Finding
from tabscm.engine.exports import Edge
from tabscm.engine.knowledge import Constraints, Knowledge
from tabscm.engine.layout import align, number, threshold_of
from tabscm.engine.provenance import Provenance
from tabscm.engine.rows import show
from tabscm.engine.sampling import sample
from tabscm.engine.written import write_text
from tabscm.kernel.errors import TabSCMError

if TYPE_CHECKING:
    import pandas as pd
    from causallearn.graph.GeneralGraph import GeneralGraph

CLOSEST = 5
"""Edges that are shown when none is above the threshold."""

PROBABLE, DOUBTFUL = 0.5, 0.1
"""What is known is compared with the network where it gave a forbidden edge more, or a required one less."""


@attrs.frozen(eq=False)
class Result:
    """What the network says of a table."""

    names: tuple[str, ...]
    """[D] the variables."""
    edge_prob: NDArray[np.float64]
    """[D, D], at [i, j] the probability that i causes j directly; 0 on the diagonal."""
    notes: tuple[str, ...] = ()
    """What the user should know of the table and of how far it is from what the network was trained on."""
    knowledge: Constraints | None = None
    """What was known before, which probabilities, graphs and samples obey; see `given`."""
    findings: tuple[Finding, ...] = ()
    """What is odd about the table."""
    bootstrap: Bootstrap | None = None
    """How often each edge is there in tables of rows drawn again, if that was asked for."""
    familiarity: Familiarity | None = None
    """How much the table looks like those of the training, if the network says what those look like."""
    provenance: Provenance | None = None
    """Which table was read, and by which network."""
    read_as: Mapping[str, float] = attrs.field(factory=dict)
    """Of a network of several specialists, how far each was believed that was asked, the most first: what kind of table
    this was taken for. Shares in (0, 1]; those that were not asked have the rest."""

    def given(self, knowledge: Knowledge) -> "Result":
        """This result with its probabilities conditioned on knowledge, see `Constraints.condition`.

        Raises:
            ConfigError: the knowledge names other variables, or contradicts itself.
            TabSCMError: the result obeys other knowledge already, or has a bootstrap, which does not.
        """
        if self.knowledge is not None:
            raise TabSCMError(f"this result obeys {self.knowledge.source} already; write both into one Knowledge")
        if self.bootstrap is not None:
            raise TabSCMError("the bootstrap of this result was drawn without knowledge; give both to `discover`")
        known = knowledge.resolve(self.names)
        edge_prob = known.condition(self.edge_prob)
        notes = (*self.notes, *_compared(self, known))
        return attrs.evolve(self, edge_prob=edge_prob, knowledge=known, notes=notes)

    def graph(self, threshold: float = 0.5, *, acyclic: bool = False) -> NDArray[np.bool_]:
        """The edges whose probability is above `threshold`: [D, D] bool, True at [i, j] for i -> j.

        Edges are judged one by one, so that they may hold a cycle; `acyclic` takes of them the best graph without one,
        see `acyclic.decode`. Edges that are required are there whatever the threshold, forbidden ones never. In the
        acyclic graph no path leads from a later tier to an earlier one, not even through variables of no tier.
        """
        required, before = self._fixed()
        if acyclic:
            return decode(self.edge_prob, threshold, required=required, before=before)
        above = self.edge_prob > threshold
        return above if required is None else above | required

    def sample(self, count: int, seed: int = 0) -> NDArray[np.bool_]:
        """Draw graphs: [count, D, D] bool, each acyclic and within the knowledge; `sampling.sample` says from what."""
        required, before = self._fixed()
        return sample(self.edge_prob, count, np.random.default_rng(seed), required=required, before=before)

    def edges(self, threshold: float = 0.5, *, acyclic: bool = False) -> list[Edge]:
        """The edges of `graph`, the most probable first."""
        return self._ranked(self.graph(threshold, acyclic=acyclic))

    @property
    def read_as_words(self) -> str:
        """`read_as` for people: gaussian 74 %, non-gaussian 19 %, others 7 %."""
        shares = dict(self.read_as)
        if shares and (rest := 1 - sum(shares.values())) >= 0.01:
            shares["others"] = rest
        # sums are rounded, not shares, and a rest that is not shown is shared out, so that the figures add up
        whole = sum(shares.values())
        ends = pairwise(round(100 * end / whole) for end in accumulate(shares.values(), initial=0.0)) if shares else ()
        return ", ".join(f"{name} {end - start} %" for name, (start, end) in zip(shares, ends, strict=True))

    @property
    def direction_prob(self) -> NDArray[np.float64]:
        """[D, D], at [i, j] the probability of i -> j if there is an edge between i and j; see `exports`."""
        return exports.direction_prob(self.edge_prob)

    def to_networkx(self, threshold: float = 0.5, *, acyclic: bool = False) -> nx.DiGraph:
        """`graph` over all variables by name, with the edge attribute "probability"."""
        return exports.digraph(self.names, self.edges(threshold, acyclic=acyclic))

    def to_dag(self, threshold: float = 0.5) -> nx.DiGraph:
        """The best graph without a cycle, see `acyclic.decode`; DoWhy takes it as the graph of a CausalModel."""
        return self.to_networkx(threshold, acyclic=True)

    def to_pdag(self, threshold: float = 0.5, *, sure: float = 0.75) -> nx.DiGraph:
        """Edges without a direction where the network does not know it, see `exports.partly_directed`.

        An edge without a direction is there both ways. Edge attributes: "directed", and "probability" of this
        direction. The edges with a direction hold no cycle.

        Args:
            threshold: an edge is there when the probabilities of its two directions have a sum above it.
            sure: in [0.5, 1]; it has the more probable direction when that has more than this share of the sum.
        """
        return exports.pdag(self.names, self.edge_prob, threshold, sure)

    def to_causal_learn(self, threshold: float = 0.5, *, sure: float | None = None) -> "GeneralGraph":
        """`to_dag` as causal-learn's GeneralGraph, or, when `sure` is given, `to_pdag`.

        Raises:
            TabSCMError: causal-learn is not installed.
        """
        if sure is None:
            return exports.causal_learn(self.names, self.graph(threshold, acyclic=True))
        return exports.causal_learn(self.names, *exports.partly_directed(self.edge_prob, threshold, sure))

    def to_gml(self, threshold: float = 0.5, *, acyclic: bool = False) -> str:
        """`graph` in the graph modelling language, which networkx, Gephi, Cytoscape and DoWhy read."""
        return exports.gml(self.to_networkx(threshold, acyclic=acyclic))

    def to_dot(self, threshold: float = 0.5, *, acyclic: bool = False) -> str:
        """`graph` in the language of Graphviz."""
        return exports.dot(self.to_networkx(threshold, acyclic=acyclic))

    def to_edges_csv(self, threshold: float = 0.5, *, acyclic: bool = False, spreadsheet: bool = False) -> str:
        """The edges of `graph` as CSV with the header from,to,probability, which `read_graph` reads.

        Args:
            threshold: as in `graph`.
            acyclic: as in `graph`.
            spreadsheet: put an apostrophe before names that a spreadsheet would run as formulas. Without it, every name
                is written as it is.
        """
        return exports.edges_csv(self.edges(threshold, acyclic=acyclic), spreadsheet=spreadsheet)

    def to_frame(self) -> "pd.DataFrame":
        """`edge_prob` as a pandas DataFrame: rows are causes, columns effects.

        Raises:
            TabSCMError: pandas is not installed.
        """
        return exports.frame(self.names, self.edge_prob)

    def to_edges_frame(self, threshold: float = 0.5, *, acyclic: bool = False) -> "pd.DataFrame":
        """The edges of `graph` as a pandas DataFrame with the columns from, to, probability."""
        return exports.edges_frame(self.edges(threshold, acyclic=acyclic))

    def to_json(self, threshold: float = 0.5, *, acyclic: bool = False) -> dict[str, object]:
        """Everything as plain values.

        "variables", "edge_prob", "threshold", "acyclic", "edges" of `graph`, "read_as", how far each
        specialist that was asked is believed, "notes"; "knowledge": null, or its "source" with the edges that are
        "required" and "forbidden"; "findings", each a "kind", "columns" and a "line"; "bootstrap", "familiarity" and
        "provenance": null, or their fields.
        """
        return {
            "variables": list(self.names),
            "edge_prob": self.edge_prob.tolist(),
            "threshold": threshold,
            "acyclic": acyclic,
            "edges": [
                {"from": edge.source, "to": edge.target, "probability": edge.probability}
                for edge in self.edges(threshold, acyclic=acyclic)
            ],
            "read_as": dict(self.read_as),
            "notes": list(self.notes),
            "knowledge": self._known(),
            "findings": [attrs.asdict(finding) for finding in self.findings],
            "bootstrap": None if self.bootstrap is None else self.bootstrap.to_json(),
            "familiarity": None if self.familiarity is None else attrs.asdict(self.familiarity),
            "provenance": None if self.provenance is None else self.provenance.to_json(),
        }

    def to_html(self, file: str | Path | None = None, threshold: float = 0.5, *, acyclic: bool = False) -> str:
        """One page on which the graph can be explored; it is one file that loads nothing.

        Args:
            file: where it is written as well, replacing what is there.
            threshold: that the page begins with; it can be moved.
            acyclic: whether the page begins with the graph without cycles.

        Raises:
            TabSCMError: the file cannot be written.
        """
        page = explorer.render(self, threshold, acyclic=acyclic)
        if file is not None:
            write_text(Path(file), page)
        return page

    def render(self, threshold: float = 0.5, *, acyclic: bool = False) -> str:
        """The edges of `graph` for the terminal; the most probable ones where there is none above `threshold`."""
        count = len(self.names)
        at, pairs = threshold_of(threshold), f"{count * (count - 1)} ordered pairs of {count} variables"
        edges = self.edges(threshold, acyclic=acyclic)
        if not edges:
            possible = ~np.eye(count, dtype=np.bool_)
            if self.knowledge is not None:
                possible &= ~self.knowledge.forbidden
            closest = self._ranked(possible)[:CLOSEST]
            text = f"No edge is above {at}, of {pairs}. The most probable ones:\n{self._lines(closest)}"
            return text + self._legend() + self._kind()
        or_required = " or required" if any(edge.required for edge in edges) else ""
        text = f"{self._lines(edges)}\n{len(edges)} above {at}{or_required}, of {pairs}.{self._legend()}{self._kind()}"
        if acyclic:
            left_out = self._ranked(self.graph(threshold) & ~self.graph(threshold, acyclic=True))
            if left_out:
                what = "a cycle" if self.knowledge is None else "a cycle, or a path against what is known"
                text += f"\nLeft out, because they close {what}:\n{self._lines(left_out)}"
            return text
        graph = self.to_networkx(threshold)
        if not nx.is_directed_acyclic_graph(graph):
            cycle = [_printed(source) for source, _ in nx.find_cycle(graph)]
            text += (
                f"\nThey are judged one by one, and here they hold a cycle: {' -> '.join([*cycle, cycle[0]])}. "
                "--acyclic shows the best graph without one."
            )
        return text

    def __str__(self) -> str:
        """What `render` shows at 0.5, and how many `doubts` there are."""
        count = len(self.doubts())
        notes = (
            f"\n{count} note{'s' if count > 1 else ''} on this table: doubts() lists {'them' if count > 1 else 'it'}."
        )
        return self.render() + (notes if count else "")

    def _repr_html_(self) -> str:
        """The most probable edges above 0.5 for a notebook."""
        count = len(self.names)
        return exports.table_html(self.edges(), self.doubts(), pairs=count * (count - 1), threshold=0.5)

    def doubts(self) -> list[str]:
        """What to read before the graph: notes, findings, and that the table is unlike those of the training, if so."""
        unfamiliar = [] if self.familiarity is None or self.familiarity.inside else [self.familiarity.line]
        return [*self.notes, *(finding.line for finding in self.findings), *unfamiliar]

    def score(self, adj: NDArray[np.bool_], threshold: float = 0.5, *, acyclic: bool = False) -> dict[str, float]:
        """Judge these probabilities against a known graph.

        Args:
            adj: [D, D] bool, True at [i, j] when i causes j.
            threshold: of the graph that precision, recall, F1 and SHD judge.
            acyclic: that graph is the one without cycles.

        Returns:
            "threshold", and the values of `metrics.score`, NaN where undefined.
        """
        # 1e-15 is what a float64 probability can be short of 1
        logits, truth = torch.logit(torch.from_numpy(self.edge_prob), eps=1e-15), torch.from_numpy(adj)[None]
        scores = metrics.score(logits[None], truth, threshold=threshold)
        if acyclic:
            decoded = torch.from_numpy(self.graph(threshold, acyclic=True)).double() - 0.5
            decided = metrics.score(decoded[None], truth)
            scores |= {name: decided[name] for name in ("precision", "recall", "f1", "shd")}
        return {"threshold": threshold, **{name: value.item() for name, value in scores.items()}}

    def _ranked(self, chosen: NDArray[np.bool_]) -> list[Edge]:
        """The `chosen` edges [D, D], the most probable first."""
        ends = np.argwhere(chosen)
        order = np.argsort(-self.edge_prob[chosen], kind="stable")
        required, _ = self._fixed()
        return [
            Edge(
                self.names[source],
                self.names[target],
                float(self.edge_prob[source, target]),
                required is not None and bool(required[source, target]),
            )
            for source, target in ends[order]
        ]

    def _lines(self, edges: list[Edge]) -> str:
        """A line for each edge, with what the bootstrap says of it, if there is one."""
        names = [(_printed(edge.source), _printed(edge.target)) for edge in edges]
        sources = max((len(source) for source, _ in names), default=0)
        targets = max((len(target) for _, target in names), default=0)
        places = {name: index for index, name in enumerate(self.names)}
        lines = []
        for edge, (source, target) in zip(edges, names, strict=True):
            line = f"{source:>{sources}} -> {target:<{targets}}  {edge.probability:.2f}"
            if self.bootstrap is not None:
                i, j = places[edge.source], places[edge.target]
                frequency, none = self.bootstrap.frequency, self.bootstrap.none
                line += f"  {frequency[i, j]:>4.0%} ->  {frequency[j, i]:>4.0%} <-  {none[i, j]:>4.0%} none"
            lines.append(f"{line}  required" if edge.required else line)
        return "\n".join(lines)

    def _kind(self) -> str:
        """What kind of table it was taken for, as a line more."""
        if not self.read_as:
            return ""
        return f"\nTaken for a table of the kind: {self.read_as_words}."

    def _legend(self) -> str:
        """What the columns of the bootstrap are, if there is one."""
        if self.bootstrap is None:
            return ""
        drawn = self.bootstrap
        graphs = "graphs without a cycle" if drawn.acyclic else "graphs"
        at = threshold_of(drawn.threshold)
        return f"\nIn per cent: what {drawn.repeats} {graphs} at {at} of rows drawn again have there."

    def _fixed(self) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """What is required and what comes before what, as `decode` and `sample` take it."""
        known = self.knowledge
        return (None, None) if known is None else (known.required, known.before)

    def _known(self) -> dict[str, object] | None:
        """The knowledge as plain values."""
        known = self.knowledge
        if known is None:
            return None
        pairs = {
            what: [{"from": self.names[source], "to": self.names[target]} for source, target in np.argwhere(edges)]
            for what, edges in (("required", known.required), ("forbidden", known.forbidden))
        }
        return {"source": known.source, **pairs}


def render_score(scores: dict[str, float]) -> str:
    """The values of `Result.score` for the terminal, each beside what a guess would score."""
    at = f"edges above {threshold_of(scores['threshold'])}"
    lines = [
        ("AUROC", number(scores["auroc"]), "guessing: 0.500"),
        ("AP", number(scores["ap"]), f"guessing: {number(scores['density'])}"),
        ("direction", number(scores["direction"]), "true edges that point the right way; guessing: 0.500"),
        (
            "F1",
            number(scores["f1"]),
            f"{at}: precision {number(scores['precision'])}, recall {number(scores['recall'])}",
        ),
        ("SHD", number(scores["shd"], ".0f"), f"{at}; the graph without edges: {number(scores['shd_empty'], '.0f')}"),
    ]
    return f"Against the known graph, which has {scores['edges']:.0f} edges:\n{align(lines, left=3)}"


def _printed(name: str) -> str:
    """A name as a terminal can show it on one line: what would steer the terminal is written out."""
    return name if name.isprintable() else repr(name)


def _compared(result: Result, known: Constraints) -> Iterator[str]:
    """What is known, as notes, and where the network would have said otherwise."""
    required, forbidden = int(known.required.sum()), int(known.forbidden.sum())
    yield f"{known.source}: {required} edge{'' if required == 1 else 's'} required, {forbidden} forbidden"
    for what, edges in (
        (
            f"forbidden, though the network gives it more than {PROBABLE:g}",
            known.forbidden & (result.edge_prob > PROBABLE),
        ),
        (
            f"required, though the network gives it less than {DOUBTFUL:g}",
            known.required & (result.edge_prob < DOUBTFUL),
        ),
    ):
        ends = np.argwhere(edges)
        shown = [
            f"{show(result.names[source])} -> {show(result.names[target])} ({result.edge_prob[source, target]:.2f})"
            for source, target in ends[:CLOSEST]
        ]
        more = f" and {len(ends) - CLOSEST} more" if len(ends) > CLOSEST else ""
        if shown:
            yield f"{what}: {', '.join(shown)}{more}"
