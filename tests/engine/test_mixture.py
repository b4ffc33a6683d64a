"""Several networks side by side: what they say together, whom the gate asks, and who learns."""

import io
import json
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from tabscm import CheckpointError, ConfigError, TabSCMError
from tabscm.engine.benchmark.methods import fingerprint
from tabscm.engine.checkpoint import restore, restore_weights
from tabscm.engine.loading import load_model
from tabscm.engine.mixture import LONG, Gate, asked, mixed
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.recompute import recompute_layers
from tabscm.engine.release import release
from tabscm.engine.result import Result
from tabscm.engine.runs import carry_out, prepare
from tabscm.engine.start import begin, read_start
from tabscm.engine.stream import Stream
from tabscm.engine.tables import DataTable
from tabscm.engine.trainer import train
from tabscm.kernel.config import dump, load, load_network
from tabscm.kernel.errors import Problem
from tabscm.kernel.experiment import Weighted
from tabscm.kernel.interfaces import Encoder, Evidence, Table

CPU = torch.device("cpu")
NAMES = ("first", "second", "third")


@pytest.fixture(scope="module")
def several(tiny):
    trainer = attrs.evolve(tiny.trainer, steps=4, validate_every=4)
    gate = attrs.evolve(tiny.embedding, steps=0)
    return attrs.evolve(tiny, specialists=NAMES, gate=gate, trainer=trainer)


@pytest.fixture
def model(several, moved):
    """Networks that differ, behind a gate that is of some mind."""
    return moved(1, several, by=0.2).eval()


@pytest.fixture
def tables(several):
    return Stream(several.stream, seed=5, device=CPU).batch(0)[0]


def shares_are(model, *shares):
    """Have the gate believe the specialists so far, whatever the table."""
    with torch.no_grad():
        model.gate.score.weight.zero_()
        model.gate.score.bias.copy_(torch.tensor(shares).log())


@pytest.fixture
def alone(several, model):
    """What one of the specialists says: (name, table) -> logits."""
    one = Model(attrs.evolve(several, specialists=(), gate=None)).eval()

    def ask(name, table):
        one.load_state_dict(model.specialists[name].state_dict())
        with torch.inference_mode():
            return one(table).logits

    return ask


def test_its_probability_is_the_mean_of_theirs_by_share():
    logits = torch.tensor([-30.0, 0.5, 30.0]).view(3, 1, 1, 1).expand(3, 2, 4, 4)
    log_shares = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]]).log()
    found = mixed(logits, log_shares).sigmoid()
    half = torch.tensor(0.5).sigmoid()
    torch.testing.assert_close(found[0], (0.25 * half + 0.25).expand(4, 4))
    torch.testing.assert_close(found[1], (0.9 * half).expand(4, 4))


def test_log_odds_keep_their_digits_far_from_even_odds():
    logits = torch.tensor([[-80.0, 80.0], [-90.0, 90.0]]).view(2, 1, 1, 2).expand(2, 1, 2, 2)
    found = mixed(logits, torch.tensor([[0.5, 0.5]]).log())[0, 0]
    torch.testing.assert_close(found, torch.tensor([-80.6931, 80.6931]), atol=1e-3, rtol=0)


def test_at_first_all_are_believed_alike(several, tables):
    torch.manual_seed(0)
    with torch.inference_mode():
        shares = Model(several).train()(tables).aux["beliefs"].exp()
    torch.testing.assert_close(shares, torch.full((len(tables.x), 3), 1 / 3))


@pytest.mark.parametrize("part", ["of_nodes", "of_pairs"])
def test_a_gate_takes_means_at_first_and_may_learn_to_look_for_what_is_rare(part):
    torch.manual_seed(0)
    gate = Gate(torch.nn.Identity(), width=4, count=2)
    pool = getattr(gate, part)
    x = torch.randn(1, 10, 10, 4) if part == "of_pairs" else torch.randn(1, 100, 4)
    flat = x.reshape(1, 100, 4)
    (gradient,) = torch.autograd.grad(pool(x).sum(), pool.inverse_temperature)
    assert (gradient != 0).all()
    with torch.no_grad():
        each = torch.stack([pool(flat[:, [index]]) for index in range(100)], 1)  # [1, 100, 4]
        torch.testing.assert_close(pool(x), each.mean(1))
        # repeating every element changes nothing
        torch.testing.assert_close(pool(x), pool(torch.cat([x, x], 1)))
        with torch.autocast("cpu", torch.bfloat16):
            assert pool(x).dtype == torch.float32
        pool.inverse_temperature.fill_(1e4)
        torch.testing.assert_close(pool(x), each.max(1).values)


