"""Thirty names of columns that want to be more than names, through every output: none runs, and none loads anything."""

import csv
import http.server
import io
import json
import re
import threading
from html.parser import HTMLParser

import attrs
import networkx as nx
import numpy as np
import pydot
import pytest

from tabscm.engine.doubt import Bootstrap, Familiarity, Finding
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.provenance import Provenance, versions
from tabscm.engine.result import Result

# of pydot itself, about pyparsing
pytestmark = pytest.mark.filterwarnings("ignore:'.*' deprecated - use:DeprecationWarning")

CANARY = "document.title='CANARY'"
FAR = "http://127.0.0.1:9/"
"""Where nobody listens; the test in the browser puts an address there that counts."""

NAMES = (
    f"<script>{CANARY}</script>",
    f"</script><script>{CANARY}</script>",
    f"</SCRIPT ><svg/onload={CANARY}>",
    f"<!--<script>{CANARY}",
    f"]]><script>{CANARY}</script>",
    f"<img src=x onerror={CANARY}>",
    f"<img src={FAR}a.png>",
    f"<link rel=stylesheet href={FAR}b.css>",
    f"<script src={FAR}c.js></script>",
    f"<iframe src={FAR}d></iframe>",
    f'<iframe srcdoc="<script>parent.{CANARY}</script>"></iframe>',
    f"<meta http-equiv=refresh content='0;url={FAR}e'>",
    f"<object data={FAR}f></object>",
    f"<base href={FAR}>",
    f"<form action={FAR}g><button autofocus onfocus={CANARY}>",
    f"<a href=javascript:{CANARY}>x</a>",
    f"<svg><script>{CANARY}</script></svg>",
    f"</text></svg><script>{CANARY}</script>",
    f"</style><script>{CANARY}</script>",
    f"<style>@import url({FAR}h.css);</style>",
    f"<details open ontoggle={CANARY}>",
    f'" onmouseover="{CANARY}" x="',
    f"' autofocus onfocus={CANARY} '",
    f"\\u003cscript\\u003e{CANARY}",
    f"{{{{ ''.__class__.__mro__ }}}}{{% include '{FAR}' %}}",
    f"${{{CANARY}}}`;{CANARY};//",
    f"\u2028{CANARY}\u2029*/{CANARY}",
    f"=HYPERLINK(\"{FAR}i\")",
    "\x1b]0;CANARY\x07\x1b[2J",
    "\u202e>tpircs<\ud800",
)  # fmt: skip
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer", "aside", "noscript"),
    *("div", "p", "h1", "h2", "a", "bdi", "strong", "em", "span", "code", "ul", "li", "dl", "dt", "dd", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "label", "output", "input", "button", "svg"),
    *("path", "script"),
}
"""All that our pages are made of."""


class Elements(HTMLParser):
    """The elements of a page, and the text outside of them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.text = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    handle_startendtag = handle_starttag

    def handle_data(self, text):
        self.text.append(text)


def hostile(far=FAR):
    """A result in which every text that comes from a user is hostile."""
    names = tuple(name.replace(FAR, far) for name in NAMES)
    count = len(names)
    edge_prob = np.triu(np.random.default_rng(0).uniform(size=(count, count)), 1) ** 4
    edge_prob[1, 0] = 0.9
    known = Knowledge(required=[(names[2].replace("[", "[[]"), names[3])], exogenous=[names[2]], source=names[1])
    result = Result(
        names=names,
        edge_prob=edge_prob,
        notes=names,
        findings=tuple(Finding(name, (name,), name) for name in names),
        familiarity=Familiarity(0.0, False, names[0]),
        provenance=Provenance(names[1], 100, "0" * 64, None, (2, 9), (2, 9), versions()),
    ).given(known)
    return attrs.evolve(result, bootstrap=Bootstrap(names, result.edge_prob, 10, 0.5))


def test_there_are_thirty_of_them():
    assert len(set(NAMES)) == 30


@pytest.mark.parametrize("what", ["to_html", "_repr_html_"])
def test_html_has_no_element_and_no_attribute_but_ours(what):
    result = hostile()
    text = getattr(result, what)()
    page = Elements(text)
    assert {tag for tag, _ in page.found} <= ELEMENTS
    for tag, attributes in page.found:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "srcdoc", "style", "action")
        ]
        assert attributes.get("href", "#").startswith("#")
        if tag == "meta" and "http-equiv" in attributes:
            assert attributes["http-equiv"] == "Content-Security-Policy"
    scripts = [attributes for tag, attributes in page.found if tag == "script"]
    assert scripts == ([] if what == "_repr_html_" else [{"type": "application/json", "id": "data"}, {}])
    shown = "".join(page.text)
    assert all(name in shown for name in result.names[:20] if what == "to_html")


def test_the_data_of_the_page_are_the_names_and_end_no_element():
    result = hostile()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', result.to_html(), re.DOTALL)
    assert not set("<>&") & set(data)
    assert json.loads(data)["names"] == [name.replace("\ud800", "\\ud800") for name in result.names]


def test_text_for_other_programs_gives_the_names_back_as_names():
    result = hostile()
    edges = {(edge.source, edge.target) for edge in result.edges()}
    assert {(edge["from"], edge["to"]) for edge in json.loads(json.dumps(result.to_json()))["edges"]} == edges
    rows = list(csv.reader(io.StringIO(result.to_edges_csv())))[1:]
    assert {(source, target) for source, target, _ in rows} == edges
    for row in list(csv.reader(io.StringIO(result.to_edges_csv(spreadsheet=True))))[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row[:2])
    assert set(nx.parse_gml(result.to_gml()).nodes) == set(result.names)
    (graph,) = pydot.graph_from_dot_data(result.to_dot())
    assert len(graph.get_edges()) == len(edges)
    assert {key for edge in graph.get_edges() for key in edge.get_attributes()} == {"probability", "label"}


def test_the_terminal_gets_nothing_that_steers_it():
    for text in (hostile().render(0.1), hostile().render(0.1, acyclic=True), str(hostile())):
        assert all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.fixture
def far():
    """An address in this machine, and a list of what was asked of it."""
    asked = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


def test_a_browser_runs_no_name_and_asks_nobody(far, opened):
    address, asked = far
    title, seen = opened(hostile(address).to_html())
    found = Elements(seen).found
    assert "CANARY" not in title.replace(CANARY, "")
    assert asked == []
    # the script of the page itself has run, and shows every name as text
    assert len([1 for _, attributes in found if attributes.get("class", "").split()[:1] == ["node"]]) == 30
    assert {tag for tag, _ in found} <= ELEMENTS | {"g", "rect", "text", "line", "h3", "h4"}


def test_a_notebook_runs_no_name_and_asks_nobody(far, opened):
    """Where there is no policy, nothing but escaping is in the way."""
    address, asked = far
    title, seen = opened(f"<!DOCTYPE html><title>notebook</title>{hostile(address)._repr_html_()}")
    assert title == "notebook"
    assert asked == []
    assert {tag for tag, _ in Elements(seen).found} <= ELEMENTS


def test_names_that_are_not_escaped_would_be_noticed(far, opened):
    address, asked = far
    title, seen = opened(f"<!DOCTYPE html><title>notebook</title>{''.join(hostile(address).names[5:9])}")
    assert title == "CANARY"
    assert asked != []
    assert not {tag for tag, _ in Elements(seen).found} <= ELEMENTS
