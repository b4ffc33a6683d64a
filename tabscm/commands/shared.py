"""What several commands need."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tabscm.engine.limits import check_sizes
from tabscm.engine.model import Model
from tabscm.kernel.config import load
from tabscm.kernel.errors import ConfigError, Problem, TabSCMError, did_you_mean
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import Registry


def load_experiment(path: Path, registry: Registry, overrides: Sequence[str]) -> Experiment:
    """The experiment in a file, when a network can be built of it."""
    experiment = load(path, registry, overrides)
    if experiment.stream.variables.most < 2:
        raise ConfigError(str(path), [Problem("stream.variables", ("must reach 2: one variable alone has no edges",))])
    try:
        check_sizes(experiment)
        Model(experiment)
    except ConfigError as error:
        raise ConfigError(str(path), error.problems) from None
    return experiment


def stem(path: Path) -> str:
    """What a folder is called after a file."""
    if not path.stem.strip("."):
        raise TabSCMError(f"{path}: no folder can be called {path.stem!r}. Use --out, or rename the file.")
    return path.stem


def go_on(command: str, experiments: Sequence[Path], options: Mapping[str, Sequence[object]]) -> str:
    """What to type to go on with what was interrupted; the values of each option by its name."""
    words = [f"--{option}={value}" for option, values in options.items() for value in values]
    return f"To go on: python -m tabscm {shlex.join([command, *map(str, experiments), *words])}"


def given_device(args: argparse.Namespace) -> list[str]:
    return [] if args.device == "auto" else [args.device]


def expect_known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise TabSCMError(
                f'{option}: there is no "{name}".{did_you_mean(name, known)}\nthere are: {", ".join(known)}'
            )


def chosen_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TabSCMError("there is no CUDA device here. Use --device cpu, or leave --device out.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def quoted(path: Path) -> str:
    """A path as the shell takes it."""
    return shlex.quote(str(path))