def test_what_a_gate_takes_of_pairs_counts():
    torch.manual_seed(0)
    gate = Gate(torch.nn.Identity(), width=4, count=2)
    torch.nn.init.normal_(gate.score.weight)
    nodes, pairs = torch.randn(1, 10, 4), torch.randn(2, 1, 10, 10, 4)
    first, second = (gate(Evidence(nodes=nodes, pairs=one)) for one in pairs)
    assert not torch.allclose(first, second)


def test_equal_networks_say_what_one_of_them_says(model, tables, alone):
    for name in NAMES[1:]:
        model.specialists[name].load_state_dict(model.specialists["first"].state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(model(tables).logits, alone("first", tables), atol=1e-4, rtol=1e-4)


def test_a_specialist_may_have_an_embedding_of_its_own(several, tables):
    own = attrs.evolve(several, embeddings={"second": attrs.evolve(several.embedding, features=3)})
    torch.manual_seed(0)
    model = Model(own).eval()
    alone = Model(attrs.evolve(several, specialists=(), gate=None, embedding=own.embeddings["second"])).eval()
    alone.load_state_dict(model.specialists["second"].state_dict())
    shares_are(model, 0.005, 0.99, 0.005)
    with torch.inference_mode():
        torch.testing.assert_close(model(tables).logits, alone(tables).logits, atol=1e-4, rtol=1e-4)


def test_an_embedding_of_no_specialist_is_refused(several):
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(several, embeddings={"secnd": several.embedding}))
    assert refusal.value.problems == (
        Problem(
            "embeddings.secnd",
            ('no specialist is called "secnd". Did you mean "second"?', "there are: first, second, third"),
        ),
    )


@attrs.frozen
class Moody(Encoder):
    """Reads what only a variational embedding gives."""

    name = "moody"
    needs = frozenset({"kl"})

    def build(self, width):
        return torch.nn.Identity()


def test_what_an_own_embedding_does_not_give_is_missed(several, registry):
    variational = registry.find("embedding", "variational")(of=several.embedding)
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(several, embedding=variational, embeddings={"first": several.embedding}, encoder=Moody()))
    lines = ('moody needs "kl", which nothing before it gives', "given: pairs", "behind embeddings.first")
    assert refusal.value.problems == (Problem("encoder", lines),)


def test_only_those_that_are_believed_are_asked(model, tables, alone, monkeypatch):
    shares_are(model, 0.7, 0.299, 0.001)
    called = []
    for name, network in model.specialists.items():
        monkeypatch.setattr(
            network.embedding,
            "forward",
            lambda table, name=name, own=network.embedding.forward: called.append(name) or own(table),
        )
    with torch.inference_mode():
        found = model(tables)
    assert called == ["first", "second"]
    expected = 0.7 * alone("first", tables).sigmoid() + 0.299 * alone("second", tables).sigmoid()
    torch.testing.assert_close(found.logits.sigmoid(), expected / 0.999)
    assert not found.aux["beliefs"].exp()[:, 2].any()
    called.clear()
    model.train()(tables)  # where something is learned, all have their say
    assert called == list(NAMES)


def test_the_two_likeliest_are_asked_and_the_second_only_if_it_matters():
    shares = torch.tensor([[0.5, 0.2, 0.29, 0.01], [0.01, 0.01, 0.97, 0.01], [0.01, 0.0, 0.96, 0.03]])
    assert asked(shares.log(), rows=100).tolist() == [
        [True, False, True, False],
        [False, False, True, False],
        [False, False, True, True],
    ]
    assert asked(torch.zeros(1, 1), rows=100).tolist() == [[True]]
    assert asked(shares.log()[:1], rows=LONG + 1).tolist() == [[True, False, False, False]]


def test_tables_of_one_batch_ask_whom_they_want(model, tables):
    with torch.inference_mode():
        together = model(tables)
        one_by_one = [
            model(Table(tables.x[[b]], tables.intervened[[b]], tables.observed[[b]])).logits[0]
            for b in range(len(tables.x))
        ]
    assert not torch.equal(together.aux["beliefs"].exp()[0], together.aux["beliefs"].exp()[1])
    torch.testing.assert_close(together.logits, torch.stack(one_by_one), atol=1e-4, rtol=1e-4)


