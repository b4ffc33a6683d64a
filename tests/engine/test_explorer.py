"""The page of a result: what is on it, what its script is given, and what it makes of little and of much."""

import base64
import hashlib
import html
import json
import re

import attrs
import numpy as np
import pytest

from tabscm import TabSCMError
from tabscm.engine.doubt import Bootstrap, Familiarity, Finding
from tabscm.engine.explorer.drawing import DRAWN, LABEL, LISTED, label
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.provenance import Provenance
from tabscm.engine.result import Result

ROWS = 100
"""Rows that the list of edges has until all are asked for."""
NAMES = ("age", "dose", "pulse", "sleep")
MADE = Provenance("/home/somebody/study.csv", 1200, "da7a", "ee16", (5, 20), (50, 1000), (("tabscm", "9.9"),))


def result(**changes):
    """age -> dose -> pulse, and a cycle of pulse -> sleep -> pulse."""
    edge_prob = np.zeros((4, 4))
    for source, target, probability in ((0, 1, 0.9), (1, 2, 0.8), (2, 3, 0.7), (3, 2, 0.6), (0, 3, 0.2), (1, 0, 0.05)):
        edge_prob[source, target] = probability
    return attrs.evolve(Result(names=NAMES, edge_prob=edge_prob, provenance=MADE), **changes)


