"""What all commands share: help, arguments that make no sense, interruptions."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

from tabscm import commands
from tabscm.__main__ import main
from tabscm.kernel import registry

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["report", "--help"],
        ["ablate", "--help"],
        ["bench", "accuracy", "--help"],
        ["--version"],
    ],
)
def test_help_imports_no_torch(words):
    code = f"""
import sys
from tabscm.__main__ import main
try:
    main({words})
except SystemExit as end:
    assert end.code == 0
assert not {{"torch", "numpy", "networkx"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_prediction_loads_no_compiler():
    """Its import takes longer than reading a table, and torch does it for arithmetic on what has no numbers."""
    code = f"""
import sys
from tabscm.__main__ import main
code = main(["predict", {str(ROOT / "tabscm/data/sachs.csv")!r}, "--where", "condition=cd3_cd28"])
print(code, *({{"torch._dynamo", "sympy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["0"]), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "x.csv", "--without", "a", "b"], "b. A second value needs its option again: --without b"),
        (["predict", "x.csv", "--threshhold", ".4"], '--threshhold .4. Did you mean "--threshold"?'),
        (["bench", "accuracy", "--suitess=core"], '--suitess=core. Did you mean "--suites"?'),
        (["predict", "x.csv", "y.csv"], "y.csv."),
    ],
)
def test_words_that_make_no_sense_are_named_with_their_command(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    command = " ".join(word for word in words[:2] if word != "x.csv")
    line = f"tabscm {command}: error: unrecognized arguments: {said}"
    assert capsys.readouterr().err == f"{line}\nSee tabscm {command} --help\n"


def test_every_command_is_in_the_help(call):
    code, out, err = call()
    assert (code, err) == (2, "")
    for command in ("run", "check", "eval", "predict", "report", "release", "ablate", "bench", "list"):
        assert f"\n    {command} " in out


def test_version(call):
    assert call("--version") == (0, "tabscm 0.1.0\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["eval", "x", "--tables", "0"], "argument --tables: expected a whole number above 0, found '0'"),
        (["eval", "x", "--tables", "-3"], "argument --tables: expected a whole number above 0, found '-3'"),
        (
            ["predict", "x", "--run", "y", "--threshold", "2"],
            "argument --threshold: expected a number from 0 to 1, or chosen, found '2'",
        ),
        (
            ["predict", "x", "--run", "y", "--threshold", "nan"],
            "argument --threshold: expected a number from 0 to 1, or chosen, found 'nan'",
        ),
        (["predict", "x", "--run", "y", "--where", "a"], "argument --where: expected COLUMN=VALUE, found 'a'"),
        (
            ["ablate", "x", "--swap", "loss"],
            "argument --swap: expected KEY=V1,V2 with different values, found 'loss'",
        ),
        (
            ["ablate", "x", "--swap", "loss=bce,bce"],
            "argument --swap: expected KEY=V1,V2 with different values, found 'loss=bce,bce'",
        ),
        (
            ["ablate", "x", "--seeds", "1,1"],
            "argument --seeds: expected different whole numbers, such as 42,123,456, found '1,1'",
        ),
        (["ablate", "x", "--seconds", "0"], "argument --seconds: expected a number of seconds above 0, found '0'"),
        (["ablate", "x", "--jobs", "2", "--cluster", "y"], "argument --cluster: not allowed with argument --jobs"),
        (["run", "x", "--resume", "--overwrite"], "argument --overwrite: not allowed with argument --resume"),
    ],
)
def test_arguments_that_make_no_sense(capsys, words, message):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"tabscm {words[0]}: error: {message}\nSee tabscm {words[0]} --help\n"


def test_a_checkout_that_was_not_installed(call, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    message = "No plugins are installed, not even the built-in ones. Run: pip install -e .\n"
    assert call("list") == (2, "", message)


def test_an_interrupt_is_no_traceback(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "discover", interrupted)
    assert call("list") == (130, "", "\nstopped\n")


def test_a_reader_that_has_gone_is_no_news():
    process = subprocess.Popen(
        [sys.executable, "-m", "tabscm", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == ""
    assert process.wait() == 141


def test_a_device_that_is_not_there(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "there is no CUDA device here. Use --device cpu, or leave --device out.\n"
    assert call("run", TINY, "--device", "cuda") == (2, "", message)


def test_the_console_script_is_this_command_line():
    (script,) = entry_points(group="console_scripts", name="tabscm")
    assert script.load() is main
