"""Everything TabSCM raises on purpose. Catch `TabSCMError` to catch them all."""

from collections.abc import Iterable
from difflib import get_close_matches

import attrs


class TabSCMError(Exception):
    """A mistake somebody can mend; its text says what was found, where, and what to do.

    The command line prints the text alone, without a traceback, and exits with code 2.
    """


class ConfigError(TabSCMError):
    """One or more mistakes in a file of an experiment or of knowledge, all of them reported together."""

    def __init__(self, source: str, problems: "list[Problem] | tuple[Problem, ...]") -> None:
        """Collect `problems`, found in the file (or other place) called `source`."""
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        blocks = [f"{source}: {count} problem{'s' if count != 1 else ''}"]
        blocks += [f"  {problem.where}\n" + "\n".join(f"    {line}" for line in problem.lines) for problem in problems]
        super().__init__("\n\n".join(blocks))


@attrs.frozen
class Problem:
    """One mistake: the key path or line, and the lines that say what is wrong and what is allowed."""

    where: str
    lines: tuple[str, ...]


class DataError(TabSCMError, ValueError):
    """A table (or graph) that cannot be used as it is: names the file, the row and the column.

    A ValueError too: what calls estimators expects one.
    """


class PluginError(TabSCMError):
    """A plugin that does not load, or two plugins that claim the same name."""


class ContractError(TabSCMError):
    """A component returned something other than its interface promises."""


class CheckpointError(TabSCMError):
    """A run folder that is damaged, incomplete, or belongs to another experiment."""


class TrainingError(TabSCMError):
    """Training cannot go on: a value is not finite. Names the term and the step, so that it can be replayed."""


class MachineError(TabSCMError):
    """A machine that cannot go on: a disk that is full, failing or gone, or memory that is short."""


def near_to(name: str, known: Iterable[str]) -> list[str]:
    """The one of the known names that may have been meant, if one is near: as it is written, or else in any case."""
    known = list(known)
    folded = {one.casefold(): one for one in reversed(known)}
    # at 0.6 "sine" suggests "linear"
    exact = get_close_matches(name, known, n=1, cutoff=0.7)
    return exact or [folded[one] for one in get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.7)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that nothing has: a near name as a question, or nothing."""
    near = near_to(name, known)
    return f' Did you mean "{near[0]}"?' if near else ""
