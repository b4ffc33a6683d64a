"""Ablations: the grid, and that each trial is run once, whatever happens to the others."""

import json
import os
import shutil
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import attrs
import pytest
import torch

from tabscm import CheckpointError, ConfigError, ContractError, TabSCMError
from tabscm.engine import ablation, trial, workers
from tabscm.engine.ablation import Plan, ablate, check, grid
from tabscm.engine.pace import Pace
from tabscm.engine.trial import Order, Outcome, perform
from tabscm.kernel.config import load
from tabscm.kernel.experiment import Level
from tabscm.kernel.files import BadOverride, swap

CPU = torch.device("cpu")


@pytest.fixture
def short(tiny):
    """The experiment tiny.toml, judged on the smallest of its cells, three steps long."""
    cells = {"small": tiny.evaluation.cells["linear-observational-d10"]}
    return attrs.evolve(
        tiny,
        trainer=attrs.evolve(tiny.trainer, steps=3, validate_every=2, validation_tables=2),
        evaluation=attrs.evolve(tiny.evaluation, tables=2, cells=cells),
    )


class Here(Executor):
    """One trial after another, in this thread."""

    closed = False

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.closed = True

    def submit(self, work, *args):
        future = Future()
        try:
            future.set_result(work(*args))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future


@pytest.fixture
def ordered(monkeypatch):
    """Trials are fulfilled in this process, and noted here."""
    noted = []

    def here(order):
        noted.append("/".join(order.folder.split("/")[-2:]))
        threads = torch.get_num_threads()
        try:
            trial.fulfil(order)
        finally:
            torch.set_num_threads(threads)
        return Outcome() if order.pace_for is not None else trial.finished(ablation.Path(order.folder))

    monkeypatch.setattr(ablation, "perform", here)
    return noted


def start(out, variants, registry, *, seeds=(1,), seconds=None, executor=None, overwrite=False):
    """Run an ablation: (rows, the lines it said)."""
    said = []
    plan = Plan(seeds=seeds, seconds=seconds, cell="small", metrics=("auroc",), device="cpu", threads=1)
    rows = ablate(
        out, variants, plan, registry=registry, executor=executor or Here(), overwrite=overwrite, say=said.append
    )
    return rows, said


# the grid


def test_a_grid_has_every_combination_and_the_base_first(short, registry):
    variants = grid({"tiny": short}, {"loss": ["focal", "bce"], "trainer.lr": ["0.1", "0.2"]}, registry)
    assert [variant.label for variant in variants] == [
        "tiny",
        "loss=focal trainer.lr=0.1",
        "loss=focal trainer.lr=0.2",
        "loss=bce trainer.lr=0.1",
        "loss=bce trainer.lr=0.2",
    ]
    assert variants[0].experiment == short
    assert [variant.folder for variant in variants[:2]] == ["base", "loss=focal_trainer.lr=0.1"]
    assert variants[2].experiment.loss.name == "focal"
    assert variants[2].experiment.trainer.lr == 0.2


def test_what_equals_the_base_is_the_base(short, registry):
    variants = grid({"tiny": short}, {"embedding": ["simple", "cross-moment"], "loss": ["bce", "focal"]}, registry)
    assert len(variants) == 4
    assert (variants[0].label, variants[0].folder) == ("embedding=cross-moment loss=bce", "base")
    assert variants[0].experiment.embedding == short.embedding  # with its settings, which are not the defaults


def test_a_grid_without_swaps_is_the_base(short, registry):
    assert [variant.label for variant in grid({"tiny": short}, {}, registry)] == ["tiny"]


def test_other_experiments_are_rows_judged_on_the_tables_of_the_base(short, tiny, registry):
    variants = grid({"one": short, "base": tiny}, {"loss": ["bce", "focal"]}, registry)
    assert [variant.label for variant in variants] == [
        "one: loss=bce",
        "one: loss=focal",
        "base: loss=bce",
        "base: loss=focal",
    ]
    assert len({variant.folder for variant in variants}) == 4
    assert all(variant.experiment.evaluation == short.evaluation for variant in variants)
    plain = grid({"one": short, "base": tiny}, {}, registry)
    assert [(variant.label, variant.folder) for variant in plain] == [("one", "base"), ("base", "base_")]


