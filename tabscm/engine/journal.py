"""metrics.jsonl read back: the curves of a run and what its monitors saw."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabscm.engine.health.event import Event
from tabscm.engine.page.curves import Chart, Series
from tabscm.kernel.errors import CheckpointError

Line = tuple[int, str, Mapping[str, object]]
"""Step, kind ("train", "validation", "health", ...) and the values by name."""


def read_log(file: Path) -> list[Line]:
    """The lines of metrics.jsonl, without one that was cut short; none where there is no such file.

    Raises:
        CheckpointError: names a line that training did not write.
    """
    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            values = json.loads(line)
            found.append((int(values.pop("step")), str(values.pop("kind")), values))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError(f"{file}, line {number}: not a line that training writes") from None
    return found


def charts(lines: Sequence[Line]) -> tuple[Chart, ...]:
    """The curves of whatever was logged."""

    def series(kind: str, key: str, name: str, style: str) -> tuple[Series, ...]:
        points = tuple((step, scalar(values[key])) for step, found, values in lines if found == kind and key in values)
        return (Series(name, style, points),) if points else ()

    def train(key: str) -> tuple[Series, ...]:
        return series("train", key, "training", "train")

    def validation(key: str) -> tuple[Series, ...]:
        return series("validation", key, "validation", "validation")

    def newest(key: str) -> float | None:
        return next((scalar(v[key]) for _, kind, v in reversed(lines) if kind == "validation" and key in v), None)

    terms = sorted({key for _, kind, values in lines if kind == "train" for key in values if key.startswith("loss/")})
    parts = [
        part
        for place, key in enumerate(terms)
        for part in series("train", key, key.removeprefix("loss/"), f"term-{place % 5}")
    ]
    found = (
        Chart("Loss", "nats per pair", train("loss")),
        Chart("Terms of the loss", "nats, weighted", tuple(parts)),
        Chart(
            "Log-probability of the truth",
            "nats per pair above the base rate",
            train("log_prob_gain") + validation("log_prob_gain"),
            guide=0.0,
            guide_name="base rate",
        ),
        Chart("AUROC", "all pairs together", train("auroc_pooled") + validation("auroc_pooled"), 0.5, "chance"),
        Chart("Average precision", "mean over tables", validation("ap"), newest("density"), "guessing"),
        Chart("Direction", "true edges that point the right way", validation("direction"), 0.5, "chance"),
        Chart("SHD", "wrong or missing edges", validation("shd"), newest("shd_empty"), "empty graph", digits=1),
        Chart("Norm of the gradient", "before clipping", train("grad_norm"), log=True, digits=2),
        Chart("Level", "of the curriculum", train("level"), digits=0),
        Chart("Learning rate", "", train("lr"), digits=5),
    )
    return tuple(chart for chart in found if chart.series)


def events(lines: Sequence[Line]) -> Iterator[Event]:
    """What the monitors saw, by step."""
    for step, kind, values in lines:
        if kind == "health":
            value = scalar(values.get("value"))
            measured = math.nan if value is None else value
            yield Event(step, str(values.get("monitor", "")), measured, str(values.get("line", "")))


def scalar(value: object) -> float | None:
    """A finite number, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
