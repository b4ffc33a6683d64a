"""Tables larger than memory: read through files, with the same probabilities."""

import json
import tracemalloc

import numpy as np
import pytest
from tabscm_builtin.embeddings import _knots, cross_moment

from tabscm.engine.tables import read_table
from tabscm.kernel import scratch

ROWS = 30_000
MEGABYTE = 1 << 20


@pytest.fixture
def tiny_memory(monkeypatch):
    """tiny_memory() makes the machine one of 1 MB, so that hardly any array of a table fits."""
    return lambda: monkeypatch.setattr(scratch, "installed_memory", lambda: MEGABYTE)


@pytest.fixture(params=["csv", "csv with gaps", "parquet"])
def table(request, tmp_path):
    """A file, and options with which it is read."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).round(4)
    x[:, 1] += np.tanh(x[:, 0])
    x[:, 3] = (x[:, 1] * 3 + x[:, 2]).round()
    names = ["", "b"]
    if request.param == "parquet":
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {name: x[:, index] for index, name in enumerate("abcd")}
        columns["set"] = [names[row % 2] for row in range(ROWS)]
        parquet.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=7_000)
        return tmp_path / "t.parquet", ["--interventions", "set"]
    gaps = request.param == "csv with gaps"
    lines = [
        ",".join("" if gaps and (row + column) % 13 == 0 else repr(cell) for column, cell in enumerate(cells))
        for row, cells in enumerate(x.tolist())
    ]
    (tmp_path / "t.csv").write_text("a,b,c,d\n" + "\n".join(lines) + "\n")
    return tmp_path / "t.csv", []


def test_probabilities_are_those_of_memory(call, trained, table, tiny_memory, monkeypatch):
    path, options = table
    monkeypatch.setattr(cross_moment, "LONG", 20_000)

    def found():
        code, out, _ = call("predict", path, "--run", trained, "--device", "cpu", "--json", *options)
        assert code == 0
        return json.loads(out)

    in_memory = found()
    tiny_memory()
    monkeypatch.setattr(_knots, "ROWS", 7_000)
    in_files = found()
    np.testing.assert_allclose(in_files["edge_prob"], in_memory["edge_prob"], atol=1e-5)
    assert in_files["notes"] == in_memory["notes"]


def test_a_cluster_says_the_same(call, trained, tmp_path):
    pa = pytest.importorskip("pyarrow")
    distributed = pytest.importorskip("distributed")
    from pyarrow import parquet

    x = np.random.default_rng(0).normal(size=(3000, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
    (tmp_path / "table").mkdir()
    for part in range(2):
        columns = {name: x[part::2, index] for index, name in enumerate("abc")}
        parquet.write_table(pa.table(columns), tmp_path / f"table/{part}.parquet")
    words = ["predict", tmp_path / "table", "--run", trained, "--json"]
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        code, there, _ = call(*words, "--cluster", cluster.scheduler_address)
    assert code == 0
    _, here, _ = call(*words, "--device", "cpu")
    here, there = json.loads(here), json.loads(there)
    np.testing.assert_allclose(there["edge_prob"], here["edge_prob"], atol=1e-5)
    assert there["notes"] == here["notes"]


def test_the_table_is_the_same(table, tiny_memory):
    path, _ = table
    in_memory = read_table(path)
    tiny_memory()
    in_files = read_table(path)
    assert scratch.in_file(in_files.x)
    assert not scratch.in_file(in_memory.x)
    np.testing.assert_array_equal(in_files.x, in_memory.x)
    assert in_files.notes == in_memory.notes


def test_reading_takes_less_memory_than_the_table(tmp_path, tiny_memory):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    x = np.random.default_rng(0).normal(size=(8, 400_000))
    parquet.write_table(pa.table(list(x), names=list("abcdefgh")), tmp_path / "t.parquet", row_group_size=50_000)
    tiny_memory()
    tracemalloc.start()
    try:
        read = read_table(tmp_path / "t.parquet")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(read.x, x.T)
    assert peak < x.nbytes / 2
