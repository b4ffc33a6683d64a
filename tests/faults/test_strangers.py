"""A few of the campaign in strangers.py, and what it must never find."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("strangers", Path(__file__).with_name("strangers.py"))
strangers = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(strangers)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return strangers.Workplace(tmp_path_factory.mktemp("strangers"))


@pytest.mark.parametrize("kind", strangers.KINDS)
def test_the_worst_of_a_file_is_a_message(kind, place):
    assert [fault for seed in range(3) if (fault := strangers.attempt(kind, seed, place))] == []


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_as_weights_is_refused_unread(protocol, place, tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(strangers.pickle.dumps(strangers.Canary(place.canary), protocol))
    with pytest.raises(strangers_error(), match="not safetensors"):
        read(file)
    assert not place.canary.exists()


def read(file):
    from tabscm.engine.untrusted import read_tensors

    return read_tensors(file)


def strangers_error():
    from tabscm import CheckpointError

    return CheckpointError


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
    file = tmp_path / "weights.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(strangers_error()) as refusal:
        read(file)
    assert str(refusal.value) == (f"{file}: its header promises 4,000,000,000,000 bytes of tensors, the file holds 0")


def test_a_cell_cannot_choose_a_folder(tmp_path):
    file = tmp_path / "away.toml"
    file.write_text(f'extends = "{ROOT / "experiments/tiny.toml"}"\n[evaluation.cells."../../away"]\nrows = 9\n')
    code, _, said = strangers.call(["check", str(file)])
    assert code == 2
    assert r"cells are named without / \ : and control characters, not '../../away'" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("width = 1000000000", "must be <= 16384"),
        ("[encoder]\nuse = 'triangle'\nblocks = 1000000000", "blocks must be at most 16384, found 1000000000"),
        ("[stream]\nvariables = 1000000000", "one table takes at least over a billion GiB"),
        ("[stream]\nrows = 1e15", "one table takes at least"),
        (
            "[embedding]\nuse = 'cross-moment'\nsteps = 16384\nbetween = { use = 'triangle', blocks = 16384 }",
            "has more than 20,000 tensors of weights; lower its numbers of blocks, layers and steps",
        ),
        (
            "width = 16384\n[embedding]\nuse = 'cross-moment'\nfeatures = 16384",
            "its weights alone are",
        ),
    ],
)
def test_sizes_that_no_machine_bears_are_refused_before_memory_is_taken(tmp_path, change, message):
    file = tmp_path / "huge.toml"
    file.write_text(f'extends = "{ROOT / "experiments/tiny.toml"}"\n{change}\n')
    code, _, said = strangers.call(["check", str(file)])
    assert code == 2
    assert message in said


def test_plugins_are_left_out_by_name():
    code, out, _ = strangers.call(["list", "loss", "--no-plugins", "builtin"])
    assert code == 0
    assert out.startswith("loss\nleft out by --no-plugins\n  tabscm ")
    code, out, _ = strangers.call(["--only-plugins", "tabscm", "list", "loss"])
    assert code == 0
    assert "  bce " in out
    code, _, said = strangers.call(["list", "--only-plugins", "buitin"])
    assert (code, said.splitlines()[0]) == (2, '--only-plugins: no plugin is called "buitin". Did you mean "builtin"?')
    code, _, said = strangers.call(["check", str(strangers.TINY), "--no-plugins", "builtin"])
    assert code == 2
    assert "left out by --no-plugins, and not asked: tabscm " in said


def test_nothing_unpickles():
    kit = ROOT / "tabscm/testing/samples.py"  # pickles what it reads back at once, as a cluster would
    assert kit.read_text("utf-8").count("pickle.") == 2
    for file in {*(ROOT / "tabscm").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")} - {kit}:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"pickle", "marshal", "shelve", "dill"}, file
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("torch.load", "torch.save", "eval", "exec", "np.load"), file
