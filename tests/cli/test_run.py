"""`run` trains, resumes and overwrites nothing by accident."""

import json
import shutil
from pathlib import Path

import torch

from tabscm import commands
from tabscm.kernel.registry import discover

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")
SACHS = str(ROOT / "tabscm/data/sachs.csv")


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


def test_run_from_a_released_model(call, shipped, tmp_path):
    words = ["run", TINY, "--out", tmp_path / "run", "--set", "trainer.steps=1", "--device", "cpu", "--init", "base"]
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "started from the weights of base, with 2 steps and 16 tables behind them"
