"""The tutorial runs as it stands, in order."""

import re
import shlex
from pathlib import Path

import pytest

from tabscm.__main__ import main

pytest.importorskip("pandas")

ROOT = Path(__file__).parents[1]
TUTORIAL = (ROOT / "tabscm/data/tutorial.md").read_text("utf-8")
BLOCK = re.compile(r"```(python|sh)\n(.*?)```", re.DOTALL)


def test_it_runs_in_order(tmp_path, monkeypatch, capsys):
    (tmp_path / "tabscm").symlink_to(ROOT / "tabscm")
    monkeypatch.chdir(tmp_path)
    names = {}
    kinds = []
    for kind, block in BLOCK.findall(TUTORIAL):
        kinds.append(kind)
        if kind == "python":
            exec(compile(block, f"tutorial.md, block {len(kinds)}", "exec"), names)
        else:
            assert main(shlex.split(block)[3:]) == 0
    assert (kinds.count("python"), kinds.count("sh")) == (12, 1)
    assert "Error" not in capsys.readouterr().err
    assert names["informed"].edge_prob[:, names["names"].index("pkc")].max() == 0  # it has no cause, as was said
    assert {path.name for path in tmp_path.glob("*.html")} == {"sachs.html", "cd3.html"}
