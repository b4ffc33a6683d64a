"""What the README shows works as shown, and the plugin it prints is the one that is tested."""

import re
import shlex
from pathlib import Path

import pytest

from tabscm import read_knowledge
from tabscm.__main__ import main
from tabscm.kernel.config import load
from tabscm.kernel.registry import discover

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
WAVE = ROOT / "tests" / "third_party" / "tabscm-wave"

# what makes the commands take seconds instead of minutes
SHORT = ["--set", "trainer.steps=2", "--set", "trainer.validation_tables=2", "--set", "evaluation.tables=2"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    """Every command of our own in the shell blocks, in order, as arguments."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    parts = [part.strip().removeprefix("OMP_NUM_THREADS=1 ") for line in lines for part in line.split("&&")]
    return [shlex.split(part)[3:] for part in parts if part.startswith("python -m tabscm")]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that looks like a checkout, in which commands may write."""
    for name in ("experiments", "tabscm"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_work_in_order(checkout, capsys):
    verbs = [command[0] for command in commands()]
    assert verbs == ["predict", "predict", "run", "run", "run", "predict", "ablate", "bench"]
    short = {"run": SHORT, "ablate": [*SHORT, "--seeds", "42"]}
    for command in commands():
        if command[0] != "bench":  # test_bench.py runs that one
            assert main([*command, *short.get(command[0], [])]) == 0, command
    assert (checkout / "sachs.json").exists()
    assert (checkout / "ablations/quick/results.json").exists()
    assert "Against the known graph, which has 17 edges" in capsys.readouterr().out


def test_a_run_leaves_what_the_table_of_files_says(checkout):
    main([*commands()[2], *SHORT])
    named = re.findall(r"^\| `([^`]+)` \|", README.split("A run folder holds")[1].split("##")[0], re.MULTILINE)
    assert len(named) == 8
    for pattern in named:
        assert list((checkout / "runs" / "quick").glob(pattern.rstrip("/"))), pattern


def test_the_experiment_is_one(checkout):
    (mine,) = [block for block in blocks("toml") if "extends" in block]
    (more,) = [block for block in blocks("toml") if "[[curriculum]]" in block]
    (checkout / "mine.toml").write_text(mine)
    experiment = load(checkout / "mine.toml", discover())
    assert experiment.loss.name == "focal"
    assert [entry.component.name for entry in experiment.stream.mechanisms] == ["linear", "sine"]
    (checkout / "more.toml").write_text(f'extends = "mine.toml"\n{more}')
    experiment = load(checkout / "more.toml", discover())
    assert experiment.curriculum[0].stream.variables.most == 8
    assert experiment.trainer.early_stopping.metric == "shd"
    assert experiment.regularisers[0].weight.at(500) == 0.005


def test_the_plugin_is_the_one_that_is_tested():
    shown = blocks("python")
    assert (WAVE / "tabscm_wave.py").read_text() in shown
    assert (WAVE / "test_wave.py").read_text() in shown
    (entry_point,) = [block for block in blocks("toml") if "entry-points" in block]
    assert entry_point == (WAVE / "pyproject.toml").read_text()


def test_the_python_works(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (shown,) = [block for block in blocks("python") if "discover(" in block]
    names = {}
    exec(compile(shown, "README.md", "exec"), names)
    assert "->" in capsys.readouterr().out
    assert set(names["dag"].nodes) == set(names["est"].feature_names_in_)


def test_the_knowledge_is_obeyed(tmp_path):
    (known,) = [block for block in blocks("toml") if "tiers" in block]
    (tmp_path / "k.toml").write_text(known)
    names = (ROOT / "tabscm/data/sachs.csv").read_text().splitlines()[0].split(",")[:-1]
    found = read_knowledge(tmp_path / "k.toml").resolve(names)
    assert found.required[names.index("raf"), names.index("mek")]
    assert found.forbidden[names.index("p38")].sum() == len(names) - 1


def test_every_command_is_listed():
    listed = set(re.findall(r"^\| `python -m tabscm (\w+)", README, re.MULTILINE))
    assert listed == {"run", "predict", "eval", "report", "release", "check", "list", "ablate", "bench", "serve"}
