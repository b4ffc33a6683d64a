"""`ablate`, as far as the command line goes."""

import sys
from pathlib import Path

import pytest

from tabscm.engine import ablation
from tabscm.engine.trial import Outcome

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")


def test_an_interrupted_ablation_says_how_to_go_on(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "ablate", interrupted)
    code, _, err = call("ablate", TINY)
    assert (code, err) == (130, f"\nstopped. To go on: python -m tabscm ablate {TINY} --out=ablations/tiny\n")
    words = (
        "--swap=loss=bce,focal --swap=width=16,8 --seeds=1,2 --seconds=1.5 --set=seed=7 --out=a. --cell=mixed-d20 "
        "--metric=ap --metric=shd --jobs=2 --device=cpu"
    )
    code, _, err = call("ablate", TINY, *words.split(), "--overwrite")
    assert (code, err) == (130, f"\nstopped. To go on: python -m tabscm ablate {TINY} {words}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--swap", "loss=bce", "--swap", "loss=focal"],
            "--swap gives one key twice; write all its values in one list: --swap KEY=V1,V2",
        ),
        (
            ["--cell", "mixed-d2"],
            '--cell: there is no "mixed-d2". Did you mean "mixed-d20"?\nthere are: mixed-d20, dense-d20, '
            "nonlinear-observational-d10, linear-observational-d10, linear-interventional-d10",
        ),
        (
            ["--swap", "trainer.optimiser=muon,adam"],
            "--swap trainer.optimiser=adam: 1 problem\n\n  trainer.optimiser\n"
            '    expected "muon" or "adamw", found a string: \'adam\'. Did you mean "adamw"?',
        ),
    ],
)
def test_an_ablation_that_makes_no_sense(call, tmp_path, words, message):
    assert call("ablate", TINY, "--out", tmp_path / "out", *words) == (2, "", message + "\n")
    assert not (tmp_path / "out").exists()


def test_an_ablation_into_the_folder_of_a_run(call, trained):
    message = f"{trained}: is the folder of a run. Use --out for another place.\n"
    assert call("ablate", TINY, "--swap", "loss=focal", "--out", trained) == (2, "", message)


def test_an_ablation_of_no_metric(call, tmp_path):
    code, out, err = call("ablate", TINY, "--out", tmp_path / "out", "--metric", "aurok")
    assert (code, out) == (2, "")
    assert err.startswith('--metric: there is no "aurok". Did you mean "auroc"?\nthere are: auroc, ap, ')


def test_ablate_prints_the_table_and_says_what_the_picture_needs(call, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "perform", lambda order: Outcome(failed="no time"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "out"
    # 15 is no multiple of the heads of columns
    narrow = ["--swap", "encoder=columns", "--swap", "width=15"]
    code, printed, err = call("ablate", TINY, *narrow, "--seeds", "1,2", "--out", out)
    assert (code, err) == (0, "")
    lines = printed.splitlines()
    assert lines[0] == "2 rows, 2 seeds: 2 trials to run; 1 of the rows cannot be run"
    assert sorted(line.partition("] ")[2] for line in lines[1:3]) == [
        "tiny, seed 1: failed: no time",
        "tiny, seed 2: failed: no time",
    ]
    assert (out / "table.md").read_text() in printed
    assert lines[-1] == f"For {out / 'picture.png'} matplotlib is needed: pip install 'tabscm[plots]'"
    assert not (out / "picture.png").exists()
