"""A cluster that dies while it works: what survives goes on, and what does not is one line, in bounded time."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tabscm import TabSCMError
from tabscm.engine import spread

pa = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
pytest.importorskip("distributed", reason="needs the extra `cluster`")

CLI = "from distributed.cli.dask_{0} import main; main(prog_name='dask {0}')"
BOUND = 60
"""Seconds after which a command that waits for the dead is stuck, on a busy machine."""


@pytest.fixture
def cluster(tmp_path):
    """cluster(workers) starts a scheduler and workers that nobody starts again: (address, [their processes])."""
    started = []

    def start(kind, *words):
        command = [sys.executable, "-c", CLI.format(kind), *words]
        with (tmp_path / f"{kind}-{len(started)}.log").open("w") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))
        return started[-1]

    def cluster(workers):
        told = tmp_path / "scheduler.json"
        local = ["--host", "127.0.0.1", "--no-dashboard"]
        scheduler = start("scheduler", *local, "--port", "0", "--scheduler-file", str(told))
        found = ["--scheduler-file", str(told), "--nthreads", "1", "--no-nanny", *local]
        several = [start("worker", *found) for _ in range(workers)]
        from distributed import Client

        with Client(scheduler_file=str(told), timeout=BOUND) as client:
            client.wait_for_workers(workers, timeout=BOUND)
            return client.scheduler.address, scheduler, several

    yield cluster
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def table(tmp_path):
    """A file of many row groups, in which text says which rows are new and what was set in them."""
    from pyarrow import parquet

    x = np.random.default_rng(0).normal(size=(4000, 4))
    x[:, 1] += x[:, 0]
    columns = dict(zip("abcd", x.T, strict=True))
    columns["kind"] = [["old", "new", "new"][row % 3] for row in range(4000)]
    columns["set"] = [["", "a"][row % 2] for row in range(4000)]
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=250)
    return str(tmp_path / "t.parquet")


@pytest.fixture
def killing(monkeypatch):
    """killing(processes) kills them once some parts of the table are read."""

    def killing(processes):
        show = spread.Counting.show

        def showing(self, done):
            show(self, done)
            while self.what == "parts read" and done == 5 and processes:
                process = processes.pop()
                process.send_signal(signal.SIGKILL)
                process.wait()

        monkeypatch.setattr(spread.Counting, "show", showing)

    return killing


def said(call, *words):
    """The lines that a command in vain says, without those on its progress, and how long it took."""
    begun = time.monotonic()
    code, out, err = call("predict", *words)
    assert (code, out) == (2, "")
    assert time.monotonic() - begun < BOUND
    return [line for line in err.splitlines() if not line.startswith("parts ")]


def test_the_workers_that_are_left_do_all_of_it(call, trained, cluster, table, killing):
    address, _, workers = cluster(2)
    words = ["predict", table, "--run", trained, "--json", "--where", "kind=new", "--interventions", "set"]
    alone = json.loads(call(*words, "--device", "cpu")[1])
    assert alone["notes"][:2] == [
        "kept 2666 of 4000 rows with 'kind' = 'new'",
        "1333 of 2666 rows are interventional: set 'a' in 1333",
    ]
    killing([workers[0]])
    code, out, _ = call(*words, "--cluster", address)
    assert (code, workers[0].returncode) == (0, -signal.SIGKILL)
    found = json.loads(out)
    np.testing.assert_allclose(found["edge_prob"], alone["edge_prob"], atol=1e-5, rtol=0)
    assert found["notes"] == alone["notes"]


def test_a_cluster_whose_workers_all_die_is_one_line(call, trained, cluster, table, killing):
    address, _, workers = cluster(1)
    killing(workers)
    assert said(call, table, "--run", trained, "--cluster", address) == [
        f"--cluster {address}: workers died with what nobody else held, for want of memory perhaps. Give them more, or "
        "write the table in smaller row groups, and try again."
    ]


def test_a_scheduler_that_is_gone_is_one_line(call, trained, cluster, table, killing):
    address, scheduler, _ = cluster(1)
    killing([scheduler])
    (line,) = said(call, table, "--run", trained, "--cluster", address)
    assert line.startswith(f"--cluster {address}: the cluster went away (")
    assert line.endswith("). Try again.")


def test_work_that_no_worker_is_left_for_is_given_up(monkeypatch):
    """As with schedulers that keep such work until a worker comes."""
    monkeypatch.setattr(spread, "LOOKS", 0.01)
    monkeypatch.setattr(spread, "ALONE", 0.03)
    left = [{"tcp://127.0.0.1:1": {}}, {}, {"tcp://127.0.0.1:2": {}}]  # the others find none
    client = SimpleNamespace(
        status="running",
        scheduler=SimpleNamespace(identity=None),
        sync=lambda asked, **options: {"workers": left.pop(0) if left else {}},
    )
    future = SimpleNamespace(add_done_callback=lambda told: None)
    with pytest.raises(TabSCMError) as refused:
        list(spread.Cluster("tcp://host:8786", client, 1).finished([future]))
    assert str(refused.value) == (
        "--cluster tcp://host:8786: all its workers are gone, and none came back in 0.03 seconds. Start some, with "
        "more memory perhaps, and try again."
    )
    assert not left


def test_what_no_worker_is_left_to_hand_over_is_given_up(monkeypatch):
    monkeypatch.setattr(spread, "LOOKS", 0.01)
    monkeypatch.setattr(spread, "ALONE", 0.03)

    async def fetched():
        client = SimpleNamespace(
            status="running",
            scheduler=SimpleNamespace(identity=None),
            sync=lambda asked, **options: {"workers": {}},
            gather=lambda future, asynchronous: asyncio.sleep(BOUND),
            loop=SimpleNamespace(asyncio_loop=asyncio.get_running_loop()),
        )
        return await asyncio.to_thread(spread.Cluster("tcp://host:8786", client, 1).result, None)

    with pytest.raises(TabSCMError, match="all its workers are gone"):
        asyncio.run(fetched())
