"""That the table of metrics is that of an evaluation."""

from pathlib import Path
from typing import get_args

import attrs
import torch

from tabscm import Draw
from tabscm.engine.evaluate import evaluate
from tabscm.engine.measures import MEASURES
from tabscm.engine.model import Model
from tabscm.kernel.config import load
from tabscm.kernel.experiment import Evaluation, Metric

TINY = Path(__file__).parents[2] / "experiments/tiny.toml"
AIMLESS = {
    "tables",
    "edges",
    "density",
    "shd_empty",
    "log_prob_base",
    "threshold_chosen",
    "r2_sortability",
    "varsortability",
}


def test_everything_in_an_evaluation_that_can_be_better_or_worse_is_there(tmp_path, registry):
    file = tmp_path / "effects.toml"
    file.write_text(f"""
        extends = "{TINY.as_posix()}"
        auxiliary_heads = ["effects"]
        auxiliary_losses = ["effects"]
    """)
    experiment = load(file, registry)
    cells = {"small": attrs.evolve(experiment.stream, variables=Draw.constant(4), tables=2)}
    experiment = attrs.evolve(experiment, evaluation=Evaluation(tables=2, cells=cells))
    found = evaluate(Model(experiment), experiment, device=torch.device("cpu"))["small"]
    assert set(MEASURES) == {name for name in found if not name.endswith("_se")} - AIMLESS


def test_whatever_training_is_decided_by_is_there():
    assert set(get_args(Metric)) <= set(MEASURES)
    assert {name for name, measure in MEASURES.items() if measure.lower_is_better} == {
        "shd",
        "shd_chosen",
        "ece",
        "effects_mae",
    }


def test_values_as_text():
    assert (MEASURES["shd"].figure(3.14), MEASURES["shd"].signed(3.14)) == ("3.1", "+3.1")
    assert (MEASURES["ap"].figure(0.5), MEASURES["ap"].signed(float("nan"))) == ("0.500", "-")
