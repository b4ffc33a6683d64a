"""The count of graphs that change finds none where none does, and all where all do."""

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from tabscm import Draw, Prediction, TabSCMError, Weighted
from tabscm.engine import invariance as counting
from tabscm.engine import predict
from tabscm.engine.invariance import Changed, invariance, render

CPU = torch.device("cpu")


class Positional(nn.Module):
    """An edge between the first two columns, whatever is in them; their direction is that of the first row."""

    max_variables = 100
    trained_variables = (2, 100)
    trained_rows = (2, 1000)
    sha256 = None
    reference = None

    def forward(self, table):
        logits = torch.full((1, table.x.shape[2], table.x.shape[2]), -5.0)
        first = bool(table.x[0, 0, 0] > table.x[0, 0, 1])
        logits[0, 1 - first, int(first)] = 5.0
        return Prediction(logits=logits)


def test_a_network_that_is_symmetric_changes_nothing(tiny, moved):
    assert set(invariance(moved(0), tiny, device=CPU, tables=10).values()) == {Changed(0, 0, 0.0)}


def test_a_stream_of_constant_columns_ends_with_one_line(tiny, registry, monkeypatch):
    levels = registry.find("measurement", "levels")(count=Draw.constant(1.0))
    stream = attrs.evolve(tiny.stream, tables=8, measurements=(Weighted(levels),))
    monkeypatch.setattr(counting, "PATIENCE", 20)
    with pytest.raises(TabSCMError) as refusal:
        invariance(Positional(), attrs.evolve(tiny, stream=stream), device=CPU, tables=5)
    assert str(refusal.value) == (
        "24 tables of the stream in a row have a constant column, and none such is predicted: found 0 of 5 tables. Use "
        "--run for a network that was trained on other tables."
    )


def test_tables_with_constant_columns_are_passed_over(tiny, registry, monkeypatch):
    both = (registry.find("measurement", "levels")(count=Draw.constant(1.0)), registry.find("measurement", "exact")())
    stream = attrs.evolve(tiny.stream, tables=8, measurements=tuple(map(Weighted, both)))
    monkeypatch.setattr(counting, "PATIENCE", 20)
    monkeypatch.setattr(predict, "canonical_order", lambda x, *_: (np.arange(len(x)), np.arange(x.shape[1])))
    found = invariance(Positional(), attrs.evolve(tiny, stream=stream), device=CPU, tables=30)
    assert 20 < found["columns"].marginal <= 30
    assert found["units"] == Changed(0, 0, 0.0)


def test_what_changes_is_counted(tiny, monkeypatch):
    monkeypatch.setattr(predict, "canonical_order", lambda x, *_: (np.arange(len(x)), np.arange(x.shape[1])))
    found = invariance(Positional(), tiny, device=CPU, tables=30)
    assert 20 < found["columns"].marginal == found["columns"].acyclic <= 30
    assert 5 < found["rows"].marginal < 25
    assert found["rows"].most > 0.98
    assert found["units"] == Changed(0, 0, 0.0)
    lines = render(found, 30).splitlines()
    assert lines[0].split("  ")[0] == "30 tables"
    assert lines[1].split()[:3] == ["columns", "permuted", str(found["columns"].marginal)]
