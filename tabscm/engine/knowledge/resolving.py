"""From names and patterns to the variables of a table: what is unknown, what contradicts itself, and what follows."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.acyclic import paths
from tabscm.engine.knowledge.constraints import Constraints
from tabscm.engine.rows import show, suggest
from tabscm.kernel.errors import ConfigError, Problem

if TYPE_CHECKING:
    from tabscm.engine.knowledge.value import Knowledge, Link


def resolve(knowledge: "Knowledge", names: Sequence[str]) -> Constraints:
    """See `Knowledge.resolve`."""
    return _Resolving(knowledge, names).constraints()


class _Resolving:
    """One piece of knowledge on its way to one table."""

    def __init__(self, knowledge: "Knowledge", names: Sequence[str]) -> None:
        self.knowledge = knowledge
        self.names = list(names)
        self.problems: list[Problem] = []
        shape = (len(self.names), len(self.names))
        self.required = np.full(shape, -1)  # [D, D], at [i, j] which of `places` requires i -> j
        self.forbidden = np.full(shape, -1)  # which of `reasons` forbids it
        self.places: list[str] = []
        self.reasons: list[str] = []
        self.tier = np.full(len(self.names), -1)  # [D] the tier that each variable is in

    def constraints(self) -> Constraints:
        self._place_tiers()
        self._forbid()
        self._require()
        required = self.required >= 0
        earlier = (self.tier[:, None] >= 0) & (self.tier[:, None] < self.tier[None])
        self._check_order(required, earlier)
        self._check_forbidden()
        if self.problems:
            raise ConfigError(self.knowledge.source, self.problems)
        before = paths(required | earlier)
        return Constraints(
            forbidden=(self.forbidden >= 0) | before.T,
            required=required,
            before=before,
            source=self.knowledge.source,
        )

    def _place_tiers(self) -> None:
        for number, tier in enumerate(self.knowledge.tiers):
            place = self._tier_place(number)
            for variable in self._variables(tier.variables, place):
                other = int(self.tier[variable])
                if other >= 0:
                    found = f"{show(self.names[variable])} is also in {self._tier_place(other)}; leave it in one tier"
                    self.problems.append(Problem(place, (found,)))
                else:
                    self.tier[variable] = number

    def _forbid(self) -> None:
        knowledge = self.knowledge
        for number, tier in enumerate(knowledge.tiers):
            if tier.forbidden_within:
                place = self._tier_place(number)
                own = self.tier == number
                self._mark(np.outer(own, own), f"{place}, whose variables do not cause each other")
        for number, link in enumerate(knowledge.forbidden):
            place = link.where or f"forbidden[{number}]"
            self._mark(self._edges(link, place), place)
        everything = np.ones(len(self.names), dtype=np.bool_)
        for number, entry in enumerate(knowledge.exogenous):
            place = f"exogenous[{number}]"
            self._mark(np.outer(everything, self._mask((entry,), place)), f"{place}: nothing causes it")
        for number, entry in enumerate(knowledge.sinks):
            place = f"sinks[{number}]"
            self._mark(np.outer(self._mask((entry,), place), everything), f"{place}: it causes nothing")

    def _require(self) -> None:
        for number, link in enumerate(self.knowledge.required):
            place = link.where or f"required[{number}]"
            self.required[self._edges(link, place) & (self.required < 0)] = len(self.places)
            self.places.append(place)

    def _mark(self, edges: NDArray[np.bool_], reason: str) -> None:
        np.fill_diagonal(edges, False)
        self.forbidden[edges & (self.forbidden < 0)] = len(self.reasons)
        self.reasons.append(reason)

    def _edges(self, link: "Link", place: str) -> NDArray[np.bool_]:
        """[D, D] the edges of a link, the diagonal left out."""
        source, target = self._mask(link.source, place), self._mask(link.target, place)
        if source.sum() == target.sum() == 1 and (source & target).any():
            name = show(self.names[int(source.argmax())])
            self.problems.append(Problem(place, (f"{name} -> {name} ends where it starts; remove it",)))
        edges = np.outer(source, target)
        np.fill_diagonal(edges, False)
        return edges

    def _mask(self, entries: Iterable[str], place: str) -> NDArray[np.bool_]:
        """[D] the variables that are meant."""
        mask = np.zeros(len(self.names), dtype=np.bool_)
        mask[self._variables(entries, place)] = True
        return mask

    def _variables(self, entries: Iterable[str], place: str) -> list[int]:
        """The variables that are meant, each once."""
        found: dict[int, None] = {}
        for entry in entries:
            own = [index for index, name in enumerate(self.names) if name == entry]
            own = own or [index for index, name in enumerate(self.names) if fnmatchcase(name, entry)]
            if not own:
                what = "no variable matches" if any(sign in entry for sign in "*?[") else "no variable is called"
                self.problems.append(Problem(place, (f"{what} {show(entry)}; {suggest(entry, self.names)}",)))
            found |= dict.fromkeys(own)
        return list(found)

    def _check_order(self, required: NDArray[np.bool_], earlier: NDArray[np.bool_]) -> None:
        """Find required edges that go against the tiers, and circles of required edges, through tiers or not."""
        against = required & earlier.T
        for (number, late, early), edges in self._grouped(against, self.required, self.tier[:, None], self.tier[None]):
            found = (
                f"{self._shown(edges)} required, but {show(self.names[edges[0][0]])} is in {self._tier_place(late)}, "
                f"later than {show(self.names[edges[0][1]])} in {self._tier_place(early)}"
            )
            self.problems.append(Problem(self.places[number], (found, "move one of them, or remove the edge")))
        arcs = nx.from_numpy_array((required & ~against) | earlier, create_using=nx.DiGraph)
        for members in nx.strongly_connected_components(arcs):
            if len(members) > 1:
                self._refuse_circle(arcs.subgraph(members), required & ~against)

    def _refuse_circle(self, arcs: nx.DiGraph, required: NDArray[np.bool_]) -> None:
        """Name the shortest circle; each has a required edge, for tiers alone make none."""
        backs = [[i, *nx.shortest_path(arcs, j, i)] for i, j in arcs.edges if required[i, j]]
        circle = min(backs, key=len)
        steps = list(pairwise(circle))
        places = dict.fromkeys(self.places[self.required[step]] for step in steps if required[step])
        lines = [
            f"{show(self.names[i])} -> {show(self.names[j])}, by {self.places[self.required[i, j]]}"
            if required[i, j]
            else f"{show(self.names[i])} before {show(self.names[j])}, by {self._tier_place(int(self.tier[i]))} and "
            f"{self._tier_place(int(self.tier[j]))}"
            for i, j in steps
        ]
        where = ", ".join(places)
        self.problems.append(Problem(where, ("a circle, in which everything would cause itself:", *lines)))

    def _check_forbidden(self) -> None:
        both = (self.required >= 0) & (self.forbidden >= 0)
        for (number, reason), edges in self._grouped(both, self.required, self.forbidden):
            found = f"{self._shown(edges)} required, and forbidden by {self.reasons[reason]}"
            self.problems.append(Problem(self.places[number], (found, "remove one of the two")))

    def _grouped(
        self, edges: NDArray[np.bool_], *keys: NDArray[np.int_]
    ) -> Iterable[tuple[tuple[int, ...], list[tuple[int, int]]]]:
        """The `edges` [D, D] that agree in all `keys` [D, D]."""
        groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        keys = tuple(np.broadcast_to(key, edges.shape) for key in keys)
        for i, j in np.argwhere(edges).tolist():
            groups.setdefault(tuple(int(key[i, j]) for key in keys), []).append((i, j))
        return groups.items()

    def _shown(self, edges: list[tuple[int, int]]) -> str:
        """The first of the edges, how many more, and the verb."""
        source, target = edges[0]
        more = f" and {len(edges) - 1} more are" if len(edges) > 1 else " is"
        return f"{show(self.names[source])} -> {show(self.names[target])}{more}"

    def _tier_place(self, number: int) -> str:
        return self.knowledge.tiers[number].where or f"tiers[{number}]"