def test_a_base_without_cells_is_judged_on_its_own_stream(short, registry):
    bare = attrs.evolve(short, evaluation=attrs.evolve(short.evaluation, cells={}))
    base, other = grid({"tiny": bare}, {"stream.tables": ["4"]}, registry)
    assert base.experiment.evaluation.cells == other.experiment.evaluation.cells == {"stream": short.stream}
    assert other.experiment.stream.tables == 4


def test_a_value_that_never_works_is_refused(short, registry):
    with pytest.raises(ConfigError) as refusal:
        grid({"tiny": short}, {"loss": ["bce", "foccal"]}, registry)
    assert str(refusal.value) == (
        '--swap loss=foccal: 1 problem\n\n  loss\n    no loss is called "foccal". Did you mean "focal"?\n'
        f"    on offer: {', '.join(registry.names('loss'))}"
    )


def test_a_value_that_works_in_some_rows_is_no_mistake(short, registry):
    _, bce, one, two = grid({"tiny": short}, {"loss": ["bce", "focal"], "loss.gamma": ["1", "3"]}, registry)[:4]
    assert bce.experiment is None
    assert bce.reason.startswith("cannot be built: loss.gamma: ")
    assert "\n" not in bce.reason
    assert two.experiment is not None
    assert one.label == "loss=bce loss.gamma=3"


def test_what_cannot_be_built_says_so_before_anything_is_trained(short, registry):
    # 15 is no multiple of its heads
    variants = check(grid({"tiny": short}, {"encoder": ["columns"], "width": ["15"]}, registry), device=CPU)
    assert variants[0].reason is None
    assert variants[1].experiment is None
    assert variants[1].reason.startswith("cannot be built: encoder: columns: width 15 is not a multiple of heads")
    assert "\n" not in variants[1].reason


def test_a_part_that_raises_anything_at_all_is_one_row(short, registry, monkeypatch):
    variants = grid({"tiny": short}, {"loss": ["focal"]}, registry)
    monkeypatch.setattr(registry.find("loss", "focal"), "__call__", lambda *_: 1 / 0)
    good, bad = check(variants, device=CPU)
    assert good.reason is None
    assert bad.reason == "cannot be built: ZeroDivisionError: division by zero"


