"""Tables that a cluster reads: a real scheduler and two workers, and the same as from a file that is read here."""

import re
from itertools import pairwise

import attrs
import numpy as np
import pytest
import torch
from tabscm_builtin.embeddings import cross_moment

from tabscm import DataError, TabSCMError, read_knowledge
from tabscm.engine import elsewhere
from tabscm.engine.elsewhere import predict_on_cluster
from tabscm.engine.model import Model
from tabscm.engine.parquet import read_layout
from tabscm.engine.predict import predict
from tabscm.engine.reading import Plan, Wishes, look, reading
from tabscm.engine.tables import Asked, read_table
from tabscm.engine.targets import with_interventions

pa = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")

ROWS = 12_000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cluster():
    """The address of a scheduler with two workers, processes both."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def model(moved):
    return moved(1)


@pytest.fixture
def table(columns, tmp_path):
    """table(c=..., ...) is a folder of the columns of which some are others."""
    return lambda **others: written(tmp_path / "table", columns | others)


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
        parquet.write_table(pa.table(some), folder / f"part-{file}.parquet", row_group_size=2000)
    return folder


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("levels", [0, 4])
def test_probabilities_are_those_of_one_machine(tiny, moved, cluster, table, monkeypatch, long, levels):
    model = moved(1, attrs.evolve(tiny, embedding=attrs.evolve(tiny.embedding, levels=levels)))
    if long:
        monkeypatch.setattr(cross_moment, "LONG", ROWS - 1)
    folder = table()
    here = predict(model, read_table(folder), device=CPU)
    there = predict_on_cluster(model, folder, cluster)
    np.testing.assert_allclose(there.edge_prob, here.edge_prob, atol=1e-5, rtol=0)
    assert (there.names, there.notes) == (here.names, here.notes)
    assert there.provenance.rows == ROWS
    assert np.ptp(here.edge_prob[~np.eye(5, dtype=bool)]) > 1e-3  # the network has something to say


@pytest.mark.parametrize("mirrored", [(), ("two",)])
def test_several_networks_say_there_what_they_say_here(tiny, moved, cluster, table, mirrored):
    several = attrs.evolve(tiny, specialists=("one", "two", "three"), gate=tiny.embedding, mirrored=mirrored)
    mixture = moved(2, several)
    with torch.no_grad():
        mixture.gate.score.bias.copy_(torch.tensor([3.0, 2.0, -20.0]))
    folder = table()
    here = predict(mixture, read_table(folder), device=CPU)
    there = predict_on_cluster(mixture, folder, cluster)
    np.testing.assert_allclose(there.edge_prob, here.edge_prob, atol=1e-5, rtol=0)
    assert len(here.read_as) == 2
    assert there.read_as == pytest.approx(here.read_as, abs=1e-5)
    assert list(there.read_as) == list(here.read_as)
    mixture.ask_alone("three")
    here, there = predict(mixture, read_table(folder), device=CPU), predict_on_cluster(mixture, folder, cluster)
    np.testing.assert_allclose(there.edge_prob, here.edge_prob, atol=1e-5, rtol=0)
    assert there.notes == here.notes


def test_one_file_is_read_by_its_row_groups(model, cluster, table):
    file = table() / "part-2.parquet"
    there = predict_on_cluster(model, file, cluster)
    np.testing.assert_allclose(
        there.edge_prob, predict(model, read_table(file), device=CPU).edge_prob, atol=1e-5, rtol=0
    )


def test_both_workers_read_and_nothing_stays_with_them(model, cluster, table):
    def asked(about):
        with distributed.Client(cluster) as client:
            return client.run(about)

    before = asked(lambda dask_worker: dask_worker.state.executed_count)
    predict_on_cluster(model, table(), cluster)
    after = asked(lambda dask_worker: dask_worker.state.executed_count)
    assert all(after[worker] > before[worker] + 10 for worker in before)
    assert set(asked(lambda dask_worker: len(dask_worker.data)).values()) == {0}


def test_knowledge_is_obeyed_and_text_is_left_aside(model, cluster, table, tmp_path):
    (tmp_path / "k.toml").write_text('forbidden = [{from = "a", to = "b"}]\n')
    folder = table(c=["word"] * ROWS)
    found = predict_on_cluster(model, folder, cluster, knowledge=read_knowledge(tmp_path / "k.toml"))
    assert found.names == ("a", "b", "d", "e")
    assert found.edge_prob[0, 1] == 0
    assert found.notes[0] == "column 'c' is text and left aside: 'word' is its only value"


def drawn(values, seed):
    """Values for the rows, at random: what is exactly independent leaves a network rounding errors alone to read."""
    return [values[place] for place in np.random.default_rng(seed).integers(len(values), size=ROWS)]


WORDS = {
    "site": drawn(["north", "south"], 1),
    "dose": drawn(["5 mg", "10 mg", None, "none"], 2),
    "on": drawn([True, False, False], 3),
    "level": drawn([0, 1, 2, 3, 4, 5, 6], 4),
    "batch": drawn([1] * 9 + [2], 8),
    "count": drawn([" 1", "5", "-2.5", "7", "007"], 5),
    "id": [f"p{row}" for row in range(ROWS)],
    "day": [f"2024-01-{1 + row % 31:02}" for row in range(ROWS)],
    "set": drawn(["", "a", "b;d", "NA", "e"], 6),
    "kind": drawn(["none", "one", "two"], 7),
}
CONDITIONS = {"none": [], "one": "a", "two": ["b", "dose"]}


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes(where={"site": "south", "batch": "1"}, without=["id", "kind", "site"]),
        Wishes(categories=["level", "dose"], without=["count"]),
        Wishes(labels=Asked("set", "--interventions"), where={"site": "north"}),
        Wishes(labels=Asked("kind", "--conditions"), targets=CONDITIONS, without=["c", "set"]),
    ],
    ids=["text", "where", "category", "interventions", "conditions"],
)
def test_wishes_are_fulfilled_as_on_one_machine(model, cluster, table, wishes):
    folder = table(**WORDS)
    there = predict_on_cluster(model, folder, cluster, wishes=wishes)
    data = read_table(
        folder, where=wishes.where, categories=wishes.categories, without=wishes.without, labels=wishes.labels
    )
    data, cells = with_interventions(data, wishes.targets)
    here = predict(model, data, device=CPU, intervened=cells)
    assert (there.names, there.notes) == (here.names, here.notes)
    np.testing.assert_allclose(there.edge_prob, here.edge_prob, atol=1e-5, rtol=0)
    if cells is not None:
        assert cells.any()
        bare = predict(model, data, device=CPU)
        assert np.abs(here.edge_prob - bare.edge_prob).max() > 1e-4


@pytest.mark.parametrize(
    ("wishes", "others"),
    [
        (Wishes(where={"site": "west"}), {}),
        (Wishes(where={"sight": "west"}), {}),
        (Wishes(where={"id": "nobody"}), {}),
        (Wishes(categories=["id"]), {}),
        (Wishes(categories=["id"], without=["id"]), {}),
        (Wishes(), {"day": [*WORDS["day"][:-1], "soon"]}),
        (Wishes(), {"count": [*WORDS["count"][:-1], "7.O1"]}),
    ],
)
def test_what_is_refused_here_is_refused_there(model, cluster, table, wishes, others):
    folder = table(**WORDS | others)
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, folder, cluster, wishes=wishes)
    with pytest.raises(DataError) as refused_here:
        read_table(folder, where=wishes.where, categories=wishes.categories, without=wishes.without)
    assert str(refused.value) == str(refused_here.value)


def test_targets_that_are_no_variables_are_named_with_their_row(model, cluster, table):
    folder = table(set=[*["a"] * (ROWS - 1), "f"])
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, folder, cluster, wishes=Wishes(labels=Asked("set", "--interventions")))
    assert str(refused.value) == (
        f"{folder}, row 6667 of part-2.parquet, column 'set': no variable is called 'f'; there are 'a', 'b', 'c', 'd', "
        "'e'."
    )


def test_findings_are_those_of_a_sample(model, cluster, table, monkeypatch):
    monkeypatch.setattr(elsewhere, "SAMPLED", ROWS // 2)
    found = predict_on_cluster(model, table(c=np.arange(ROWS)), cluster)
    (finding,) = (one for one in found.findings if one.kind == "id-like")
    assert finding.line.startswith("column 'c' is a different whole number in every row, in order; kept.")
    assert re.search(r" \(seen in 6,0\d\d of 12,000 rows, the first of each part\)$", finding.line)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (np.ones(ROWS), "column 'a' has the same value in all 12000 rows used; remove it"),
        (
            1e9 + 1e-7 * np.arange(ROWS).clip(max=1),
            "'a' cannot be told from constant, so small are the differences beside the values; subtract a constant or "
            "remove the column",
        ),
    ],
)
def test_columns_that_say_nothing_are_refused_as_on_one_machine(model, cluster, table, cells, message):
    folder = table(a=cells)
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, folder, cluster)
    assert str(refused.value) == f"{folder}: {message}"
    with pytest.raises(DataError) as refused_here:
        predict(model, read_table(folder), device=CPU)
    assert str(refused_here.value) == str(refused.value)


def test_a_column_without_a_value_is_refused(model, cluster, table):
    folder = table(a=np.full(ROWS, np.nan))
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, folder, cluster)
    assert str(refused.value) == f"{folder}: column 'a' holds no value in all 12000 rows used; remove it"


def test_a_cell_that_is_infinite_is_named_with_its_part(model, cluster, table, columns):
    folder = table(a=np.where(np.arange(ROWS) == 8_000, np.inf, columns["a"]))
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, folder, cluster)
    with pytest.raises(DataError) as refused_here:
        read_table(folder)
    assert str(refused.value) == str(refused_here.value)
    assert str(refused.value).startswith(f"{folder}, row 2668 of part-2.parquet, column 'a': ")


def test_only_parquet_is_read(model, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, tmp_path / "t.csv", "tcp://127.0.0.1:1")
    assert str(refused.value) == (
        f"{tmp_path / 't.csv'}: a cluster reads Parquet, a file or a folder of parts; save the table so"
    )


def test_workers_that_do_not_see_the_table(model, cluster, table, monkeypatch):
    folder = table()
    seen = elsewhere.read_layout(folder)
    (folder / "part-1.parquet").rename(folder.parent / "away.parquet")
    monkeypatch.setattr(elsewhere, "read_layout", lambda *_: seen)
    with pytest.raises(DataError) as refused:
        predict_on_cluster(model, folder, cluster)
    assert str(refused.value) == f"{folder / 'part-1.parquet'}: there is no such file"


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda table: table.set_column(1, "kind", [["u", "v", "u", "w"]]),
        lambda table: table.set_column(2, "count", [["1", "2", "3", "many"]]),
        lambda table: table.set_column(3, "set", [["", "", "a", "b"]]),
        lambda table: table.set_column(0, "a", [[1, 2, 3, 4]]),
        lambda table: table.rename_columns(["z", "kind", "count", "set"]),
        lambda table: table.slice(1),
    ],
    ids=["category", "number", "label", "type", "name", "rows"],
)
def test_a_table_that_is_rewritten_between_the_look_and_the_read(tmp_path, rewritten):
    from pyarrow import parquet

    columns = {
        "a": [0.5, 1.0, 2.0, 4.0],
        "kind": ["u", "v", "u", None],
        "count": ["1", "2", " 3", "5"],
        "set": ["", "", "a", "a"],
    }
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table(columns), file)
    plan = Plan(file, read_layout(file), Wishes(labels=Asked("set", "--interventions")))
    how = reading(plan, look(plan, plan.layout.parts[0]))
    assert how.read(how.parts[0])[0].tolist()[1:3] == [[1.0, 1.0, 2.0], [2.0, 0.0, 3.0]]
    parquet.write_table(rewritten(pa.table(columns)), file)
    with pytest.raises(DataError) as refused:
        how.read(how.parts[0])
    assert str(refused.value) == f"{file}: changed while it was read; try again when it is written"


def test_an_embedding_that_needs_all_rows_is_refused(quick, table, registry):
    embedding = registry.find("embedding", "gated-fusion")()
    model = Model(attrs.evolve(quick, embedding=embedding))
    with pytest.raises(TabSCMError) as refused:
        predict_on_cluster(model, table(), "tcp://127.0.0.1:1")
    assert str(refused.value) == (
        "embedding gated-fusion reads all rows of a table at once, so that no cluster can; leave out --cluster"
    )
