"""Training from the weights of another run: those weights, and nothing else of that run."""

import io

import attrs
import pytest
import torch

from tabscm import CheckpointError
from tabscm.engine.checkpoint import restore, seal
from tabscm.engine.model import Model
from tabscm.engine.runs import prepare
from tabscm.engine.start import read_start
from tabscm.engine.state import Ancestor
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import train

CPU = torch.device("cpu")


def with_steps(experiment, count):
    return attrs.evolve(experiment, trainer=attrs.evolve(experiment.trainer, steps=count, validate_every=count))


def run(experiment, folder, registry, *, start=None, out=None):
    prepare(folder, experiment, registry, resume=False, overwrite=False, start=start)
    train(experiment, folder, device=CPU, resume=start is not None, out=out or io.StringIO())
    return folder


@pytest.fixture
def first(tiny, registry, tmp_path):
    return run(with_steps(tiny, 3), tmp_path / "first", registry)


def test_step_0_is_those_weights_with_momenta_of_nothing(tiny, registry, first, tmp_path):
    start = read_start([str(first)], Model(tiny))
    prepare(tmp_path / "next", tiny, registry, resume=False, overwrite=False, start=start)
    weights, momenta, state = restore(tmp_path / "next", "last")
    before, _, then = restore(first, "best")
    assert weights.keys() == before.keys()
    assert all(torch.equal(weights[name], before[name]) for name in before)
    assert (momenta, state.step, state.tables) == ({}, 0, 0)
    assert then.tables == 3 * 8
    assert state.init == Ancestor(name="first", sha256=seal(first, "best")[1], steps=3, tables=24)


def test_the_schedule_begins_anew_and_the_first_loss_is_that_of_the_old_weights(tiny, registry, first, tmp_path):
    # a warm-up so long that the weights hardly move
    still = attrs.evolve(with_steps(tiny, 2), trainer=attrs.evolve(tiny.trainer, steps=2, warmup=10**9))
    out = io.StringIO()
    run(still, tmp_path / "next", registry, start=read_start([str(first)], Model(still)), out=out)
    weights, before = restore(tmp_path / "next", "last")[0], restore(first, "best")[0]
    for name, value in before.items():
        torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=1e-6)
    told = "started from the weights of first, with 3 steps and 24 tables behind them"
    assert out.getvalue().splitlines()[1] == told
    assert ", from step" not in out.getvalue()


def test_the_tables_of_the_first_run_are_not_seen_again(tiny, registry, first, tmp_path, monkeypatch):
    seen = []
    batch = Stream.batch

    def listen(stream, step, part=0):
        if stream.purpose == "train":
            seen.append(step)
        return batch(stream, step, part)

    monkeypatch.setattr(Stream, "batch", listen)
    run(with_steps(tiny, 2), tmp_path / "second", registry, start=read_start([str(first)], Model(tiny)))
    assert seen == [3, 4]


def test_steps_add_up_over_generations(tiny, registry, first, tmp_path):
    second = run(with_steps(tiny, 2), tmp_path / "second", registry, start=read_start([str(first)], Model(tiny)))
    state = restore(second, "last")[2]
    assert (state.step, state.all_steps, state.all_tables) == (2, 5, 40)
    third = read_start([str(second)], Model(tiny)).ancestor
    assert (third.name, third.steps, third.tables) == ("second", 5, 40)


def test_tables_that_an_ancestor_did_not_count_stay_unknown(tiny, first):
    state = restore(first, "last")[2]
    assert attrs.evolve(state, tables=None).all_tables is None
    unknown = Ancestor(name="old", sha256="", steps=7, tables=None)
    grown = attrs.evolve(state, init=unknown)
    assert (grown.all_steps, grown.all_tables) == (10, None)


def test_weights_of_another_network_are_refused_whole(tiny, registry, first):
    wider = Model(attrs.evolve(tiny, width=24))
    before = {name: value.clone() for name, value in wider.state_dict().items()}
    with pytest.raises(CheckpointError) as refusal:
        read_start([str(first)], wider)
    found = str(refusal.value)
    assert found.startswith(
        f"{first}: the weights do not fit the experiment: embedding.diagonal (16 there, 24 here), "
        "embedding.moments.project.weight (16 x 16 there, 24 x 16 here), "
    )
    assert found.endswith(" more")
    assert all(torch.equal(before[name], value) for name, value in wider.state_dict().items())
    deeper = attrs.evolve(tiny, embedding=attrs.evolve(tiny.embedding, steps=0))
    with pytest.raises(CheckpointError) as refusal:
        read_start([str(first)], Model(deeper))
    assert "embedding.steps.0.between.blocks.0" in str(refusal.value)
    assert " there, none here)" in str(refusal.value)
