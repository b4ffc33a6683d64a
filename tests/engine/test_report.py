"""The report of a run: what is on the page, what is escaped, and what it says of what is not there."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from tabscm import CheckpointError, TabSCMError
from tabscm.__main__ import main
from tabscm.engine.evaluate import evaluate
from tabscm.engine.loading import load_run
from tabscm.engine.page.pictures import layers
from tabscm.engine.page.shown import DASH
from tabscm.engine.report import gather, write_report

CPU = torch.device("cpu")
VOID = {"meta", "wbr", "br", "hr", "img", "link", "input"}
HOSTILE = '<script>alert("1")</script>&"\'><img src=x>'


class Page(HTMLParser):
    """A page read strictly: every element is closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words, self.sections = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, words):
        if not any(tag == "style" for tag, _ in self.open):
            self.words.append(words)
            for tag, attributes in self.open:
                if tag == "section":
                    self.sections[attributes["id"]] = self.sections.get(attributes["id"], "") + words

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of two steps, with whatever `run` makes."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    words = ["--set", "trainer.steps=2", "--set", "evaluation.tables=4", "--device", "cpu"]
    assert main(["run", "experiments/tiny.toml", "--out", str(run), *words]) == 0
    return run


@pytest.fixture(scope="module", autouse=True)
def root(pytestconfig):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(pytestconfig.rootpath)
        yield


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(trained, tmp_path / "tiny")


@pytest.fixture
def page(registry, tmp_path):
    """page(run) makes and reads the report of a run: (text, Page)."""

    def page(run):
        file = tmp_path / "page.html"
        write_report(run, file, registry, device=CPU)
        text = file.read_text("utf-8")
        return text, Page(text)

    return page


def test_run_leaves_a_page_with_every_section(trained):
    text = (trained / "report.html").read_text("utf-8")
    found = Page(text)
    assert [attributes["id"] for attributes in found.all("section")] == [
        "results",
        "training",
        "calibration",
        "tables",
        "health",
        "setup",
    ]
    assert len(found.all("h1")) == 1
    assert len(found.all("h2")) == 6
    targets = {attributes["href"] for attributes in found.all("a")}
    assert targets == {f"#{attributes['id']}" for attributes in found.all("section")}
    assert found.all("article")
    for words in ("torch", torch.__version__, "Python", "platform", "tabscm 0.1.0"):
        assert words in found.sections["setup"]
    # two steps, judged: nothing is missing
    assert 'class="gaps"' not in text