def data(found, **options):
    page = found.to_html(**options)
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def words(page):
    """What a reader without a browser makes of it: text alone."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def test_the_page_names_its_table_its_network_and_what_ran_but_no_folder():
    page = result().to_html()
    for found in ("study.csv", "1 200 rows", "da7a", "ee16", "tabscm 9.9", "5 to 20 variables"):
        assert found in words(page)
    assert "somebody" not in page


def test_a_table_of_no_file_has_no_name():
    in_memory = attrs.evolve(MADE, table="X")
    for found in (result(provenance=None), result(provenance=in_memory)):
        assert "<title>A table · TabSCM</title>" in found.to_html()


def test_a_size_outside_of_the_training_is_said_first():
    lead = words(result().to_html()).split("The graph")[0]
    assert "The number of variables and of rows is outside of what the network was trained on." in lead
    inside = attrs.evolve(MADE, trained_variables=(2, 5), trained_rows=(2, 2000))
    assert "outside" not in words(result(provenance=inside).to_html()).split("The graph")[0]


def test_only_the_script_and_the_style_of_the_page_may_run():
    page = result().to_html()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for rule, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "Function("):
        assert way not in script
    assert "url(" not in style
    assert "@import" not in style


def test_without_doubts_the_page_says_so():
    text = words(result().to_html())
    assert "this network does not know" in text
    assert "Nothing odd was seen in it." in text
    assert "Nothing was given." in text
    assert "bootstrap" not in text.split("What to know")[0]
    assert "does not say which table" in words(result(provenance=None).to_html())


def test_doubts_are_on_the_page():
    found = result(
        notes=("column 'town' is text",),
        findings=(Finding("duplicate", ("age", "dose"), "hold the same"), Finding("time-ordered", (), "by its look")),
        familiarity=Familiarity(0.001, False, "heavier tails than any"),
        bootstrap=Bootstrap(NAMES, np.full((4, 4), 0.25), 100, 0.4),
    )
    lead, rest = words(found.to_html()).split("The graph", 1)
    assert "Unlike the tables of the training. heavier tails than any" in lead
    assert "2 things about the table" in lead
    for line in ("column 'town' is text", "duplicate age , dose hold the same", "the whole table by its look"):
        assert line in rest
    assert "Out of 100 tables" in rest
    assert "above 0.40" in rest
    assert data(found)["edges"][0]["often"] == [0.25, 0.25]
    familiar = attrs.evolve(found, familiarity=Familiarity(0.4, True, "like them"), findings=())
    assert "Unlike" not in words(familiar.to_html())


def test_knowledge_is_on_the_page_and_required_edges_are_always_drawn():
    found = result().given(Knowledge(required=[("sleep", "age")], exogenous=["sleep"], source="known.toml"))
    text = words(found.to_html())
    assert "From known.toml" in text
    assert "1 edge required" in text
    assert "sleep → age" in text
    assert [edge["p"] for edge in data(found)["edges"] if edge["required"]] == [1.0]
    for layout in data(found)["layouts"]:
        first = [(edge["from"], edge["to"]) for edge in data(found)["edges"]].index((3, 0))
        assert first in [route["edge"] for route in layout["routes"]]


@pytest.mark.parametrize("threshold", [0.0, 0.005, 0.3, 0.5, 0.65, 1.0])
def test_every_drawing_is_the_graph_above_its_threshold(threshold):
    found = result()
    plain = data(found, threshold=threshold)
    assert threshold in [layout["above"] for layout in plain["layouts"]]
    for layout in plain["layouts"]:
        graph, acyclic = found.graph(layout["above"]), found.graph(layout["above"], acyclic=True)
        ends = [
            (plain["edges"][route["edge"]]["from"], plain["edges"][route["edge"]]["to"]) for route in layout["routes"]
        ]
        assert sorted(ends) == [tuple(end) for end in np.argwhere(graph).tolist()]
        left_out = [(plain["edges"][edge]["from"], plain["edges"][edge]["to"]) for edge in layout["left_out"]]
        assert sorted(left_out) == [tuple(end) for end in np.argwhere(graph & ~acyclic).tolist()]
        assert len(layout["centres"]) == 4


def test_between_two_drawings_edges_only_go():
    """So that the script may show the lower one with fewer edges."""
    found = result()
    stops = [layout["above"] for layout in data(found)["layouts"]]
    for threshold in np.arange(0.05, 1, 0.01):
        stop = max(stop for stop in stops if stop <= threshold + 1e-9)
        assert not (found.graph(threshold) & ~found.graph(stop)).any()


def tangled(count=9):
    """Many cycles, of which another edge is the best to leave out at nearly every threshold."""
    edge_prob = np.random.default_rng(3).uniform(size=(count, count)) ** 2
    np.fill_diagonal(edge_prob, 0)
    return Result(names=tuple(f"v{index}" for index in range(count)), edge_prob=edge_prob)


def test_without_cycles_every_stop_of_the_slider_has_the_best_graph():
    found = tangled()
    plain = data(found, threshold=0.234)
    kept, differing = 0, 0
    for threshold in [step / plain["steps"] for step in range(1, 101)] + [0.234]:
        here = [one for one in plain["without_cycles"] if one["above"] <= threshold][-1]
        layout = [one for one in plain["layouts"] if one["above"] <= threshold][-1]
        shown = np.zeros((9, 9), dtype=bool)
        above = {number for number, edge in enumerate(plain["edges"]) if edge["p"] > threshold}
        for number in above - set(here["left_out"]):
            shown[plain["edges"][number]["from"], plain["edges"][number]["to"]] = True
        assert (shown == found.graph(threshold, acyclic=True)).all()
        kept += here["above"] < threshold
        differing += set(here["left_out"]) & above != set(layout["left_out"]) & above
    assert kept > 20  # a graph that does not change is not written again
    assert differing > 0  # less edges, the graph of the drawing would have been another


def test_the_table_holds_the_edges_for_who_runs_no_script():
    body = result().to_html().split("<tbody>")[1].split("</tbody>")[0]
    assert re.findall(r"<bdi>(.*?)</bdi>.*?<bdi>(.*?)</bdi></td><td>(.*?)</td>", body) == [
        ("age", "dose", "0.90"),
        ("dose", "pulse", "0.80"),
        ("pulse", "sleep", "0.70"),
        ("sleep", "pulse", "0.60"),
    ]
    assert "0.60" not in result().to_html(acyclic=True).split("<tbody>")[1].split("</tbody>")[0]


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_tables(count):
    found = Result(names=NAMES[:count], edge_prob=np.zeros((count, count)))
    plain = data(found)
    assert plain["edges"] == []
    assert len(plain["layouts"][0]["centres"]) == count


def test_more_edges_than_can_be_followed_are_listed_and_not_drawn():
    count = 80
    edge_prob = np.random.default_rng(0).uniform(0.02, 1, size=(count, count))
    np.fill_diagonal(edge_prob, 0)
    edge_prob[edge_prob < 0.99] *= 0.6
    found = Result(names=tuple(map(str, range(count))), edge_prob=edge_prob)
    plain = data(found)
    assert len(plain["edges"]) == LISTED < (edge_prob > 0.01).sum()
    assert found.graph(plain["floor"]).sum() < LISTED
    assert [layout for layout in plain["layouts"] if len(layout["routes"]) > DRAWN] == []
    assert plain["layouts"][0]["above"] > 0.5


@pytest.mark.parametrize(
    ("name", "shown", "columns"),
    [
        ("age", "age", 3),
        ("", "", 0),
        ("x" * 40, "x" * LABEL + "…", LABEL + 1),
        ("血" * 12, "血" * (LABEL // 2) + "…", LABEL + 1),
        ("e\u0301", "e\u0301", 1),
        ("e" + "\u0301" * 99, "e" + "\u0301" * 53 + "…", 2),
        ("a\nb\u202e", "a\ufffdb\ufffd", 4),
    ],
)
def test_names_fit_into_nodes(name, shown, columns):
    assert label(name) == (shown, columns)


def test_the_page_is_written_where_it_is_asked_for(tmp_path):
    file = tmp_path / "page.html"
    assert result().to_html(file) == file.read_text("utf-8")
    with pytest.raises(TabSCMError) as refusal:
        result().to_html(tmp_path)
    assert str(refusal.value) == f"{tmp_path}: is a folder. Name a file in it."
    with pytest.raises(TabSCMError) as refusal:
        result().to_html(tmp_path / "no" / "page.html")
    assert str(refusal.value) == f"{tmp_path / 'no' / 'page.html'}: there is no folder {tmp_path / 'no'}; make it first"


CLICKS = """
const at = (id) => document.getElementById(id);
const send = (place, event) => place.dispatchEvent(event);
const key = (place, name) => send(place, new KeyboardEvent("keydown", { key: name, bubbles: true }));
const all = (where) => [...document.querySelectorAll(where)];
const node = (name) => all(".node").find((one) => one.getAttribute("aria-label").startsWith(name));
const rows = () => all("#list tbody tr").map((row) => [...row.cells].map((cell) => cell.textContent).join(" "));
const slide = (value) => { at("threshold").value = value; send(at("threshold"), new Event("input")); };
const drawn = () => all(".edge").filter((one) => one.style.display !== "none").length;
const seen = {};
seen.first = [at("said").textContent, drawn(), rows()];
slide("0.65"); seen.higher = [at("said").textContent, drawn(), rows().length];
slide("0.1"); seen.lower = [at("above").textContent, drawn()];
slide("0.5");
at("acyclic").click(); seen.acyclic = [at("said").textContent, drawn()]; at("acyclic").click();
send(node("dose"), new MouseEvent("click", { bubbles: true }));
seen.chosen = [at("chosen").textContent, node("dose").getAttribute("aria-pressed"),
  all(".node.beside").map((one) => one.textContent)];
