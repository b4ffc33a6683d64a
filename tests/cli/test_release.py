"""`release`, and what a released model needs."""

import hashlib
import json
from pathlib import Path

from tabscm.engine.benchmark import methods

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")
SACHS = str(ROOT / "tabscm/data/sachs.csv")
PREDICT = ["--where", "condition=cd3_cd28", "--threshold", "0.9", "--device", "cpu"]


def test_a_released_model_needs_its_experiment_for_the_tables_of_its_training_alone(call, shipped):
    # as if a key of the stream had another name since then
    text = (shipped / "experiment.toml").read_text().replace("equal_noise", "equal_noises").encode()
    (shipped / "experiment.toml").write_bytes(text)
    manifest = json.loads((shipped / "manifest.json").read_text())
    del manifest["seal"]  # which the first versions did not write
    manifest["files"]["experiment.toml"] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (shipped / "manifest.json").write_text(json.dumps(manifest))
    assert call("predict", SACHS, *PREDICT)[0] == 0
    assert call("eval", "--cells", TINY, "--tables", "1", "--device", "cpu")[0] == 0
    assert methods.obtain(shipped).trained_variables == (4, 6)  # what `bench accuracy` works with
    for words in (["eval"], ["bench", "invariance"]):
        code, _, err = call(*words, "--tables", "1", "--device", "cpu")
        assert code == 2
        assert err.startswith(f"{shipped / 'experiment.toml'}: ")


def test_release_prints_the_card_and_where_it_lies(call, trained, shipped):
    code, out, err = call("release", trained, "--overwrite", "--hardware", "an abacus", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out == (shipped / "card.md").read_text() + f"\nReleased: {shipped}\n"
    assert "- Hardware: an abacus.\n" in out
