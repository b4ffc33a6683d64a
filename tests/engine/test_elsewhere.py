"""Tables that a cluster reads: a real scheduler and two workers, and the same as from a file that is read here."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tabscm_builtin.embeddings import cross_moment

from tabscm.engine.elsewhere import predict_on_cluster
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.tables import read_table

pa = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")

ROWS = 30_000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cluster():
    """The address of a scheduler with two workers, processes both."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def model(tiny):
    """A network whose branches do not start at zero."""
    torch.manual_seed(1)
    model = Model(tiny)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def columns():
    """Of many kinds: heavy tails, ties, gaps, values that overflow when they are squared."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 5))
    x[:, 1] += np.tanh(x[:, 0])
    x[:, 2] = np.exp(2 * x[:, 1] + x[:, 2])
    x[:, 3] = (3 * x[:, 0] + x[:, 3]).round()
    x[:, 4] = 1e200 * (x[:, 4] + 0.3 * x[:, 2])
    x[rng.random(ROWS) < 0.1, 1] = np.nan
    return {name: x[:, index] for index, name in enumerate("abcde")}


def written(folder, columns, files=3):
    """A folder of Parquet files of different lengths, of several row groups each."""
    from pyarrow import parquet

    folder.mkdir()
    rows = len(columns["a"])
    limits = [0, *(rows * (file + 1) ** 2 // files**2 for file in range(files))]
    for file, (first, last) in enumerate(pairwise(limits)):
        some = {name: cells[first:last] for name, cells in columns.items()}
        parquet.write_table(pa.table(some), folder / f"part-{file}.parquet", row_group_size=4000)
    return folder


@pytest.mark.parametrize("long", [False, True])
def test_probabilities_are_those_of_one_machine(model, cluster, columns, tmp_path, monkeypatch, long):
    if long:
        monkeypatch.setattr(cross_moment, "LONG", ROWS - 1)
    folder = written(tmp_path / "table", columns)
    here = predict(model, read_table(folder), device=CPU)
    there = predict_on_cluster(model, folder, cluster)
    np.testing.assert_allclose(there.edge_prob, here.edge_prob, atol=1e-5, rtol=0)
    assert (there.names, there.notes) == (here.names, here.notes)
    assert there.provenance.rows == ROWS
    assert np.ptp(here.edge_prob[~np.eye(5, dtype=bool)]) > 1e-3  # the network has something to say
