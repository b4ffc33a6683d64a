"""Statistics against values of printed tables, and the whole text of the table."""

import math

import pytest

from tabscm.engine.comparison import DIRECTIONAL, LEGEND, Row, compare, t_quantile, table, to_json
from tabscm.engine.picture import draw
from tabscm.engine.trial import Outcome


@pytest.mark.parametrize(
    ("df", "confidence", "t"),
    [  # from the tables at the end of any textbook
        (1, 0.95, 12.7062),
        (2, 0.95, 4.3027),
        (3, 0.95, 3.1824),
        (4, 0.95, 2.7764),
        (5, 0.99, 4.0321),
        (10, 0.95, 2.2281),
        (29, 0.90, 1.6991),
        (120, 0.95, 1.9799),
    ],
)
def test_quantiles_of_student(df, confidence, t):
    assert t_quantile(df, confidence) == pytest.approx(t, abs=1e-4)


def test_a_paired_difference_forgives_what_the_seeds_share():
    base = {1: 0.50, 2: 0.70, 3: 0.90}
    score = compare({1: 0.51, 2: 0.72, 3: 0.93}, base)
    assert (score.mean, score.sd, score.seeds) == pytest.approx((0.72, 0.21, 3), abs=2e-4)
    assert score.difference == pytest.approx(0.02)
    assert score.half_width == pytest.approx(4.3027 * 0.01 / math.sqrt(3), abs=1e-5)
    assert not score.decided
    assert compare({1: 0.52, 2: 0.72, 3: 0.93}, base).decided


def test_only_seeds_that_both_have_are_paired():
    score = compare({1: 0.5, 3: 0.8, 4: 0.9}, {1: 0.4, 2: 0.6, 3: 0.6})
    assert (score.seeds, score.pairs) == (3, 2)
    assert score.difference == pytest.approx(0.15)
    assert score.half_width == pytest.approx(12.7062 * 0.05, abs=1e-4)


def test_one_seed_has_neither_spread_nor_interval():
    score = compare({1: 0.5}, {1: 0.4})
    assert score.difference == pytest.approx(0.1)
    assert math.isnan(score.sd)
    assert math.isnan(score.half_width)
    assert not score.decided


def test_nothing_gives_nothing():
    score = compare({}, {1: 0.4})
    assert (score.seeds, score.pairs) == (0, 0)
    assert math.isnan(score.mean)
    assert math.isnan(score.difference)


def outcome(auroc, shd, seconds=60.0):
    return Outcome({"small": {"auroc": auroc, "shd": shd, "shd_empty": 6.0}}, seconds, 400_000_000)


ROWS = [
    Row("plain", {1: outcome(0.8, 3.0), 2: outcome(0.9, 4.0)}, 1500),
    Row("loss=other", {1: outcome(0.701, 4.0), 2: outcome(0.799, 5.5, 65.0)}, 1500),
    Row("encoder=odd", {}, None, "cannot be built: width | depth"),
    Row("trainer.lr=9", {1: Outcome(failed="killed by SIGKILL (out of memory?)")}, 1500),
]


def test_the_table():
    assert table(ROWS, (1, 2), "small", ("auroc", "shd")) == (
        "|              |           AUROC | SHD (empty 6.0) | steps | time | memory | note |\n"
        "| :----------- | --------------: | --------------: | ----: | ---: | -----: | :-- |\n"
        "| plain (base) |   0.850 ± 0.071 |       3.5 ± 0.7 | 1,500 | 1:00 | 400 MB |  |\n"
        "| loss=other   |   0.750 ± 0.069 |       4.8 ± 1.1 | 1,500 | 1:02 | 400 MB |  |\n"
        "|   difference | -0.100 ± 0.013* |      +1.2 ± 3.2 |       |      |        |  |\n"
        "| encoder=odd  |               - |               - |     - |    - |      - "
        "| cannot be built: width \\| depth |\n"
        "| trainer.lr=9 |               - |               - | 1,500 |    - |      - "
        "| seed 1 failed: killed by SIGKILL (out of memory?); not yet run: seed 2 |\n\n" + LEGEND
    )


def test_one_seed_is_called_directional():
    one = [Row(row.label, {1: row.outcomes[1]}, row.steps) for row in ROWS[:2]]
    text = table(one, (1,), "small", ("auroc",))
    assert text.endswith(DIRECTIONAL)
    assert "| loss=other   |  0.701 |" in text
    assert "|   difference | -0.099 |" in text


