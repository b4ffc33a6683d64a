"""`bench` accuracy, familiarity, invariance and speed."""

import json
from pathlib import Path

import pytest

from tabscm.engine import bench, familiarity, outsiders, scale

ROOT = Path(__file__).parents[2]
SACHS = str(ROOT / "tabscm/data/sachs.csv")
TINY = str(ROOT / "experiments/tiny.toml")


def test_bench_of_invariance(call, trained, shipped):
    for words in (["--run", trained], []):  # the released model
        code, out, err = call("bench", "invariance", *words, "--tables", "20", "--device", "cpu")
        assert (code, err) == (0, "")
        assert out.splitlines()[0].startswith("20 tables  ")
        assert [line.split()[2:4] for line in out.splitlines()[1:]] == [["0", "0"]] * 3


def test_bench_of_familiarity(call, trained, shipped, monkeypatch):
    monkeypatch.setattr(outsiders, "SUITES", ("sachs-e17",))
    code, out, err = call("bench", "familiarity", "--inside", "6", "--tables", "2", "--cells", TINY)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["kind", "tables", "AUROC", "warned"]
    assert lines[1].startswith("fresh tables of the stream  ")
    assert lines[2].startswith("tiny: mixed-d20 ")
    assert len(lines[1].split("%")[0].split()) == 7
    assert call("bench", "familiarity", "--run", trained) == (
        2,
        "",
        f"{trained}: says nothing of what its tables look like; only released models do. Make one: python -m tabscm "
        "release RUN\n",
    )


def test_bench(call, shipped, monkeypatch):
    monkeypatch.setattr(scale, "VARIABLES", (4,))
    monkeypatch.setattr(scale, "ROWS", (30,))
    monkeypatch.setattr(bench, "REPEATS", 2)
    for words in ([TINY], []):  # that of the released model
        code, out, err = call("bench", "speed", *words, "--device", "cpu")
        assert code == 0
        assert "tables/s" in out
        assert out.splitlines()[-1].startswith("D = 4 ")
        assert err.startswith("prediction, D = 4, N = 30: 0.")


def test_bench_of_familiarity_renews_what_tables_look_like(call, trained, shipped, monkeypatch):
    monkeypatch.setattr(outsiders, "SUITES", ("sachs-e17",))
    words = ["bench", "familiarity", "--inside", "6", "--tables", "2", "--cells", TINY]
    before = {path.name: path.read_bytes() for path in shipped.iterdir()}
    monkeypatch.setattr(familiarity, "TABLES", 90)
    assert call(*words, "--renew")[0] == 0
    after = {path.name: path.read_bytes() for path in shipped.iterdir()}
    assert len(json.loads(after["familiarity.json"])["distances"]) == 90
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"familiarity.json", "manifest.json"}
    assert call("predict", SACHS, "--device", "cpu")[0] == 0  # the model is whole
    code, out, err = call(*words, "--renew", "--run", trained)
    message = f"{trained}: not a released model. Make one: python -m tabscm release {trained}\n"
    assert (code, out, err) == (2, "", message)


def test_bench_accuracy_of_a_run_goes_on_where_it_stopped(call, trained, tmp_path):
    words = ["bench", "accuracy", "--run", trained, "--out", tmp_path, "--suites", "gauss-d10-n200"]
    words += ["--methods", "tabscm", "correlation", "--tables", "2"]
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "1 suites, 2 methods: 4 answers to come, 0 are there"
    assert lines[1].startswith("[1/1] gauss-d10-n200: AP tabscm 0.")
    assert (tmp_path / "table.md").read_text() in out
    ours = [json.loads(line) for line in (tmp_path / "records/gauss-d10-n200/tabscm.jsonl").read_text().splitlines()]
    assert [record["state"] for record in ours] == ["answered"] * 2
    assert all(record["metrics"]["log_prob"] < 0 for record in ours)
    assert len(json.loads((tmp_path / "results.json").read_text())["gauss-d10-n200"]["methods"]) == 2
    code, again, err = call(*words, "--methods", "tabscm")
    assert again.splitlines()[0] == "1 suites, 1 methods: 0 answers to come, 2 are there"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "nowhere"], "nowhere: "),
        (
            ["--suites", "gauss-d10-n100"],
            '--suites: there is no "gauss-d10-n100". Did you mean "gauss-d10-n1000"?\nthere are: gauss-equal-d10',
        ),
        (
            ["--methods", "lingan"],
            '--methods: there is no "lingan". Did you mean "lingam"?\nthere are: tabscm, pc, ges, ',
        ),
        (["--cells", "nowhere.toml"], "nowhere.toml: "),
    ],
)
def test_an_accuracy_benchmark_that_makes_no_sense(call, tmp_path, monkeypatch, words, message):
    monkeypatch.setattr("tabscm.engine.benchmark.methods.find_spec", lambda name: object())
    code, out, err = call("bench", "accuracy", "--out", tmp_path / "out", *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert not (tmp_path / "out").exists()
