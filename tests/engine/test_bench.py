"""The speed benchmark measures what it says, on the machine at hand; no time is asserted."""

import attrs
import pytest
import torch

from tabscm import TabSCMError
from tabscm.engine import bench, scale
from tabscm.kernel.experiment import Weighted


def test_every_part_is_timed(tiny, monkeypatch):
    monkeypatch.setattr(bench, "REPEATS", 3)
    found = bench.speed(tiny, device=torch.device("cpu"), variables=5, rows=20)
    # five times the largest table of tiny.toml's training is below 100 variables
    parts = {"tables", "stream", "step", "tables_per_second", "flops", "stream_share", "monitors"}
    assert set(found) == {*parts, "predict_20"}
    assert all(value > 0 for value in found.values())
    assert found["tables"] == 8
    # forward and backward of the moments alone, [D m, N] x [N, D m] for each table, before and after a residual step
    assert found["flops"] > 2 * 3 * 2 * 8 * (5 * 4) ** 2 * 20
    assert found["stream_share"] == found["stream"] / (found["stream"] + found["step"])
    assert found["tables_per_second"] == found["tables"] / found["stream"]
    text = bench.render(found, variables=5, rows=20)
    assert [line.split("  ")[0] for line in text.splitlines()] == [
        "stream, D = 5, N = 20",
        "stream, a batch of 8",
        "training step on it, without the stream",
        "training steps, with the stream",
        "matrix products of a step",
        "share of the stream in a whole step",
        "monitors, added to a whole step",
        "prediction, D = 20, N = 1000",
    ]


def test_a_loss_of_effects_is_timed_with_the_effects_it_asks_for(tiny, registry, monkeypatch):
    monkeypatch.setattr(bench, "REPEATS", 1)
    monkeypatch.setattr(bench, "PREDICTED", ())
    experiment = attrs.evolve(
        tiny,
        auxiliary_heads=(registry.find("head", "effects")(),),
        auxiliary_losses=(Weighted(registry.find("loss", "effects")()),),
    )
    found = bench.speed(experiment, device=torch.device("cpu"), variables=5, rows=20)
    assert all(value > 0 for value in found.values())


def test_the_share_of_the_peak_is_shown_where_the_peak_is_known(monkeypatch):
    found = {"tables": 8.0, "stream": 0.1, "step": 0.5, "tables_per_second": 80.0, "stream_share": 0.2, "monitors": 0.0}
    gpu = torch.device("cuda")
    for name, share in (("NVIDIA H200", "20.2 %"), ("NVIDIA H100 PCIe", "26.5 %"), ("Riva 128", "unknown")):
        monkeypatch.setattr(bench, "describe", lambda _, name=name: name)
        lines = bench.render({**found, "flops": 1e14}, device=gpu).splitlines()
        (line,) = (line for line in lines if line.startswith("share of the bfloat16 peak"))
        assert line.split("  ")[0] == f"share of the bfloat16 peak of {name}"
        assert line.endswith(f"  {share}")


def test_predictions_are_measured_each_in_its_own_process(tiny, monkeypatch):
    monkeypatch.setattr(scale, "VARIABLES", (5, 50))
    monkeypatch.setattr(scale, "ROWS", (30, 100_000, 10**7))
    monkeypatch.setattr(scale, "MOST_CELLS", 1_000_000)
    said = []
    found = scale.scale(tiny, device=torch.device("cpu"), say=said.append)
    # five times the largest table of tiny.toml's training is below 50 variables
    assert list(found) == [(5, 30), (5, 100_000)]
    small, large = found.values()
    assert 0 < small.seconds < large.seconds
    assert 50e6 < small.peak < large.peak
    assert said[2:] == [
        "prediction, D = 5, N = 10,000,000: skipped, more than 1,000,000 cells",
        *(
            f"prediction, D = 50, N = {rows}: skipped, the network takes at most 30 variables"
            for rows in ("30", "100,000", "10,000,000")
        ),
    ]
    table = scale.render(found).splitlines()
    assert table[0].split("  ")[0] == "seconds, peak memory"
    assert table[2].split() == ["D", "=", "50", "skipped", "skipped", "skipped"]


def test_a_prediction_that_would_take_long_is_skipped(tiny, monkeypatch):
    monkeypatch.setattr(scale, "VARIABLES", (5, 6))
    monkeypatch.setattr(scale, "ROWS", (100, 1000, 10_000))
    monkeypatch.setattr(scale, "MANY_CELLS", 5000)
    monkeypatch.setattr(scale, "MOST_SECONDS", 120.0)
    monkeypatch.setattr(scale, "_elsewhere", lambda order: scale.Cost(0.02 * order.rows, None))
    said = []
    found = scale.scale(tiny, device=torch.device("cpu"), say=said.append)
    assert list(found) == [(5, 100), (5, 1000), (6, 100), (6, 1000)]
    assert said[2] == "prediction, D = 5, N = 10,000: skipped, it would take about 200 s, more than 120 s"
    assert scale.render(found).splitlines()[1].split()[-1] == "skipped"


def test_a_prediction_that_fails_is_named(tiny, monkeypatch, tmp_path):
    order = scale.Order(str(tmp_path / "none.toml"), "cpu", 5, 30)
    with pytest.raises(TabSCMError, match="a prediction of 30 rows and 5 variables failed: "):
        scale._elsewhere(order)