def test_one_seed_that_is_left_of_several_is_called_directional_too():
    left = [ROWS[0], Row("loss=other", {1: outcome(0.7, 4.0), 2: Outcome(failed="killed by SIGKILL")}, 1500)]
    lines = table(left, (1, 2), "small", ("auroc",)).splitlines()
    assert lines[2].endswith("| 400 MB |  |")
    assert lines[3].endswith("| one seed: directional; seed 2 failed: killed by SIGKILL |")
    running = [Row(row.label, {1: row.outcomes[1]}, row.steps) for row in ROWS[:2]]
    lines = table(running, (1, 2), "small", ("auroc",)).splitlines()
    assert lines[3].endswith("| one seed: directional; not yet run: seed 2 |")


BROKEN = Outcome(failed="killed by SIGKILL")


@pytest.mark.parametrize(
    ("base", "row", "said"),
    [
        (ROWS[0].outcomes, ROWS[1].outcomes, "2 seeds; 95 % intervals of the paired difference to the base, the line;"),
        (
            {**ROWS[0].outcomes, 3: outcome(0.8, 3.0)},
            {**ROWS[1].outcomes, 3: BROKEN},
            "2 to 3 seeds; 95 % intervals of the paired difference to the base, the line;",
        ),
        (
            ROWS[0].outcomes,
            {1: outcome(0.7, 4.0), 2: BROKEN},
            "1 to 2 seeds; 95 % intervals of the paired difference to the base, the line; teal better, rust worse\n"
            "a row without an interval has one seed: directional",
        ),
        ({1: outcome(0.8, 3.0), 2: BROKEN}, ROWS[1].outcomes, "one seed: directional; the line is the base"),
        ({1: BROKEN, 2: BROKEN}, ROWS[1].outcomes, "nothing to compare: the base has no results"),
    ],
)
def test_the_picture_counts_the_seeds_that_are_compared(tmp_path, monkeypatch, base, row, said):
    figure = pytest.importorskip("matplotlib.figure", reason="the picture needs the extra `plots`")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, file: drawn.append(self))
    draw([Row("plain", base), Row("loss=other", row)], "small", ("auroc",), tmp_path / "picture.png")
    assert drawn[0].texts[0].get_text().startswith(f"small, {said}")


def test_everything_is_there_for_a_program():
    plain, other, odd, failed = to_json(ROWS)
    assert (plain["base"], other["base"]) == (True, False)
    assert other["trials"]["2"]["results"]["small"]["shd"] == 5.5
    assert other["summary"]["small"]["auroc"]["half_width"] == pytest.approx(0.0127062, abs=1e-7)
    assert odd["reason"] == "cannot be built: width | depth"
    assert failed["trials"]["1"]["failed"] == "killed by SIGKILL (out of memory?)"
    assert failed["summary"]["small"]["auroc"]["mean"] is None


def test_a_metric_that_was_not_measured_is_a_dash():
    assert "|   difference | -0.100 ± 0.013* |           - |" in table(ROWS, (1, 2), "small", ("auroc", "effects_mae"))


def test_the_picture_shows_every_row_beside_the_base(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure", reason="the picture needs the extra `plots`")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, file: drawn.append(self))
    assert draw(ROWS, "small", ("auroc", "shd"), tmp_path / "picture.png")
    first, second = drawn[0].axes
    # best first, and those without values last
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "plain  (base)",
        "loss=other",
        "encoder=odd",
        "trainer.lr=9",
    ]
    assert [label.get_fontweight() for label in first.get_yticklabels()] == ["bold", "normal", "normal", "normal"]
    assert (first.get_title(), second.get_title()) == ("AUROC ↑", "SHD ↓")
    assert {"cannot be built: width | depth", "failed: killed by SIGKILL (out of memory?)"} <= {
        text.get_text() for text in first.texts
    }
    (interval,) = [line for line in first.lines if line.get_linewidth() == 2.2]
    assert list(interval.get_xdata()) == pytest.approx([0.75 - 0.0127, 0.75 + 0.0127], abs=1e-4)


def test_the_picture_is_a_png(tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs the extra `plots`")
    file = tmp_path / "picture.png"
    assert draw(ROWS, "small", ("auroc",), file)
    assert file.read_bytes().startswith(b"\x89PNG")