def test_whom_a_gate_believes_does_not_hang_on_the_order_of_rows(model):
    x = torch.randn(1, 20_000, 3, generator=torch.Generator().manual_seed(0))
    x[:, 10_000:, 1] = 0.3 * x[:, 10_000:, 1] + x[:, 10_000:, 0]
    blank = torch.zeros_like(x, dtype=torch.bool)
    with torch.inference_mode():
        found = [
            model(Table(rows, blank, ~blank)).aux["beliefs"] for rows in (x, x.flip(1), x[:, torch.randperm(20_000)])
        ]
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=1e-5, rtol=0)


def test_training_and_reading_agree_but_for_those_not_asked(model, tables):
    shares_are(model, 0.3, 0.01, 0.69)
    with torch.inference_mode():
        read = model(tables).logits.sigmoid()
    torch.testing.assert_close(read, model.train()(tables).logits.detach().sigmoid(), atol=0.01, rtol=0)


def test_a_result_says_what_the_table_was_taken_for(model):
    x = np.random.default_rng(0).normal(size=(30, 4))
    data = DataTable(names=("a", "b", "c", "d"), x=x, source="the table")
    shares_are(model, 0.005, 0.245, 0.75)
    found = predict(model, data, device=CPU)
    assert list(found.read_as) == ["third", "second"]
    assert found.read_as["second"] == pytest.approx(0.245, abs=1e-6)
    assert found.to_json()["read_as"] == found.read_as
    assert found.render().splitlines()[-1] == "Taken for a table of the kind: third 75 %, second 25 %."
    assert "<p>Taken for a table of the kind <bdi>third 75 %, second 25 %</bdi>:" in found.to_html()


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.335, 0.335, 0.33), "a 34 %, b 33 %, c 33 %"),
        ((0.507, 0.336, 0.141), "a 51 %, b 33 %, c 14 %, others 2 %"),
        ((0.996,), "a 100 %"),
        ((), ""),
    ],
)
def test_shares_add_up_to_a_hundred(shares, words):
    found = Result(tuple("ab"), np.zeros((2, 2)), read_as=dict(zip("abc", shares, strict=False)))
    assert found.read_as_words == words


def test_a_specialist_can_be_asked_alone(model, tables, alone, monkeypatch):
    shares_are(model, 0.98, 0.01, 0.01)
    monkeypatch.setattr(model.gate, "embedding", None)  # which is not called
    model.ask_alone("second")
    with torch.inference_mode():
        found = model(tables)
    torch.testing.assert_close(found.logits, alone("second", tables))
    assert found.aux["beliefs"].exp().tolist() == [[0.0, 1.0, 0.0]] * len(tables.x)
    x = np.random.default_rng(0).normal(size=(30, 4))
    said = predict(model, DataTable(names=("a", "b", "c", "d"), x=x, source="the table"), device=CPU)
    assert said.read_as == {}
    assert said.provenance.to_json()["specialist"] == "second"
    assert "of these networks <bdi>second</bdi> alone was asked" in said.to_html()
    with pytest.raises(TabSCMError) as refusal:
        model.chosen_threshold()
    assert str(refusal.value) == (
        'threshold "chosen": validation chose one for all networks together, and none for second alone; give a number'
    )
    assert said.notes == ("the specialist second alone was asked, and no gate whether the table is of its kind",)


def test_one_network_takes_tables_for_nothing(tiny):
    x = np.random.default_rng(0).normal(size=(30, 4))
    found = predict(Model(tiny), DataTable(names=("a", "b", "c", "d"), x=x, source="the table"), device=CPU)
    assert found.read_as == {}
    assert "Taken for" not in found.render() + found.to_html()


def test_a_gate_learns_alone(several, runs, tmp_path):
    only = attrs.evolve(several, trainer=attrs.evolve(several.trainer, train="gate"))
    begin(tmp_path, read_start([str(runs["three"])], Model(only)))
    before, _, _ = restore(tmp_path, "last")
    train(only, tmp_path, device=CPU, resume=True, out=io.StringIO())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    shares = [sum(line[f"share/{name}"] for name in NAMES) for line in lines if "share/first" in line]
    assert shares == pytest.approx([1.0] * 4)
    after, momenta, _ = restore(tmp_path, "last")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert {name.split(".")[0] for name in moved} == {"gate"}
    assert {name.split(".")[0] for name in momenta if not name.startswith("health/")} == {"gate"}


