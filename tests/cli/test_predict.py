"""`predict`: edges and notes, files for machines, and one line for whatever is wrong with a table."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from tabscm.engine import familiarity, released
from tabscm.engine.release import renew_familiarity
from tabscm.kernel.registry import discover

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")
SACHS = str(ROOT / "tabscm/data/sachs.csv")
PREDICT = ["--where", "condition=cd3_cd28", "--threshold", "0.9", "--device", "cpu"]
SQUARES = "".join(f"{i},{i * i % 7}\n" for i in range(9))
NAMES = [f"x{i}" for i in range(31)]
WIDE = "\n".join(",".join(str(hash((row, i)) % 97) for i in range(31)) for row in range(9))
BAD_TABLES = {
    "empty": ("", "{}: this file is empty; the first row must name the columns"),
    "one row": ("a,b\n1,2\n", "{}: there is one row; a table needs at least two rows"),
    "constant": (
        "a,b\n1,2\n3,2\n",
        "{}: column 'b' has the same value in all 2 rows used; remove it, or leave it out by --without b",
    ),
    "NaN": (
        "a,b\n1,2\n3,nan\n",
        "{}: column 'b' has the same value in all 2 rows used where there is one; remove it, or leave it out by "
        "--without b",
    ),
    "infinity": (
        "a,b,c\n1,2,inf\n3,5,inf\n",
        "{}, row 2, column 'c': found 'inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "duplicate names": ("a,b,a\n1,2,3\n4,5,6\n", "{}, row 1: columns 1 and 3 are both called 'a'; rename one"),
    "not UTF-8": (
        b"a,b\n1,2\n\xff,3\n",
        "{}, row 3, column 1: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "text": (
        "a,b\n1,2\n3,x\n",
        "{}, row 3, column 'b': found 'x' in a column of numbers; correct it, or remove the row or the column",
    ),
    "too many columns": (
        ",".join(NAMES) + "\n" + WIDE + "\n",
        "{}: 31 variables, and this model takes at most 30; remove columns, or train a model on larger tables",
    ),
}


def test_predict_with_a_network_that_has_not_finished(call, trained, tmp_path):
    run = tmp_path / "unfinished"
    shutil.copytree(trained, run)
    (run / "eval.json").unlink()
    code, _, err = call("predict", SACHS, "--run", run, *PREDICT)
    assert code == 0
    assert err.splitlines()[0] == f"note: {run} has not finished its training"


def test_a_component_that_is_gone_is_named_with_who_brought_it(call, trained, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree(trained, run)
    origins = json.loads((run / "origins.json").read_text())
    origins["mechanism/wave"] = {"distribution": "tabscm-wave", "version": "0.1"}
    (run / "origins.json").write_text(json.dumps(origins))
    experiment = (run / "experiment.toml").read_text()
    (run / "experiment.toml").write_text(experiment.replace('use = "sine"', 'use = "wave"'))
    for manifest in run.glob("checkpoints/*/manifest.json"):
        sealed = json.loads(manifest.read_text())
        del sealed["experiment"], sealed["seal"]
        manifest.write_text(json.dumps(sealed))
    code, _, err = call("predict", SACHS, "--run", run, *PREDICT)
    assert code == 2
    assert err.splitlines()[0] == f"note: {run}: mechanism wave came from tabscm-wave 0.1; install it again"


def test_predict_takes_the_released_model_when_no_run_is_named(call, trained, shipped):
    trained_says = json.loads(call("predict", SACHS, "--run", trained, "--json")[1])
    code, out, _ = call("predict", SACHS, "--json")
    # a release knows the tables of its training besides
    assert trained_says["familiarity"] is None
    assert json.loads(out) == {**trained_says, "familiarity": json.loads(out)["familiarity"]}
    assert call("predict", SACHS, "--run", "base", "--json") == (code, out, "")
    assert call("predict", SACHS, "--run", shipped, "--json") == (code, out, "")


def test_predict_where_nothing_is_released_says_what_to_do(call, tmp_path, monkeypatch):
    monkeypatch.setattr(released, "WEIGHTS", tmp_path / "weights")
    message = (
        "no trained model comes with this installation. Train one, python -m tabscm run EXPERIMENT, and name its "
        "folder, or put it into the package: python -m tabscm release RUN\n"
    )
    assert call("predict", SACHS) == (2, "", message)
    assert call("eval") == (2, "", message)


def test_predict_prints_edges_and_notes_apart(call, trained):
    code, out, err = call("predict", SACHS, "--run", trained, *PREDICT)
    assert code == 0
    assert out.startswith("No edge is above 0.9, of 110 ordered pairs of 11 variables. The most probable ones:\n")
    assert err.splitlines()[0] == "note: kept 853 of 7466 rows with 'condition' = 'cd3_cd28'"


def test_predict_with_categories_and_missing_cells(call, trained, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("a,b,dose,day\n" + "1,2,low,1\n3,,high,1\n2,5,low,?\n7,1,mid,1\n" * 10)
    words = ["predict", file, "--run", trained, "--device", "cpu", "--json", "--without", "day"]
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["variables"] == ["a", "b", "dose"]
    read = (
        "column 'dose' is read as numbers: 'high' = 0, 'low' = 1, 'mid' = 2; if another order is meant, write numbers "
        "in that order, and where there is none, trust arrows at it less"
    )
    assert found["notes"][:3] == [
        "left out, as asked: 'day'",
        f"{read}; leave out what is no variable",
        "10 of 120 cells are missing and read as unknown: of 'b' 25 %",
    ]
    again = json.loads(call(*words, "--category", "dose")[1])
    assert again["edge_prob"] == found["edge_prob"]
    assert again["notes"][1] == read


def test_predict_at_the_threshold_that_was_chosen_on_validation(call, trained):
    threshold = json.loads((trained / "checkpoints/step-00000002/state.json").read_text())["threshold"]
    assert 0 < threshold < 1
    assert threshold != 0.5
    words = ["predict", SACHS, "--run", trained, "--where", "condition=cd3_cd28", "--device", "cpu", "--json"]
    found = json.loads(call(*words, "--threshold", "chosen")[1])
    assert found["threshold"] == threshold
    assert found["edges"] == json.loads(call(*words, "--threshold", threshold)[1])["edges"]
    printed = call(*words[:-1], "--threshold", "0.374874")[1]
    assert " above 0.375, of 110 ordered pairs of 11 variables." in printed
    assert " above 0.999999, of " in call(*words[:-1], "--threshold", "0.999999")[1]


def test_predict_knows_no_threshold_that_was_chosen_for_one_specialist(call):
    message = (
        'threshold "chosen": validation chose one for all networks together, and none for gaussian alone; give a '
        "number\n"
    )
    words = ["predict", SACHS, "--run", "base:gaussian", "--where", "condition=cd3_cd28", "--threshold", "chosen"]
    assert call(*words) == (2, "", message)


def test_predict_for_machines(call, trained, tmp_path):
    graph = ["--graph", ROOT / "tabscm/data/sachs_edges_17.csv"]
    code, out, err = call("predict", SACHS, "--run", trained, *PREDICT, *graph, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert len(found["variables"]) == 11
    assert [len(line) for line in found["edge_prob"]] == [11] * 11
    assert found["edges"] == []
    assert found["score"]["shd_empty"] == 17
    assert found["score"]["precision"] is None

    file = tmp_path / "sachs.json"
    code, printed, _ = call("predict", SACHS, "--run", trained, *PREDICT, *graph, "--json", file)
    assert code == 0
    assert file.read_text() == out
    assert "Against the known graph, which has 17 edges:\n" in printed
    again = call("predict", SACHS, "--run", trained, *PREDICT, "--json", file)
    assert again == (2, "", f"{file}: exists already. Use --overwrite to replace it.\n")
    assert call("predict", SACHS, "--run", trained, *PREDICT, "--json", file, "--overwrite")[0] == 0
    assert "score" not in json.loads(file.read_text())


def test_columns_that_say_nothing_are_left_out_by_the_options_that_are_offered(call, trained, tmp_path):
    table = tmp_path / "t.csv"
    header = "a,b,no value,k0,k1,k2,k3,k4\n"
    table.write_text(header + "".join(f"{i},{i * i % 7},,1,2,3,4,5\n" for i in range(9)))
    code, _, err = call("predict", table, "--run", trained)
    options = "--without 'no value' --without k0 --without k1 --without k2 --without k3"
    assert (code, err) == (
        2,
        f"{table}: column 'no value' holds no value and columns 'k0', 'k1', 'k2', 'k3', 'k4' have the same value in "
        f"all 9 rows used; remove them, or leave them out by {options} and so on\n",
    )
    assert call("predict", table, "--run", trained, *shlex.split(options), "--without", "k4")[0] == 0


def test_what_is_read_is_not_replaced_by_what_is_written(call, trained, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(text := "-x,b,c\n" + "".join(f"1,{i},{i * i % 7}\n" for i in range(9)))
    for words in (["--out", table], ["--json", table]):
        code, out, err = call("predict", table, "--run", trained, *words, "--overwrite")
        refusal = f"{table}: is read for this result, which would replace it. Name another file.\n"
        assert (code, out, err) == (2, "", refusal)
        assert call("predict", table, "--run", trained, *words)[2] == refusal
    graph = tmp_path / "g.csv"
    graph.write_text("from,to\nb,c\n")
    parts = tmp_path / "parts"
    parts.mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    weights = next(trained.glob("checkpoints/*/*.safetensors"))
    for file in (graph, parts / "p.json", link, weights):
        given = parts if file.parent == parts else table
        words = ("--run", trained, "--graph", graph, "--json", file, "--overwrite")
        assert call("predict", given, *words)[2].startswith(f"{file}: is read for this result"), file
    assert table.read_text() == text
    *_, option = call("predict", table, "--run", trained)[2].split()
    assert option == "--without=-x"
    assert call("predict", table, "--run", trained, option)[0] == 0


def test_predict_says_what_is_odd_about_a_table(call, trained, tmp_path):
    file = tmp_path / "x.csv"
    values = np.random.default_rng(0).normal(size=(60, 3))
    file.write_text("id,a,b,c\n" + "".join(f"{row},{a},{b},{2 * a}\n" for row, (a, b, _) in enumerate(values)))
    code, _, err = call("predict", file, "--run", trained, "--device", "cpu")
    assert code == 0
    assert err.splitlines()[-2:] == [
        "note: column 'id' counts the rows; kept. If it is no measurement, remove it",
        "note: columns 'a' and 'c' are the same but for their units: which of them causes what is undecidable; both "
        "are kept",
    ]
    found = json.loads(call("predict", file, "--run", trained, "--device", "cpu", "--json")[1])
    assert [(finding["kind"], finding["columns"]) for finding in found["findings"]] == [
        ("id-like", ["id"]),
        ("duplicate", ["a", "c"]),
    ]
    assert found["findings"][0]["line"] == err.splitlines()[-2].removeprefix("note: ")


def test_predict_says_that_a_table_is_unlike_those_of_the_training(call, shipped, tmp_path, monkeypatch):
    monkeypatch.setattr(familiarity, "TABLES", 300)
    renew_familiarity(shipped, discover())
    file = tmp_path / "x.csv"
    values = np.random.default_rng(0).normal(size=(40, 5))
    values[:, 1:] = 100 * np.exp(8 * values[:, :1]) + np.exp(3 * values[:, 1:])
    np.savetxt(file, values, delimiter=",", header="a,b,c,d,e", comments="")
    code, _, err = call("predict", file, "--device", "cpu")
    assert code == 0
    assert err.splitlines()[-1].startswith("note: the table looks unlike those that the network was trained on (")
    found = json.loads(call("predict", file, "--device", "cpu", "--json")[1])["familiarity"]
    assert not found["inside"]
    assert err.splitlines()[-1] == f"note: {found['line']}"


def test_predict_with_a_bootstrap(call, trained):
    words = ["predict", SACHS, "--run", trained, *PREDICT, "--bootstrap", "3"]
    code, out, _ = call(*words)
    assert code == 0
    assert out.splitlines()[1].endswith("  0% ->    0% <-  100% none")
    assert out.splitlines()[-1] == "In per cent: what 3 graphs at 0.9 of rows drawn again have there."
    found = json.loads(call(*words, "--acyclic", "--json")[1])["bootstrap"]
    assert (found["repeats"], found["threshold"], found["acyclic"]) == (3, 0.9, True)
    assert np.array(found["frequency"]).shape == (11, 11)


def test_predict_writes_what_the_endings_of_files_say(call, trained, tmp_path):
    files = [tmp_path / f"graph{ending}" for ending in (".html", ".json", ".csv", ".gml", ".DOT")]
    words = ["predict", SACHS, "--run", trained, *PREDICT, "--threshold", "0.1"]
    out = [word for file in files for word in ("--out", file)]
    code, printed, told = call(*words, *out, "--json", tmp_path / "all.json")
    assert code == 0
    assert told.startswith("".join(f"written: {file}\n" for file in [*files, tmp_path / "all.json"]))
    page, whole, edges, gml, dot = (file.read_text("utf-8") for file in files)
    assert "<title>sachs.csv · TabSCM</title>" in page
    assert json.loads(whole) == json.loads(call(*words, "--json")[1])
    assert (
        len(json.loads(whole)["edges"]) == len(edges.splitlines()) - 1 == gml.count("edge [") == dot.count(" -> ") > 0
    )
    assert printed == call(*words)[1]
    assert call(*words, *out) == (2, "", f"{files[0]}: exists already. Use --overwrite to replace it.\n")
    assert call(*words, *out, "--overwrite")[0] == 0


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_predict_says_where_it_cannot_write_before_it_reads(call, tmp_path, option):
    """The table is not there either, and would be named if it were looked for."""
    away, folder = tmp_path / "no" / "graph.json", tmp_path / "graph.json"
    folder.mkdir()
    message = f"{away}: there is no folder {away.parent}; make it first\n"
    assert call("predict", tmp_path / "none.csv", option, away) == (2, "", message)
    assert call("predict", tmp_path / "none.csv", option, folder) == (
        2,
        "",
        f"{folder}: is a folder. Name a file in it.\n",
    )


def test_predict_refuses_an_ending_that_says_nothing(call, tmp_path):
    message = (
        "--out graph.txt: what it is to be is told by how its name ends: .html (a page to explore), .csv (the edges), "
        ".json (everything), .gml (for networkx, Gephi, Cytoscape), .dot (for Graphviz)\n"
    )
    assert call("predict", SACHS, "--out", "graph.txt") == (2, "", message)


def test_predict_obeys_knowledge(call, trained, tmp_path):
    known = tmp_path / "k.toml"
    known.write_text('tiers = [["pl*"], ["raf"]]\nrequired = [{ from = "raf", to = "mek" }]\n')
    code, out, err = call("predict", SACHS, "--run", trained, *PREDICT, "--knowledge", known)
    assert (code, out.splitlines()[0]) == (0, "raf -> mek  1.00  required")
    assert out.splitlines()[-1] == "1 above 0.9 or required, of 110 ordered pairs of 11 variables."
    assert f"note: {known}: 1 edge required, 3 forbidden" in err.splitlines()
    for acyclic in ([], ["--acyclic"]):
        words = ["--knowledge", known, "--json", *acyclic]
        found = json.loads(call("predict", SACHS, "--run", trained, *PREDICT, *words)[1])
        assert [(edge["from"], edge["to"]) for edge in found["edges"]] == [("raf", "mek")]
        assert {"from": "raf", "to": "plc"} in found["knowledge"]["forbidden"]


def test_predict_refuses_knowledge_that_contradicts_itself(call, trained, tmp_path):
    known = tmp_path / "k.txt"
    known.write_text("/knowledge\naddtemporal\n1 raf\n2 mek\nrequiredirect\nmek raf\n")
    message = (
        f"{known}: 1 problem\n\n  line 6\n    'mek' -> 'raf' is required, but 'mek' is in line 4, later than 'raf' in "
        "line 3\n    move one of them, or remove the edge\n"
    )
    assert call("predict", SACHS, "--run", trained, *PREDICT, "--knowledge", known) == (2, "", message)


def test_predict_into_a_folder_that_is_not_there(call, trained, tmp_path):
    file = tmp_path / "none" / "sachs.json"
    code, _, err = call("predict", SACHS, "--run", trained, *PREDICT, "--json", file)
    assert (code, err) == (2, f"{file}: there is no folder {file.parent}; make it first\n")


def test_a_column_cannot_have_two_values(call):
    message = "--where gives column condition two values, a and b; no row has both\n"
    words = ["--where", "condition=a", "--where", "condition=b"]
    assert call("predict", SACHS, "--run", "nowhere", *words) == (2, "", message)


@pytest.mark.parametrize(("content", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_one_line(call, trained, tmp_path, content, message):
    file = tmp_path / "x.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert call("predict", file, "--run", trained, "--device", "cpu") == (2, "", message.format(file) + "\n")


def test_a_bad_graph_is_one_line(call, trained, tmp_path):
    table, graph = tmp_path / "x.csv", tmp_path / "graph.csv"
    table.write_text("a,b\n" + SQUARES)
    graph.write_text("from,to\na,c\n")
    words = ["predict", table, "--run", trained, "--graph", graph, "--device", "cpu"]
    message = f"{graph}, row 2, column 'to': the table has no variable 'c'; there are 'a', 'b'\n"
    assert call(*words) == (2, "", message)


def test_a_damaged_checkpoint_is_one_line(call, trained, tmp_path):
    table, run = tmp_path / "x.csv", tmp_path / "run"
    table.write_text("a,b\n" + SQUARES)
    shutil.copytree(trained, run)
    (run / "checkpoints/step-00000002/weights.safetensors").write_bytes(b"")
    message = (
        f"{run}: no checkpoint can be used (step-00000002: weights.safetensors changed since it was written (sha256 "
        f"differs)). To start again: python -m tabscm run EXPERIMENT --out {run} --overwrite\n"
    )
    for words in (["predict", table, "--run", run], ["eval", run], ["run", TINY, "--out", run, "--resume"]):
        overrides = ["--set", "trainer.steps=2"] if words[0] == "run" else []
        assert call(*words, *overrides, "--device", "cpu") == (2, "", message)


def test_a_cluster_draws_no_rows_again(call, tmp_path):
    message = (
        "--cluster: --bootstrap draws rows of the whole table again, which are nowhere together. Leave it out, or draw "
        "a million rows and read them here.\n"
    )
    assert call("predict", tmp_path, "--cluster", "tcp://host:8786", "--bootstrap", "3") == (2, "", message)


def test_a_cluster_of_gpus(call, tmp_path):
    message = "--cluster: its workers compute on their CPUs. Leave out --device.\n"
    assert call("predict", tmp_path, "--cluster", "tcp://host:8786", "--device", "cuda") == (2, "", message)
