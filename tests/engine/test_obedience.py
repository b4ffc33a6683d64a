"""Random knowledge is obeyed in everything that a result gives, and refused exactly when it contradicts itself.

pytest tries some; `python tests/engine/test_obedience.py --sets 10000` tries more and prints what it found. What a set
means is worked out here from its definition, not by the code that is tried.
"""

import argparse
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from tabscm import ConfigError
from tabscm.engine.knowledge import Knowledge, Link, Tier, read_knowledge
from tabscm.engine.result import Result

THRESHOLDS = (0.0, 0.3, 0.5, 1.0)
STEMS = ("dose_", "t1.", "Gene", "gene")
ODD = ("dose[mg]", "a*", "*", "what?", "body mass", "a -> b", "1", "täglich", "[!x]", "#x", "x,y", "tiers", "-")
DOORS = ("python", "toml", "tetrad")


@attrs.define
class Written:
    """A set of knowledge as a person writes it: each entry a name or a pattern."""

    names: list[str]
    tiers: list[tuple[list[str], bool]] = attrs.Factory(list)
    forbidden: list[tuple[list[str], list[str]]] = attrs.Factory(list)
    required: list[tuple[list[str], list[str]]] = attrs.Factory(list)
    exogenous: list[str] = attrs.Factory(list)
    sinks: list[str] = attrs.Factory(list)

    def through(self, door, folder):
        """The knowledge after it went through a file, or not."""
        if door == "python":
            return Knowledge(
                tiers=[Tier(entries, forbidden_within=within) for entries, within in self.tiers],
                forbidden=[Link(*ends) for ends in self.forbidden],
                required=self.required,
                exogenous=self.exogenous,
                sinks=self.sinks,
            )
        file = folder / ("k.toml" if door == "toml" else "k.txt")
        file.write_text(self.toml() if door == "toml" else self.tetrad(), encoding="utf-8")
        return read_knowledge(file)

    def toml(self):
        def links(pairs):
            return [{"from": source if len(source) > 1 else source[0], "to": target} for source, target in pairs]

        tiers = [{"variables": names, "forbidden_within": True} if within else names for names, within in self.tiers]
        edges = {"forbidden": links(self.forbidden), "required": links(self.required)}
        return tomli_w.dumps({"tiers": tiers, "exogenous": self.exogenous, "sinks": self.sinks, **edges})

    def tetrad(self):
        assert not self.exogenous
        assert not self.sinks
        lines = ["/knowledge", "addtemporal", ""]
        for number, (entries, within) in enumerate(self.tiers):
            lines.append(f"{number}{'*' if within else ''} {line(entries)}")
        for what, links in (("forbid", self.forbidden), ("require", self.required)):
            single = [(source, target) for source, target in links if len(source) == len(target) == 1]
            groups = [link for link in links if link not in single]
            lines += ["", f"{what}direct", *(f"{line(source)} {line(target)}" for source, target in single)]
            lines += ["", "forbiddengroup" if what == "forbid" else "requiredgroup"]
            lines += [line(end) for link in groups for end in link]
        return "\n".join(lines)


def line(entries):
    return " ".join(f'"{entry}"' if " " in entry or "," in entry else entry for entry in entries)


@attrs.frozen
class Truth:
    """What a consistent set says: [D, D] bool, and the tier of each variable (-1 without one)."""

    forbidden: np.ndarray
    required: np.ndarray
    tier: np.ndarray

    def order(self):
        """[D, D] bool: a required edge, or an earlier tier."""
        earlier = (self.tier[:, None] >= 0) & (self.tier[:, None] < self.tier[None])
        return self.required | earlier


def meant(entry, names):
    """The variables that an entry of this file means; its only patterns are a stem and `*`."""
    if entry in names:
        return [names.index(entry)]
    return [index for index, name in enumerate(names) if name.startswith(entry.removesuffix("*"))]


def every(entries, names):
    return sorted({index for entry in entries for index in meant(entry, names)})


