"""What is said of words on the command line that no command takes."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from tabscm.kernel.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """Says which command a word makes no sense to, where argparse speaks of the whole program, and what is near it."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As of any parser, but that the list is empty: what is left over ends the program with exit code 2."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            word = rest[0].split("=")[0]
            options = self._option_string_actions
            hint = did_you_mean(word, options)
            repeated = [one for one in args or () if isinstance(options.get(one), argparse._AppendAction)]
            if repeated and not word.startswith("-"):
                hint = f" A second value needs its option again: {repeated[-1]} {word}"
            self.error(f"unrecognized arguments: {' '.join(rest)}.{hint}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """End with exit code 2, what is wrong, and where is written what would be right."""
        self.exit(2, f"{self.prog}: error: {message}\nSee {self.prog} --help\n")
