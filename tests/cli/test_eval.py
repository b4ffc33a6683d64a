"""`eval` judges again and keeps what is there."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")


def test_eval_of_a_released_model_is_that_of_its_run_and_changes_nothing(call, trained, shipped):
    before = {path: path.read_bytes() for path in shipped.iterdir()}
    code, out, err = call("eval", "--tables", "3", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.strip() in call("eval", trained, "--tables", "3", "--device", "cpu")[1]
    assert {path: path.read_bytes() for path in shipped.iterdir()} == before
    message = f"{shipped}: a released model keeps the figures of its card. Leave out --overwrite.\n"
    assert call("eval", "--overwrite") == (2, "", message)


def test_eval_on_the_cells_of_another_experiment_prints_them_and_writes_nothing(call, trained, tmp_path):
    before = (trained / "eval.json").read_text()
    other = tmp_path / "other.toml"
    other.write_text(f'extends = "{TINY}"\n[evaluation.cells.strange]\nvariables = 3\n')
    code, out, _ = call("eval", trained, "--cells", other, "--tables", "2", "--device", "cpu")
    assert code == 0
    assert any(line.startswith("strange ") for line in out.splitlines())
    assert (trained / "eval.json").read_text() == before


def test_eval_keeps_the_results_that_are_there(call, trained):
    file = trained / "eval.json"
    before = file.read_text()
    code, out, err = call("eval", trained, "--tables", "2", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{file} is as it was; --overwrite replaces it."
    assert file.read_text() == before
    _, out, _ = call("eval", trained, "--tables", "2", "--overwrite", "--device", "cpu")
    assert "as it was" not in out
    assert json.loads(file.read_text())["mixed-d20"]["tables"] == 2
    assert call("eval", trained, "--overwrite", "--device", "cpu")[0] == 0
    assert file.read_text() == before


def test_eval_of_no_run(call, tmp_path):
    code, out, err = call("eval", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"{tmp_path}: not a run folder, it has no experiment.toml.")