def test_the_page_loads_nothing_and_runs_nothing(trained):
    text = (trained / "report.html").read_text("utf-8")
    found = Page(text)
    for _, attributes in found.elements:
        assert not attributes.keys() & {"src", "srcset", "data", "action", "style", "onload", "onclick"}
        assert attributes.get("href", "#").startswith("#")
    assert {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.elements} == set()
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [meta["content"] for meta in found.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_every_picture_has_words(trained):
    text = (trained / "report.html").read_text("utf-8")
    pictures = re.findall(r'<svg [^>]*role="img".*?</svg>', text, re.DOTALL)
    assert len(pictures) > 10
    for picture in pictures:
        assert re.match(r"<svg [^>]*><title>[^<]+</title><desc>[^<]+</desc>", picture)
    others = [svg for svg in Page(text).all("svg") if svg.get("role") != "img"]
    assert all(svg["aria-hidden"] == "true" for svg in others)


def test_ids_are_unique(trained):
    ids = [
        attributes["id"] for _, attributes in Page((trained / "report.html").read_text()).elements if "id" in attributes
    ]
    assert len(ids) == len(set(ids))


def test_the_numbers_are_those_of_the_evaluation(trained):
    results = json.loads((trained / "eval.json").read_text())
    text = (trained / "report.html").read_text("utf-8")
    body = text.split("<tbody", 1)[1].split("</tbody>", 1)[0]
    rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    assert len(rows) == len(results) == 5
    metrics = [
        "auroc",
        "auroc_se",
        "ap",
        "density",
        "f1",
        "f1_chosen",
        "threshold_chosen",
        "shd",
        "shd_empty",
        "log_prob_gain",
        "ece",
        "direction",
    ]
    for row, (cell, values) in zip(rows, results.items(), strict=True):
        assert f"<bdi>{cell}</bdi>" in row
        shown = [float(value) for value in re.findall(r'<data value="([^"]+)"', row)]
        defined = [values[metric] for metric in metrics if values[metric] is not None]
        assert shown[: len(defined)] == defined


def test_calibration_and_pictures_are_of_the_tables_that_were_judged(trained, registry):
    report = gather(trained, registry, device=CPU)
    model, experiment = load_run(trained, registry, CPU)
    results = evaluate(model, experiment, device=CPU)
    for cell in report.cells:
        reading = cell.reading
        assert reading.tables == 4
        gaps = np.abs(np.subtract(reading.claimed, reading.occurred)).sum() / sum(reading.counts)
        assert gaps == pytest.approx(results[cell.name]["ece"])
        assert 0 <= reading.sortability <= 1


def test_every_edge_has_one_verdict(trained, registry):
    for cell in gather(trained, registry, device=CPU).cells:
        example = cell.reading.example
        true, asserted = example.adj > 0, example.edge_prob > 0.5
        counts = {verdict: len(example.of(verdict)) for verdict in ("found", "missed", "reversed", "extra")}
        assert counts["found"] == (true & asserted).sum()
        assert counts["found"] + counts["missed"] + counts["reversed"] == true.sum() == example.scores["edges"]
        assert counts["missed"] + counts["reversed"] + counts["extra"] == example.scores["shd"]
        assert sorted(example.order) == list(range(len(true)))


def test_layers_put_causes_above_effects():
    adj = np.zeros((5, 5), dtype=bool)
    adj[3, 1] = adj[1, 0] = adj[3, 0] = adj[4, 0] = True
    assert [sorted(layer) for layer in layers(adj)] == [[3, 4], [1], [0], [2]]
    assert layers(np.zeros((1, 1), dtype=bool)) == [[0]]


def test_what_a_user_wrote_is_escaped(run, page, tmp_path):
    cells = json.loads((run / "eval.json").read_text())
    (run / "eval.json").write_text(json.dumps({HOSTILE: cells["mixed-d20"], **cells}))
    (run / "origins.json").write_text(json.dumps({HOSTILE: {"distribution": HOSTILE, "version": "1"}}))
    event = {"step": 1, "kind": "health", "monitor": HOSTILE, "line": HOSTILE}
    term = {"step": 1, "kind": "train", "loss": 1.0, f"loss/{HOSTILE}": 1.0}
    with (run / "metrics.jsonl").open("a") as log:
        log.writelines(json.dumps(line) + "\n" for line in (event, term))
    spoilt = run.rename(tmp_path / "<img src=x>")
    text, found = page(spoilt)
    assert "<script" not in text
    assert "<img" not in text
    assert found.sections["results"].count(HOSTILE) == 1
    assert found.sections["health"].count(HOSTILE) == 2
    assert found.sections["setup"].count(HOSTILE) == 2
    assert HOSTILE in found.sections["training"]


def test_a_hostile_name_of_a_cell_is_escaped_in_its_pictures_too(tmp_path, registry, page, capsys):
    hostile = HOSTILE.replace("/", "")  # such a one is refused
    file = tmp_path / "hostile.toml"
    extends = json.dumps(str((tmp_path / "tiny.toml").resolve()))
    shutil.copy("experiments/tiny.toml", tmp_path)
    shutil.copy("experiments/quick.toml", tmp_path)
    file.write_text(
        f"extends = {extends}\n[evaluation]\ntables = 2\n[evaluation.cells.{json.dumps(hostile)}]\nrows = 30\n"
    )
    run = tmp_path / "run"
    assert main(["run", str(file), "--out", str(run), "--set", "trainer.steps=1", "--device", "cpu"]) == 0
    text, found = page(run)
    assert "<script" not in text
    assert "<img" not in text
    for section in ("results", "calibration", "tables"):
        assert hostile in found.sections[section]


def test_health_events_are_listed(run, page):
    assert "Events: none." in page(run)[1].sections["health"]
    event = {"step": 1, "kind": "health", "monitor": "collapse", "line": "all probabilities are the same"}
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(event) + "\n")
    _, found = page(run)
    assert "Events: none." not in found.sections["health"]
    assert "all probabilities are the same" in found.sections["health"]
    with (run / "metrics.jsonl").open("a") as log:
        log.writelines(json.dumps(event) + "\n" for _ in range(69))
    _, found = page(run)
    assert found.sections["health"].count("all probabilities are the same") == 60
    assert "and 10 more, in metrics.jsonl." in found.sections["health"]


def test_an_unfinished_run(run, page):
    (run / "eval.json").unlink()
    log = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(log[0] + log[1][:20])  # cut short while it was written
    _, found = page(run)
    words = " ".join("".join(found.words).split())
    assert "Training is not finished: 1 of 2 steps are logged." in words
    assert "The network was not judged on fresh tables yet: there is no eval.json." in words
    assert "Not judged yet." in found.sections["results"]
    assert found.all("article")  # there is a checkpoint, so there are pictures

    shutil.rmtree(run / "checkpoints")
    (run / "metrics.jsonl").unlink()
    _, found = page(run)
    words = " ".join("".join(found.words).split())
    assert "There is no checkpoint yet, so nothing is drawn that needs a network." in words
    assert "Training is not finished: 0 of 2 steps are logged." in words
    assert "No step has been logged yet." in found.sections["training"]
    assert not found.all("article")


