"""The command line, as somebody who types meets it: texts, files and exit codes."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

from tabscm import commands
from tabscm.__main__ import main
from tabscm.engine import ablation, bench, released, scale
from tabscm.engine.trial import Outcome
from tabscm.kernel import registry
from tabscm.kernel.registry import Quarantined, Registry, discover

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "experiments/tiny.toml")
SACHS = str(ROOT / "tabscm/data/sachs.csv")
GOOD = re.compile(rf"{re.escape(TINY)}: good, [\d,]+ parameters\n")


@pytest.fixture
def call(capsys):
    """call(*words) runs a command: (exit code, standard output, standard error)."""

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of two steps."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["run", TINY, "--out", str(run), "--set", "trainer.steps=2", "--device", "cpu"]) == 0
    return run


@pytest.fixture
def shipped(trained, tmp_path, monkeypatch):
    """A package in which one model is released, `base`."""
    monkeypatch.setattr(released, "WEIGHTS", tmp_path / "weights")
    assert main(["release", str(trained), "--device", "cpu"]) == 0
    return tmp_path / "weights" / "base"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["report", "--help"],
        ["ablate", "--help"],
        ["bench", "accuracy", "--help"],
        ["--version"],
    ],
)
def test_help_imports_no_torch(words):
    code = f"""
import sys
from tabscm.__main__ import main
try:
    main({words})
except SystemExit as end:
    assert end.code == 0
