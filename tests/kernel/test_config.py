"""From TOML to a frozen Experiment and back, on a shelf of made-up components."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabscm import ConfigError, Draw, Mechanism, Ramp, Weighted
from tabscm.kernel.config import components, dump, load, load_network, origins, structure, to_data
from tabscm.kernel.experiment import EarlyStopping, Evaluation, Experiment, Level, StreamSettings, TrainerSettings
from tabscm.kernel.registry import Entry, Origin, Registry

PLAIN = """
embedding = "moments"
encoder = "identity"
head = "pair"
loss = "bce"

[trainer]
steps = 10

[stream]
graphs = ["ring"]
mechanisms = ["linear", "sine"]
noises = ["gaussian"]
interventions = ["nothing"]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """write(name, text) puts a file into the folder that is the current one, so that messages hold bare names."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
        return name

    return write


@pytest.fixture
def read(write, shelf):
    """read(text, overrides) loads an experiment file that holds PLAIN with `text` laid on it."""

    def read(text, overrides=()):
        write("plain.toml", PLAIN)
        return load(write("bad.toml", f'extends = "plain.toml"\n{text}'), shelf, overrides)

    return read


@pytest.fixture
def report(read):
    """report(text, overrides) is the whole report on such a file."""

    def report(text, overrides=()):
        with pytest.raises(ConfigError) as refusal:
            read(text, overrides)
        return str(refusal.value)

    return report


def test_a_short_file(write, shelf):
    experiment = load(write("plain.toml", PLAIN), shelf)
    assert experiment.embedding == shelf.find("embedding", "moments")()
    assert experiment.trainer == TrainerSettings(steps=10)
    assert experiment.stream.mechanisms == (
        Weighted(shelf.find("mechanism", "linear")()),
        Weighted(shelf.find("mechanism", "sine")()),
    )
    assert experiment.evaluation == Evaluation()


def test_a_bare_name_is_short_for_a_table(read):
    assert read('loss = "focal"').loss == read('loss = { use = "focal" }').loss


def test_components_within_components(read, shelf):
    experiment = read(
        """
        embedding = { use = "moments", between = { use = "blocks", sizes = [3] } }
        [[stream.mechanisms]]
        use = "mixture"
        weight = 2
        of = ["linear", { use = "sine", frequency = 5, weight = { start = 0, end = 1, steps = 9 } }]
        """
    )
    assert experiment.embedding.between == shelf.find("encoder", "blocks")(sizes=(3,))
    (outer,) = experiment.stream.mechanisms
    assert outer.weight == Ramp.constant(2.0)
    linear, sine = outer.component.of
    assert linear.weight == Ramp.constant(1.0)
    assert sine.component.frequency == Draw.constant(5.0)
    assert sine.weight == Ramp(start=0.0, end=1.0, steps=9)


def test_a_whole_number_may_stand_for_any_number(read):
    gamma = read('loss = { use = "focal", gamma = 3 }').loss.gamma
    assert (gamma, type(gamma)) == (3.0, float)


def test_an_experiment_is_frozen(write, shelf):
    experiment = load(write("plain.toml", PLAIN), shelf)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        experiment.seed = 1
    assert hash(experiment.stream) == hash(load("plain.toml", shelf).stream)


def test_a_table_without_use_merges_and_one_with_use_replaces(write, shelf):
    base = PLAIN.replace('embedding = "moments"', 'embedding = { use = "moments", features = 3, label = "a" }')
    write("base.toml", base.replace('loss = "bce"', 'loss = { use = "focal", gamma = 3.0 }'))
    write("over.toml", 'extends = "base.toml"\n[embedding]\nfeatures = 4\n[loss]\nuse = "focal"\n[trainer]\nlr = 0.5')
    experiment = load("over.toml", shelf)
    assert (experiment.embedding.features, experiment.embedding.label) == (4, "a")
    assert experiment.loss.gamma == 2.0
    assert (experiment.trainer.steps, experiment.trainer.lr) == (10, 0.5)


def test_a_table_without_use_merges_into_a_bare_name_too(write, shelf):
    base = PLAIN.replace('embedding = "moments"', 'embedding = { use = "moments", between = "blocks" }')
    write("base.toml", base.replace('loss = "bce"', 'loss = "focal"'))
    write("over.toml", 'extends = "base.toml"\n[loss]\ngamma = 3\n[embedding.between]\nsizes = [7]')
    experiment = load("over.toml", shelf)
    assert experiment.loss == shelf.find("loss", "focal")(gamma=3.0)
    assert experiment.embedding.between == shelf.find("encoder", "blocks")(sizes=(7,))


def test_a_wrong_bare_name_below_a_table_is_found_in_its_file(write, shelf):
    write("base.toml", PLAIN.replace('loss = "bce"', 'loss = "foccal"'))
    with pytest.raises(ConfigError) as refusal:
        load(write("top.toml", 'extends = "base.toml"\n[loss]\ngamma = 3'), shelf)
    assert str(refusal.value) == (
        "top.toml: 1 problem\n\n"
        '  loss.use\n    no loss is called "foccal". Did you mean "focal"?\n    on offer: bce, focal\n'
        "    written in base.toml"
    )


def test_a_list_replaces(read):
    assert len(read('[stream]\nmechanisms = ["sine"]').stream.mechanisms) == 1


@pytest.mark.parametrize(
    ("under", "over", "both"),
    [
        ('low = 10, high = 20, scale = "log"', "high = 30", Draw(low=10.0, high=30.0, scale="log")),
        ('low = 10, high = 20, scale = "log"', "low = 5, high = 30", Draw(low=5.0, high=30.0, scale="log")),
        ('low = 10, high = 20, scale = "log"', 'scale = "linear"', Draw(low=10.0, high=20.0)),
        ('low = 10, high = 20, scale = "log"', "choices = [5, 7]", Draw(choices=(5.0, 7.0))),
        ('low = 10, high = 20, scale = "log", per_decade = 6', "choices = [5, 7]", Draw(choices=(5.0, 7.0))),
        ('low = 10, high = 20, scale = "log"', "per_decade = 6", Draw(10.0, 20.0, "log", per_decade=6)),
        ('low = 10, high = 20, scale = "log", per_decade = 6', "low = 5", Draw(5.0, 20.0, "log", per_decade=6)),
        ('low = 10, high = 20, scale = "log", per_decade = 6', 'scale = "linear"', Draw(10.0, 20.0)),
        ('low = 10, high = 20, scale = "log", per_decade = 6', 'low = 5, scale = "log"', Draw(5.0, 20.0, "log")),
        ("choices = [5, 7]", "low = 10, high = 20", Draw(low=10.0, high=20.0)),
        ("choices = [5, 7]", "choices = [6]", Draw(choices=(6.0,))),
        # every key written, as in a dump
        ('choices = [5, 7], scale = "linear"', 'low = 1e1, high = 20, scale = "log"', Draw(10.0, 20.0, "log")),
        ('low = 10, high = 20, scale = "log"', 'choices = [5], scale = "linear"', Draw(choices=(5.0,))),
    ],
)
def test_draws_merge_but_choices_and_a_range_end_each_other(write, shelf, under, over, both):
    write("base.toml", PLAIN + f"rows = {{ {under} }}")
    write("over.toml", f'extends = "base.toml"\n[stream]\nrows = {{ {over} }}')
    assert load("over.toml", shelf).stream.rows == both
    write("cell.toml", f'extends = "base.toml"\n[evaluation.cells.one]\nrows = {{ {over} }}')
    assert load("cell.toml", shelf).evaluation.cells["one"].rows == both


def test_cells_may_have_the_names_of_a_draws_keys(write, shelf):
    write("base.toml", PLAIN + "[evaluation.cells.low]\nrows = 5\n[evaluation.cells.choices]\nrows = 6")
    write("top.toml", 'extends = "base.toml"\n[evaluation.cells.choices]\nrows = 7\n[evaluation.cells.high]\nrows = 8')
    cells = load("top.toml", shelf).evaluation.cells
    assert {name: cell.rows.most for name, cell in cells.items()} == {"low": 5.0, "choices": 7.0, "high": 8.0}


def test_fields_called_low_and_high_merge_into_their_component(write, shelf):
    write("base.toml", PLAIN.replace('loss = "bce"', 'loss = { use = "focal", gamma = 3.0 }'))
    write("over.toml", 'extends = "base.toml"\n[loss]\nlow = 0.25\nhigh = 0.5')
    loss = load("over.toml", shelf).loss
    assert (loss.gamma, loss.low, loss.high) == (3.0, 0.25, 0.5)


def test_extends_is_relative_to_its_file_and_goes_on(write, shelf):
    write("base.toml", PLAIN)
    write("folder/middle.toml", 'extends = "../base.toml"\nseed = 1\nwidth = 8')
    write("folder/top.toml", 'extends = "middle.toml"\nwidth = 16')
    experiment = load("folder/top.toml", shelf)
    assert (experiment.seed, experiment.width) == (1, 16)


def test_extends_several_files_each_laid_on_those_before(write, shelf):
    write("base.toml", PLAIN)
    write("middle.toml", 'extends = "base.toml"\nseed = 1\nwidth = 8')
    write("sizes.toml", "width = 16\n[embedding]\nfeatures = 4")
    write("more.toml", "[embedding]\nfeatures = 5")
    experiment = load(write("top.toml", 'extends = ["middle.toml", "sizes.toml", "more.toml"]\nseed = 2'), shelf)
    assert (experiment.seed, experiment.width, experiment.embedding.features) == (2, 16, 5)


def test_only_the_first_of_several_files_may_extend_another(write, shelf):
    write("base.toml", PLAIN)
    write("one.toml", 'extends = "base.toml"')
    with pytest.raises(ConfigError) as refusal:
        load(write("top.toml", 'extends = ["base.toml", "one.toml"]'), shelf)
    assert str(refusal.value) == "top.toml: 1 problem\n\n  extends\n    one.toml extends another; put it first"


def test_extends_in_a_circle(write, shelf):
    write("a.toml", 'extends = "b.toml"')
    write("b.toml", 'extends = "c.toml"')
    write("c.toml", 'extends = "b.toml"')
    with pytest.raises(ConfigError) as refusal:
        load("a.toml", shelf)
    assert (
        str(refusal.value) == "c.toml: 1 problem\n\n  extends\n    goes round in a circle: b.toml -> c.toml -> b.toml"
    )


def test_extends_itself(write, shelf):
    with pytest.raises(ConfigError) as refusal:
        load(write("a.toml", 'extends = "a.toml"'), shelf)
    assert str(refusal.value) == "a.toml: 1 problem\n\n  extends\n    goes round in a circle: a.toml -> a.toml"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"none.toml"', "there is no file none.toml; the path starts at the folder of this file"),
        ('["none.toml"]', "there is no file none.toml; the path starts at the folder of this file"),
        ("7", "expected the path of a file, or a list of them"),
        ("[7]", "expected the path of a file, or a list of them"),
    ],
)
def test_extends_something_that_is_no_file(write, shelf, value, message):
    with pytest.raises(ConfigError) as refusal:
        load(write("a.toml", f"extends = {value}"), shelf)
    assert str(refusal.value) == f"a.toml: 1 problem\n\n  extends\n    {message}"


def test_a_mistake_in_a_list_that_replaces_another_is_here(write, shelf):
    write("base.toml", PLAIN)
    with pytest.raises(ConfigError) as refusal:
        load(write("top.toml", 'extends = "base.toml"\n[[stream.mechanisms]]\nweight = 1.0'), shelf)
    assert "written in" not in str(refusal.value)
    assert "stream.mechanisms[0]" in str(refusal.value)


def test_a_mistake_below_names_the_file_it_is_in(write, shelf):
    write("base.toml", PLAIN + "equal_noise = 3.0")
    with pytest.raises(ConfigError) as refusal:
        load(write("top.toml", 'extends = "base.toml"\nseed = -1'), shelf)
    assert str(refusal.value) == (
        "top.toml: 2 problems\n\n"
        "  seed\n    'seed' must be >= 0: -1\n\n"
        "  stream.equal_noise\n    'equal_noise' must be <= 1: 3.0\n    written in base.toml"
    )


def test_overrides(read):
    experiment = read(
        '[loss]\nuse = "focal"',
        ["trainer.steps=200", "loss.gamma = 0.5", 'embedding="moments"', "trainer.compile=true", "encoder=blocks"],
    )
    assert experiment.trainer.steps == 200
    assert experiment.trainer.compile is True
    assert experiment.loss.gamma == 0.5
    assert experiment.encoder.name == "blocks"


def test_an_override_may_make_the_table_it_is_in(read):
    assert read("", ["evaluation.tables=3"]).evaluation.tables == 3


def test_an_override_may_set_a_key_of_a_bare_name(read, shelf):
    experiment = read('loss = "focal"', ["loss.gamma=0.5", "loss.high=3", "embedding.between.use=blocks"])
    assert experiment.loss == shelf.find("loss", "focal")(gamma=0.5, high=3.0)
    assert experiment.embedding.between.name == "blocks"


def test_an_override_that_a_bare_name_has_no_key_for(report):
    assert report("", ["loss.gamma=3"]) == (
        "bad.toml: 1 problem\n\n  loss.gamma\n    unknown key.\n    allowed: none\n    set by --set loss.gamma=3"
    )


def test_an_embedding_of_one_specialist_says_where_it_differs(write, shelf):
    write("base.toml", PLAIN + "[embeddings.one]\nlabel = 'own'\n[embeddings.two]\nuse = 'moments'\nfeatures = 3")
    moments = shelf.find("embedding", "moments")
    assert load("base.toml", shelf).embeddings == {"one": moments(label="own"), "two": moments(features=3)}
    write("top.toml", 'extends = "base.toml"\n[embedding]\nfeatures = 7\nlabel = "all"')
    own = load("top.toml", shelf, ["embeddings.two.features=4"]).embeddings
    assert own == {"one": moments(label="own", features=7), "two": moments(features=4)}


def test_an_override_of_the_stream_reaches_the_cells(read):
    experiment = read("[evaluation.cells.all]\nrows = 9", ["stream.variables=7"])
    assert experiment.evaluation.cells["all"].variables == Draw.constant(7.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.steps", "expected key.path=value, such as trainer.steps=200"),
        ("=3", "expected key.path=value, such as trainer.steps=200"),
        ("trainer..steps=3", "expected key.path=value, such as trainer.steps=200"),
        ("trainer=3", "trainer is a table; only one number, string or true or false can be set"),
        ("stream.graphs=ring", "stream.graphs is a list; only one number, string or true or false can be set"),
        ("trainer.steps.x=3", "trainer.steps is not a table, so nothing in it can be set"),
        ("stream.graphs.use=ring", "stream.graphs is not a table, so nothing in it can be set"),
        ("seed=[1]", "one value only: a number, true, false, a word or a quoted string"),
        ("seed=1\nwidth=2", "one value only: a number, true, false, a word or a quoted string"),
        ("seed=3x", "'3x' is no TOML value: write a number, true, false, a word or a quoted string"),
        ("seed=", "'' is no TOML value: write a number, true, false, a word or a quoted string"),
    ],
)
def test_overrides_that_set_nothing(report, override, message):
    assert report("", [override]) == f"bad.toml: 1 problem\n\n  --set {override}\n    {message}"


def test_a_wrong_override_is_named_beside_the_mistakes_of_the_file(report):
    assert report("width = 0", ["trainer.steps=few", "seed=x=y"]) == (
        "bad.toml: 3 problems\n\n"
        "  --set seed=x=y\n    'x=y' is no TOML value: write a number, true, false, a word or a quoted string\n\n"
        "  width\n    'width' must be >= 1: 0\n\n"
        "  trainer.steps\n    expected a whole number, found a string: 'few'\n    set by --set trainer.steps=few"
    )


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        (b"seed = 1\nwidth = \n", "line 2, column 9", "not TOML: Invalid value"),
        (b"seed = 1\nseed = 2\n", "line 2, column 9", "not TOML: Cannot overwrite a value"),
        ("seed = 1\n# caf\xe9\n".encode("latin-1"), "line 2", "byte 0xe9 is not UTF-8; save the file as UTF-8"),
    ],
)
def test_files_that_are_not_toml(tmp_path, monkeypatch, shelf, content, where, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        load("x.toml", shelf)
    assert str(refusal.value) == f"x.toml: 1 problem\n\n  {where}\n    {message}"


def test_a_byte_order_mark_is_no_mistake(tmp_path, shelf):
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + PLAIN.encode())
    assert load(tmp_path / "x.toml", shelf).trainer.steps == 10


def test_a_file_that_does_not_exist(tmp_path, monkeypatch, shelf):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refusal:
        load("none.toml", shelf)
    assert str(refusal.value) == "none.toml: 1 problem\n\n  the file\n    does not exist"


def test_a_folder_is_no_file(tmp_path, monkeypatch, shelf):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as refusal:
        load("folder", shelf)
    assert str(refusal.value) == "folder: 1 problem\n\n  the file\n    is a folder; name a TOML file in it"


A_DRAW = "a number or a table with low and high, or with choices"
A_RAMP = "a number or a table with start, end and steps"
MISTAKES = {
    "int-from-fraction": ("[trainer]\nlog_every = 3.7", "trainer.log_every", "expected a whole number, found 3.7"),
    "int-from-whole-float": ("[trainer]\nlog_every = 3.0", "trainer.log_every", "expected a whole number, found 3.0"),
    "int-from-true": ("[trainer]\nlog_every = true", "trainer.log_every", "expected a whole number, found true"),
    "int-from-string": (
        "[trainer]\nlog_every = '3'",
        "trainer.log_every",
        "expected a whole number, found a string: '3'",
    ),
    "float-from-true": ("[trainer]\nlr = false", "trainer.lr", "expected a number, found false"),
    "float-from-string": ("[trainer]\nlr = '1e-3'", "trainer.lr", "expected a number, found a string: '1e-3'"),
    "float-from-inf": ("[trainer]\nlr = inf", "trainer.lr", "expected a finite number, found inf"),
    "float-from-nan": ("[trainer]\nlr = nan", "trainer.lr", "expected a finite number, found nan"),
    "bool-from-string": (
        "[trainer]\ncompile = 'false'",
        "trainer.compile",
        "expected true or false, found a string: 'false'",
    ),
    "bool-from-int": ("[trainer]\ncompile = 1", "trainer.compile", "expected true or false, found 1"),
    "str-from-int": ("embedding = { use = 'moments', label = 3 }", "embedding.label", "expected a string, found 3"),
    "str-from-date": (
        "embedding = { use = 'moments', label = 2024-05-06 }",
        "embedding.label",
        "expected a string, found a date or time: 2024-05-06",
    ),
    "choice": (
        "[trainer]\noptimiser = 'sgd'",
        "trainer.optimiser",
        'expected "muon" or "adamw", found a string: \'sgd\'',
    ),
    "near-choice": (
        "[trainer]\noptimiser = 'adam'",
        "trainer.optimiser",
        'expected "muon" or "adamw", found a string: \'adam\'. Did you mean "adamw"?',
    ),
    "three-choices": (
        "[stream]\nstandardise = 1",
        "stream.standardise",
        'expected "between", "after" or "mix", found 1',
    ),
    "tuple-from-string": (
        "[encoder]\nuse = 'blocks'\nsizes = '12'",
        "encoder.sizes",
        "expected a list, found a string: '12'",
    ),
    "tuple-element": (
        "[encoder]\nuse = 'blocks'\nsizes = [1, 'x']",
        "encoder.sizes[1]",
        "expected a whole number, found a string: 'x'",
    ),
    "list-from-table": ("[stream]\nnoises = { use = 'gaussian' }", "stream.noises", "expected a list, found a table"),
    "table-from-int": ("trainer = 3", "trainer", "expected a table, found 3"),
    "cells-from-list": ("[evaluation]\ncells = []", "evaluation.cells", "expected a table, found a list"),
    "validator": ("[trainer]\nclip = 0", "trainer.clip", "'clip' must be > 0: 0.0"),
    "validator-of-length": ("[stream]\nnoises = []", "stream.noises", "Length of 'noises' must be >= 1: 0"),
    "validator-of-draw": ("[stream]\nvariables = 0", "stream.variables", "variables must be at least 1, found 0"),
    "rows": ("[stream]\nrows = { low = 1, high = 9 }", "stream.rows", "rows must be at least 2, found 1"),
    "rows-from-fraction": (
        "[stream]\nrows = { choices = [2, 3.5] }",
        "stream.rows",
        "rows must be a whole number, found 3.5",
    ),
    "noise-scale": ("[stream]\nnoise_scale = 0", "stream.noise_scale", "noise_scale must be above 0, found 0"),
    "whole-class": (
        "loss = { use = 'focal', low = 2.0 }",
        "loss",
        "low is 2.0, above high, which is 1.0",
    ),
    "draw": ("[stream]\nrows = 'many'", "stream.rows", f"expected {A_DRAW}, found a string: 'many'"),
    "draw-from-true": ("[stream]\nrows = true", "stream.rows", f"expected {A_DRAW}, found true"),
    "draw-half": ("[stream]\nrows = { low = 5 }", "stream.rows", "needs low and high (or choices)"),
    "draw-twice": (
        "[stream]\nrows = { low = 5, high = 6, choices = [7] }",
        "stream.rows",
        "give either choices or low and high, not both",
    ),
    "draw-scale": (
        "[stream]\nrows = { low = 5, high = 6, scale = 'logg' }",
        "stream.rows.scale",
        'expected "linear" or "log", found a string: \'logg\'. Did you mean "log"?',
    ),
    "optional-draw": (
        "[stream]\ngraphs = [{ use = 'ring', density = 'x' }]",
        "stream.graphs[0].density",
        f"expected {A_DRAW}, found a string: 'x'",
    ),
    "ramp": (
        "[stream]\nnoises = [{ use = 'gaussian', weight = 'x' }]",
        "stream.noises[0].weight",
        f"expected {A_RAMP}, found a string: 'x'",
    ),
    "ramp-half": (
        "[stream]\nnoises = [{ use = 'gaussian', weight = { start = 1, steps = 3 } }]",
        "stream.noises[0].weight.end",
        "missing: expected a number",
    ),
    "ramp-of-no-steps": (
        "regularisers = [{ use = 'kl-cap', weight = { start = 1, end = 0, steps = 0 } }]",
        "regularisers[0].weight",
        "steps = 0 needs start and end to be equal, found 1 and 0",
    ),
    "negative-weight-of-regulariser": (
        "regularisers = [{ use = 'kl-cap', weight = -3.0 }]",
        "regularisers",
        "the weight of kl-cap must be at least 0, found -3",
    ),
    "negative-weight-of-auxiliary-loss": (
        "auxiliary_losses = ['bce', { use = 'focal', weight = { start = 1, end = -0.5, steps = 9 } }]",
        "auxiliary_losses",
        "the weight of focal must be at least 0, found -0.5",
    ),
    "negative-weight": (
        "[stream]\nnoises = [{ use = 'gaussian', weight = -1 }]",
        "stream.noises",
        "the weight of gaussian must be at least 0, found -1",
    ),
    "no-weight": (
        "[stream]\nnoises = [{ use = 'gaussian', weight = { start = 0, end = 1, steps = 3 } }]",
        "stream.noises",
        "noises needs a weight above 0 at every step",
    ),
    "no-weight-of-measurement": (
        "[stream]\nmeasurements = [{ use = 'exact', weight = 0 }]",
        "stream.measurements",
        "measurements needs a weight above 0 at every step",
    ),
    "more-hidden-than-seen": ("[stream]\nhidden = 2", "stream.hidden", "hidden must be at most 1, found 2"),
    "unknown-key": (
        "[trainer]\nsteeps = 3",
        "trainer.steeps",
        'unknown key. Did you mean "steps"?\nallowed: accumulate, clip, compile, drop_at, early_stopping, floor, '
        "gradient_checkpointing, log_every, lr, muon_lr, optimiser, precision, rollback_rate, rollbacks, schedule, "
        "split, steps, train, validate_every, validation_tables, warmup, weight_decay",
    ),
    "one-specialist": (
        "specialists = ['alone']\ngate = 'moments'",
        "specialists",
        "specialists are none, or 2 to 64 of different names",
    ),
    "specialist-of-a-strange-name": (
        "specialists = ['one', 'a.b']\ngate = 'moments'",
        "specialists",
        "specialists are named by at most 40 lower-case letters, digits and hyphens, the first of them a letter, and "
        "not as torch names what modules can do: not 'a.b'",
    ),
    "specialist-named-as-torch-names": (
        "specialists = ['one', 'train']\ngate = 'moments'",
        "specialists",
        "specialists are named by at most 40 lower-case letters, digits and hyphens, the first of them a letter, and "
        "not as torch names what modules can do: not 'train'",
    ),
    "unknown-quoted-key": ("[evaluation]\n'a b' = 3", 'evaluation."a b"', "unknown key.\nallowed: cells, tables"),
    "unknown-key-of-component": (
        "loss = { use = 'focal', gama = 3 }",
        "loss.gama",
        'unknown key. Did you mean "gamma"?\nallowed: gamma, high, low',
    ),
    "key-of-component-without-keys": ("loss = { use = 'bce', x = 3 }", "loss.x", "unknown key.\nallowed: none"),
    "key-of-weighted-component": (
        "[stream]\nnoises = [{ use = 'gaussian', wieght = 2 }]",
        "stream.noises[0].wieght",
        'unknown key. Did you mean "weight"?\nallowed: weight',
    ),
    "weight-where-there-is-none": (
        "loss = { use = 'focal', weight = 2 }",
        "loss.weight",
        "unknown key.\nallowed: gamma, high, low",
    ),
    "large letters": ("loss = 'BCE'", "loss", 'no loss is called "BCE". Did you mean "bce"?\non offer: bce, focal'),
    "component": ("loss = 'foccal'", "loss", 'no loss is called "foccal". Did you mean "focal"?\non offer: bce, focal'),
    "component-table": (
        "loss = { use = 'hinge' }",
        "loss.use",
        'no loss is called "hinge".\non offer: bce, focal',
    ),
    "component-of-another-kind": (
        "loss = 'identity'",
        "loss",
        'no loss is called "identity".\non offer: bce, focal',
    ),
    "component-without-use": (
        "regularisers = [{ cap = 3 }]",
        "regularisers[0].use",
        "missing: expected the name of a regulariser\non offer: kl-cap",
    ),
    "table-on-a-string": (
        "[trainer]\nprecision = { bits = 16 }",
        "trainer.precision",
        'expected "auto", "bf16" or "fp32", found a table',
    ),
    "component-use-from-int": (
        "loss = { use = 3 }",
        "loss.use",
        "expected the name of a loss, found 3\non offer: bce, focal",
    ),
    "component-from-int": (
        "encoder = 3",
        "encoder",
        "expected the name of an encoder, or a table with `use`, found 3\non offer: blocks, identity",
    ),
    "component-in-list": (
        "[stream]\nmechanisms = ['linear', 'sin']",
        "stream.mechanisms[1]",
        'no mechanism is called "sin". Did you mean "sine"?\non offer: linear, mixture, sine',
    ),
    "key-of-component-in-list": (
        "[stream]\nmechanisms = ['linear', { use = 'sine', frequency = -1 }]",
        "stream.mechanisms[1].frequency",
        "frequency must be at least 0, found -1",
    ),
    "nested-component": (
        "embedding = { use = 'moments', between = { use = 'blocks', sizes = [true] } }",
        "embedding.between.sizes[0]",
        "expected a whole number, found true",
    ),
    "twice-nested-component": (
        "[stream]\nmechanisms = [{ use = 'mixture', of = ['sine', { use = 'mixture', of = [{ use = 'sin' }] }] }]",
        "stream.mechanisms[0].of[1].of[0].use",
        'no mechanism is called "sin". Did you mean "sine"?\non offer: linear, mixture, sine',
    ),
    "missing-key-of-component": (
        "[stream]\nmechanisms = ['mixture']",
        "stream.mechanisms[0].of",
        "missing: expected a list\non offer: linear, mixture, sine",
    ),
    "cell": ("[evaluation.cells.large]\nrows = 1", "evaluation.cells.large.rows", "rows must be at least 2, found 1"),
    "own-embedding": (
        "[embeddings.one]\nfeatures = 0",
        "embeddings.one.features",
        "'features' must be >= 1: 0",
    ),
    "cell-with-a-space": (
        "[evaluation.cells.'my cell']\nrows = 1",
        'evaluation.cells."my cell".rows',
        "rows must be at least 2, found 1",
    ),
    "cell-unknown-key": (
        "[evaluation.cells.large]\ntable = 1",
        "evaluation.cells.large.table",
        'unknown key. Did you mean "tables"?\nallowed: cells, equal_noise, graphs, hidden, interventions, '
        "measurements, mechanisms, noise_scale, noises, pairs, rows, standardise, tables, variables",
    ),
    "cell-component": (
        "[evaluation.cells.large]\nmechanisms = ['mixture']",
        "evaluation.cells.large.mechanisms[0].of",
        "missing: expected a list\non offer: linear, mixture, sine",
    ),
    "cell-from-int": ("[evaluation.cells]\nlarge = 3", "evaluation.cells.large", "expected a table, found 3"),
    "exponential-to-nothing": (
        "[trainer]\nschedule = 'exponential'\nfloor = 0",
        "trainer",
        'schedule = "exponential" needs floor above 0: no factor leads there',
    ),
    "drop-of-a-cosine": (
        "[trainer]\ndrop_at = 0.8",
        "trainer",
        'drop_at belongs to schedule = "constant", found schedule = "cosine"',
    ),
    "metric": (
        "[trainer.early_stopping]\nmetric = 'auoc'\npatience = 3",
        "trainer.early_stopping.metric",
        'expected "log_prob_gain", "auroc", "ap", "direction", "f1", "f1_chosen", "shd" or "shd_chosen", found a '
        """string: 'auoc'. Did you mean "auroc"?""",
    ),
    "patience": (
        "[trainer]\nearly_stopping = { metric = 'shd' }",
        "trainer.early_stopping.patience",
        "missing: expected a whole number",
    ),
    "level": (
        "[[curriculum]]\nstream = { rows = 1 }\nmetric = 'ap'\nreach = 0.5",
        "curriculum[0].stream.rows",
        "rows must be at least 2, found 1",
    ),
    "level-without-stream": (
        "curriculum = [{ metric = 'ap', reach = 0.5 }]",
        "curriculum[0].stream",
        "missing: expected a table",
    ),
    "level-stream-from-string": (
        "curriculum = [{ stream = 'easy', metric = 'ap', reach = 0.5 }]",
        "curriculum[0].stream",
        "expected a table, found a string: 'easy'",
    ),
    "level-component": (
        "curriculum = [{ stream = { mechanisms = ['sin'] }, metric = 'ap', reach = 0.5 }]",
        "curriculum[0].stream.mechanisms[0]",
        'no mechanism is called "sin". Did you mean "sine"?\non offer: linear, mixture, sine',
    ),
    "level-without-end": (
        "curriculum = [{ stream = {}, metric = 'ap', reach = 0.5, most_steps = 0 }]",
        "curriculum[0].most_steps",
        "'most_steps' must be >= 1: 0",
    ),
    "level-from-int": ("curriculum = [3]", "curriculum[0]", "expected a table, found 3"),
    "curriculum-from-table": ("[curriculum]\nreach = 0.5", "curriculum", "expected a list, found a table"),
    "stream-repeated-in-levels": (
        "curriculum = [{ stream = { rows = 9 }, metric = 'ap', reach = 0.5 }]\n[stream]\nequal_noise = 7",
        "stream.equal_noise",
        "'equal_noise' must be <= 1: 7.0",
    ),
    "stream-repeated-in-cells": (
        "[stream]\nequal_noise = 7\n[evaluation.cells.a]\n[evaluation.cells.b]\nrows = 9",
        "stream.equal_noise",
        "'equal_noise' must be <= 1: 7.0",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(report, case):
    text, where, message = MISTAKES[case]
    lines = "\n".join(f"    {line}" for line in message.splitlines())
    assert report(text) == f"bad.toml: 1 problem\n\n  {where}\n{lines}"


def test_nothing_at_all(write, shelf):
    with pytest.raises(ConfigError) as refusal:
        load(write("empty.toml", ""), shelf)
    assert str(refusal.value) == (
        "empty.toml: 6 problems\n\n"
        "  embedding\n    missing: expected the name of an embedding, or a table with `use`\n    on offer: moments\n\n"
        "  encoder\n    missing: expected the name of an encoder, or a table with `use`\n"
        "    on offer: blocks, identity\n\n"
        "  head\n    missing: expected the name of a head, or a table with `use`\n    on offer: pair\n\n"
        "  loss\n    missing: expected the name of a loss, or a table with `use`\n    on offer: bce, focal\n\n"
        "  stream\n    missing: expected a table\n\n"
        "  trainer\n    missing: expected a table"
    )


def test_what_the_stream_lacks_is_not_repeated_cell_by_cell(shelf):
    data = tomli.loads(PLAIN) | {"evaluation": {"cells": {"a": {}, "b": {"rows": 9}}}}
    del data["stream"]["noises"]
    with pytest.raises(ConfigError) as refusal:
        structure(data, shelf, "data")
    assert [problem.where for problem in refusal.value.problems] == ["stream.noises"]


COLLECTIONS = [
    (tuple[int, int], [1, 2], "tuple[int, int]"),
    (tuple, [1, 2], "tuple"),
    (list[str], "abc", "list[str]"),
    (list[str], ["abc"], "list[str]"),
    (list, "abc", "list"),
    (set[str], "abc", "set[str]"),
    (frozenset[str], "abc", "frozenset[str]"),
    (frozenset[str] | None, "abc", "frozenset[str]"),
    (Sequence[str], "abc", "collections.abc.Sequence[str]"),
    (Iterable[str], "abc", "collections.abc.Iterable[str]"),
    (Mapping[str, float], {"a": 1.0}, "collections.abc.Mapping[str, float]"),
    (deque[str], "abc", "collections.deque[str]"),
    (bytes, 3, "bytes"),
]


@pytest.fixture
def refused(shelf):
    """refused(form, value) are the problems of a component with a field of the type `form`, which is given `value`."""

    def refused(form, value):
        @attrs.frozen
        class Odd(Mechanism):
            """Odd."""

            name = "odd"
            words: form = ()

            def draw(self, mask, rng):
                raise NotImplementedError

        registry = Registry([*shelf.entries(), Entry(Odd, Origin("acme", "1.0", "odd.py"))])
        data = tomli.loads(PLAIN)
        data["stream"]["mechanisms"] = [{"use": "odd", "words": value}]
        with pytest.raises(ConfigError) as refusal:
            structure(data, registry, "data")
        return [(problem.where, problem.lines) for problem in refusal.value.problems]

    return refused


@pytest.mark.parametrize(("form", "value", "found"), COLLECTIONS, ids=str)
def test_collections_that_would_take_anything_are_refused(refused, form, value, found):
    line = f"no TOML value can be given here: the field is {found}; use tuple[X, ...] or dict[str, X]"
    assert refused(form, value) == [("stream.mechanisms[0].words", (line,))]


def test_collections_in_collections_are_refused(refused):
    line = "no TOML value can be given here: the field is list[str]; use tuple[X, ...] or dict[str, X]"
    assert refused(tuple[list[str], ...], ["abc"]) == [("stream.mechanisms[0].words[0]", (line,))]
    assert refused(dict[str, list[str]], {"a": "abc"}) == [("stream.mechanisms[0].words.a", (line,))]


def test_other_types_that_toml_cannot_give(refused):
    ((where, (line,)),) = refused(complex, 3)
    assert where == "stream.mechanisms[0].words"
    assert line.startswith("no TOML value can be given here: Unsupported type: <class 'complex'>.")


def test_a_validator_that_compares_fields_is_heard(shelf):
    @attrs.frozen
    class Between(Mechanism):
        """Between."""

        name = "between"
        low: float = 0.0
        high: float = attrs.field(default=1.0)

        @high.validator
        def _(self, field, value):
            if value < self.low:
                raise ValueError(f"{field.name} is below low")

        def draw(self, mask, rng):
            raise NotImplementedError

    registry = Registry([*shelf.entries(), Entry(Between, Origin("acme", "1.0", "between.py"))])
    data = tomli.loads(PLAIN)
    data["stream"]["mechanisms"] = [{"use": "between", "low": 3, "high": 2}]
    with pytest.raises(ConfigError) as refusal:
        structure(data, registry, "data")
    assert str(refusal.value) == "data: 1 problem\n\n  stream.mechanisms[0]\n    high is below low"


def test_cells_say_only_where_they_differ(read):
    experiment = read(
        """
        [stream]
        rows = 50
        [evaluation.cells.same]
        [evaluation.cells.large]
        variables = { choices = [30, 40] }
        mechanisms = ["sine"]
        """
    )
    cells = experiment.evaluation.cells
    assert cells["same"] == experiment.stream
    assert cells["large"].rows == Draw.constant(50.0)
    assert cells["large"].variables == Draw(choices=(30.0, 40.0))
    assert len(cells["large"].mechanisms) == 1


def test_levels_say_only_where_they_differ(read):
    experiment = read(
        """
        [stream]
        rows = 50
        variables = { low = 9, high = 30 }
        [[curriculum]]
        stream = { variables = 8, mechanisms = ["sine"] }
        metric = "auroc"
        reach = 0.9
        most_steps = 2000
        [[curriculum]]
        stream = { variables = { high = 20 } }
        metric = "shd"
        reach = 4
        """,
        ["stream.equal_noise=0.5"],
    )
    first, second = experiment.curriculum
    assert (first.metric, first.reach, first.most_steps) == ("auroc", 0.9, 2000)
    assert (second.metric, second.reach, second.most_steps) == ("shd", 4.0, None)
    assert first.stream.variables == Draw.constant(8.0)
    assert [entry.component.name for entry in first.stream.mechanisms] == ["sine"]
    assert second.stream.variables == Draw(low=9.0, high=20.0)
    assert second.stream.mechanisms == experiment.stream.mechanisms
    for stream in (first.stream, second.stream):
        assert (stream.rows, stream.equal_noise) == (Draw.constant(50.0), 0.5)


def test_an_override_reaches_early_stopping(read):
    stopping = read("", ["trainer.early_stopping.metric=shd", "trainer.early_stopping.patience=10"])
    assert stopping.trainer.early_stopping == EarlyStopping(metric="shd", patience=10, least=0.0)
    assert read("").trainer.early_stopping is None


NUMBERS = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-6, 1e6)


def draws(numbers: Any = POSITIVE) -> Any:
    return st.one_of(
        numbers.map(Draw.constant),
        st.tuples(numbers, numbers).map(lambda ends: Draw(low=min(ends), high=max(ends))),
        st.tuples(numbers, numbers).map(lambda ends: Draw(low=min(ends), high=max(ends), scale="log")),
        st.tuples(numbers, numbers, st.integers(1, 99)).map(
            lambda drawn: Draw(low=min(drawn[:2]), high=max(drawn[:2]), scale="log", per_decade=drawn[2])
        ),
        st.lists(numbers, min_size=1, max_size=3).map(lambda choices: Draw(choices=tuple(choices))),
    )


CELL_NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\:."), min_size=1, max_size=5)


def weighted(component: Any) -> Any:
    ramps = st.one_of(POSITIVE.map(Ramp.constant), st.builds(Ramp, POSITIVE, POSITIVE, st.integers(1, 10**6)))
    return st.lists(st.builds(Weighted, component, ramps), min_size=1, max_size=3).map(tuple)


def experiments(shelf: Registry) -> Any:
    find = shelf.find
    sine = st.builds(find("mechanism", "sine"), frequency=draws(), shifted=st.booleans())
    plain = st.one_of(st.just(find("mechanism", "linear")()), sine)
    mechanism = st.one_of(plain, st.builds(find("mechanism", "mixture"), of=weighted(plain)))
    encoder = st.one_of(
        st.just(find("encoder", "identity")()),
        st.builds(find("encoder", "blocks"), sizes=st.lists(st.integers(-5, 5), max_size=3).map(tuple)),
    )
    loss = st.one_of(st.just(find("loss", "bce")()), st.builds(find("loss", "focal"), gamma=st.floats(0, 9)))
    counts = st.integers(2, 10**6).map(float)
    metric = st.sampled_from(["log_prob_gain", "auroc", "ap", "direction", "f1", "f1_chosen", "shd", "shd_chosen"])
    stream = st.builds(
        StreamSettings,
        variables=draws(counts),
        rows=draws(counts),
        noise_scale=draws(),
        equal_noise=st.floats(0, 1),
        standardise=st.sampled_from(["between", "after", "mix"]),
        graphs=weighted(st.builds(find("graph", "ring"), density=st.one_of(st.none(), draws(st.floats(1e-3, 1))))),
        mechanisms=weighted(mechanism),
        noises=weighted(st.just(find("noise", "gaussian")())),
        interventions=weighted(st.just(find("intervention", "nothing")())),
        hidden=draws(st.floats(1e-6, 1)),
        measurements=st.one_of(st.just(()), weighted(st.just(find("measurement", "exact")()))),
    )
    return st.builds(
        Experiment,
        seed=st.integers(0, 2**63 - 1),
        width=st.integers(1, 4096),
        embedding=st.builds(
            find("embedding", "moments"), features=st.integers(1, 99), label=st.text(), between=encoder
        ),
        encoder=encoder,
        head=st.just(find("head", "pair")()),
        loss=loss,
        auxiliary_heads=st.lists(st.just(find("head", "pair")()), max_size=2).map(tuple),
        auxiliary_losses=weighted(loss),
        regularisers=weighted(st.builds(find("regulariser", "kl-cap"), cap=NUMBERS)),
        stream=stream,
        trainer=st.builds(
            TrainerSettings,
            steps=st.integers(1, 10**9),
            lr=POSITIVE,
            optimiser=st.sampled_from(["muon", "adamw"]),
            compile=st.booleans(),
            schedule=st.sampled_from(["cosine", "exponential", "constant"]),
            early_stopping=st.one_of(st.none(), st.builds(EarlyStopping, metric=metric, patience=st.integers(1, 99))),
        ),
        curriculum=st.lists(st.builds(Level, stream=stream, metric=metric, reach=NUMBERS), max_size=2).map(tuple),
        evaluation=st.builds(
            Evaluation, tables=st.integers(1, 99), cells=st.dictionaries(CELL_NAMES, stream, max_size=2)
        ),
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_written_reads_the_same(shelf, data):
    experiment = data.draw(experiments(shelf))
    assert structure(tomli.loads(dump(experiment)), shelf, "dump") == experiment
    assert structure(to_data(experiment), shelf, "data") == experiment


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_network_of_an_experiment_reads_the_same_by_itself(shelf, tmp_path_factory, data):
    network = data.draw(experiments(shelf)).network
    file = tmp_path_factory.mktemp("network") / "network.toml"
    file.write_text(dump(network), "utf-8")
    assert load_network(file, shelf) == network


def test_all_mistakes_of_a_network_are_found(write, shelf):
    text = dump(load(write("plain.toml", PLAIN), shelf).network)
    file = write("network.toml", text.replace('"moments"', '"momentum"').replace("width = 64", "width = 0"))
    with pytest.raises(ConfigError) as refusal:
        load_network(file, shelf)
    assert str(refusal.value) == (
        "network.toml: 2 problems\n\n  width\n    'width' must be >= 1: 0\n\n"
        '  embedding.use\n    no embedding is called "momentum". Did you mean "moments"?\n    on offer: moments'
    )


def test_every_default_is_written(write, shelf):
    data = to_data(load(write("plain.toml", PLAIN), shelf))
    assert data["trainer"] == {
        "steps": 10,
        "accumulate": 1,
        "split": 1,
        "optimiser": "muon",
        "muon_lr": 3e-3,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "warmup": 50,
        "schedule": "cosine",
        "floor": 0.03,
        "drop_at": 1.0,
        "clip": 1.0,
        "precision": "auto",
        "compile": False,
        "gradient_checkpointing": False,
        "log_every": 10,
        "validate_every": 100,
        "validation_tables": 64,
        "rollbacks": 0,
        "train": "all",
        "rollback_rate": 0.5,
    }
    assert data["specialists"] == []
    assert "gate" not in data
    assert data["embedding"] == {"use": "moments", "features": 8, "label": "plain", "between": {"use": "identity"}}
    assert data["stream"]["mechanisms"] == [
        {"use": "linear", "weight": 1.0},
        {"use": "sine", "weight": 1.0, "frequency": {"low": 1.0, "high": 3.0, "scale": "linear"}, "shifted": False},
    ]
    assert data["stream"]["graphs"] == [{"use": "ring", "weight": 1.0}]


def test_components_are_found_wherever_they_are(read, shelf):
    experiment = read(
        """
        regularisers = ["kl-cap"]
        embedding = { use = "moments", between = "blocks" }
        [evaluation.cells.mixed]
        mechanisms = [{ use = "mixture", of = ["sine"] }]
        """
    )
    found = {f"{component.kind}/{component.name}" for component in components(experiment)}
    assert found == {
        "embedding/moments",
        "encoder/blocks",
        "encoder/identity",
        "graph/ring",
        "head/pair",
        "intervention/nothing",
        "loss/bce",
        "mechanism/linear",
        "mechanism/mixture",
        "mechanism/sine",
        "noise/gaussian",
        "regulariser/kl-cap",
    }
    assert list(origins(experiment, shelf)) == sorted(found)
    assert origins(experiment, shelf)["mechanism/mixture"] == {"distribution": "shelf", "version": "1.0"}
