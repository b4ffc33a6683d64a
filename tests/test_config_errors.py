"""Eleven different mistakes in one file are eleven problems in one report."""

import pytest

from tabscm import ConfigError
from tabscm.kernel.config import load

BAD = """
seed = "3"                                        # 1  a string for a number
widht = 32                                        # 2  a key that is misspelt
encoder = "transformer"                           # 3  a name that nothing has
head = "pair"

[embedding]
use = "moments"
features = 0                                      # 4  out of range
between = { use = "blocks", sizes = "12" }        # 5  a string for a list, in a component of a component

[loss]
use = "foccal"                                    # 6  a name that is misspelt

[trainer]                                         # 7  steps is missing
compile = "false"                                 # 8  a string for a truth value
optimiser = "adam"                                # 9  none of the choices

[stream]
graphs = ["ring"]
mechanisms = ["linear", { use = "sine", frequency = { low = 3.0, high = 1.0 } }]      # 10  an impossible draw
noises = ["gaussian"]
interventions = ["nothing"]

[evaluation.cells.large]
rows = 1                                          # 11  too few rows, in one cell
"""

REPORT = """\
bad.toml: 11 problems

  seed
    expected a whole number, found a string: '3'

  embedding.features
    'features' must be >= 1: 0

  embedding.between.sizes
    expected a list, found a string: '12'

  encoder
    no encoder is called "transformer".
    on offer: blocks, identity

  loss.use
    no loss is called "foccal". Did you mean "focal"?
    on offer: bce, focal

  stream.mechanisms[1].frequency
    low is 3, above high, which is 1

  trainer.steps
    missing: expected a whole number

  trainer.optimiser
    expected "muon" or "adamw", found a string: 'adam'. Did you mean "adamw"?

  trainer.compile
    expected true or false, found a string: 'false'

  evaluation.cells.large.rows
    rows must be at least 2, found 1

  widht
    unknown key. Did you mean "width"?
    allowed: auxiliary_heads, auxiliary_losses, curriculum, embedding, embeddings, encoder, evaluation, gate, head, \
loss, mirrored, regularisers, seed, specialists, stream, trainer, width"""


def test_eleven_mistakes_make_one_report(tmp_path, monkeypatch, shelf):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(BAD)
    with pytest.raises(ConfigError) as refusal:
        load("bad.toml", shelf)
    assert str(refusal.value) == REPORT
