"""training_log.csv: a line per validation, made for spreadsheets; the README says what the columns are."""

import csv
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tabscm.engine.metrics import acyclicity, effects_error, entropy, gini, mean
from tabscm.engine.whole import write_whole
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction, Truth

TRAINING_LOG = "training_log.csv"
TRAINING = ("Train_Loss", "Train_Delta", "Train_DAG", "Train_H", "Train_MAE", "Train_SHD", "Train_F1")
VALIDATION = {"Val_MAE": "effects_mae", "Val_SHD": "shd", "Val_F1": "f1"}
EXPERTS = ("Expert_Entropy", "Expert_Gini")
EPOCH = re.compile(r"[0-9]{1,15},")
COLUMNS = ("Epoch", "Level", "LR", *TRAINING, *VALIDATION, *EXPERTS)


class TrainingLog:
    """Gathers what was logged of the training batches, and writes their means at each validation.

    Args:
        run: the folder of the run; None writes nothing.
        experiment: says which term of the loss is which.
        validations: how many were done before; lines of later ones, which a resumed run does again, are dropped.
        seen: what was remembered of steps since the last of them, see `seen`.
    """

    def __init__(
        self, run: Path | None, experiment: Experiment, *, validations: int, seen: Sequence[Mapping[str, float]] = ()
    ) -> None:
        self.experiment = experiment
        self.epoch = validations
        self.seen = [dict(step) for step in seen]
        self.file = None if run is None else run / TRAINING_LOG
        if self.file is None:
            return
        text = self.file.read_text("utf-8", errors="replace") if self.file.exists() else ""
        lines = [line for line in text.splitlines(keepends=True)[1:] if line.endswith("\n")]
        # a line without its number is none that training wrote
        kept = [line for line in lines if EPOCH.match(line) and int(line.split(",")[0]) <= validations]
        write_whole(self.file, ",".join(COLUMNS) + "\n" + "".join(kept))

    def add(
        self,
        parts: Sequence[tuple[Prediction, Truth, Mapping[str, Tensor]]],
        terms: Mapping[str, Tensor],
        fresh: Mapping[str, float],
    ) -> None:
        """Remember a logged step: its batches, the terms of its loss, and what `metrics.summarise` says of it."""
        measured = self.experiment.auxiliary_losses
        delta = [terms[entry.component.name] for entry in measured if "effects" in entry.component.asks]
        effects = [
            (prediction.aux["effects"].detach(), truth.effects)
            for prediction, truth, _ in parts
            if "effects" in prediction.aux and truth.effects is not None
        ]
        cycles = torch.cat([acyclicity(prediction.logits.detach()) for prediction, _, _ in parts])
        loads = [prediction.aux["load"].detach().mean(0) for prediction, _, _ in parts if "load" in prediction.aux]
        load = torch.stack(loads).mean(0) if loads else None  # [L, X]
        self.seen.append(
            {
                "Train_Loss": sum(float(term) for term in terms.values()),
                "Train_Delta": sum(float(term) for term in delta) if delta else math.nan,
                "Train_DAG": float(terms[self.experiment.loss.name]),
                "Train_H": cycles.mean().item(),
                "Train_MAE": effects_error(effects),
                "Train_SHD": fresh["shd"],
                "Train_F1": fresh["f1"],
                "Expert_Entropy": math.nan if load is None else entropy(load).mean().item(),
                "Expert_Gini": math.nan if load is None else gini(load).mean().item(),
            }
        )

    def write(self, level: int, rate: float, found: Mapping[str, float]) -> None:
        """Write the line of a validation that `found` this, at this level and learning rate; what is undefined, or
        was not measured, is left empty."""
        if self.file is None:
            return
        self.epoch += 1
        values = {column: mean([step[column] for step in self.seen]) for column in (*TRAINING, *EXPERTS)}
        values |= {column: found.get(metric, math.nan) for column, metric in VALIDATION.items()}
        values["LR"] = rate
        line = {name: f"{value:.6g}" if math.isfinite(value) else "" for name, value in values.items()}
        with self.file.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writerow({"Epoch": self.epoch, "Level": level, **line})
            file.flush()
            os.fsync(file.fileno())
        self.seen = []
