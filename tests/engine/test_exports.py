"""Every export, read back by the reader it is for: no edge is lost or turned round, whatever the columns are called."""

import csv
import io
import json
import re
import sys
from html.parser import HTMLParser

import networkx as nx
import numpy as np
import pandas as pd
import pydot
import pytest

from tabscm import TabSCMError
from tabscm.engine import exports
from tabscm.engine.graphs import read_graph
from tabscm.engine.result import Result

# of pydot itself, about pyparsing
pytestmark = pytest.mark.filterwarnings("ignore:'.*' deprecated - use:DeprecationWarning")

QUICK = 25
"""Random graphs in the suite. All of them: python tests/engine/test_exports.py 1000"""

HOSTILE = (
    'a"b', "it's", "back\\slash", "ends in \\", "a\\nb", "two\nlines", "cr\rlf\r\n", "tab\t", " ", "", "  padded  ",
    "a,b;c|d", "from", "to", "probability", "node", "edge", "graph", "digraph", "strict", "subgraph", "label", "id",
    "source", "directed", "<b>bold</b>", "<script>alert(1)</script>", "</td></tr>", "&amp;", "&#34;", "&lt;", "a&b",
    "{{ 7 * 7 }}", "{% raw %}", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x")', "+1", "-1", "@sum", "1", "1.5", "0x1F",
    "nan", "None", "NA", "True", "null", "[]", "()", "[1]", "{}", "a->b", "a -> b", "--", "//comment", "/* c */", "# c",
    "a:b", "a:n:b", "\u202eabc", "\u2066x\u2069", "\u200b", "é", "e\u0301", "数", "🙂", "\x1b[31mred", "\x07", "\x7f",
    "\x85", "\u2028", "\ufeff", "x" * 300, "%s", "%(x)s", "${x}", "`x`", "$(x)", "\\N", "\\G", "\\\\", '\\"', "'--",
)  # fmt: skip
ALPHABET = [*"ab1 \"'\\&<>;,=\n\t{}[]()#%-", "é", "\u202e", "🙂", "\x01"]


