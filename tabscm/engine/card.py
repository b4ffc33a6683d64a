"""The card of a released model, in Markdown: what it was trained on, how good it is, and where it ends."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from tabscm.engine.checkpoint import MODEL
from tabscm.engine.layout import number
from tabscm.engine.measures import MEASURES
from tabscm.engine.state import State
from tabscm.kernel.config import components
from tabscm.kernel.experiment import Experiment, StreamSettings, Weighted
from tabscm.kernel.interfaces import Component
from tabscm.kernel.registry import Registry
from tabscm.kernel.values import Draw

SHOWN = ("auroc", "ap", "f1", "shd", "direction", "ece", "log_prob_gain")
PRIOR = {
    "graphs": "graph",
    "mechanisms": "mechanism",
    "noises": "noise",
    "interventions": "intervention",
    "measurements": "measurement",
}
"""The lists of a stream, and the kind of component in each."""


@attrs.frozen
class Facts:
    """What the card says that is not in the experiment."""

    name: str
    parameters: int
    stored: str
    """The type of the stored weights."""
    change: float | None
    """The largest change of a result that storing them in half precision makes; None where they are not."""
    bytes: int
    state: State
    hardware: str
    variables: tuple[int, int]
    """Fewest and most of a training table."""
    rows: tuple[int, int]
    most_variables: int
    """That it takes."""
    sha256: str = ""


def card(facts: Facts, experiment: Experiment, results: Mapping[str, Mapping[str, Any]], registry: Registry) -> str:
    """The text of the card.

    Args:
        facts: of the released weights.
        experiment: of the run they come from.
        results: {cell: {metric: value}}, as eval.json has them; None where undefined.
        registry: the components on offer, to name those that were not trained on.
    """
    paragraphs = [
        f"# {facts.name}",
        "Reads the causal graph off a table in one forward pass; nothing is fitted to the table. Written by "
        "`python -m tabscm release`.",
        "## Weights",
        *_weights(facts, experiment),
        "## Training",
        *_training(facts, experiment),
        "## Prior",
        *_prior(experiment, registry),
        "## Figures",
        *_figures(experiment, results),
        "## Limits",
        *_limits(facts),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _weights(facts: Facts, experiment: Experiment) -> list[str]:
    stored = f"{facts.parameters:,} parameters, stored in {facts.stored} ({facts.bytes / 1e6:.2f} MB)"
    if facts.change is not None:
        stored += f"; storing them so changes no figure below by more than {facts.change:.4f}"
    lines = [f"{stored}; computed in float32.", f"sha256 of `{MODEL}`: `{facts.sha256}`"]
    if experiment.specialists:
        own = f", but for the embedding of {', '.join(experiment.embeddings)}," if experiment.embeddings else ""
        lines.append(
            f"{len(experiment.specialists)} networks of the same parts{own} side by side: "
            f"{', '.join(experiment.specialists)}; and a gate that reads a table first and says how far to believe "
            "each."
        )
    if experiment.mirrored:
        lines.append(
            f"Mirrored: {', '.join(experiment.mirrored)}. They read a small table up to four times, as it is and with "
            "columns negated, and the mean of their log-odds is what they say."
        )
    return [_bullets(lines)]


def _training(facts: Facts, experiment: Experiment) -> list[str]:
    state = facts.state
    tables = "an unknown number of" if state.all_tables is None else f"{state.all_tables:,}"
    lines = [
        f"{state.all_steps:,} optimiser steps along the longest line of ancestors, those of the gate included."
        if experiment.specialists
        else f"{state.all_steps:,} optimiser steps on {tables} tables, none of them seen twice, in all."
    ]
    if state.init is not None:
        unknown = state.init.tables is None or experiment.specialists
        before = "" if unknown else f" and {state.init.tables:,} tables"
        most = "at most " if "," in state.init.name else ""
        lines += [
            f"{state.step:,} of these steps are of the last run, which started from the weights of `{state.init.name}` "
            f"(sha256 `{state.init.sha256}`) with {most}{state.init.steps:,} steps{before} behind them. The prior "
            "below is that of the last run."
            + (" In it the gate alone was trained." if experiment.trainer.train == "gate" else "")
        ]
    lines += [
        f"Forward pass in {state.precision or 'an unknown precision'}.",
        f"{_time(state.seconds)} in the last run.",
        f"Hardware: {facts.hardware}.",
        f"Seed {experiment.seed}; the experiment is in `experiment.toml` beside this file, whole.",
    ]
    return [_bullets(lines)]


def _prior(experiment: Experiment, registry: Registry) -> list[str]:
    stream = experiment.stream
    paragraphs = [
        "Every table draws one of each list, by these shares:"
        if not experiment.curriculum
        else "After a curriculum, every table draws one of each list, by these shares:"
    ]
    for field, kind in PRIOR.items():
        entries: Sequence[Weighted[Component]] = getattr(stream, field)
        if not entries:
            continue
        whole = sum(entry.weight.end for entry in entries)
        lines = [f"{_named(entry.component)}: {100 * entry.weight.end / whole:.0f} %" for entry in entries]
        paragraphs.append(f"### {field.capitalize()}\n\n{_bullets(lines)}")
        unused = sorted(set(registry.names(kind)) - _names(stream, kind))
        if unused:
            paragraphs.append(f"On offer and not trained on: {', '.join(unused)}.")
    between = {
        "between": "between variables",
        "after": "after sampling",
        "mix": "between variables or after sampling, with equal chance",
    }
    paragraphs += [
        "### Tables",
        _bullets(
            [
                f"{_drawn(stream.variables)} variables, {_drawn(stream.rows)} rows",
                f"hidden variables: {_drawn(stream.hidden)} times as many as those of the table",
                f"scaled {between[stream.standardise]}",
                f"standard deviation of the noise {_drawn(stream.noise_scale)}; equal in all variables in "
                f"{100 * stream.equal_noise:.0f} % of the tables scaled after sampling",
            ]
        ),
    ]
    return paragraphs


def _figures(experiment: Experiment, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    shown = [name for name in SHOWN if any(name in values for values in results.values())]
    lines = ["| fresh tables | count | " + " | ".join(MEASURES[name].title for name in shown) + " |"]
    lines.append("|---" * (len(shown) + 2) + "|")
    for cell, values in results.items():
        figures = [_figure(name, values) for name in shown]
        lines.append(f"| {cell} | {number(_known(values.get('tables')), '.0f')} | {' | '.join(figures)} |")
    return [
        "Means over fresh tables, drawn as `[evaluation]` of the experiment says and never trained on. Edges are those "
        "above 0.5. In brackets: what guessing has (AP), and the graph without edges (SHD).",
        "\n".join(lines),
        "Again: `python -m tabscm eval` with this model.",
    ]


def _limits(facts: Facts) -> list[str]:
    (fewest, most), (shortest, longest) = facts.variables, facts.rows
    return [
        _bullets(
            [
                f"Trained on {fewest} to {most} variables and {shortest} to {longest} rows. Tables outside these sizes "
                f"are read with a note; more than {facts.most_variables} variables are refused.",
                "What it takes a table for is one of the prior above. Feedback, selection, time, more hidden causes "
                "and whatever else the lists above do not hold are outside of it, and only tables whose "
                "statistics are unusual are warned of: `python -m tabscm bench familiarity` measures which.",
                "Linear mechanisms with Gaussian noise leave directions undecided in observational data; what cannot "
                "be decided shows as two middling probabilities.",
                "The figures are of synthetic tables. They say little of a real table whose origin is unknown.",
                f"The probability at which F1 was best in validation is {facts.state.threshold:.2f} "
                "(`--threshold chosen`).",
            ]
        )
    ]


def _figure(name: str, values: Mapping[str, Any]) -> str:
    measure = MEASURES[name]
    text = measure.figure(_known(values.get(name)))
    beside = {"ap": "density"}.get(name, measure.empty)
    return text if beside is None else f"{text} ({measure.figure(_known(values.get(beside)))})"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


def _named(component: Component) -> str:
    """A component with the settings that differ from its defaults, and those inside it."""
    settings = []
    for field in attrs.fields(type(component)):  # type: ignore[arg-type]  # components are attrs classes
        value, default = getattr(component, field.name), field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory(component) if default.takes_self else default.factory()
        if value != default:
            settings.append(f"{field.name} {_setting(value)}")
    return f"`{component.name}`" + (f" ({', '.join(settings)})" if settings else "")


def _setting(value: object) -> str:
    if isinstance(value, Draw):
        return _drawn(value)
    if isinstance(value, Component):
        return _named(value)
    if isinstance(value, Weighted):
        return _named(value.component)
    if isinstance(value, tuple):
        return ", ".join(map(_setting, value))
    return str(value)


def _drawn(draw: Draw) -> str:
    if draw.choices is not None:
        return " or ".join(f"{value:g}" for value in dict.fromkeys(draw.choices))
    if draw.least == draw.most:
        return f"{draw.least:g}"
    return f"{draw.least:g} to {draw.most:g}" + (" (log-uniform)" if draw.scale == "log" else "")


def _names(stream: StreamSettings, kind: str) -> set[str]:
    return {component.name for component in components(stream) if component.kind == kind}


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
