"""`predict --interventions` and `--conditions`: the same cells as in Python, and one line for what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest

from tabscm import TabSCM
from tabscm.engine.benchmark import sachs
from tabscm.engine.targets import read_targets

DATA = Path(__file__).parents[2] / "tabscm/data"
ROWS = ["1,2,3", "3,5,1", "4,4,7", "7,1,2", "2,8,5", "6,3,9"]
SET = ["", "mek", "mek;erk", "NA", "erk", ""]
COLUMN = "raf,mek,erk,set\n" + "".join(f"{row},{names}\n" for row, names in zip(ROWS, SET, strict=True))
CONDITIONS = COLUMN.replace(",set", ",kind").replace("mek;erk", "both").replace("NA", "")
TARGETS = '"" = []\nmek = "mek"\nboth = ["mek", "erk"]\nerk = "erk"\nunused = "raf"\n'
CELLS = np.array([[0, "mek" in names, "erk" in names] for names in SET], dtype=bool)


@pytest.fixture
def predict(call, trained, tmp_path, monkeypatch):
    """predict(table, *words) runs the command on a table of this content."""
    monkeypatch.chdir(tmp_path)

    def predict(table, *words, targets=TARGETS):
        (tmp_path / "t.csv").write_text(table)
        (tmp_path / "targets.toml").write_text(targets)
        return call("predict", "t.csv", "--run", trained, "--device", "cpu", *words)

    return predict


BY_CONDITION = ["--conditions", "kind", "--targets", "targets.toml"]


@pytest.mark.parametrize(("table", "words"), [(COLUMN, ["--interventions", "set"]), (CONDITIONS, BY_CONDITION)])
def test_both_ways_give_what_python_gives(predict, trained, table, words):
    code, out, err = predict(table, *words, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    x = np.array([[float(cell) for cell in row.split(",")] for row in ROWS])
    expected = TabSCM(str(trained), device="cpu").fit(x, interventions=CELLS)
    assert found["variables"] == ["raf", "mek", "erk"]
    assert found["edge_prob"] == expected.edge_prob_.tolist()
    assert found["edge_prob"] != TabSCM(str(trained), device="cpu").fit(x).edge_prob_.tolist()
    assert "3 of 6 rows are interventional: set 'mek' in 2, 'erk' in 2" in found["notes"]


def test_the_targets_of_sachs(call, trained):
    given = read_targets(DATA / "sachs_targets.toml")
    assert given == {name: [target] if target else [] for name, target in sachs.TARGETS.items()}
    words = ["--conditions", "condition", "--targets", DATA / "sachs_targets.toml", "--device", "cpu"]
    code, _, err = call("predict", DATA / "sachs.csv", "--run", trained, *words)
    assert code == 0
    assert err.splitlines()[0] == (
        "note: 5711 of 7466 rows are interventional: set 'pkc' in 1636, 'akt' in 911, 'pip3' in 848, 'pip2' in 810, "
        "'mek' in 799, 'pka' in 707"
    )


def test_a_column_in_which_nothing_is_set(predict):
    code, _, err = predict("raf,mek,set\n1,2,\n3,5,\n4,4,none\n", "--interventions", "set")
    assert (code, err.splitlines()[0]) == (0, "note: all 3 rows are read as observational")


@pytest.mark.parametrize(
    ("table", "words", "message"),
    [
        (
            COLUMN.replace("mek;erk", "mek;erg"),
            ["--interventions", "set"],
            "t.csv, row 4, column 'set': no variable is called 'erg'; there are 'raf', 'mek', 'erk'.",
        ),
        (
            COLUMN,
            ["--interventions", "sett"],
            "t.csv: no column is called 'sett', as --interventions asks; did you mean 'set'?",
        ),
        (
            COLUMN,
            ["--interventions", "set", "--category", "set"],
            "t.csv: column 'set' is asked for by --category, too; drop --interventions",
        ),
        (
            COLUMN,
            ["--interventions", "set", "--where", "set=mek"],
            "t.csv: column 'set' chooses rows by --where, and is no variable; drop --interventions",
        ),
        (
            CONDITIONS.replace("both", "boht"),
            BY_CONDITION,
            "t.csv, row 4, column 'kind': the targets say nothing of 'boht'; did you mean 'both'? Give it [] as "
            "targets when it sets nothing.",
        ),
        (
            CONDITIONS,
            ["--conditions", "kind"],
            "--conditions and --targets belong together: the column of the conditions, and the file that says what "
            "each of them sets.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(predict, table, words, message):
    assert predict(table, *words) == (2, "", message + "\n")


def test_targets_that_cannot_be_read(predict):
    expected = "expected the name of a variable, or a list of names, found"
    message = f"targets.toml: 2 problems\n\n  mek\n    {expected} 1\n\n  both\n    {expected} ['mek', 2]\n"
    assert predict(CONDITIONS, *BY_CONDITION, targets='mek = 1\nboth = ["mek", 2]\n') == (2, "", message)
    message = "the targets of 'mek': no variable is called 'meck'; did you mean 'mek'?\n"
    assert predict(CONDITIONS, *BY_CONDITION, targets=TARGETS.replace('= "mek"', '= "meck"')) == (2, "", message)


def test_a_column_of_targets_that_nobody_asked_for_is_suspected(call, tmp_path, trained):
    rows = "".join(f"{i % 7},{i * i % 11},{['', 'dose', 'dose;pulse'][i % 3]},{'ab'[i % 2]}\n" for i in range(60))
    table = tmp_path / "t.csv"
    table.write_text(f"dose,pulse,set by,town\n{rows}")
    line = (
        "note: the texts of column 'set by' are names of columns: if it says what was set in each row, "
        "--interventions 'set by'\n"
    )
    code, _, err = call("predict", str(table), "--run", str(trained))
    assert (code, err.count(line)) == (0, 1)
    assert line not in call("predict", str(table), "--run", str(trained), "--interventions", "set by")[2]
    # one variable that is set or not is the commonest of all
    table.write_text(f"dose,pulse,set by,town\n{rows.replace('dose;pulse', 'dose')}")
    code, _, err = call("predict", str(table), "--run", str(trained))
    assert (code, err.count(line)) == (0, 1)
