"""The metrics of which more, or less, is better: what each is called, and how it is shown."""

import attrs

from tabscm.engine.layout import number


@attrs.frozen
class Measure:
    """What is known of a metric whatever its values are."""

    title: str
    lower_is_better: bool = attrs.field(default=False, kw_only=True)
    decimals: int = attrs.field(default=3, kw_only=True)
    empty: str | None = attrs.field(default=None, kw_only=True)
    """The metric that says what the graph without edges has."""

    def figure(self, value: float) -> str:
        """A value as text, a dash where there is none."""
        return number(value, f".{self.decimals}f")

    def signed(self, value: float) -> str:
        """A difference as text, a dash where there is none."""
        return number(value, f"+.{self.decimals}f")


MEASURES = {
    "auroc": Measure("AUROC"),
    "ap": Measure("AP"),
    "precision": Measure("precision"),
    "recall": Measure("recall"),
    "f1": Measure("F1"),
    "f1_chosen": Measure("F1*"),
    "f1_oracle": Measure("F1 oracle"),
    "shd": Measure("SHD", lower_is_better=True, decimals=1, empty="shd_empty"),
    "shd_chosen": Measure("SHD*", lower_is_better=True, decimals=1, empty="shd_empty"),
    "direction": Measure("direction"),
    "log_prob": Measure("log-probability", decimals=1),
    "log_prob_gain": Measure("gain"),
    "ece": Measure("ECE", lower_is_better=True),
    "effects_mae": Measure("effects MAE", lower_is_better=True),
    "auroc_pooled": Measure("AUROC pooled"),
    "ap_pooled": Measure("AP pooled"),
    "precision_pooled": Measure("precision pooled"),
    "recall_pooled": Measure("recall pooled"),
    "f1_pooled": Measure("F1 pooled"),
    "f1_oracle_pooled": Measure("F1 oracle pooled"),
}
"""By the name they have in `evaluate.judge`, which says what they mean. Left out is what no training can better, such
as the number of edges, and standard errors."""
