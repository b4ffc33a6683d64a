"""After a value that is not finite: back to the last checkpoint at a lower rate, where that can help."""

import io
import json
import math

import attrs
import pytest
import torch

from tabscm import Loss, TrainingError
from tabscm.engine import trainer
from tabscm.engine.checkpoint import restore
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import train
from tabscm.kernel.experiment import Weighted

CPU = torch.device("cpu")
LOWER = "Lower trainer.lr, trainer.muon_lr or trainer.clip and start again with --overwrite."


def shortened(experiment, **changes):
    settings = {"steps": 8, "validate_every": 3, "warmup": 0, "validation_tables": 4, "schedule": "constant"}
    return attrs.evolve(experiment, trainer=attrs.evolve(experiment.trainer, **{**settings, **changes}))


def run(experiment, folder, **options):
    folder.mkdir(exist_ok=True)
    out = io.StringIO()
    train(experiment, folder, device=CPU, out=out, **options)
    return out.getvalue().splitlines()


def logged(folder, kind):
    return [
        line for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if line["kind"] == kind
    ]


@pytest.fixture
def fragile(monkeypatch):
    """fragile(step, above): the loss of a step is not a number wherever the learning rate is above a limit."""

    def fragile(at, above):
        real, rates = trainer.loss_terms, []

        class Watched(trainer.Optimiser):
            def __init__(self, model, settings):
                super().__init__(model, settings)
                rates.append(self)

        def terms(experiment, step, *more):
            found = real(experiment, step, *more)
            wrong = step == at and rates[-1].lowered > above
            return {name: term * math.nan if wrong else term for name, term in found.items()}

        monkeypatch.setattr(trainer, "Optimiser", Watched)
        monkeypatch.setattr(trainer, "loss_terms", terms)

    return fragile


def test_a_run_goes_back_and_on_at_a_lower_rate(tiny, tmp_path, fragile):
    fragile(at=4, above=0.3)
    printed = run(shortened(tiny, rollbacks=3, rollback_rate=0.5), tmp_path)
    news = [line for line in printed if "rollback" in line]
    assert news == [
        "health: step 3: rollback: step 4: the term bce is not finite. Went back to the checkpoint of step 3 "
        f"({turn} of at most 3 times) and goes on at {rate:g} times the learning rates of the experiment."
        for turn, rate in ((1, 0.5), (2, 0.25))
    ]
    state = restore(tmp_path, "last")[2]
    assert (state.step, state.rollbacks, state.rate) == (8, 2, 0.25)
    assert [line["value"] for line in logged(tmp_path, "health")] == [0.5, 0.25]
    assert [line["step"] for line in logged(tmp_path, "train")] == list(range(1, 9))
    share = [line["lr"] / tiny.trainer.lr for line in logged(tmp_path, "train")]
    assert share == pytest.approx([1.0] * 3 + [0.25] * 5)


def test_without_a_checkpoint_it_goes_back_to_the_start(tiny, tmp_path, fragile):
    fragile(at=1, above=0.9)
    printed = run(shortened(tiny, rollbacks=1, rollback_rate=0.1), tmp_path)
    assert "Went back to the start (1 of at most 1 times) and goes on at 0.1 times" in "".join(printed)
    assert {round(line["lr"] / tiny.trainer.lr, 6) for line in logged(tmp_path, "train")} == {0.1}


def test_a_resumed_run_knows_how_often_it_went_back(tiny, tmp_path, fragile):
    fragile(at=4, above=0.5)
    run(shortened(tiny, rollbacks=1), tmp_path)
    fragile(at=10, above=0.1)
    longer = shortened(tiny, rollbacks=1, steps=12)
    with pytest.raises(TrainingError) as refusal:
        run(longer, tmp_path, resume=True)
    assert str(refusal.value).endswith(
        f"{LOWER} No rollback: the run went back 1 time already, all that trainer.rollbacks allows."
    )
    assert {round(line["lr"] / tiny.trainer.lr, 6) for line in logged(tmp_path, "train")[3:]} == {0.5}


def test_a_run_that_went_back_resumes_to_the_run_that_would_have_been(tiny, tmp_path, fragile):
    fragile(at=4, above=0.5)
    experiment = shortened(tiny, rollbacks=1)
    run(experiment, tmp_path / "whole")

    class Plug(io.StringIO):
        def write(self, text):
            if "step 6/8" in text:
                raise KeyboardInterrupt
            return super().write(text)

    (tmp_path / "parts").mkdir()
    with pytest.raises(KeyboardInterrupt):
        train(experiment, tmp_path / "parts", device=CPU, out=Plug())
    run(experiment, tmp_path / "parts", resume=True)
    whole, parts = (restore(tmp_path / name, "last") for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[0][name]) for name, value in whole[0].items())
    assert attrs.evolve(whole[2], seconds=0.0) == attrs.evolve(parts[2], seconds=0.0)
    assert whole[2].rollbacks == 1


def test_tables_that_are_broken_are_no_matter_of_the_rate(tiny, tmp_path, monkeypatch):
    real = Stream.batch

    def batch(self, step, part=0):
        table, truth = real(self, step, part)
        if self.purpose == "train" and step == 4:
            table = attrs.evolve(table, x=table.x * math.nan)
        return table, truth

    monkeypatch.setattr(Stream, "batch", batch)
    with pytest.raises(TrainingError, match=r"the table itself.* a lower learning rate makes the same tables"):
        run(shortened(tiny, rollbacks=3), tmp_path)


@attrs.frozen
class Never(Loss):
    """Not a number."""

    name = "never"

    def __call__(self, prediction, truth, table):
        return prediction.logits.mean((1, 2)) * math.nan


def test_what_breaks_before_any_update_breaks_again(tiny, tmp_path):
    experiment = attrs.evolve(shortened(tiny, rollbacks=3), auxiliary_losses=(Weighted(Never()),))
    with pytest.raises(TrainingError, match="No rollback: no update lies between the last checkpoint and this step"):
        run(experiment, tmp_path)


def test_by_default_the_run_stops(tiny, tmp_path, fragile):
    fragile(at=4, above=0.3)
    with pytest.raises(TrainingError) as refusal:
        run(shortened(tiny), tmp_path)
    assert str(refusal.value).endswith(LOWER)
