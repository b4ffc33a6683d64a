"""The charts of a run: which of the values in its log are drawn, and together with which."""

from collections.abc import Sequence

from tabscm.engine.journal import Line, scalar
from tabscm.engine.page.curves import Chart, Series


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