def reach(adj):
    """Paths of one edge or more, by Warshall."""
    found = adj.copy()
    for middle in range(len(adj)):
        found |= np.outer(found[:, middle], found[middle])
    return found


def consistent(rng, door):
    """A random set without a contradiction, because it is true of a hidden order; and what it says."""
    size = int(rng.integers(2, 13) if rng.uniform() < 0.9 else rng.integers(13, 30))
    odd = [name for name in ODD if door != "tetrad" or not ("*" in name or name.startswith("#"))]
    pool = [f"{stem}{number}" for stem in STEMS for number in range(5)] + odd
    names = [str(name) for name in rng.permutation(pool)[:size]]
    written = Written(names)
    order = rng.permutation(size)
    place = np.argsort(order)
    tier = np.full(size, -1)
    within = []
    if rng.uniform() < 0.7:
        cuts = np.sort(rng.integers(0, size + 1, size=int(rng.integers(1, 4))))
        groups = [group[rng.uniform(size=len(group)) < 0.8] for group in np.split(order, cuts)]
        groups = [group for group in groups if len(group)]
        within = [bool(rng.uniform() < 0.2) for _ in groups]
        for number, group in enumerate(groups):
            tier[group] = number
            written.tiers.append((entries(rng, group.tolist(), names), within[number]))
    forbidden = (tier[:, None] >= 0) & (tier[None] >= 0) & (tier[:, None] > tier[None])
    for number in range(len(within)):
        if within[number]:
            forbidden |= np.outer(tier == number, tier == number)
    required = np.zeros((size, size), dtype=bool)
    free = ~forbidden & (place[:, None] < place[None])
    for source, target in rng.permutation(np.argwhere(free))[: int(rng.integers(0, size + 1))].tolist():
        required[source, target] = True
        written.required.append(([names[source]], [names[target]]))
    for _ in range(int(rng.integers(0, 4))):
        source, target = (rng.permutation(size)[: int(rng.integers(1, 4))] for _ in "ab")
        edges = np.zeros_like(required)
        edges[np.ix_(source, target)] = True
        np.fill_diagonal(edges, False)
        if edges.any() and not (edges & required).any():
            forbidden |= edges
            written.forbidden.append((entries(rng, source.tolist(), names), entries(rng, target.tolist(), names)))
    if door != "tetrad":
        for variable in rng.permutation(size)[: int(rng.integers(0, 3))].tolist():
            if not required[:, variable].any():
                forbidden[:, variable] = True
                written.exogenous.append(names[variable])
            elif not required[variable].any():
                forbidden[variable] = True
                written.sinks.append(names[variable])
    np.fill_diagonal(forbidden, False)
    return written, Truth(forbidden, required, tier)


def entries(rng, variables, names):
    """The variables by name, and by pattern where one means no other."""
    written = [names[variable] for variable in variables]
    for stem in STEMS:
        own = [names[variable] for variable in variables if names[variable].startswith(stem)]
        if own and own == [name for name in names if name.startswith(stem)] and rng.uniform() < 0.7:
            written = [f"{stem}*", *(name for name in written if name not in own)]
    return written