node("dose").focus(); key(node("dose"), "ArrowDown"); seen.down = document.activeElement.getAttribute("aria-label");
key(document.activeElement, "ArrowUp"); seen.up = document.activeElement.getAttribute("aria-label");
key(document.body, "Escape"); seen.let = document.querySelectorAll(".node.chosen").length;
at("search").value = "SLE"; send(at("search"), new Event("input"));
seen.search = [all(".node.found").map((one) => one.textContent), rows().length];
at("search").value = ""; send(at("search"), new Event("input"));
document.querySelector("th[data-sort=from] button").click(); seen.sorted = rows().map((row) => row.split(" ")[0]);
send(document.querySelector(".edge"), new PointerEvent("pointermove", { clientX: 9, clientY: 9 }));
seen.tip = [...at("tip").children].map((line) => line.textContent);
document.title = JSON.stringify(seen);
"""


def test_the_page_can_be_explored(opened):
    """In a browser, by a second script that the policy is told of."""
    found = result(bootstrap=Bootstrap(NAMES, np.full((4, 4), 0.25), 100, 0.5))
    digest = base64.b64encode(hashlib.sha256(CLICKS.encode()).digest()).decode()
    page = found.to_html().replace("script-src ", f"script-src 'sha256-{digest}' ")
    title, _ = opened(page.replace("</body>", f"<script>{CLICKS}</script></body>"))
    seen = json.loads(title)
    cycle = "One goes upwards, because it closes a cycle with others."
    assert seen["first"][:2] == [f"4 edges above 0.50 between 4 variables. {cycle}", 4]
    assert seen["first"][2][0] == "age dose 0.90 0.05 25 % 25 % 50 %"
    assert seen["higher"] == ["3 edges above 0.65 between 4 variables.", 3, 3]
    assert seen["lower"] == ["0.10", 5]
    assert seen["acyclic"] == ["3 edges above 0.50 between 4 variables.", 3]
    words, pressed, beside = seen["chosen"]
    assert (pressed, sorted(beside)) == ("true", ["age", "pulse"])
    for part in ("Causes: 1", "age0.90", "Effects: 1", "pulse0.80"):
        assert part in words
    assert seen["down"] == "pulse: 2 causes, 1 effect"
    assert seen["up"] == "dose: 1 cause, 1 effect"
    assert seen["let"] == 0
    assert seen["search"] == [["sleep"], 2]
    assert seen["sorted"] == ["age", "dose", "pulse", "sleep"]
    assert seen["tip"][0] in ("sleep → pulse", "age → dose", "dose → pulse", "pulse → sleep")
    assert seen["tip"][-1] == "bootstrap, 100 tables: → 25 %, ← 25 %, neither 50 %"


def test_the_page_of_a_table_without_edges_can_be_opened(opened):
    title, seen = opened(Result(names=("a",), edge_prob=np.zeros((1, 1))).to_html())
    assert title == "A table · TabSCM"
    assert "0 edges above 0.50 between 1 variable." in seen


def slide(browser, threshold):
    """Move the slider, and read the edges in the table."""
    browser.run(
        f"(() => {{ const slider = document.getElementById('threshold'); slider.value = '{threshold}'; "
        "slider.dispatchEvent(new Event('input')); })()"
    )
    return set(
        browser.run(
            "[...document.querySelectorAll('#list tbody tr')].map((row) => row.innerText.split(/\\s+/, 2).join(' '))"
        )
    )


def test_the_slider_shows_the_graph_of_its_threshold(browser, tmp_path):
    found = tangled()
    page = tmp_path / "page.html"
    found.to_html(page, threshold=0.234, acyclic=True)
    browser.open(page.as_uri())

    def named(threshold):
        return {f"{edge.source} {edge.target}" for edge in found.edges(threshold, acyclic=True)}

    assert browser.run("document.getElementById('said').textContent").endswith("above 0.234 between 9 variables.")
    assert browser.run("document.querySelectorAll('#list tbody tr').length") == len(named(0.234))
    for threshold in (0.07, 0.17, 0.23, 0.36, 0.64):
        assert slide(browser, threshold) == named(threshold)
        drawn = "[...document.querySelectorAll('.edge')].filter((one) => one.style.display !== 'none').length"
        assert browser.run(drawn) == len(named(threshold))


def test_cycles_can_be_left_out_from_where_the_page_knows_how(browser, tmp_path):
    """Between two drawings, too: the edges become few enough at 0.33, and the next drawing holds from 0.4."""
    count = 26
    edge_prob = np.triu(np.full((count, count), 0.325), 1)
    edge_prob[0, 1], edge_prob[1, 0] = 0.9, 0.8
    assert (edge_prob > 0.3).sum() > DRAWN
    page = tmp_path / "page.html"
    Result(names=tuple(map(str, range(count))), edge_prob=edge_prob).to_html(page, acyclic=True)
    browser.open(page.as_uri())
    for threshold, edges, known in ((0.32, ROWS, False), (0.33, 1, True), (0.35, 1, True), (0.45, 1, True)):
        assert len(slide(browser, threshold)) == edges
        assert ("left in" in browser.run("document.getElementById('said').textContent")) is not known
        assert browser.run("document.getElementById('acyclic').disabled") is not known


@pytest.mark.parametrize("width", [360, 500, 1200])
def test_the_page_is_no_wider_than_the_screen(browser, tmp_path, width):
    """Nor with long names and all columns of the bootstrap; a wide table scrolls in a box of its own."""
    names = ("age", "W" * 120, "sleep_in_hours_a_week_without_any_blank", "a b c d e f")
    found = result(
        names=names,
        notes=("x" * 200,),
        findings=(Finding("duplicate", (names[1], "age"), "hold the same " + names[1]),),
        familiarity=Familiarity(0.001, False, names[1]),
    ).given(Knowledge(required=[("age", names[1])], source=f"{'k' * 100}.toml"))
    page = tmp_path / "page.html"
    attrs.evolve(found, bootstrap=Bootstrap(names, np.full((4, 4), 0.25), 100, 0.4)).to_html(page)
    browser.open(page.as_uri(), width=width)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.overhang() == 0
    browser.run("document.querySelector('.node').dispatchEvent(new MouseEvent('click'))")
    assert browser.overhang() == 0