def test_the_gate_finds_out_who_is_right(several, tables):
    """The first network knows the graph where a column is constant over half of its rows, the second elsewhere."""
    torch.manual_seed(0)
    model = Model(several)
    optimiser = torch.optim.AdamW(model.gate.parameters(), lr=1e-2)
    flat = torch.arange(len(tables.x)) % 2 == 0
    x = tables.x.clone()
    x[flat, : x.shape[1] // 2] = 0.0
    table = Table(x, tables.intervened, tables.observed)
    right, wrong = torch.full((4, 4), 3.0), torch.full((4, 4), -3.0)
    logits = torch.stack(
        [torch.where(flat[:, None, None], right, wrong), torch.where(flat[:, None, None], wrong, right)]
    )
    logits = torch.cat([logits, -logits.abs()[:1]])  # and the third nowhere
    for _ in range(60):
        log_shares = model.gate(model.gate.embedding(table))
        loss = -torch.nn.functional.logsigmoid(mixed(logits, log_shares)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    shares = log_shares.exp()
    assert (shares[flat, 0] > 0.9).all()
    assert (shares[~flat, 1] > 0.9).all()


def run(experiment, folder, registry):
    prepare(folder, experiment, registry, resume=False, overwrite=False)
    carry_out(folder, experiment, device=CPU, resume=False, out=io.StringIO())
    return folder


@pytest.fixture(scope="module")
def runs(tiny, several, registry, tmp_path_factory):
    """A run of one network, one of another and one of three."""
    folder = tmp_path_factory.mktemp("runs")
    short = attrs.evolve(tiny, trainer=several.trainer)
    return {
        "one": run(short, folder / "one", registry),
        "other": run(attrs.evolve(short, seed=3), folder / "other", registry),
        "three": run(attrs.evolve(several, mirrored=("third",)), folder / "three", registry),
    }


def start(sources, runs, experiment):
    return read_start([source.format(**runs) for source in sources], Model(experiment))


def network_of(weights, name):
    prefix = f"specialists.{name}."
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_one_network_starts_all_and_others_take_their_places(runs, several):
    found = start(["{one}", "second={other}", "third={three}:first"], runs, several)
    one, other, three = (restore_weights(runs[name], "best")[0] for name in ("one", "other", "three"))
    assert same(network_of(found.weights, "first"), one)
    assert same(network_of(found.weights, "second"), other)
    assert same(network_of(found.weights, "third"), network_of(three, "first"))
    assert found.ancestor.name == "one, other, three:first"
    assert (found.ancestor.steps, found.ancestor.tables) == (4, 3 * 4 * 8)


def test_the_embedding_of_a_new_gate_starts_from_that_of_the_first_specialist(runs, several):
    found = start(["{one}"], runs, several).weights
    assert torch.equal(found["gate.embedding.phi.0.weight"], found["specialists.first.embedding.phi.0.weight"])
    assert not found["gate.score.weight"].any()


def test_several_networks_start_from_several_with_their_gate(runs, several):
    assert same(start(["{three}"], runs, several).weights, restore_weights(runs["three"], "best")[0])


def test_one_network_starts_from_one_of_several(runs, several, tiny):
    found = start(["{three}:third"], runs, tiny)
    assert same(found.weights, network_of(restore_weights(runs["three"], "best")[0], "third"))
    assert found.ancestor.name == "three:third"


def test_released_they_say_the_same_and_each_can_be_trained_on(runs, tiny, registry, tables, tmp_path):
    folder = release(runs["three"], registry, name="several", into=tmp_path, device=CPU)
    with torch.inference_mode():
        before, after = (load_model(path, registry, CPU)(tables).logits for path in (runs["three"], folder))
    assert torch.equal(before, after)
    card = (folder / "card.md").read_text()
    assert "3 networks of the same parts side by side: first, second, third; and a gate" in card
    assert "Mirrored: third. They read a small table up to four times, " in card
    assert load_model(folder, registry, CPU).mirrored == ("third",)
    for run in (runs["three"], folder):
        second, whole = load_model(Path(f"{run}:second"), registry, CPU), load_model(run, registry, CPU)
        assert second.alone == "second"
        assert fingerprint(second) != fingerprint(whole)
        with pytest.raises(CheckpointError) as refusal:
            load_model(Path(f"{run}:secnd"), registry, CPU)
        there = "there is no specialist called"
        names = "first, second, third"
        assert str(refusal.value) == f'{run}: {there} "secnd". Did you mean "second"? There are: {names}'
    with pytest.raises(CheckpointError) as refusal:
        load_model(Path(f"{runs['one']}:second"), registry, CPU)
    assert str(refusal.value) == f'{runs["one"]}: there is no specialist called "second". It is one network.'
    found = read_start([f"{folder}:second"], Model(tiny))
    assert same(found.weights, network_of(restore_weights(runs["three"], "best")[0], "second"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "{three}",
            "there are several networks, and one is wanted: --init {three}:NAME, of first, second, third",
        ),
        ("{three}:fist", 'there is no specialist called "fist". Did you mean "first"? There are: first, second, third'),
        ("{one}:first", 'there is no specialist called "first". It is one network.'),
        ("first={one}", 'no specialist of this experiment is called "first". It is one network.'),
    ],
)
def test_what_is_not_one_network_is_refused(source, message, runs, tiny):
    with pytest.raises(CheckpointError) as refusal:
        start([source], runs, tiny)
    told = source.format(**runs)
    about = f"--init {told}" if "=" in told else told.partition(":")[0]
    assert str(refusal.value) == f"{about}: {message.format(**runs)}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "frist={one}",
            'no specialist of this experiment is called "frist". Did you mean "first"? There are: first, second, third',
        ),
        ("first=", "names no run after the ="),
    ],
)
def test_places_that_are_not_there_are_named(source, message, runs, several):
    with pytest.raises(CheckpointError) as refusal:
        start([source], runs, several)
    assert str(refusal.value) == f"--init {source.format(**runs)}: {message}"