def contradict(rng, written, truth, door):
    """Write something into the set that cannot be: which kind it is, and what the refusal has to say."""
    names, tier = written.names, truth.tier
    size = len(names)
    edges = [tuple(edge) for edge in np.argwhere(truth.required).tolist()]
    against = [(i, j) for i in range(size) for j in range(size) if tier[i] > tier[j] >= 0]
    loose = np.flatnonzero(tier < 0).tolist()
    inside = [
        (i, j)
        for i in range(size)
        for j in range(size)
        if i != j and tier[i] == tier[j] >= 0 and written.tiers[tier[i]][1]
    ]
    kinds = ["circle", "self", "unknown", "no match", "forbidden circle"]
    kinds += ["against forbidden"] * bool(edges) + ["against tier"] * bool(against)
    kinds += ["round the tiers"] * bool(against and loose) + ["within tier"] * bool(inside)
    kinds += ["two tiers"] * (len(written.tiers) > 1)
    kinds += ["into exogenous", "out of sink"] * (bool(edges) and door != "tetrad")
    kind = str(rng.choice(kinds))

    def require(*path):
        written.required += [([names[i]], [names[j]]) for i, j in pairwise(path)]

    def pick(choices):
        return choices[int(rng.integers(len(choices)))]

    if kind in ("circle", "forbidden circle"):
        path = rng.permutation(size)[: int(rng.integers(2, size + 1))].tolist()
        require(*path, path[0])
        if kind == "forbidden circle":
            written.forbidden.append(([names[path[0]]], [names[path[1]]]))
        return kind, ["a circle", "is required, but", "are required, but"]
    if kind == "self":
        name = pick(names)
        pick([written.required, written.forbidden]).append(([name], [name]))
        return kind, [f"{name!r} -> {name!r} ends where it starts"]
    if kind == "unknown":
        pick([written.required, written.forbidden]).append((["nobody"], [names[0]]))
        # a variable may be called *, but it is no pattern then
        return kind, ["no variable is called 'nobody'"]
    if kind == "no match":
        written.tiers.append((["nobody_*"], False))
        return kind, ["no variable matches 'nobody_*'"]
    if kind == "against forbidden":
        i, j = pick(edges)
        written.forbidden.append(([names[i]], [names[j]]))
        return kind, [f"{names[i]!r} -> {names[j]!r} is required, and forbidden by"]
    if kind == "against tier":
        i, j = pick(against)
        require(i, j)
        return kind, [f"{names[i]!r} -> {names[j]!r} is required, but {names[i]!r} is in"]
    if kind == "round the tiers":
        (i, j), between = pick(against), pick(loose)
        require(i, between, j)
        return kind, ["a circle"]
    if kind == "within tier":
        i, j = pick(inside)
        require(i, j)
        return kind, ["whose variables do not cause each other"]
    if kind == "two tiers":
        number = int(rng.integers(len(written.tiers)))
        name = pick([name for name, own in zip(names, tier, strict=True) if own not in (-1, number)])
        written.tiers[number] = ([*written.tiers[number][0], name], written.tiers[number][1])
        return kind, [f"{names[index]!r} is also in" for index in range(size)]
    i, j = pick(edges)
    if kind == "into exogenous":
        written.exogenous.append(names[j])
        return kind, [": nothing causes it"]
    written.sinks.append(names[i])
    return kind, [": it causes nothing"]


def random_prob(rng, size):
    """[D, D] probabilities as heads give them: of a pair's three answers, or of each direction; often extreme."""
    if rng.uniform() < 0.5:
        share = rng.dirichlet([rng.choice([0.01, 0.3, 1.0])] * 3, size=(size, size))
        prob = np.triu(share[..., 0], 1) + np.triu(share[..., 1], 1).T
    else:
        prob = rng.uniform(size=(size, size))
        prob[rng.uniform(size=prob.shape) < 0.2] = rng.choice([0.0, 1.0])
    np.fill_diagonal(prob, 0.0)
    return prob


def violations(result, truth, rng):
    """What a result does that its knowledge does not allow, in words."""
    found = []
    later = reach(truth.order()).T & (truth.tier[:, None] >= 0) & (truth.tier[None] >= 0)

    def look(what, adj, *, acyclic):
        found.extend([f"{what}: a forbidden edge"] * bool((adj & truth.forbidden).any()))
        found.extend([f"{what}: a required edge is missing"] * bool((truth.required & ~adj).any()))
        if acyclic:
            found.extend([f"{what}: a cycle"] * bool(np.diagonal(reach(adj)).any()))
            found.extend([f"{what}: a path back to an earlier tier"] * bool((reach(adj) & later).any()))

    for threshold in THRESHOLDS:
        look(f"graph at {threshold}", result.graph(threshold), acyclic=False)
        look(f"acyclic graph at {threshold}", result.graph(threshold, acyclic=True), acyclic=True)
    for graph in result.sample(3, seed=int(rng.integers(2**31))):
        look("sample", graph, acyclic=True)
    prob = result.edge_prob
    found += ["probabilities: out of range"] * (not ((prob >= 0) & (prob <= 1)).all())
    found += ["probabilities: of a forbidden edge"] * bool((prob[truth.forbidden] != 0).any())
    found += ["probabilities: of a required edge"] * bool((prob[truth.required] != 1).any())
    return found


