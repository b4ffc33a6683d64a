"""The speed benchmark measures what it says, on the machine at hand; no time is asserted."""

import attrs
import torch

from tabscm.engine import bench
from tabscm.kernel.experiment import Weighted


def test_every_part_is_timed(tiny, monkeypatch):
    monkeypatch.setattr(bench, "REPEATS", 3)
    found = bench.speed(tiny, device=torch.device("cpu"), variables=5, rows=20)
    # five times the largest table of tiny.toml's training is below 100 variables
    parts = {"tables", "stream", "step", "tables_per_second", "stream_share", "monitors"}
    assert set(found) == {*parts, "predict_20"}
    assert all(value > 0 for value in found.values())
    assert found["tables"] == 8
    assert found["stream_share"] == found["stream"] / (found["stream"] + found["step"])
    assert found["tables_per_second"] == found["tables"] / found["stream"]
    text = bench.render(found, variables=5, rows=20)
    assert [line.split("  ")[0] for line in text.splitlines()] == [
        "stream, D = 5, N = 20",
        "stream, a batch of 8",
        "training step on it, without the stream",
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
