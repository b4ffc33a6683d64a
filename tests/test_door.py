"""A stranger's plugin is built and installed by pip, and then works, or fails, under its own name."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests/third_party/tabscm-wave"
EXPERIMENT = f"""
extends = "{ROOT}/experiments/tiny.toml"

[[stream.mechanisms]]
use = "wave"
frequency = 5.0
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """make(name, **edits) installs the plugin as the distribution `name`, its code edited; returns where it lies."""

    def make(name, **edits):
        module = name.replace("-", "_")
        source = tmp_path_factory.mktemp("source") / name
        site = tmp_path_factory.mktemp("site")
        source.mkdir()
        project = (PLUGIN / "pyproject.toml").read_text()
        (source / "pyproject.toml").write_text(project.replace("tabscm-wave", name).replace("tabscm_wave", module))
        code = (PLUGIN / "tabscm_wave.py").read_text()
        for old, new in edits.items():
            assert code.count(old) == 1, old
            code = code.replace(old, new)
        (source / f"{module}.py").write_text(code)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run([*pip, "--target", str(site), str(source)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return site

    return make


@pytest.fixture(scope="module")
def wave(make):
    return make("tabscm-wave")


def python(*words, sites, cwd):
    """Run Python with some plugins installed: (exit code, standard output, standard error)."""
    path = os.pathsep.join(map(str, sites))
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": path}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def check(tmp_path):
    """check(*sites) checks an experiment that uses the wave."""

    def check(*sites):
        (tmp_path / "waves.toml").write_text(EXPERIMENT)
        return python("-m", "tabscm", "check", "waves.toml", sites=sites, cwd=tmp_path)

    return check


def test_a_plugin_is_one_short_file_and_one_line():
    files = sorted(path.name for path in PLUGIN.iterdir() if path.is_file())
    assert files == ["pyproject.toml", "tabscm_wave.py", "test_wave.py"]
    assert len((PLUGIN / "tabscm_wave.py").read_text().splitlines()) <= 20
    project = (PLUGIN / "pyproject.toml").read_text()
    assert '\n[project.entry-points.tabscm]\nwave = "tabscm_wave"\n\n' in project
    _, test = (PLUGIN / "test_wave.py").read_text().split("\n\n\n")
    assert len(test.splitlines()) <= 3


def test_an_installed_plugin_is_listed_with_its_distribution(wave, tmp_path):
    code, out, err = python("-m", "tabscm", "list", "mechanism", sites=[wave], cwd=tmp_path)
    assert (code, err) == (0, "")
    assert re.search(r"^  wave +Sine of a weighted sum of the parents, plus noise\.$", out, re.MULTILINE)
    assert re.search(rf"^ +tabscm-wave 0\.1\.0, {wave}/tabscm_wave\.py$", out, re.MULTILINE)


def test_an_installed_plugin_is_used_by_its_name(wave, check):
    code, out, err = check(wave)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"waves\.toml: good, [\d,]+ parameters\n", out)


def test_the_plugins_own_test_passes(wave, tmp_path):
    shutil.copy(PLUGIN / "test_wave.py", tmp_path)
    code, out, err = python("-m", "pytest", "-q", "-p", "no:cacheprovider", sites=[wave], cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("1 passed")


def test_a_plugin_that_is_not_installed_is_a_name_that_nothing_has(check):
    code, out, err = check()
    assert (code, out) == (2, "")
    assert err.startswith('waves.toml: 1 problem\n\n  stream.mechanisms[0].use\n    no mechanism is called "wave".\n')
    assert "could not be loaded" not in err


def test_a_broken_plugin_is_named_where_its_component_is_missed_and_nothing_else_breaks(make, check, tmp_path):
    broken = make("broken-waves", **{"import torch\n": "import torch_waves\n"})
    reason = "broken-waves 0.1.0 (ModuleNotFoundError: No module named 'torch_waves')"
    code, out, err = check(broken)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"    1 plugin could not be loaded: {reason}"
    code, out, err = python("-m", "tabscm", "list", "graph", sites=[broken], cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.endswith(f"could not be loaded\n  {reason}\n")
    tiny = f"{ROOT}/experiments/tiny.toml"
    code, out, err = python("-m", "tabscm", "check", tiny, sites=[broken], cwd=tmp_path)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{re.escape(tiny)}: good, [\d,]+ parameters\n", out)


def test_two_plugins_with_one_name_are_both_named(make, wave, check):
    other = make("other-waves")
    code, out, err = check(wave, other)
    assert (code, out) == (2, "")
    one, two = f"tabscm-wave 0.1.0 ({wave}/tabscm_wave.py)", f"other-waves 0.1.0 ({other}/other_waves.py)"
    assert err in {
        f'Two plugins offer a mechanism called "wave": {first} and {second}. Uninstall or rename one of them, '
        "or leave one out with --no-plugins.\n"
        for first, second in ((one, two), (two, one))
    }


def test_a_plugin_that_takes_a_name_that_ships_is_named_beside_tabscm(make, tmp_path):
    sine = make("own-sine", **{'"wave"': '"sine"'})
    code, out, err = python("-m", "tabscm", "list", sites=[sine], cwd=tmp_path)
    assert (code, out) == (2, "")
    assert f"own-sine 0.1.0 ({sine}/own_sine.py)" in err
    assert f"tabscm {distribution('tabscm').version} ({ROOT}/plugins/tabscm_builtin/mechanisms/sine.py)" in err


def test_a_plugin_whose_tensor_has_a_wrong_shape_is_named_with_its_distribution(make, check, tmp_path):
    crooked = make("crooked-waves", **{" + noise\n": " + noise[:, :1, None]\n"})
    code, out, err = check(crooked)
    assert (code, out) == (2, "")
    said, blamed = err.splitlines()
    assert said.startswith("waves.toml: mechanism wave: expected shape [G=")
    assert blamed == f'mechanism "wave" is from crooked-waves 0.1.0, {crooked}/crooked_waves.py'
    code, out, err = python("-m", "tabscm", "run", "waves.toml", sites=[crooked], cwd=tmp_path)
    assert code == 2
    assert "Traceback" not in err
    assert err.splitlines()[-1] == blamed


NARROW = """
from tabscm import Embedding, Evidence, Table


@attrs.frozen
class Narrow(Embedding):
    \"\"\"Of width 7, whatever it is asked for.\"\"\"

    name = "narrow"

    def build(self, width: int) -> torch.nn.Module:
        return Means()


class Means(torch.nn.Module):
    def forward(self, table: Table) -> Evidence:
        return Evidence(nodes=table.x.mean(1)[..., None].expand(-1, -1, 7))


@hookimpl
"""


def test_a_plugin_whose_evidence_has_a_wrong_width_is_named_with_its_distribution(make, tmp_path):
    narrow = make("narrow-tables", **{"@hookimpl\n": NARROW, "return [Wave]": "return [Wave, Narrow]"})
    choice = 'embedding = "narrow"\nencoder = "columns"\nhead = "bilinear"\n'
    (tmp_path / "narrow.toml").write_text(f'extends = "{ROOT}/experiments/tiny.toml"\n{choice}')
    code, out, err = python("-m", "tabscm", "check", "narrow.toml", sites=[narrow], cwd=tmp_path)
    assert (code, out) == (2, "")
    said, blamed = err.splitlines()
    assert said == "narrow.toml: embedding narrow: nodes: expected shape [B=8, D=4, E=16], found [8, 4, 7]"
    assert blamed == f'embedding "narrow" is from narrow-tables 0.1.0, {narrow}/narrow_tables.py'
