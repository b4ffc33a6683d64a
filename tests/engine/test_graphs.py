"""The reader of known graphs."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import tabscm
from tabscm import DataError
from tabscm.engine.graphs import read_graph
from tabscm.engine.tables import read_table

NAMES = ("raf", "mek", "erk")
DATA = Path(tabscm.__file__).parent / "data"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "g.csv: this file is empty; the first row must name the columns"),
        ("raf,mek\n", "g.csv, row 1: no column is called 'from'; a graph has the header from,to"),
        ("from,too\n", "g.csv, row 1: no column is called 'to'; a graph has the header from,to"),
        (
            "from,to\nraf,mek\nmek,eerk\n",
            "g.csv, row 3, column 'to': the table has no variable 'eerk'; did you mean 'erk'?",
        ),
        (
            "from,to\nraf,mek\npka,mek\n",
            "g.csv, row 3, column 'from': the table has no variable 'pka'; there are 'raf', 'mek', 'erk'",
        ),
        ("from,to\nraf,raf\n", "g.csv, row 2: raf -> raf ends where it starts; remove it"),
        (
            "from,to\nraf,mek\nmek,erk\nraf,mek\n",
            "g.csv, row 4: raf -> mek is here for the second time; remove it",
        ),
        (
            "from,to\nraf,mek\nmek,erk\nerk,raf\n",
            "g.csv, row 4: erk -> raf closes the cycle erk -> raf -> mek -> erk; a causal graph has none",
        ),
        (
            "from,to\nraf,mek\nmek,raf\n",
            "g.csv, row 3: mek -> raf closes the cycle mek -> raf -> mek; a causal graph has none",
        ),
    ],
)
def test_refusals(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("g.csv").write_text(content)
    with pytest.raises(DataError) as refused:
        read_graph("g.csv", NAMES)
    assert str(refused.value) == message


def test_from_is_the_row_of_the_matrix(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("probability,to,from\n0.9,mek,raf\n0.8, erk , mek\n")
    np.testing.assert_array_equal(read_graph(path, NAMES), [[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_no_edges(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("from,to\n")
    assert not read_graph(path, NAMES).any()


@pytest.mark.parametrize("edges", [17, 20])
def test_sachs(edges):
    adj = read_graph(DATA / f"sachs_edges_{edges}.csv", read_table(DATA / "sachs.csv").names)
    assert adj.sum() == edges
    assert nx.is_directed_acyclic_graph(nx.from_numpy_array(adj, create_using=nx.DiGraph))