def test_a_run_that_stopped_early_is_finished(tmp_path, page):
    run = tmp_path / "run"
    shutil.copy("experiments/tiny.toml", tmp_path)
    shutil.copy("experiments/quick.toml", tmp_path)
    file = tmp_path / "early.toml"
    file.write_text('extends = "tiny.toml"\n[trainer.early_stopping]\nmetric = "auroc"\npatience = 1\nleast = 1.0\n')
    short = [
        "--set",
        "trainer.validate_every=1",
        "--set",
        "trainer.validation_tables=2",
        "--set",
        "evaluation.tables=2",
    ]
    assert main(["run", str(file), "--out", str(run), *short, "--device", "cpu"]) == 0
    words = " ".join("".join(page(run)[1].words).split())
    assert "It stopped after step 2: auroc has not improved by 1 in 1 validations" in words
    assert "not finished" not in words


def test_a_damaged_checkpoint_is_said_on_the_page(run, page):
    (weights,) = run.glob("checkpoints/*/weights.safetensors")
    weights.write_bytes(b"")
    _, found = page(run)
    assert "The network cannot be read, so nothing is drawn that needs it:" in "".join(found.words)


def test_undefined_values_show_as_dashes(run, page):
    results = json.loads((run / "eval.json").read_text())
    (run / "eval.json").write_text(json.dumps({cell: dict.fromkeys(values) for cell, values in results.items()}))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = {"step", "kind"}
    undefined = [{key: value if key in kept else None for key, value in line.items()} for line in lines]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in undefined))
    text, found = page(run)
    assert "undefined throughout" in found.sections["training"]
    assert found.sections["results"].count(DASH) >= 5 * 9
    assert "nan" not in text.split("</style>")[1].split("<pre")[0].lower()


def test_tables_of_one_variable(tmp_path, page):
    file = tmp_path / "one.toml"
    shutil.copy("experiments/tiny.toml", tmp_path)
    shutil.copy("experiments/quick.toml", tmp_path)
    file.write_text('extends = "tiny.toml"\n[evaluation]\ntables = 2\n[evaluation.cells.one]\nvariables = 1\n')
    run = tmp_path / "run"
    assert main(["run", str(file), "--out", str(run), "--set", "trainer.steps=1", "--device", "cpu"]) == 0
    _, found = page(run)
    assert "1 variable," in found.sections["tables"]


def test_a_line_that_training_did_not_write_is_named(run, registry, tmp_path):
    with (run / "metrics.jsonl").open("a") as log:
        log.write("[]\n")
    lines = len((run / "metrics.jsonl").read_text().splitlines())
    with pytest.raises(CheckpointError) as error:
        write_report(run, tmp_path / "x.html", registry, device=CPU)
    assert str(error.value) == f"{run / 'metrics.jsonl'}, line {lines}: not a line that training writes"


def test_results_that_an_evaluation_did_not_write_are_named(run, registry, tmp_path):
    (run / "eval.json").write_text("[1]")
    with pytest.raises(CheckpointError) as error:
        write_report(run, tmp_path / "x.html", registry, device=CPU)
    message = (
        f"{run / 'eval.json'}: not what an evaluation writes. To judge again: python -m tabscm eval {run} --overwrite"
    )
    assert str(error.value) == message


def test_no_run(tmp_path, registry):
    with pytest.raises(CheckpointError) as error:
        write_report(tmp_path, tmp_path / "x.html", registry, device=CPU)
    assert (
        str(error.value) == f"{tmp_path}: not a run folder, it has no experiment.toml, so there is nothing to report on"
    )


def test_a_place_that_cannot_be_written(trained, tmp_path, registry):
    file = tmp_path / "none" / "x.html"
    with pytest.raises(TabSCMError) as error:
        write_report(trained, file, registry, device=CPU)
    assert str(error.value) == f"{file}: there is no folder {file.parent}; make it first"


def test_the_command(run, tmp_path, capsys):
    own, other = run / "report.html", tmp_path / "other.html"
    own.write_text("old")
    assert main(["report", str(run), "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{own}\n"
    assert own.read_text("utf-8").startswith("<!DOCTYPE html>")
    other.write_text("mine")
    assert main(["report", str(run), "--out", str(other), "--device", "cpu"]) == 2
    assert capsys.readouterr().err == f"{other}: exists already. Use --overwrite to replace it.\n"
    assert other.read_text() == "mine"
    assert main(["report", str(run), "--out", str(other), "--overwrite", "--device", "cpu"]) == 0
    assert other.read_text("utf-8").startswith("<!DOCTYPE html>")
