"""The command line, as somebody who types meets it: texts, files and exit codes."""

from pathlib import Path

import pytest

from tabscm.__main__ import main
from tabscm.engine import released

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")


@pytest.fixture
def call(capsys):
    """call(*words) runs a command: (exit code, standard output, standard error)."""

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of two steps."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["run", TINY, "--out", str(run), "--set", "trainer.steps=2", "--device", "cpu"]) == 0
    return run


@pytest.fixture
def shipped(trained, tmp_path, monkeypatch):
    """A package in which one model is released, `base`."""
    monkeypatch.setattr(released, "WEIGHTS", tmp_path / "weights")
    assert main(["release", str(trained), "--device", "cpu"]) == 0
    return tmp_path / "weights" / "base"
