"""The time of a step: what follows from it, and that it is that of real training on the experiment's own tables."""

import attrs
import pytest
import torch

from tabscm import Draw
from tabscm.engine import pace
from tabscm.engine.pace import Pace
from tabscm.kernel.experiment import EarlyStopping, Level

CPU = torch.device("cpu")


@pytest.fixture
def brief(tiny):
    """The experiment tiny.toml with small and frequent validations."""
    return attrs.evolve(tiny, trainer=attrs.evolve(tiny.trainer, validate_every=2, validation_tables=2))


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Timing takes no longer than it must."""
    monkeypatch.setattr(pace, "LEAST", 0.2)
    monkeypatch.setattr(pace, "SHARE", 0.0)


def test_steps_follow_from_the_pace(brief):
    slow, fast = Pace(step=0.2, validation=0.0), Pace(step=0.1, validation=0.0)
    assert (slow.steps(60, brief), fast.steps(60, brief)) == (300, 600)
    assert slow.steps(120, brief) > slow.steps(60, brief)
    assert slow.steps(0.001, brief) == 1
    # a validation every two steps of 0.1 s and one at the end: 10 steps and 5 + 1 validations are 2.2 s
    assert Pace(step=0.1, validation=0.2).steps(2.2, brief) == 10


def test_the_pace_is_that_of_real_training(brief):
    one = pace.pace(brief, device=CPU, seconds=1)
    four = pace.pace(attrs.evolve(brief, trainer=attrs.evolve(brief.trainer, accumulate=4)), device=CPU, seconds=1)
    assert 0 < 1.5 * one.step < four.step
    assert one.validation > 0


def test_a_curriculum_and_early_stopping_are_left_out(brief, monkeypatch):
    small = attrs.evolve(brief.stream, variables=Draw.constant(2))
    level = Level(stream=small, metric="auroc", reach=2.0)  # for ever
    stopping = EarlyStopping(metric="auroc", patience=1, least=9.0)  # at once
    trainer = attrs.evolve(brief.trainer, early_stopping=stopping)
    seen = []

    def noting(experiment, *args, **options):
        seen.append(experiment)
        return train(experiment, *args, **options)

    train = pace.train
    monkeypatch.setattr(pace, "train", noting)
    found = pace.pace(attrs.evolve(brief, curriculum=(level,), trainer=trainer), device=CPU, seconds=1)
    assert found.step > 0
    assert seen[0].stream == brief.stream
    assert seen[0].curriculum == ()
    assert seen[0].trainer.early_stopping is None
