"""Read knowledge from a TOML file.

tiers = [["age", "sex"], ["dose_*"], { variables = ["outcome", "death"], forbidden_within = true }]
required = [{ from = "dose_1", to = "outcome" }]
forbidden = [{ from = ["age", "sex"], to = "dose_*" }]
exogenous = ["batch"]       nothing causes these
sinks = ["death"]           these cause nothing
"""

from collections.abc import Mapping
from pathlib import Path

from tabscm.engine.knowledge import tetrad
from tabscm.engine.knowledge.value import Knowledge, Link, Tier
from tabscm.kernel.errors import ConfigError, Problem, did_you_mean
from tabscm.kernel.files import Data, parse, read_text
from tabscm.kernel.mistakes import describe_value

KEYS = ("tiers", "forbidden", "required", "exogenous", "sinks")


def read_knowledge(path: str | Path) -> Knowledge:
    """Read a TOML file, or a knowledge file of Tetrad, which is known by its first line.

    Raises:
        ConfigError: every mistake of the file. Whether its names are those of a table shows in `Knowledge.resolve`.
    """
    path = Path(path)
    if path.suffix.lower() != ".toml" and tetrad.recognised(text := read_text(path)):
        return tetrad.parse(text, str(path))
    return from_data(parse(path), str(path))


def from_data(data: Data, source: str) -> Knowledge:
    """The knowledge in the plain data of a TOML file; raises ConfigError as `read_knowledge` does."""
    reading = _Reading()
    reading.expect_keys(data, KEYS, "")
    knowledge = Knowledge(
        tiers=[reading.tier(value, place) for place, value in reading.entries(data, "tiers")],
        forbidden=[reading.link(value, place) for place, value in reading.entries(data, "forbidden")],
        required=[reading.link(value, place) for place, value in reading.entries(data, "required")],
        exogenous=[reading.name(value, place) for place, value in reading.entries(data, "exogenous")],
        sinks=[reading.name(value, place) for place, value in reading.entries(data, "sinks")],
        source=source,
    )
    if reading.problems:
        raise ConfigError(source, reading.problems)
    return knowledge


class _Reading:
    """Plain data on its way to a value. What is wrong is noted, and something that is right stands in for it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def entries(self, data: Data, key: str) -> list[tuple[str, object]]:
        value = data.get(key, [])
        if not isinstance(value, list):
            self._expected(key, "a list", value)
            return []
        return [(f"{key}[{number}]", entry) for number, entry in enumerate(value)]

    def expect_keys(self, data: Mapping[str, object], allowed: tuple[str, ...], place: str) -> None:
        for key in data:
            if key not in allowed:
                lines = (f"unknown key.{did_you_mean(key, allowed)}", f"allowed: {', '.join(allowed)}")
                self.problems.append(Problem(f"{place}{key}", lines))

    def tier(self, value: object, place: str) -> Tier:
        if not isinstance(value, dict):
            return Tier(self._names(value, place))
        self.expect_keys(value, ("variables", "forbidden_within"), f"{place}.")
        within = value.get("forbidden_within", False)
        if not isinstance(within, bool):
            self._expected(f"{place}.forbidden_within", "true or false", within)
        return Tier(self._names(value.get("variables"), f"{place}.variables"), forbidden_within=bool(within))

    def link(self, value: object, place: str) -> Link:
        if not isinstance(value, dict):
            self._expected(place, "a table with from and to", value)
            return Link("*", "*")
        self.expect_keys(value, ("from", "to"), f"{place}.")
        return Link(self._names(value.get("from"), f"{place}.from"), self._names(value.get("to"), f"{place}.to"))

    def name(self, value: object, place: str) -> str:
        if not isinstance(value, str):
            self._expected(place, "a name", value)
            return "*"
        return value

    def _names(self, value: object, place: str) -> tuple[str, ...]:
        """One name, or a list of them."""
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not value:
            found = "nothing" if value is None else "an empty list" if value == [] else describe_value(value)
            self.problems.append(Problem(place, (f"expected a name or a list of names, found {found}",)))
            return ("*",)
        return tuple(self.name(entry, f"{place}[{number}]") for number, entry in enumerate(value))

    def _expected(self, place: str, what: str, value: object) -> None:
        self.problems.append(Problem(place, (f"expected {what}, found {describe_value(value)}",)))
