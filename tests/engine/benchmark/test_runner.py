"""The benchmark does what is missing, stops what takes too long, and writes down all of it."""

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
import pytest

from tabscm import TabSCMError
from tabscm.engine import workers
from tabscm.engine.benchmark import cell, results, runner
from tabscm.engine.benchmark.case import Case, Suite
from tabscm.engine.benchmark.record import Record, read
from tabscm.engine.benchmark.suites import catalogue
from tabscm.engine.benchmark.summary import best, summarise, wins
from tabscm.engine.benchmark.table import headline, table
from tabscm.engine.lease import LEASE

SUITE = catalogue()["gauss-d10-n200"]
PROGRAM = """
import os, runpy, sys, time
from tabscm.engine.benchmark import methods

def sleep(run):
    return lambda case: time.sleep(60)

def fail(run):
    def work(case):
        print("not for you")
        raise ValueError("no such luck")
    return work

def die(run):
    return lambda case: os._exit(3)

methods.METHODS["grasp"] = methods.Method("sleeper", sleep)
methods.METHODS["boss"] = methods.Method("loser", fail)
methods.METHODS["ges"] = methods.Method("suicide", die)
runpy.run_module("tabscm.engine.benchmark.child", run_name="__main__")
"""


@pytest.fixture
def plan():
    return runner.Plan(
        suites=[SUITE], methods=["empty"], tables=3, seconds=30.0, run=None, weights=None, experiments=()
    )


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The program of a process in which some methods misbehave."""
    file = tmp_path / "child.py"
    file.write_text(PROGRAM)
    monkeypatch.setattr(cell, "PROGRAM", (sys.executable, str(file)))
    return file


@pytest.fixture
def go(tmp_path):
    """go(plan, **changes) runs a benchmark: its records, and what it said."""

    def go(plan, overwrite=False, **changes):
        said = []
        found = runner.benchmark(
            tmp_path / "bench",
            attrs.evolve(plan, **changes),
            executor=ThreadPoolExecutor(1),
            overwrite=overwrite,
            say=said.append,
        )
        return found, said

    return go


def test_what_is_there_is_not_run_again(go, plan, tmp_path):
    found, said = go(plan)
    assert said[0] == "1 suites, 1 methods: 3 answers to come, 0 are there"
    assert [record.state for record in found["gauss-d10-n200", "empty"].values()] == ["answered"] * 3
    file = tmp_path / "bench/records/gauss-d10-n200/empty.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    assert [json.loads(line)["table"] for line in lines] == [0, 1, 2]
    # as a process leaves it that was killed while writing
    file.write_text(lines[0].replace('"seconds": ', '"seconds": 1') + lines[1] + lines[2][:50])
    found, said = go(plan)
    assert said[0] == "1 suites, 1 methods: 1 answers to come, 2 are there"
    again = file.read_text().splitlines(keepends=True)
    assert again[0] != lines[0]
    assert again[1] == lines[1]
    assert len(again) == 3
    assert go(plan)[1] == ["1 suites, 1 methods: 0 answers to come, 3 are there"]
    assert go(plan, overwrite=True)[1][0] == "1 suites, 1 methods: 3 answers to come, 0 are there"
    assert not (tmp_path / "bench/lease").exists()


def test_a_method_over_the_limit_is_stopped_and_given_up(go, plan, script):
    found, said = go(plan, methods=["grasp", "empty"], seconds=0.5)
    slow, empty = (list(found["gauss-d10-n200", name].values()) for name in ("grasp", "empty"))
    assert [(record.state, record.why) for record in slow] == [("over", "over 0.5 s")] * 2
    assert all(0.5 <= record.seconds < 5 for record in slow)
    assert [record.state for record in empty] == ["answered"] * 3
    assert "grasp 0." in said[1]
    assert "(over the limit)" in said[1]
    assert summarise(SUITE, slow).given_up
    assert go(plan, methods=["grasp"], seconds=0.5)[1] == ["1 suites, 1 methods: 0 answers to come, 2 are there"]
    # more time is another chance
    shown = runner.missing(attrs.evolve(plan, seconds=5.0), {record.table: record for record in slow})
    assert shown == (0, 1, 2)


def test_what_fails_or_dies_counts_as_the_empty_graph(go, plan, script):
    found, said = go(plan, methods=["boss", "ges", "empty"], tables=2)
    lost, dead, empty = (list(found["gauss-d10-n200", name].values()) for name in ("boss", "ges", "empty"))
    assert [(record.state, record.why) for record in lost] == [("failed", "ValueError: no such luck")] * 2
    assert [(record.state, record.why) for record in dead] == [("failed", "ended with exit code 3")] * 2
    assert [record.metrics for record in lost] == [record.metrics for record in dead]
    assert [record.metrics for record in lost] == [record.metrics for record in empty]
    assert "(2 failed: ValueError: no such luck)" in said[1]


def test_what_failed_is_tried_again_and_what_was_late_is_not(go, plan, script, tmp_path):
    go(plan, methods=["boss", "grasp"], tables=2, seconds=2.0)
    # the method is mended
    script.write_text(
        PROGRAM.replace('raise ValueError("no such luck")', "return answer(case)").replace(
            "from tabscm", "from tabscm.engine.benchmark.floors import empty as answer\nfrom tabscm", 1
        )
    )
    found, said = go(plan, methods=["boss", "grasp"], tables=2, seconds=2.0)
    assert said[0] == "1 suites, 2 methods: 2 answers to come, 2 are there"
    assert [record.state for record in found["gauss-d10-n200", "boss"].values()] == ["answered"] * 2
    assert [record.state for record in found["gauss-d10-n200", "grasp"].values()] == ["over"] * 2
    # the failures that it replaced are not read any more, and go with the next call
    assert go(plan, methods=["boss", "grasp"], tables=2, seconds=2.0)[1] == [
        "1 suites, 2 methods: 0 answers to come, 4 are there"
    ]
    lines = (tmp_path / "bench/records/gauss-d10-n200/boss.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["answered"] * 2


def test_who_takes_the_folder_over_stops_what_runs_there(plan, script, tmp_path):
    pid = tmp_path / "pid"
    script.write_text(f"import os\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\n{PROGRAM}")
    out = tmp_path / "bench"

    def take_over():
        while not pid.exists() or not pid.read_text():
            time.sleep(0.05)
        (out / LEASE).write_text("another")

    threading.Thread(target=take_over).start()
    with pytest.raises(TabSCMError) as refusal:
        runner.benchmark(
            out,
            attrs.evolve(plan, methods=["grasp"], seconds=600.0),
            executor=ThreadPoolExecutor(1),
            overwrite=False,
            say=lambda line: None,
        )
    assert str(refusal.value) == f"{out}: another benchmark has taken over"
    assert (out / LEASE).read_text() == "another"
    assert (out / "records/gauss-d10-n200/grasp.jsonl").read_text() == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_benchmark_that_cannot_be_written(plan, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TabSCMError) as refusal:
        runner.benchmark(
            tmp_path / "file", plan, executor=ThreadPoolExecutor(1), overwrite=False, say=lambda line: None
        )
    assert str(refusal.value) == f"{tmp_path / 'file'}: cannot be written: File exists. Use --out for another place."


def test_a_cluster_runs_the_suites(plan, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        executor, _ = workers.on_cluster(cluster.scheduler_address)
        both = attrs.evolve(plan, suites=[SUITE, catalogue()["lingam-d10-n500"]], tables=1)
        found = runner.benchmark(tmp_path, both, executor=executor, overwrite=False, say=lambda line: None)
    assert [records[0].state for records in found.values()] == ["answered"] * 2
    assert (tmp_path / "records/lingam-d10-n500/empty.jsonl").read_text().count("\n") == 1


def test_records_of_another_network_do_not_count(go, plan, tmp_path):
    go(plan)
    file = tmp_path / "bench/records/gauss-d10-n200/empty.jsonl"
    ours = file.with_name("tabscm.jsonl")
    ours.write_text(file.read_text().replace('"method": "empty"', '"method": "tabscm"').replace("null}", "null}"))
    ours.write_text(ours.read_text().replace('"weights": null', '"weights": "abc"'))
    kept = {
        weights: runner.kept(tmp_path / "bench", attrs.evolve(plan, weights=weights), SUITE, "tabscm")
        for weights in ("abc", "def")
    }
    assert [len(records) for records in kept.values()] == [3, 0]


def test_fewer_tables_than_before_cost_none_of_the_others(go, plan):
    go(plan)
    found, said = go(plan, tables=1)
    assert said == ["1 suites, 1 methods: 0 answers to come, 1 are there"]
    assert list(found["gauss-d10-n200", "empty"]) == [0]
    assert go(plan)[1] == ["1 suites, 1 methods: 0 answers to come, 3 are there"]


def test_tables_of_other_settings_are_other_tables(go, plan, tmp_path):
    changed = attrs.evolve(SUITE, settings="abc")
    go(plan, suites=[changed])
    assert [len(runner.kept(tmp_path / "bench", plan, suite, "empty")) for suite in (SUITE, changed)] == [0, 3]


def test_a_line_that_is_no_record_is_named(tmp_path):
    file = tmp_path / "empty.jsonl"
    file.write_text('{"table": 1}\n')
    with pytest.raises(TabSCMError) as refusal:
        list(read(file))
    assert str(refusal.value) == f"{file}, line 1: not a line that this command writes; remove it"


def test_gies_waits_for_interventions(go, plan):
    assert go(plan, methods=["gies"])[1] == ["1 suites, 1 methods: 0 answers to come, 0 are there"]


def record(method, table, *, state="answered", bins=None, **metrics):
    known = {"varsortability": 0.9, "r2_sortability": 0.6, "shd_empty": 14.0, "edges": 15.0, "density": 0.2}
    return Record(
        suite="made-up",
        table=table,
        method=method,
        state=state,
        seconds=0.25,
        limit=60.0,
        metrics={"auroc": 0.9, "ap": 0.5, "f1": 0.5, "shd": 5.0, "direction": 0.7, "invalid": 0.0, **known, **metrics},
        bins=bins,
    )


def draw(rng, index):
    return Case(x=np.zeros((2, 2)), adj=np.zeros((2, 2), bool), intervened=np.zeros((2, 2), bool))


MADE_UP = Suite("made-up", "", draw)


@pytest.fixture
def scores():
    def mean(method, *precision, **options):
        return summarise(MADE_UP, [record(method, i, ap=ap, **options) for i, ap in enumerate(precision)])

    bins = [[0.0] * 9 + [4.0], [0.0] * 9 + [4.0], [0.0] * 9 + [3.0]]
    return {
        "tabscm": mean("tabscm", 0.7, 0.9, bins=bins),
        "pc": mean("pc", 0.4, 0.6, f1=0.8, invalid=1.0),
        "boss": mean("boss", 0.75, 0.77, f1=0.4),
        "lingam": mean("lingam", 0.99, 0.99, state="over"),
        "sortnregress": mean("sortnregress", 1.0, 1.0),
    }


def test_means_have_standard_errors(scores):
    precision = scores["tabscm"].figures["ap"]
    assert (precision.mean, precision.error) == (pytest.approx(0.8), pytest.approx(0.1))
    assert scores["tabscm"].figures["ece"].mean == pytest.approx(0.25)
    assert scores["pc"].invalid == 2


def test_the_best_is_no_method_that_saw_more_or_gave_up(scores):
    assert best(scores, "ap") == ("boss", pytest.approx(0.76))
    assert best(scores, "f1") == ("pc", 0.8)
    assert wins({"made-up": scores}, "ap") == (1, 1)
    assert wins({"made-up": scores}, "f1") == (0, 1)
    assert headline({"made-up": scores}) == "AP above the best other method in 1 of 1 suites; F1 in 0 of 1"


def test_undefined_values_are_left_out():
    score = summarise(MADE_UP, [record("pc", 0, ap=None), record("pc", 1, ap=0.5)])
    assert score.mean("ap") == 0.5


def test_a_resampled_table_has_its_own_value_and_an_interval():
    suite = attrs.evolve(MADE_UP, spread="bootstrap")
    found = summarise(suite, [record("pc", i, ap=0.9 if i == 0 else i / 100) for i in range(42)]).figures["ap"]
    assert (found.mean, found.low, found.high) == (0.9, pytest.approx(0.02), pytest.approx(0.40))


def test_the_table(scores):
    text = table([MADE_UP], {"made-up": scores})
    head, rule, row = text.splitlines()[:3]
    assert [cell.strip() for cell in head.strip("|").split("|")][:4] == ["suite", "AUROC", "AP", "best other AP"]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "made-up",
        "0.900 ± 0.000",
        "0.800 ± 0.100",
        "0.760 BOSS",
        "0.500 ± 0.000",
        "0.800 PC",
        "5.0 (14.0)",
        "0.700",
        "0.250",
        "0.25",
        "0.90, 0.60",
        "DirectLiNGAM",
    ]
    assert len({len(line) for line in (head[: head.rindex("|", 0, -1)], rule[: rule.rindex("|", 0, -1)])}) == 1


def test_everything_is_written(go, plan, tmp_path):
    found, _ = go(plan, methods=["empty", "correlation"])
    drawn, text = results.write(tmp_path / "bench", [SUITE], found)
    assert (tmp_path / "bench/table.md").read_text() == f"{text}\n"
    assert "0.0 of" not in text
    everything = json.loads((tmp_path / "bench/results.json").read_text())["gauss-d10-n200"]
    assert everything["methods"]["empty"]["auroc"] == {"mean": 0.5, "error": 0.0}
    assert everything["methods"]["correlation"]["tables"] == 3
    assert 14 < everything["table"]["edges"] <= 15
    assert drawn == (tmp_path / "bench/picture.png").exists()