def test_places_left_empty_are_named(runs, several):
    with pytest.raises(CheckpointError) as refusal:
        start(["first={one}"], runs, several)
    assert str(refusal.value).startswith(
        f"first={runs['one']}: the weights do not fit the experiment: specialists.second.embedding.diagonal "
        "(none there, 16 here), "
    )


@pytest.mark.parametrize("sources", [["{one}"], ["first={one}", "second={other}", "third={one}"]])
def test_one_network_in_several_places_is_written_for_each(sources, runs, several, tmp_path):
    begin(tmp_path, found := start(sources, runs, several))
    assert same(restore(tmp_path, "last")[0], found.weights)


@pytest.mark.parametrize(
    ("changes", "where", "line"),
    [
        (
            {"gate": None},
            "gate",
            "there is none, and specialists are named: say what reads a table to choose among them, such as "
            '{ use = "cross-moment", steps = 0 }',
        ),
        (
            {"specialists": ()},
            "gate",
            "chooses among specialists, and none are named; name at least two, or leave the gate out",
        ),
        (
            {"auxiliary_heads": ("effects",)},
            "auxiliary_heads",
            "specialists are mixed in their edges alone; leave out auxiliary heads, or specialists",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(several, registry, changes, where, line):
    if "auxiliary_heads" in changes:
        changes = {"auxiliary_heads": tuple(registry.find("head", name)() for name in changes["auxiliary_heads"])}
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(several, **changes))
    assert refusal.value.problems == (Problem(where, (line,)),)


def test_a_gate_that_is_not_there_cannot_learn_alone(tiny):
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(tiny, trainer=attrs.evolve(tiny.trainer, train="gate")))
    line = '"gate" trains the gate alone, and there is none; name specialists and a gate, or leave it out'
    assert refusal.value.problems == (Problem("trainer.train", (line,)),)


def test_nothing_but_edges_may_be_asked_of_several(several, registry):
    hungry = Weighted(registry.find("regulariser", "kl-cap")())
    variational = registry.find("embedding", "variational")(of=several.embedding)
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(several, embedding=variational, regularisers=(hungry,)))
    lines = ('kl-cap needs "kl", which nothing before it gives', "given: beliefs, edges, specialists")
    assert refusal.value.problems == (Problem("regularisers[0]", lines),)


def test_layers_of_all_are_computed_again(several, tables):
    deep = attrs.evolve(several, gate=several.embedding)
    model = Model(deep)
    recompute_layers(model)
    wrapped = [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert {name.split(".embedding")[0] for name in wrapped if ".embedding" in name} == {
        "gate",
        *(f"specialists.{name}" for name in NAMES),
    }
    model(tables).logits.sum().backward()


def test_frozen_specialists_draw_no_dropout(several):
    frozen = Model(attrs.evolve(several, trainer=attrs.evolve(several.trainer, train="gate"))).train()
    assert frozen.gate.training
    assert not any(network.training for network in frozen.networks)
    assert all(network.training for network in Model(several).train().networks)


def test_an_experiment_and_its_network_are_read_back(several, registry, tmp_path):
    (tmp_path / "whole.toml").write_text(dump(several))
    assert load(tmp_path / "whole.toml", registry) == several
    (tmp_path / "network.toml").write_text(dump(several.network))
    assert load_network(tmp_path / "network.toml", registry) == several.network