def random_result(seed):
    """Probabilities of which none is near a threshold, and names of which many are hostile."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    names = {str(name) for name in rng.choice(HOSTILE, size=int(rng.integers(0, count + 1)), replace=False)}
    while len(names) < count:
        names.add("".join(rng.choice(ALPHABET, size=int(rng.integers(1, 9)))))
    edge_prob = rng.uniform(size=(count, count)) ** rng.uniform(0.3, 4)
    np.fill_diagonal(edge_prob, 0)
    return Result(names=tuple(rng.permutation(sorted(names)).tolist()), edge_prob=edge_prob, notes=("<i>a note</i>",))


def as_read(result, threshold, acyclic):
    """{what: {(from, to): probability}}, of every export, as its own reader gives it; the nodes are checked here."""
    options = {"threshold": threshold, "acyclic": acyclic}
    graph = result.to_networkx(**options)
    read = read_gml(result.to_gml(**options))
    flat = read_gml(result.to_gml(**options).replace("\n", " "))  # as DoWhy does it
    assert list(graph) == list(read) == list(flat) == list(result.names)
    frame = result.to_frame()
    assert (list(frame.index), list(frame.columns)) == (list(result.names), list(result.names))
    table = result.to_edges_frame(**options)
    text = result.to_edges_csv(**options)
    by_pandas = pd.read_csv(io.StringIO(text, newline=""), keep_default_na=False, dtype=str)
    plain = json.loads(json.dumps(result.to_json(**options), allow_nan=False))
    assert plain["variables"] == list(result.names)
    ways = {
        "networkx": graph.edges(data="probability"),
        "gml": read.edges(data="probability"),
        "gml on one line": flat.edges(data="probability"),
        "dot": read_dot(result.to_dot(**options), result.names),
        "edges frame": table.itertuples(index=False, name=None),
        "csv": [(*ends, float(p)) for *ends, p in list(csv.reader(io.StringIO(text, newline="")))[1:]],
        "csv by pandas": by_pandas.itertuples(index=False),
        "json": [(edge["from"], edge["to"], edge["probability"]) for edge in plain["edges"]],
    }  # fmt: skip
    found = {way: {(source, target): float(p) for source, target, p in edges} for way, edges in ways.items()}
    if not acyclic:
        cells = frame.to_numpy() > threshold
        found["frame"] = {(frame.index[i], frame.columns[j]): frame.iloc[i, j] for i, j in np.argwhere(cells)}
    return found


def read_gml(text):
    # networkx itself writes empty collections as these two texts, and reads nothing else in them
    for name in ("[]", "()"):
        text = text.replace(f'label "{name}"', f'label "empty {name}"')
    graph = nx.parse_gml(text)
    return nx.relabel_nodes(graph, {f"empty {name}": name for name in ("[]", "()")}, copy=True)


def read_dot(text, names):
    (graph,) = pydot.graph_from_dot_data(text)
    assert graph.get_type() == "digraph"
    assert [unquoted(node.get_name()) for node in graph.get_nodes()] == list(names)
    for edge in graph.get_edges():
        yield unquoted(edge.get_source()), unquoted(edge.get_destination()), edge.get("probability")


def unquoted(identifier):
    assert identifier[0] == identifier[-1] == '"'
    meant = {"n": "\n", "r": "\r"}
    return re.sub(r"\\(.)", lambda found: meant.get(found[1], found[1]), identifier[1:-1])


def check(result, threshold):
    """Compare every export with the probabilities themselves."""
    names, p = result.names, result.edge_prob
    for acyclic in (False, True):
        chosen = result.graph(threshold, acyclic=acyclic)
        expected = {(names[i], names[j]): p[i, j] for i, j in np.argwhere(chosen)}
        for way, edges in as_read(result, threshold, acyclic).items():
            assert edges == expected, way
    dag = result.to_dag(threshold)
    assert nx.is_directed_acyclic_graph(dag)
    assert dict(dag.edges) == dict(result.to_networkx(threshold, acyclic=True).edges)
    check_pdag(result, threshold, sure=0.6)


def check_pdag(result, threshold, sure):
    names, p = result.names, result.edge_prob
    pdag = result.to_pdag(threshold, sure=sure)
    assert list(pdag) == list(names)
    arrows = nx.DiGraph((i, j) for i, j, directed in pdag.edges(data="directed") if directed)
    assert nx.is_directed_acyclic_graph(arrows)
    candidates = nx.DiGraph()
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            if i != j and p[i, j] + p[j, i] > threshold and p[i, j] / (p[i, j] + p[j, i]) > sure:
                candidates.add_edge(one, other)
    on_cycle = [
        edge for part in nx.strongly_connected_components(candidates) for edge in candidates.subgraph(part).edges
    ]
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            linked = p[i, j] + p[j, i] > threshold
            ways = [pdag.edges.get(ends) for ends in ((one, other), (other, one))]
            assert any(ways) == linked
            for ends, way, probability in zip(((one, other), (other, one)), ways, (p[i, j], p[j, i]), strict=True):
                if candidates.has_edge(*ends) and ends not in on_cycle:
                    assert way == {"probability": probability, "directed": True}
                elif not candidates.has_edge(*ends) and way is not None:
                    assert way == {"probability": probability, "directed": False}
            if linked and not any(way["directed"] for way in ways if way):
                assert all(ways)


def check_causal_learn(result, threshold):
    dag = result.to_causal_learn(threshold)
    assert [node.get_name() for node in dag.get_nodes()] == list(result.names)
    found = {(edge.get_node1().get_name(), edge.get_node2().get_name()) for edge in dag.get_graph_edges()}
    assert found == set(result.to_dag(threshold).edges)
    view = result.to_pdag(threshold, sure=0.6)
    arrows, lines = set(), set()
    for edge in result.to_causal_learn(threshold, sure=0.6).get_graph_edges():
        ends = edge.get_node1().get_name(), edge.get_node2().get_name()
        kind = f"{edge.get_endpoint1()} {edge.get_endpoint2()}"
        if kind == "TAIL ARROW":
            arrows.add(ends)
        else:
            assert kind == "TAIL TAIL"
            lines |= {ends, ends[::-1]}
    assert arrows == {(i, j) for i, j, directed in view.edges(data="directed") if directed}
    assert lines == {(i, j) for i, j, directed in view.edges(data="directed") if not directed}


@pytest.mark.parametrize("seed", range(QUICK))
def test_no_edge_is_lost_or_turned_round(seed):
    result = random_result(seed)
    check(result, threshold=(0.5, 0.1, 0.9)[seed % 3])
    check_html(result)


@pytest.mark.parametrize("seed", range(QUICK))
def test_no_edge_is_lost_or_turned_round_in_causal_learn(seed):
    pytest.importorskip("causallearn")
    check_causal_learn(random_result(seed), threshold=(0.5, 0.1, 0.9)[seed % 3])


class Cells(HTMLParser):
    """The tags of a page, and the text of each cell of its table."""

    def __init__(self):
        super().__init__()
        self.tags, self.cells, self.inside = set(), [], False

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert attributes in ([], [("scope", "col")])
        if tag == "td":
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


def check_html(result):
    page = Cells()
    page.feed(result._repr_html_())
    page.close()
    assert page.tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "bdi"}
    shown = [(edge.source, edge.target, f"{edge.probability:.2f}") for edge in result.edges()[: exports.SHOWN]]
    assert result._repr_html_().count("<tr>") == len(shown) + 1
    cells = iter(page.cells)
    assert list(zip(cells, cells, cells, strict=True)) == shown


def result(*edges, names):
    edge_prob = np.zeros((len(names), len(names)))
    for source, target, probability in edges:
        edge_prob[names.index(source), names.index(target)] = probability
    return Result(names=names, edge_prob=edge_prob)


def test_the_notebook_shows_the_first_edges_and_counts_the_others():
    names = tuple(f"x{index}" for index in range(6))
    edge_prob = np.linspace(0.9, 0.6, 36).reshape(6, 6)
    np.fill_diagonal(edge_prob, 0)
    page = Result(names=names, edge_prob=edge_prob, notes=("one < two",))._repr_html_()
    assert "<caption>30 of 30 possible edges are above 0.5</caption>" in page
    assert "<tr><td><bdi>x0</bdi></td><td><bdi>x1</bdi></td><td>0.89</td></tr>" in page
    assert "<p>and 10 less probable ones</p>" in page
    assert "<p>note: <bdi>one &lt; two</bdi></p>" in page


def test_dot():
    found = result(("raf", 'm"k', 0.934), ('m"k', "a&b", 0.6), names=("raf", 'm"k', "a&b"))
    assert found.to_dot() == "\n".join(
        [
            "digraph {",
            '  "raf";',
            '  "m\\"k";',
            '  "a&b" [label="a&amp;b"];',
            '  "raf" -> "m\\"k" [probability=0.934, label="0.93"];',
            '  "m\\"k" -> "a&b" [probability=0.6, label="0.60"];',
            "}\n",
        ]
    )


def test_edges_as_csv_are_what_a_known_graph_is_read_from(tmp_path):
    found = result(("p38", "mek 1,2", 0.9), ("mek 1,2", '"akt"', 0.75), names=("p38", "mek 1,2", '"akt"'))
    text = found.to_edges_csv()
    assert text == '"from","to","probability"\n"p38","mek 1,2",0.9\n"mek 1,2","""akt""",0.75\n'
    (tmp_path / "edges.csv").write_text(text)
    assert (read_graph(tmp_path / "edges.csv", found.names) == found.graph()).all()


def test_a_spreadsheet_runs_no_name():
    found = result(("=cmd()", "b", 0.9), ("b", "@x", 0.8), ("b", "-y", 0.7), names=("=cmd()", "b", "@x", "-y"))
    rows = list(csv.reader(io.StringIO(found.to_edges_csv(spreadsheet=True))))
    assert rows[1:] == [["'=cmd()", "b", "0.9"], ["b", "'@x", "0.8"], ["b", "'-y", "0.7"]]


def test_the_frame_of_probabilities_is_by_name():
    frame = result(("raf", "mek", 0.9), names=("raf", "mek")).to_frame()
    assert frame.loc["raf", "mek"] == 0.9
    assert frame.loc["mek", "raf"] == 0
    assert (frame.index.name, frame.columns.name) == ("from", "to")


def test_an_edge_has_a_direction_only_where_it_is_known():
    found = result(
        ("a", "b", 0.6), ("b", "a", 0.1), ("b", "c", 0.4), ("c", "b", 0.3), ("c", "a", 0.3), names=("a", "b", "c")
    )
    np.testing.assert_allclose(found.direction_prob[[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]], [6 / 7, 1 / 7, 4 / 7, 3 / 7, 0])
    edges = found.to_pdag().edges(data="directed")
    assert set(edges) == {("a", "b", True), ("b", "c", False), ("c", "b", False)}
    assert set(found.to_pdag(sure=0.9).edges(data="directed")) == {(*ends, False) for ends in ("ab", "ba", "bc", "cb")}
    # at .5 the more probable direction is taken; a > b > c > a would be a cycle, whose least sure edge loses its arrow
    assert set(found.to_pdag(0.2, sure=0.5).edges(data="directed")) == {
        ("a", "b", True), ("c", "a", True), ("b", "c", False), ("c", "b", False),
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"^sure: expected a number from 0\.5 to 1, found 0\.4$"):
        found.to_pdag(sure=0.4)


@pytest.mark.parametrize(
    ("module", "export", "message"),
    [
        ("causallearn.graph.Edge", "to_causal_learn", "causal-learn is not installed, whose graph is asked for. "),
        ("pandas", "to_frame", "pandas is not installed, whose DataFrame is asked for. "),
    ],
)
def test_what_is_not_installed_is_said(monkeypatch, module, export, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TabSCMError) as refused:
        getattr(result(names=("a", "b")), export)()
    assert str(refused.value) == f"{message}Run: pip install {message.split()[0]}"


def test_the_terminal_is_not_steered_by_a_name():
    found = result(("\x1b[2Ja", "b\nc", 0.9), names=("\x1b[2Ja", "b\nc"))
    assert found.render().splitlines()[0] == "'\\x1b[2Ja' -> 'b\\nc'  0.90"


if __name__ == "__main__":
    graphs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    edges = 0
    for number in range(graphs):
        made = random_result(number)
        limit = (0.5, 0.1, 0.9)[number % 3]
        check(made, limit)
        check_html(made)
        check_causal_learn(made, limit)
        edges += int(made.graph(limit).sum())
    print(f"{graphs} graphs, {edges} edges, through every export and back: none lost, none turned round")