def excess(result, before, truth):
    """What a result leaves out, or changes, that its knowledge does not ask for."""
    known = result.knowledge
    follows = truth.forbidden | reach(truth.order()).T
    found = ["more is forbidden than follows"] * bool((known.forbidden & ~follows).any())
    free = ~(follows | follows.T)
    return found + ["a free pair changed"] * bool((result.edge_prob != before)[free].any())


@attrs.frozen
class Attempt:
    """What came of one set and of a contradiction of it."""

    wrong: list[str]
    """What the result does that it should not, in words."""
    taken: bool
    """Whether the set, which is consistent, was."""
    kind: str
    """Of the contradiction."""
    refused: bool
    """Whether the contradiction was, with what it is."""


def attempt(seed, folder):
    rng = np.random.default_rng(seed)
    door = DOORS[seed % len(DOORS)]
    written, truth = consistent(rng, door)
    plain = random_prob(rng, len(written.names))
    wrong, taken, refused = [], True, False
    try:
        result = Result(names=tuple(written.names), edge_prob=plain).given(written.through(door, folder))
        wrong = violations(result, truth, rng) + excess(result, plain, truth)
    except ConfigError:
        taken = False
    kind, expected = contradict(rng, written, truth, door)
    try:
        written.through(door, folder).resolve(written.names)
    except ConfigError as error:
        refused = any(text in str(error) for text in expected)
    return Attempt(wrong, taken, kind, refused)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("knowledge")


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**9))
def test_random_knowledge_is_obeyed_and_contradictions_are_refused(folder, seed):
    found = attempt(seed, folder)
    assert found == Attempt(wrong=[], taken=True, kind=found.kind, refused=True)


def test_what_does_not_obey_is_found():
    rng = np.random.default_rng(0)
    forbidden, required = np.zeros((2, 3, 3), dtype=bool)
    forbidden[0, 1] = required[1, 2] = True
    truth = Truth(forbidden, required, np.array([1, -1, 0]))
    prob = np.zeros((3, 3))
    prob[0, 1], prob[1, 2] = 0.9, 0.8
    found = violations(Result(names=tuple("abc"), edge_prob=prob), truth, rng)
    for what in ("a forbidden edge", "a required edge is missing", "a path back", "of a forbidden", "of a required"):
        assert any(what in text for text in found), what


def main():
    parser = argparse.ArgumentParser(description="Try random sets of knowledge, and a contradiction of each.")
    parser.add_argument("--sets", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    args = parser.parse_args()
    found = []
    with TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.sets):
            found.append(attempt(seed, Path(folder)))
            if found[-1] != Attempt([], True, found[-1].kind, True):
                print(f"set {seed}: {found[-1]}")
            if len(found) % 1000 == 0:
                print(f"{len(found)} sets", file=sys.stderr, flush=True)
    kinds = Counter(each.kind for each in found)
    print(f"contradictions: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}")
    wrong = [text for each in found for text in each.wrong]
    refused, taken = sum(each.refused for each in found), sum(each.taken for each in found)
    cycles = sum("a cycle" in text for text in wrong)
    print(
        f"{args.sets} random knowledge sets: {len(wrong)} violations, {taken} of {args.sets} consistent ones taken, "
        f"{refused} of {args.sets} contradictions refused, {f'{cycles} cycles' if cycles else 'always acyclic'}"
    )
    return 0 if not wrong and refused == taken == args.sets else 1


if __name__ == "__main__":
    sys.exit(main())