def test_a_base_that_cannot_be_built_raises_what_it_raises(short, registry, monkeypatch):
    variants = grid({"tiny": short}, {"loss": ["focal"]}, registry)
    monkeypatch.setattr(registry.find("loss", "bce"), "__call__", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        check(variants, device=CPU)
    monkeypatch.setattr(registry.find("loss", "bce"), "__call__", lambda *_: torch.ones(3, 3))
    with pytest.raises(ContractError):
        check(variants, device=CPU)


@pytest.mark.parametrize("key", ["stream", "stream.tables"])
def test_a_swap_that_levels_of_a_curriculum_would_miss_is_refused(short, registry, key):
    level = Level(stream=short.stream, metric="auroc", reach=0.6)
    with pytest.raises(TabSCMError) as refusal:
        grid(
            {"tiny": short, "levels": attrs.evolve(short, curriculum=(level,))}, {"loss": ["bce"], key: ["4"]}, registry
        )
    assert str(refusal.value) == (
        f"--swap {key}: levels has a curriculum, whose levels it would not reach; give a file for each value instead: "
        "ablate BASE.toml OTHER.toml"
    )


# swaps


def test_a_swap_puts_a_file_at_a_key(short, registry, tmp_path):
    (tmp_path / "soft.toml").write_text('use = "focal"\ngamma = 0.5\n')
    (tmp_path / "fast.toml").write_text("lr = 0.5\nwarmup = 0\n")
    swaps = {"loss": [str(tmp_path / "soft.toml")], "trainer": [str(tmp_path / "fast.toml")]}
    _, variant = grid({"tiny": short}, swaps, registry)
    assert variant.experiment.loss.gamma == 0.5
    assert variant.experiment.trainer == attrs.evolve(short.trainer, lr=0.5, warmup=0)


def test_a_swap_in_data():
    data = {"a": {"use": "x", "n": 1}, "list": [{"use": "y"}], "draw": {"low": 1, "high": 2}, "word": "w"}
    for key, value in (("a", "x"), ("list", "z"), ("draw", "7"), ("word", "v")):
        swap(data, key, value)
    assert data == {"a": {"use": "x", "n": 1}, "list": ["z"], "draw": 7, "word": "v"}
    swap(data, "a", "other")
    swap(data, "a.n", "2")
    assert data["a"] == {"use": "other", "n": 2}
    with pytest.raises(BadOverride, match=r"^draw is not a table, so nothing in it can be set$"):
        swap(data, "draw.low", "1")
    with pytest.raises(BadOverride, match=r"^expected a key, such as embedding or trainer\.lr$"):
        swap(data, "a..n", "1")


# running


def test_every_variant_is_a_run_for_every_seed(short, registry, tmp_path, ordered):
    rows, said = start(tmp_path, grid({"tiny": short}, {"loss": ["focal"]}, registry), registry, seeds=(1, 2))
    assert ordered == ["base/seed-1", "loss=focal/seed-1", "base/seed-2", "loss=focal/seed-2"]
    assert said[0] == "2 rows, 2 seeds: 4 trials to run"
    assert [line[:6] for line in said[1:]] == ["[1/4] ", "[2/4] ", "[3/4] ", "[4/4] "]
    assert any(line[6:].startswith("tiny, seed 1: AUROC 0.") for line in said)
    assert load(tmp_path / "loss=focal/seed-2/experiment.toml", registry).seed == 2
    for row, folder in zip(rows, ("base", "loss=focal"), strict=True):
        for seed in (1, 2):
            there = json.loads((tmp_path / folder / f"seed-{seed}/eval.json").read_text())
            assert row.outcomes[seed].results == there
            assert row.outcomes[seed].seconds > 0
            assert row.outcomes[seed].peak_memory > 1e8
    # the tables are the same for a seed, so that differences can be paired
    assert rows[0].values("small", "edges") == rows[1].values("small", "edges")
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["seeds"] == [1, 2]
    assert found["rows"][1]["summary"]["small"]["auroc"]["pairs"] == 2
    assert "\n|   difference |" in (tmp_path / "table.md").read_text()
    assert not (tmp_path / "lease").exists()


def test_what_has_ended_is_not_run_again(short, registry, tmp_path, ordered):
    variants = grid({"tiny": short}, {"loss": ["focal"]}, registry)
    first, _ = start(tmp_path, variants, registry)
    (tmp_path / "base/seed-1/eval.json").write_text('{"small": {"aur')  # cut short while it was written
    ordered.clear()
    again, said = start(tmp_path, variants, registry)
    assert ordered == ["base/seed-1"]
    assert said[0] == "2 rows, 1 seeds: 1 trials to run, 1 run before"
    assert [row.values("small", "auroc") for row in again] == [row.values("small", "auroc") for row in first]
    # killed between its results and its cost
    cost = tmp_path / "base/seed-1/cost.json"
    seconds = json.loads(cost.read_text())["seconds"]
    cost.unlink()
    ordered.clear()
    again, _ = start(tmp_path, variants, registry)
    assert ordered == ["base/seed-1"]
    assert again[0].outcomes[1].seconds == seconds
    wider = grid({"tiny": short}, {"loss": ["focal", "bce"], "width": ["16", "8"]}, registry)
    assert "loss=focal_width=8" in {variant.folder for variant in wider}


def test_another_experiment_in_the_folder_is_refused_by_name(short, registry, tmp_path, ordered):
    start(tmp_path, grid({"tiny": short}, {}, registry), registry)
    other = grid({"tiny": attrs.evolve(short, width=8)}, {}, registry)
    with pytest.raises(CheckpointError) as refusal:
        start(tmp_path, other, registry)
    run = tmp_path / "base/seed-1"
    assert str(refusal.value) == (
        f"{run}: this is the run of another experiment, so it cannot be resumed:\n  width: 16 there, 8 here\n"
        "Give the file and the --set of then to go on, or --overwrite to start again."
    )
    rows, _ = start(tmp_path, other, registry, overwrite=True)
    assert load(run / "experiment.toml", registry).width == 8
    assert rows[0].outcomes[1].failed is None
    assert ordered == ["base/seed-1", "base/seed-1"]


def test_a_trial_that_fails_is_one_row(short, registry, tmp_path, ordered):
    variants = grid({"tiny": short}, {"trainer.lr": ["1e30"]}, registry)
    rows, said = start(tmp_path, variants, registry, seeds=(1, 2))
    assert rows[0].values("small", "auroc").keys() == {1, 2}
    assert rows[1].outcomes[1].failed.startswith("step ")
    assert "not finite" in rows[1].outcomes[1].failed
    assert "\n" not in rows[1].outcomes[1].failed
    assert any(line.partition("] ")[2].startswith("trainer.lr=1e30, seed 1: failed: step ") for line in said)
    assert "| seed 1 failed: step " in (tmp_path / "table.md").read_text()
    ordered.clear()
    start(tmp_path, variants, registry)
    assert ordered == ["trainer.lr=1e30/seed-1"]


def test_a_trial_that_went_on_needed_what_its_largest_process_needed(short, registry, tmp_path, ordered):
    variants = grid({"tiny": short}, {}, registry)
    start(tmp_path, variants, registry)
    (tmp_path / "base/seed-1/cost.json").write_text('{"seconds": null, "peak_memory": 9000000000000}')
    rows, _ = start(tmp_path, variants, registry)
    assert ordered == ["base/seed-1", "base/seed-1"]
    assert rows[0].outcomes[1].peak_memory == 9_000_000_000_000


def test_an_ablation_that_cannot_be_written(short, registry, tmp_path):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "out"
    executor = Here()
    with pytest.raises(CheckpointError) as refusal:
        start(out, grid({"tiny": short}, {}, registry), registry, executor=executor)
    assert str(refusal.value) == f"{out}: cannot be written: Not a directory. Use --out for another place."
    assert executor.closed


@pytest.mark.parametrize("left", ["token", None])
@pytest.mark.parametrize("seconds", [None, 1.0])
def test_an_ablation_that_was_taken_over_leaves_everything_to_the_other(
    short, registry, tmp_path, monkeypatch, left, seconds
):
    def taken_over(order):
        (tmp_path / "results.json").write_text("the other's")
        (tmp_path / "lease").unlink()
        if left is not None:  # else the other has ended already
            (tmp_path / "lease").write_text(left)
        return Outcome(failed="stopped")

    monkeypatch.setattr(ablation, "perform", taken_over)
    executor = Here()
    with pytest.raises(CheckpointError) as refusal:
        start(tmp_path, grid({"tiny": short}, {}, registry), registry, seconds=seconds, executor=executor)
    assert str(refusal.value) == f"{tmp_path}: another ablation has taken over"
    assert executor.closed
    assert (tmp_path / "results.json").read_text() == "the other's"
    assert (tmp_path / "lease").exists() == (left is not None)


# equal time


def test_equal_seconds_are_kept_when_the_ablation_goes_on(short, registry, tmp_path, ordered, monkeypatch):
    paces = iter([Pace(0.5, 0.0), Pace(0.25, 0.0)])
    monkeypatch.setattr(trial, "pace", lambda *_, **__: next(paces))
    variants = grid({"tiny": short}, {"loss": ["focal"]}, registry)
    rows, said = start(tmp_path, variants, registry, seconds=1.0)
    assert ordered == ["base/pace", "loss=focal/pace", "base/seed-1", "loss=focal/seed-1"]
    assert [row.steps for row in rows] == [2, 4]
    assert said[0] == "tiny: 500.0 ms a step, 2 steps in 1 s"
    assert load(tmp_path / "loss=focal/seed-1/experiment.toml", registry).trainer.steps == 4
    ordered.clear()
    rows, _ = start(tmp_path, variants, registry, seconds=1.0)
    assert ordered == []
    assert [row.steps for row in rows] == [2, 4]
    paces = iter([Pace(0.25, 0.0)])
    (tmp_path / "loss=focal/pace/pace.json").write_text('{"step": 0.2')  # cut short
    rows, _ = start(tmp_path, variants, registry, seconds=1.0)
    assert ordered == ["loss=focal/pace"]
    assert [row.steps for row in rows] == [2, 4]


def test_what_cannot_be_timed_is_one_row(short, registry, tmp_path, ordered, monkeypatch):
    monkeypatch.setattr(trial, "pace", lambda *_, **__: 1 / 0)
    rows, _ = start(tmp_path, grid({"tiny": short}, {}, registry), registry, seconds=1.0)
    assert rows[0].reason == "its steps could not be timed: ZeroDivisionError: division by zero"


# processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_trials_at_once_as_jobs_each_in_its_process(short, registry, tmp_path, monkeypatch, jobs):
    spans = []

    def timed(order):
        began = time.monotonic()
        outcome = perform(order)
        spans.append((began, time.monotonic()))
        return outcome

    monkeypatch.setattr(ablation, "perform", timed)
    executor, threads = workers.on_this_machine(jobs)
    assert threads == max(1, torch.get_num_threads() // jobs)
    rows, _ = start(tmp_path, grid({"tiny": short}, {"loss": ["focal"]}, registry), registry, executor=executor)
    assert [row.outcomes[1].failed for row in rows] == [None, None]
    logs = [tmp_path / folder / "seed-1/log.txt" for folder in ("base", "loss=focal")]
    assert all(", threads: 1\n" in log.read_text() for log in logs)
    (first_began, first_ended), (second_began, second_ended) = spans
    assert (max(first_began, second_began) < min(first_ended, second_ended)) == (jobs == 2)
    assert all(1e8 < row.outcomes[1].peak_memory < 4e9 for row in rows)


def test_an_interrupt_stops_the_trials_and_leaves_what_can_be_gone_on_with(short, registry, tmp_path, monkeypatch):
    long = attrs.evolve(short, trainer=attrs.evolve(short.trainer, steps=100_000))
    run = tmp_path / "base/seed-1"

    def interrupted(_):
        until(lambda: list(run.glob("checkpoints/*/manifest.json")))
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, grid({"tiny": long}, {}, registry), registry, executor=ThreadPoolExecutor(1))
    log = (run / "log.txt").read_text()
    assert log.splitlines()[-1] == "stopped: the ablation that this belongs to has ended"
    assert not (run / "eval.json").exists()
    spent = json.loads((run / "cost.json").read_text())
    assert spent["seconds"] is None
    assert spent["peak_memory"] > 1e8
    assert trial.finished(run) is None
    # what it was is what goes on; that a resumed run is the run that would have been is tested with the trainer
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "lease").write_text("mine")
    order = Order(str(tmp_path / "copy"), "cpu", 1, str(tmp_path / "lease"), "mine")
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(perform, order)
        until(lambda: "from step " in (tmp_path / "copy/log.txt").read_text())
        (tmp_path / "lease").write_text("another's")
        assert future.result().failed == "stopped: the ablation that this belongs to has ended"


def until(there, seconds=60):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_process_that_is_killed_is_one_row(short, registry, tmp_path, monkeypatch):
    # the first thing that every Python does: here, to end itself as the kernel would for want of memory
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows, _ = start(tmp_path / "out", grid({"tiny": short}, {}, registry), registry)
    assert rows[0].outcomes[1] == Outcome(failed="killed by SIGKILL (out of memory?)")


def test_a_cluster_runs_the_trials(short, registry, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        executor, threads = workers.on_cluster(cluster.scheduler_address)
        assert threads == max(1, os.cpu_count() // 2)
        variants = grid({"tiny": short}, {"loss": ["focal"]}, registry)
        rows, said = start(tmp_path, variants, registry, executor=executor)
        with distributed.Client(cluster.scheduler_address) as client:
            done = client.run(lambda dask_worker: dask_worker.state.executed_count)
        assert list(done.values()) == [1, 1]
    assert [row.outcomes[1].failed for row in rows] == [None, None]
    assert len(said) == 3
    assert json.loads((tmp_path / "loss=focal/seed-1/eval.json").read_text()) == rows[1].outcomes[1].results
