"""Read a knowledge file of Tetrad, the format that causal-cmd and py-tetrad read too.

    /knowledge
    addtemporal

    1 age sex
    2* dose_*
    3 outcome

    forbiddirect

    sex outcome

    requiredirect

    dose_1 outcome

Tiers are numbered from 0 or 1, and those with a `*` behind the number have no edges within. `*` in a name is any text.
In `forbiddengroup` and `requiredgroup` a line of causes is followed by a line of their effects. Names are separated by
commas after `/knowledge comma`, otherwise by blanks, where a comma between two names makes them one group. Lines that
start with // or # are comments.

Source: edu.cmu.tetrad.data.SimpleDataLoader and DataWriter of Tetrad 7. Differs: a name that is unknown and tiers that
contradict an edge are refused; what Tetrad adds to tiers, a `-` behind the number and `tierstructure`, is refused too.
"""

import re

from tabscm.engine.knowledge.value import Knowledge, Link, Tier
from tabscm.engine.rows import show
from tabscm.kernel.errors import ConfigError, Problem, did_you_mean

TIERS = "addtemporal"
EDGES = {"forbiddirect": "forbidden", "requiredirect": "required"}
GROUPS = {"forbiddengroup": "forbidden", "requiredgroup": "required"}
SECTIONS = (TIERS, *EDGES, *GROUPS)
ARROWS = ("==>", "-->", "->")
"""What may stand between causes and effects; the older manuals write it."""

TIER = re.compile(r"(\d+)(\*?)(-?)(?:[\s,]+(.*))?")
"""The number of a tier, its signs and its variables."""

BY_BLANKS, BY_COMMAS = re.compile(r'"([^"]*)"|([^\s"]+)'), re.compile(r'"([^"]*)"|([^,"]+)')
"""A name in a line; in quotes it may hold whatever separates others."""

Group = tuple[str, ...]
"""Names and patterns that stand together."""


def recognised(text: str) -> bool:
    """Whether a file looks like one of Tetrad: by its first line that says anything."""
    lines = _lines(text)
    return bool(lines) and lines[0][1].split()[0].lower() in ("/knowledge", *SECTIONS)


def parse(text: str, source: str) -> Knowledge:
    """The knowledge in a file.

    Raises:
        ConfigError: every line that is none of the format.
    """
    return _Parsing(source).parse(_lines(text))


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines that say anything, and their numbers."""
    numbered = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip() and not line.startswith(("//", "#"))]


class _Parsing:
    """A file while it is read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.by_comma = False
        self.tiers: dict[int, Tier] = {}
        self.links: dict[str, list[Link]] = {"forbidden": [], "required": []}
        self.causes: tuple[int, Group] | None = None  # of a group whose effects are still to come, and their line

    def parse(self, lines: list[tuple[int, str]]) -> Knowledge:
        section = ""
        for number, line in lines:
            first = line.split()[0].lower()
            if first == "/knowledge" and number == lines[0][0]:
                self._header(number, line)
            elif line.lower() in SECTIONS:
                self._end_group()
                section = line.lower()
            elif first == "tierstructure":
                self._refuse(number, "a further order of tiers (tierstructure) is not supported; keep one addtemporal")
                section = first
            elif section == TIERS:
                self._tier(number, line)
            elif section in EDGES:
                self._edge(number, line, self.links[EDGES[section]])
            elif section in GROUPS:
                self._group(number, line, self.links[GROUPS[section]])
            elif not section:
                near = did_you_mean(line.lower(), SECTIONS)
                self._refuse(
                    number, f"found {show(line)} where a section begins.{near}", f"one of: {', '.join(SECTIONS)}"
                )
        self._end_group()
        if self.problems:
            raise ConfigError(self.source, self.problems)
        tiers = [tier for _, tier in sorted(self.tiers.items())]
        return Knowledge(tiers=tiers, source=self.source, **self.links)

    def _header(self, number: int, line: str) -> None:
        rest = line.split()[1:]
        self.by_comma = [word.lower() for word in rest] == ["comma"]
        if rest and not self.by_comma:
            self._refuse(number, f"found {show(' '.join(rest))} behind /knowledge; only comma can stand there")

    def _tier(self, number: int, line: str) -> None:
        found = TIER.fullmatch(line)
        if found is None:
            self._refuse(number, f"found {show(line)} where a tier begins with its number, such as 1 or 2*")
            return
        label, within, next_only, rest = found.groups()
        if next_only:
            self._refuse(number, f"a tier that only causes the next one ({label}-) is not supported; remove the -")
            return
        names = _joined(self._groups(number, rest or ""))
        if names:  # Tetrad writes empty tiers too
            below = self.tiers.get(int(label), Tier(names, where=f"line {number}"))
            self.tiers[int(label)] = Tier(
                tuple(dict.fromkeys((*below.variables, *names))),
                forbidden_within=bool(within) or below.forbidden_within,
                where=below.where,
            )

    def _edge(self, number: int, line: str, links: list[Link]) -> None:
        groups = self._groups(number, line)
        arrow = next((place for place, group in enumerate(groups) if group[0] in ARROWS), None)
        ends = groups if arrow is None else [_joined(groups[:arrow]), _joined(groups[arrow + 1 :])]
        if len(ends) == 2 and all(ends):
            links.append(Link(ends[0], ends[1], where=f"line {number}"))
        else:
            hint = "; where commas separate names, the file begins with /knowledge comma" if "," in line else ""
            self._refuse(number, f"expected a cause and an effect, found {show(line)}{hint}")

    def _groups(self, number: int, line: str) -> list[Group]:
        """The names of a line; a comma joins some of them to a group, unless it separates all."""
        if line.count('"') % 2:
            self._refuse(number, "a quote that opens here is not closed")
        groups = []
        for quoted, plain in (BY_COMMAS if self.by_comma else BY_BLANKS).findall(line):
            names = [quoted or plain] if quoted or self.by_comma else plain.split(",")
            groups.append(tuple(_pattern(name.strip()) for name in names if name.strip()))
        return [group for group in groups if group]

    def _group(self, number: int, line: str, links: list[Link]) -> None:
        names = _joined(self._groups(number, line))
        if self.causes is None:
            self.causes = (number, names)
        else:
            above, causes = self.causes
            self.causes = None
            if causes and names:
                links.append(Link(causes, names, where=f"lines {above} and {number}"))

    def _end_group(self) -> None:
        if self.causes is not None:
            self._refuse(self.causes[0], "a line of causes without a line of effects behind it")
            self.causes = None

    def _refuse(self, number: int, *found: str) -> None:
        self.problems.append(Problem(f"line {number}", found))


def _joined(groups: list[Group]) -> Group:
    return tuple(name for group in groups for name in group)


def _pattern(name: str) -> str:
    """A name in which `*` alone is special, as a pattern in which `?` and `[` would be too."""
    return name.replace("[", "[[]").replace("?", "[?]")