assert not {{"torch", "numpy", "networkx"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_is_in_the_help(call):
    code, out, err = call()
    assert (code, err) == (2, "")
    for command in ("run", "check", "eval", "predict", "report", "release", "ablate", "bench", "list"):
        assert f"\n    {command} " in out


def test_version(call):
    assert call("--version") == (0, "tabscm 0.1.0\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["eval", "x", "--tables", "0"], "argument --tables: expected a whole number above 0, found '0'"),
        (["eval", "x", "--tables", "-3"], "argument --tables: expected a whole number above 0, found '-3'"),
        (
            ["predict", "x", "--run", "y", "--threshold", "2"],
            "argument --threshold: expected a number from 0 to 1, or chosen, found '2'",
        ),
        (
            ["predict", "x", "--run", "y", "--threshold", "nan"],
            "argument --threshold: expected a number from 0 to 1, or chosen, found 'nan'",
        ),
        (["predict", "x", "--run", "y", "--where", "a"], "argument --where: expected COLUMN=VALUE, found 'a'"),
        (
            ["ablate", "x", "--swap", "loss"],
            "argument --swap: expected KEY=V1,V2 with different values, found 'loss'",
        ),
        (
            ["ablate", "x", "--swap", "loss=bce,bce"],
            "argument --swap: expected KEY=V1,V2 with different values, found 'loss=bce,bce'",
        ),
        (
            ["ablate", "x", "--seeds", "1,1"],
            "argument --seeds: expected different whole numbers, such as 42,123,456, found '1,1'",
        ),
        (["ablate", "x", "--seconds", "0"], "argument --seconds: expected a number of seconds above 0, found '0'"),
        (["ablate", "x", "--jobs", "2", "--cluster", "y"], "argument --cluster: not allowed with argument --jobs"),
        (["run", "x", "--resume", "--overwrite"], "argument --overwrite: not allowed with argument --resume"),
    ],
)
def test_arguments_that_make_no_sense(capsys, words, message):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"tabscm {words[0]}: error: {message}"


def test_a_checkout_that_was_not_installed(call, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    message = "No plugins are installed, not even the built-in ones. Run: pip install -e .\n"
    assert call("list") == (2, "", message)


def test_an_interrupt_is_no_traceback(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "discover", interrupted)
    assert call("list") == (130, "", "\nstopped\n")


def test_a_reader_that_has_gone_is_no_news():
    process = subprocess.Popen(
        [sys.executable, "-m", "tabscm", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == ""
    assert process.wait() == 141


def test_list_of_one_kind(call, monkeypatch, shelf):
    monkeypatch.setattr(commands, "discover", lambda: shelf)
    assert call("list", "mechanism") == (
        0,
        "mechanism\n"
        "  linear   A sum.\n"
        "           shelf 1.0, conftest.py\n"
        "  mixture  Several mechanisms.\n"
        "           shelf 1.0, conftest.py\n"
        "  sine     A wave.\n"
        "           shelf 1.0, conftest.py\n",
        "",
    )


def test_list_of_everything_fits_and_shows_every_component(call, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, err = call("list")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 120
    for entry in discover().entries():
        assert f"\n  {entry.component_class.name} " in out
        assert f"{entry.component_class.__doc__.splitlines()[0]} " in " ".join(out.split()) + " "
    assert "tabscm 0.1.0, plugins/tabscm_builtin/losses/bce.py\n" in out


def test_list_names_what_could_not_be_loaded(call, monkeypatch, shelf):
    broken = Quarantined("acme", "1.0", "ImportError: no module")
    monkeypatch.setattr(commands, "discover", lambda: Registry(shelf.entries(), [broken]))
    _, out, _ = call("list", "noise")
    assert out == (
        "noise\n  gaussian  The normal distribution.\n            shelf 1.0, conftest.py\n"
        "could not be loaded\n  acme 1.0 (ImportError: no module)\n"
    )


def test_list_of_a_kind_that_is_none(call):
    message = (
        'no kind is called "mechanisms". Did you mean "mechanism"?\n'
        "kinds: graph, noise, mechanism, intervention, measurement, embedding, encoder, head, loss, regulariser\n"
    )
    assert call("list", "mechanisms") == (2, "", message)


def test_check_of_every_experiment_that_ships(call):
    # a file whose name starts with an underscore is laid on others, and is no experiment by itself
    files = sorted(map(str, (ROOT / "experiments").rglob("[!_]*.toml")))
    code, out, err = call("check", *files)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(files)
    assert all(line.startswith(f"{file}: good, ") for file, line in zip(files, lines, strict=True))
    assert GOOD.fullmatch(call("check", TINY)[1])


def test_check_names_all_mistakes_of_all_files(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(f'extends = "{TINY}"\nseed = -1\nwidth = 0')
    Path("b.toml").write_text(f'extends = "{TINY}"\nloss = "foccal"')
    code, out, err = call("check", "a.toml", TINY, "b.toml")
    assert code == 2
    assert GOOD.fullmatch(out)
    assert err == (
        "a.toml: 2 problems\n\n  seed\n    'seed' must be >= 0: -1\n\n  width\n    'width' must be >= 1: 0\n\n"
        'b.toml: 1 problem\n\n  loss\n    no loss is called "foccal". Did you mean "focal"?\n'
        f"    on offer: {', '.join(discover().names('loss'))}\n"
    )


def test_check_sees_what_only_the_network_can_tell(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(
        f'extends = "{TINY}"\nhead = "pair"\nembedding = "simple"\nencoder = "columns"\nwidth = 15'
    )
    message = "a.toml: 1 problem\n\n  encoder\n    columns: width 15 is not a multiple of heads, which is 4\n"
    assert call("check", "a.toml") == (2, "", message)


def test_run_ends_with_the_next_command_to_type(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("run", TINY, "--set", "trainer.steps=1", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"Next: python -m tabscm predict {SACHS} --run runs/tiny"
    left = {path.name.split(".tfevents")[0] for path in Path("runs/tiny").iterdir()}
    assert left == {
        *("checkpoints", "eval.json", "events.out", "experiment.toml", "metrics.jsonl", "origins.json"),
        *("report.html", "training_log.csv"),
    }
    results = json.loads(Path("runs/tiny/eval.json").read_text())
    assert "mixed-d20" in results
    assert {"auroc", "ap", "f1", "shd", "f1_chosen", "shd_chosen"} <= results["mixed-d20"].keys()
    state = json.loads(Path("runs/tiny/checkpoints/step-00000001/state.json").read_text())
    assert {values["threshold_chosen"] for values in results.values()} == {state["threshold"]}
    assert f"above {state['threshold']:.2f}" in out
    assert json.loads(Path("runs/tiny/origins.json").read_text())["loss/bce"] == {
        "distribution": "tabscm",
        "version": "0.1.0",
    }


def test_an_interrupted_run_says_how_to_go_on(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "carry_out", interrupted)
    again = f"\nstopped. To go on: python -m tabscm run {TINY} --set=seed=7 --out=runs/tiny"
    code, _, err = call("run", TINY, "--set", "seed=7")
    assert (code, err) == (130, f"{again} --resume\n")
    code, _, err = call("run", TINY, "--set", "seed=7", "--device", "cpu", "--overwrite")
    assert (code, err) == (130, f"{again} --device=cpu --resume\n")


def test_an_interrupted_ablation_says_how_to_go_on(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "ablate", interrupted)
    code, _, err = call("ablate", TINY)
    assert (code, err) == (130, f"\nstopped. To go on: python -m tabscm ablate {TINY} --out=ablations/tiny\n")
    words = (
        "--swap=loss=bce,focal --swap=width=16,8 --seeds=1,2 --seconds=1.5 --set=seed=7 --out=a. --cell=mixed-d20 "
        "--metric=ap --metric=shd --jobs=2 --device=cpu"
    )
    code, _, err = call("ablate", TINY, *words.split(), "--overwrite")
    assert (code, err) == (130, f"\nstopped. To go on: python -m tabscm ablate {TINY} {words}\n")


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
        del sealed["experiment"]
        manifest.write_text(json.dumps(sealed))
    code, _, err = call("predict", SACHS, "--run", run, *PREDICT)
    assert code == 2
    assert err.splitlines()[0] == f"note: {run}: mechanism wave came from tabscm-wave 0.1; install it again"


def test_run_overwrites_nothing(call, trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    message = (
        f"{trained}: is not empty. Use --resume to go on with it, --overwrite to start it again, or --out for another "
        "folder.\n"
    )
    assert call("run", TINY, "--out", trained) == (2, "", message)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_run_does_not_resume_another_experiment(call, trained):
    message = (
        f"{trained}: this is the run of another experiment, so it cannot be resumed:\n"
        "  seed: 0 there, 1 here\n  trainer.steps: 2 there, 20 here\n"
        "Give the file and the --set of then to go on, or --overwrite to start again.\n"
    )
    assert call("run", TINY, "--out", trained, "--resume", "--set", "seed=1") == (2, "", message)


def test_run_names_only_some_differences_to_the_run_it_cannot_resume(call, trained):
    words = [f"--set=trainer.{key}=7" for key in ("warmup", "log_every", "validate_every", "clip", "lr", "muon_lr")]
    _, _, err = call("run", TINY, "--out", trained, "--resume", *words)
    assert len(err.splitlines()) == 8
    assert err.splitlines()[-2] == "  and 2 more"


def test_run_resumes_nothing(call, tmp_path):
    message = f"{tmp_path}: nothing to resume, there is no experiment.toml. Leave out --resume to start.\n"
    assert call("run", TINY, "--out", tmp_path, "--resume") == (2, "", message)


def test_run_resumes_what_has_no_checkpoint_yet_from_its_first_step(call, tmp_path):
    run = tmp_path / "run"
    words = ["run", TINY, "--out", run, "--set", "trainer.steps=1", "--device", "cpu"]
    assert call(*words)[0] == 0
    shutil.rmtree(run / "checkpoints")
    code, out, err = call(*words, "--resume")
    assert (code, err) == (0, "")
    assert "from step" not in out
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [(line["step"], line["kind"]) for line in lines if line["kind"] in ("train", "validation")]
    assert logged == [(1, "train"), (1, "validation")]


def test_run_from_the_weights_of_another_run_resumes_without_being_told_again(call, trained, tmp_path):
    run = tmp_path / "next"
    words = ["run", TINY, "--out", run, "--set", "trainer.steps=1", "--device", "cpu"]
    code, out, err = call(*words, "--init", trained)
    assert (code, err) == (0, "")
    # as if it had been stopped before its first validation
    shutil.rmtree(run / "checkpoints" / "step-00000001")
    code, again, err = call(*words, "--resume")
    assert (code, err) == (0, "")
    told = "started from the weights of tiny, with 2 steps and 16 tables behind them"
    assert out.splitlines()[1] == again.splitlines()[1] == told
    message = (
        "--init starts a run from other weights, and --resume goes on with those that it has. Leave out --init: a run "
        "that was started with it remembers.\n"
    )
    assert call(*words, "--resume", "--init", trained) == (2, "", message)


def test_overwrite_replaces_nothing_by_weights_that_do_not_fit(call, trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    code, out, err = call("run", TINY, "--out", trained, "--overwrite", "--init", trained, "--set", "width=24")
    assert (code, out) == (2, "")
    assert err.startswith(f"{trained}: the weights do not fit the experiment: embedding.diagonal (16 there, 24 here), ")
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_run_resumes_what_has_ended(call, trained):
    code, out, err = call("run", TINY, "--out", trained, "--resume", "--set", "trainer.steps=2", "--device", "cpu")
    assert (code, err) == (0, "")
    assert ", from step 2\n" in out


def test_overwrite_replaces_a_run_and_leaves_the_rest_of_the_folder(call, tmp_path):
    run = tmp_path / "run"
    words = ["run", TINY, "--out", run, "--set", "trainer.steps=1", "--device", "cpu"]
    assert call(*words)[0] == 0
    (run / "notes.txt").write_text("mine")
    (run / "checkpoints" / "step-00000009").mkdir()
    assert call(*words, "--overwrite", "--set", "seed=5")[0] == 0
    assert (run / "notes.txt").read_text() == "mine"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000001"]
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    assert "seed = 5\n" in (run / "experiment.toml").read_text()


def test_overwrite_replaces_nothing_by_an_experiment_that_does_not_work(call, trained, monkeypatch):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    monkeypatch.setattr(discover().find("loss", "bce"), "__call__", lambda *_: torch.zeros(()))
    code, out, err = call("run", TINY, "--out", trained, "--overwrite", "--device", "cpu")
    assert (code, out) == (2, "")
    assert err.startswith("loss bce: expected shape [B=8], found []\n")
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_overwrite_replaces_only_runs(call, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    message = (
        f"{tmp_path}: is not empty, and not the folder of a run, which would hold experiment.toml; --overwrite "
        "replaces only runs. Use --out for another folder.\n"
    )
    assert call("run", TINY, "--out", tmp_path, "--overwrite") == (2, "", message)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_run_into_a_file(call, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    message = f"{file}: is a file, not a folder. Use --out for another place.\n"
    assert call("run", TINY, "--out", file, "--overwrite") == (2, "", message)


def test_run_where_nothing_can_be_written(call, tmp_path):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "run"
    message = f"{out}: cannot be written: Not a directory. Use --out for another place.\n"
    assert call("run", TINY, "--out", out) == (2, "", message)


def test_predict_takes_the_released_model_when_no_run_is_named(call, trained, shipped):
    expected = call("predict", SACHS, "--run", trained, "--json")
    assert call("predict", SACHS, "--json") == expected
    assert call("predict", SACHS, "--run", "base", "--json") == expected
    assert call("predict", SACHS, "--run", shipped, "--json") == expected


def test_predict_where_nothing_is_released_says_what_to_do(call, tmp_path, monkeypatch):
    monkeypatch.setattr(released, "WEIGHTS", tmp_path / "weights")
    message = (
        "no trained model comes with this installation. Train one, python -m tabscm run EXPERIMENT, and name its "
        "folder, or put it into the package: python -m tabscm release RUN\n"
    )
    assert call("predict", SACHS) == (2, "", message)
    assert call("eval") == (2, "", message)


def test_eval_of_a_released_model_is_that_of_its_run_and_changes_nothing(call, trained, shipped):
    before = {path: path.read_bytes() for path in shipped.iterdir()}
    code, out, err = call("eval", "--tables", "3", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.strip() in call("eval", trained, "--tables", "3", "--device", "cpu")[1]
    assert {path: path.read_bytes() for path in shipped.iterdir()} == before
    message = f"{shipped}: a released model keeps the figures of its card. Leave out --overwrite.\n"
    assert call("eval", "--overwrite") == (2, "", message)


def test_run_from_a_released_model(call, shipped, tmp_path):
    words = ["run", TINY, "--out", tmp_path / "run", "--set", "trainer.steps=1", "--device", "cpu", "--init", "base"]
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "started from the weights of base, with 2 steps and 16 tables behind them"


def test_release_prints_the_card_and_where_it_lies(call, trained, shipped):
    code, out, err = call("release", trained, "--overwrite", "--hardware", "an abacus", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out == (shipped / "card.md").read_text() + f"\nReleased: {shipped}\n"
    assert "- Hardware: an abacus.\n" in out


def test_a_device_that_is_not_there(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "there is no CUDA device here. Use --device cpu, or leave --device out.\n"
    assert call("run", TINY, "--device", "cuda") == (2, "", message)


def test_eval_on_the_cells_of_another_experiment_prints_them_and_writes_nothing(call, trained, tmp_path):
    before = (trained / "eval.json").read_text()
    other = tmp_path / "other.toml"
    other.write_text(f'extends = "{TINY}"\n[evaluation.cells.strange]\nvariables = 3\n')
    code, out, _ = call("eval", trained, "--cells", other, "--tables", "2", "--device", "cpu")
    assert code == 0
    assert any(line.startswith("strange ") for line in out.splitlines())
    assert (trained / "eval.json").read_text() == before


def test_eval_keeps_the_results_that_are_there(call, trained):
    file = trained / "eval.json"
    before = file.read_text()
    code, out, err = call("eval", trained, "--tables", "2", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{file} is as it was; --overwrite replaces it."
    assert file.read_text() == before
    _, out, _ = call("eval", trained, "--tables", "2", "--overwrite", "--device", "cpu")
    assert "as it was" not in out
    assert json.loads(file.read_text())["mixed-d20"]["tables"] == 2
    assert call("eval", trained, "--overwrite", "--device", "cpu")[0] == 0
    assert file.read_text() == before


def test_eval_of_no_run(call, tmp_path):
    code, out, err = call("eval", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"{tmp_path}: not a run folder, it has no experiment.toml.")


PREDICT = ["--where", "condition=cd3_cd28", "--threshold", "0.9", "--device", "cpu"]


def test_predict_prints_edges_and_notes_apart(call, trained):
    code, out, err = call("predict", SACHS, "--run", trained, *PREDICT)
    assert code == 0
    assert out.startswith("No edge is above 0.9, of 110 ordered pairs of 11 variables. The most probable ones:\n")
    assert err.splitlines()[0] == "note: kept 853 of 7466 rows with 'condition' = 'cd3_cd28'"


def test_predict_with_categories_and_missing_cells(call, trained, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("a,b,dose\n" + "1,2,low\n3,,high\n2,5,low\n7,1,mid\n" * 10)
    code, out, err = call("predict", file, "--run", trained, "--device", "cpu", "--category", "dose", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["variables"] == ["a", "b", "dose"]
    assert found["notes"][:2] == [
        "column 'dose' is read as numbers: 'high' = 0, 'low' = 1, 'mid' = 2; if another order is meant, write numbers "
        "in that order",
        "10 of 120 cells are missing and read as unknown: of 'b' 25 %",
    ]


def test_predict_at_the_threshold_that_was_chosen_on_validation(call, trained):
    threshold = json.loads((trained / "checkpoints/step-00000002/state.json").read_text())["threshold"]
    assert 0 < threshold < 1
    assert threshold != 0.5
    words = ["predict", SACHS, "--run", trained, "--where", "condition=cd3_cd28", "--device", "cpu", "--json"]
    found = json.loads(call(*words, "--threshold", "chosen")[1])
    assert found["threshold"] == threshold
    assert found["edges"] == json.loads(call(*words, "--threshold", threshold)[1])["edges"]


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


def test_predict_into_a_folder_that_is_not_there(call, trained, tmp_path):
    file = tmp_path / "none" / "sachs.json"
    code, _, err = call("predict", SACHS, "--run", trained, *PREDICT, "--json", file)
    assert (code, err) == (2, f"{file}: there is no folder {file.parent}; make it first\n")


def test_a_column_cannot_have_two_values(call):
    message = "--where gives column condition two values, a and b; no row has both\n"
    words = ["--where", "condition=a", "--where", "condition=b"]
    assert call("predict", SACHS, "--run", "nowhere", *words) == (2, "", message)


SQUARES = "".join(f"{i},{i * i % 7}\n" for i in range(9))
NAMES = [f"x{i}" for i in range(31)]
WIDE = "\n".join(",".join(str(hash((row, i)) % 97) for i in range(31)) for row in range(9))
BAD_TABLES = {
    "empty": ("", "{}: this file is empty; the first row must name the columns"),
    "one row": ("a,b\n1,2\n", "{}: there is one row; a table needs at least two rows"),
    "constant": ("a,b\n1,2\n3,2\n", "{}: column 'b' has the same value in all 2 rows used; remove it"),
    "NaN": (
        "a,b\n1,2\n3,nan\n",
        "{}: column 'b' has the same value in all 2 rows used where there is one; remove it",
    ),
    "infinity": (
        "a,b,c\n1,2,inf\n3,5,inf\n",
        "{}, row 2, column 'c': found 'inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "duplicate names": ("a,b,a\n1,2,3\n4,5,6\n", "{}, row 1: columns 1 and 3 are both called 'a'; rename one"),
    "not UTF-8": (
        b"a,b\n1,2\n\xff,3\n",
        "{}, row 3: this is not UTF-8 text; save the table as CSV in UTF-8",
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


def test_the_console_script_is_this_command_line():
    (script,) = entry_points(group="console_scripts", name="tabscm")
    assert script.load() is main


def test_bench_of_invariance(call, trained, shipped):
    for words in (["--run", trained], []):  # the released model
        code, out, err = call("bench", "invariance", *words, "--tables", "20", "--device", "cpu")
        assert (code, err) == (0, "")
        assert out.splitlines()[0].startswith("20 tables  ")
        assert [line.split()[2:4] for line in out.splitlines()[1:]] == [["0", "0"]] * 3


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--swap", "loss=bce", "--swap", "loss=focal"],
            "--swap gives one key twice; write all its values in one list: --swap KEY=V1,V2",
        ),
        (
            ["--cell", "mixed-d2"],
            '--cell: there is no "mixed-d2". Did you mean "mixed-d20"?\nthere are: mixed-d20, dense-d20, '
            "nonlinear-observational-d10, linear-observational-d10, linear-interventional-d10",
        ),
        (
            ["--swap", "trainer.optimiser=muon,adam"],
            "--swap trainer.optimiser=adam: 1 problem\n\n  trainer.optimiser\n"
            '    expected "muon" or "adamw", found a string: \'adam\'. Did you mean "adamw"?',
        ),
    ],
)
def test_an_ablation_that_makes_no_sense(call, tmp_path, words, message):
    assert call("ablate", TINY, "--out", tmp_path / "out", *words) == (2, "", message + "\n")
    assert not (tmp_path / "out").exists()


def test_report_into_a_folder(call, trained, tmp_path):
    message = f"{tmp_path}: is a folder. Name a file in it, such as {tmp_path / 'report.html'}.\n"
    assert call("report", trained, "--out", tmp_path) == (2, "", message)


def test_an_ablation_into_the_folder_of_a_run(call, trained):
    message = f"{trained}: is the folder of a run. Use --out for another place.\n"
    assert call("ablate", TINY, "--swap", "loss=focal", "--out", trained) == (2, "", message)


def test_an_ablation_of_no_metric(call, tmp_path):
    code, out, err = call("ablate", TINY, "--out", tmp_path / "out", "--metric", "aurok")
    assert (code, out) == (2, "")
    assert err.startswith('--metric: there is no "aurok". Did you mean "auroc"?\nthere are: auroc, ap, ')


def test_ablate_prints_the_table_and_says_what_the_picture_needs(call, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "perform", lambda order: Outcome(failed="no time"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "out"
    # 15 is no multiple of the heads of columns
    narrow = ["--swap", "encoder=columns", "--swap", "width=15"]
    code, printed, err = call("ablate", TINY, *narrow, "--seeds", "1,2", "--out", out)
    assert (code, err) == (0, "")
    lines = printed.splitlines()
    assert lines[0] == "2 rows, 2 seeds: 2 trials to run; 1 of the rows cannot be run"
    assert sorted(line.partition("] ")[2] for line in lines[1:3]) == [
        "tiny, seed 1: failed: no time",
        "tiny, seed 2: failed: no time",
    ]
    assert (out / "table.md").read_text() in printed
    assert lines[-1] == f"For {out / 'picture.png'} matplotlib is needed: pip install 'tabscm[plots]'"
    assert not (out / "picture.png").exists()
