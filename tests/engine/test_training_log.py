"""training_log.csv: one line per validation, with what was measured on the way there."""

import csv
import io
import json
import math

import attrs
import pytest
import torch
from torch import nn

from tabscm import Encoder, Head, Loss
from tabscm.engine.trainer import train
from tabscm.engine.training_log import TrainingLog
from tabscm.kernel.experiment import Weighted

CPU = torch.device("cpu")


@attrs.frozen
class Shifts(Head):
    """A constant for every effect."""

    name = "shifts"
    gives = frozenset({"effects"})
    value: float = 0.0

    def build(self, width):
        return _Shifts(self.value)


class _Shifts(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, evidence):
        tasks, variables, _ = evidence.nodes.shape
        return {"effects": self.value.expand(tasks, variables, variables)}


@attrs.frozen
class Distance(Loss):
    """Mean absolute difference of all effects."""

    name = "distance"
    needs = frozenset({"effects"})
    asks = frozenset({"effects"})

    def __call__(self, prediction, truth, table):
        return (prediction.aux["effects"] - truth.effects).abs().mean((1, 2))


@attrs.frozen
class Routed(Encoder):
    """Nothing but a load: one of four experts gets everything in one layer, all get the same in the other."""

    name = "routed"
    gives = frozenset({"load"})

    def build(self, width):
        return _Routed()


class _Routed(nn.Module):
    def forward(self, evidence):
        load = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25] * 4]).expand(len(evidence.nodes), 2, 4)
        return attrs.evolve(evidence, aux={**evidence.aux, "load": load})


def rows(folder):
    with (folder / "training_log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(experiment, folder, **changes):
    trainer = attrs.evolve(experiment.trainer, **changes)
    train(attrs.evolve(experiment, trainer=trainer), folder, device=CPU, out=io.StringIO())
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return rows(folder), records


def test_the_columns_are_those_of_the_source(tiny, tmp_path):
    found, _ = run(tiny, tmp_path, steps=1, validate_every=1)
    assert (tmp_path / "training_log.csv").read_text().splitlines()[0] == (
        "Epoch,Level,LR,Train_Loss,Train_Delta,Train_DAG,Train_H,Train_MAE,Train_SHD,Train_F1,Val_MAE,Val_SHD,Val_F1,"
        "Expert_Entropy,Expert_Gini"
    )
    assert len(found) == 1
    empty = {name for name, value in found[0].items() if value == ""}
    assert empty == {"Train_Delta", "Train_MAE", "Val_MAE", "Expert_Entropy", "Expert_Gini"}


def test_a_line_is_the_mean_over_the_logged_steps_before_it(tiny, tmp_path):
    found, records = run(tiny, tmp_path, steps=7, validate_every=3, log_every=2)
    assert [line["Epoch"] for line in found] == ["1", "2", "3"]
    assert [line["Level"] for line in found] == ["1"] * 3
    losses = {record["step"]: record["loss"] for record in records if record["kind"] == "train"}
    assert list(losses) == [2, 4, 6, 7]
    means = [losses[2], (losses[4] + losses[6]) / 2, losses[7]]
    assert [float(line["Train_Loss"]) for line in found] == pytest.approx(means, rel=1e-4)
    assert [line["Train_DAG"] for line in found] == [line["Train_Loss"] for line in found]
    judged = [record for record in records if record["kind"] == "validation"]
    for column, metric in (("Val_SHD", "shd"), ("Val_F1", "f1")):
        assert [float(line[column]) for line in found] == pytest.approx([record[metric] for record in judged], rel=1e-4)
    assert float(found[-1]["LR"]) == pytest.approx(next(r["lr"] for r in records if r["step"] == 7), rel=1e-4)


def test_nothing_logged_is_nothing_known(tiny, tmp_path):
    found, _ = run(tiny, tmp_path, steps=4, validate_every=2, log_every=3)
    assert (found[0]["Train_Loss"], found[0]["Train_F1"]) == ("", "")
    assert found[0]["Val_F1"] != ""
    assert found[1]["Train_Loss"] != ""


def test_effects_and_experts_are_measured_where_there_are_any(tiny, tmp_path):
    experiment = attrs.evolve(
        tiny,
        encoder=Routed(),
        auxiliary_heads=(Shifts(100.0),),
        auxiliary_losses=(Weighted(Distance(), attrs.evolve(Weighted(Distance()).weight, start=0.5, end=0.5)),),
    )
    ((line,), records) = run(experiment, tmp_path, steps=2, validate_every=2)
    # effects are small beside 100; the loss averages over the diagonal too, whose true effects are 1
    assert float(line["Train_MAE"]) == pytest.approx(100, rel=0.05)
    assert float(line["Val_MAE"]) == pytest.approx(100, rel=0.05)
    assert float(line["Train_Delta"]) == pytest.approx(50, rel=0.05)
    trained = [record for record in records if record["kind"] == "train"]
    for column, term in (("Train_Delta", "loss/distance"), ("Train_DAG", "loss/bce"), ("Train_Loss", "loss")):
        assert float(line[column]) == pytest.approx(sum(record[term] for record in trained) / 2, rel=1e-4)
    assert float(line["Expert_Entropy"]) == pytest.approx(math.log(4) / 2, rel=1e-4)
    assert float(line["Expert_Gini"]) == pytest.approx(0.75 / 2)


def test_lines_of_validations_that_are_done_again_are_dropped(tiny, tmp_path):
    run(tiny, tmp_path, steps=3, validate_every=1)
    file = tmp_path / "training_log.csv"
    before = file.read_text().splitlines(keepends=True)
    file.write_text("".join(before) + "4,1,0.0")
    TrainingLog(tmp_path, tiny, validations=2)
    assert file.read_text().splitlines(keepends=True) == before[:3]
    TrainingLog(tmp_path, tiny, validations=0)
    assert file.read_text().splitlines(keepends=True) == before[:1]
