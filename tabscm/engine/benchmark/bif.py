"""Discrete networks in the Bayesian interchange format, as the package pgmpy brings them."""

import gzip
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tabscm.engine.benchmark.categories import Network
from tabscm.kernel.errors import TabSCMError

FOLDER = "utils/example_models"
"""Of the installed package pgmpy."""
VARIABLE = re.compile(r"variable\s+(\S+)\s*\{[^{}]*\{([^}]*)\}")
PROBABILITY = re.compile(r"probability\s*\(\s*([^|)]+?)\s*(?:\|\s*([^)]*?)\s*)?\)\s*\{(.*?)\n\}", re.DOTALL)
GIVEN = re.compile(r"\(([^)]*)\)\s*([^;]*);")
OFF = 0.02
"""How far the probabilities of a variable may be from a sum of 1: files round them."""


@cache
def shipped(name: str) -> Network:
    """The network of that name that comes with pgmpy, which is looked for and not imported.

    Raises:
        TabSCMError: pgmpy, or the network in it, is not there.
    """
    found = find_spec("pgmpy")
    places = (
        [Path(place) / FOLDER / f"{name}.bif.gz" for place in (found.submodule_search_locations or [])] if found else []
    )
    for file in places:
        if file.is_file():
            return parse(gzip.decompress(file.read_bytes()).decode("utf-8"), str(file))
    raise TabSCMError(f"the network {name} comes with pgmpy 1.1: pip install 'tabscm[baselines]'")


def parse(text: str, source: str) -> Network:
    """Read a network.

    Args:
        text: of a file with `variable` and `probability` blocks.
        source: where it is from, for messages.

    Raises:
        TabSCMError: names the variable whose probabilities are not those of its states.
    """
    states = {name: _words(listed) for name, listed in VARIABLE.findall(text)}
    names = list(states)
    adj = np.zeros((len(names), len(names)), dtype=np.bool_)
    parents: list[tuple[int, ...]] = [()] * len(names)
    tables = [np.zeros(0)] * len(names)
    for child, given, body in PROBABILITY.findall(text):
        those = _words(given)
        index = names.index(child)
        parents[index] = tuple(names.index(parent) for parent in those)
        adj[list(parents[index]), index] = True
        table = np.full([len(states[name]) for name in (*those, child)], np.nan)
        if those:
            for combination, numbers in GIVEN.findall(body):
                at = tuple(states[name].index(state) for name, state in zip(those, _words(combination), strict=True))
                table[at] = _numbers(numbers)
        else:
            table[:] = _numbers(body.strip().removeprefix("table").rstrip(";"))
        total = table.sum(-1, keepdims=True)
        if not np.all(np.abs(total - 1) < OFF):  # also where a combination is missing
            raise TabSCMError(f"{source}: the probabilities of {child} do not add up to 1")
        tables[index] = table / total
    return Network(adj=adj, parents=parents, tables=tables)


def _words(listed: str) -> list[str]:
    return [word.strip() for word in listed.split(",") if word.strip()]


def _numbers(listed: str) -> list[float]:
    return [float(word) for word in _words(listed)]
