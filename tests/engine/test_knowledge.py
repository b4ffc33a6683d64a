"""What knowledge says of a table: names and patterns, files, contradictions, and what follows."""

import numpy as np
import pytest

from tabscm import ConfigError
from tabscm.engine.knowledge import Knowledge, Link, Tier, read_knowledge

NAMES = ("age", "sex", "dose_1", "dose_2", "outcome")


def edges(matrix, names=NAMES):
    return {f"{names[i]} -> {names[j]}" for i, j in np.argwhere(matrix)}


def refusal(**parts):
    with pytest.raises(ConfigError) as refused:
        Knowledge(**parts).resolve(NAMES)
    return str(refused.value)


def message(*problems):
    """A whole refusal, of (where, line, line ...)."""
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return "\n\n".join(
        [f"knowledge: {count}", *(f"  {where}\n    " + "\n    ".join(lines) for where, *lines in problems)]
    )


def test_nothing_known():
    known = Knowledge().resolve(NAMES)
    assert not known.forbidden.any()
    assert not known.required.any()
    prob = np.random.default_rng(0).uniform(size=(5, 5)) * (1 - np.eye(5))
    assert (known.condition(prob) == prob).all()


@pytest.mark.parametrize("names", [(), ("a",)])
def test_hardly_any_variable(names):
    known = Knowledge(exogenous=list(names)).resolve(names)
    assert known.forbidden.shape == known.required.shape == known.before.shape == (len(names), len(names))
    assert not known.forbidden.any()


def test_tiers():
    known = Knowledge(tiers=[["age", "sex"], ["outcome"]]).resolve(NAMES)
    assert edges(known.forbidden) == {"outcome -> age", "outcome -> sex"}
    assert edges(known.before) == {"age -> outcome", "sex -> outcome"}


def test_a_tier_without_edges_within():
    known = Knowledge(tiers=[Tier(["age", "sex"], forbidden_within=True)]).resolve(NAMES)
    assert edges(known.forbidden) == {"age -> sex", "sex -> age"}


def test_exogenous_variables_and_sinks():
    known = Knowledge(exogenous=["age"], sinks="outcome").resolve(NAMES)
    into = {f"{name} -> age" for name in NAMES[1:]}
    assert edges(known.forbidden) == into | {f"outcome -> {name}" for name in NAMES[:-1]}


def test_groups_and_patterns_leave_out_the_diagonal():
    known = Knowledge(forbidden=[("dose_*", ["age", "dose_[12]"])], required=[("*", "outcome")]).resolve(NAMES)
    forbidden = {"dose_1 -> age", "dose_2 -> age", "dose_1 -> dose_2", "dose_2 -> dose_1"}
    assert edges(known.forbidden) == forbidden | {f"outcome -> {name}" for name in NAMES[:-1]}
    assert edges(known.required) == {f"{name} -> outcome" for name in NAMES[:-1]}


def test_the_name_of_a_variable_is_no_pattern():
    names = ("dose[mg]", "dosem", "a*", "ab", "a")
    known = Knowledge(forbidden=[("dose[mg]", "a*")]).resolve(names)
    assert edges(known.forbidden, names) == {"dose[mg] -> a*"}
    known = Knowledge(forbidden=[("dose[[]mg]", "a[*]"), ("dosem", "a?")]).resolve(names)
    assert edges(known.forbidden, names) == {"dose[mg] -> a*", "dosem -> a*", "dosem -> ab"}


def test_what_follows_from_required_edges_and_tiers():
    names = tuple("abcde")
    known = Knowledge(tiers=["a", "d"], required=[("b", "a"), ("d", "c")]).resolve(names)
    # b comes before a, a before d, d before c
    assert edges(known.before, names) == {f"{x} -> {y}" for x, y in ("ba", "bd", "bc", "ad", "ac", "dc")}
    assert (known.forbidden == known.before.T).all()


@pytest.mark.parametrize(
    ("parts", "problems"),
    [
        ({"required": [("agee", "sex")]}, [("required[0]", "no variable is called 'agee'; did you mean 'age'?")]),
        (
            {"tiers": [["x_*"]]},
            [("tiers[0]", "no variable matches 'x_*'; there are 'age', 'sex', 'dose_1', 'dose_2', 'outcome'")],
        ),
        ({"forbidden": [("age", "age")]}, [("forbidden[0]", "'age' -> 'age' ends where it starts; remove it")]),
        (
            {"tiers": [["age", "dose_1"], ["dose_*"]]},
            [("tiers[1]", "'dose_1' is also in tiers[0]; leave it in one tier")],
        ),
        (
            {"tiers": [["age"], ["outcome"]], "required": [("sex", "age"), ("outcome", "age")]},
            [
                (
                    "required[1]",
                    "'outcome' -> 'age' is required, but 'outcome' is in tiers[1], later than 'age' in tiers[0]",
                    "move one of them, or remove the edge",
                )
            ],
        ),
        (
            {"required": [("age", "sex"), ("sex", "dose_1"), ("dose_1", "age"), ("age", "outcome")]},
            [
                (
                    "required[0], required[1], required[2]",
                    "a circle, in which everything would cause itself:",
                    "'age' -> 'sex', by required[0]",
                    "'sex' -> 'dose_1', by required[1]",
                    "'dose_1' -> 'age', by required[2]",
                )
            ],
        ),
        (
            {"tiers": [["age"], ["outcome"]], "required": [("outcome", "sex"), ("sex", "age")]},
            [
                (
                    "required[1], required[0]",
                    "a circle, in which everything would cause itself:",
                    "'sex' -> 'age', by required[1]",
                    "'age' before 'outcome', by tiers[0] and tiers[1]",
                    "'outcome' -> 'sex', by required[0]",
                )
            ],
        ),
        (
            {"required": [("age", "*")], "forbidden": [("dose_1", "sex"), ("a*", "dose_*")]},
            [
                (
                    "required[0]",
                    "'age' -> 'dose_1' and 1 more are required, and forbidden by forbidden[1]",
                    "remove one of the two",
                )
            ],
        ),
        (
            {"required": [("age", "sex")], "exogenous": ["sex"], "sinks": ["outcome", "sex"]},
            [
                (
                    "required[0]",
                    "'age' -> 'sex' is required, and forbidden by exogenous[0]: nothing causes it",
                    "remove one of the two",
                )
            ],
        ),
        (
            {"required": [("age", "sex")], "sinks": ["age"]},
            [
                (
                    "required[0]",
                    "'age' -> 'sex' is required, and forbidden by sinks[0]: it causes nothing",
                    "remove one of the two",
                )
            ],
        ),
        (
            {"required": [("age", "sex")], "tiers": [Tier(["age", "sex"], forbidden_within=True)]},
            [
                (
                    "required[0]",
                    "'age' -> 'sex' is required, and forbidden by tiers[0], whose variables do not cause each other",
                    "remove one of the two",
                )
            ],
        ),
        (
            {"required": [("nobody", "age"), ("age", "sex")], "forbidden": [("age", "sex")]},
            [
                (
                    "required[0]",
                    "no variable is called 'nobody'; there are 'age', 'sex', 'dose_1', 'dose_2', 'outcome'",
                ),
                (
                    "required[1]",
                    "'age' -> 'sex' is required, and forbidden by forbidden[0]",
                    "remove one of the two",
                ),
            ],
        ),
    ],
)
def test_contradictions_are_refused_with_the_entries_that_make_them(parts, problems):
    assert refusal(**parts) == message(*problems)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"tiers": "abc"}, "expected a list, found 'abc'"),
        ({"required": ["age"]}, "expected a pair, (cause, effect), found 'age'"),
        ({"forbidden": [("a", "b", "c")]}, "expected a pair, (cause, effect), found ('a', 'b', 'c')"),
        ({"exogenous": [3]}, "expected a name or a list of names, found [3]"),
        ({"tiers": [[]]}, "expected a name or a list of names, found []"),
    ],
)
def test_values_that_are_none(parts, found):
    assert refusal(**parts) == message(("in Python", found))


TOML = """
tiers = [["age", "sex"], "dose_*", { variables = ["outcome"], forbidden_within = true }]
required = [{ from = "dose_1", to = "outcome" }]
forbidden = [{ from = ["age", "sex"], to = "dose_*" }]
exogenous = ["age"]
sinks = ["outcome"]
"""


def test_toml(tmp_path):
    file = tmp_path / "k.toml"
    file.write_text(TOML)
    knowledge = read_knowledge(file)
    assert knowledge == Knowledge(
        tiers=[["age", "sex"], ["dose_*"], Tier(["outcome"], forbidden_within=True)],
        required=[("dose_1", "outcome")],
        forbidden=[(["age", "sex"], "dose_*")],
        exogenous=["age"],
        sinks=["outcome"],
    )
    assert knowledge.source == str(file)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("tiers = [", [("line 1, column 10", "not TOML: Invalid value")]),
        ('exogenus = ["a"]', [("exogenus", 'unknown key. Did you mean "exogenous"?', "allowed: {keys}")]),
        ("tiers = 3\nsinks = 'a'", [("tiers", "expected a list, found 3"), ("sinks", "expected a list, found {a}")]),
        (
            "tiers = [['a', 3], [], {variable = 'a', forbidden_within = 1}]",
            [
                ("tiers[0][1]", "expected a name, found 3"),
                ("tiers[1]", "expected a name or a list of names, found an empty list"),
                (
                    "tiers[2].variable",
                    'unknown key. Did you mean "variables"?',
                    "allowed: variables, forbidden_within",
                ),
                ("tiers[2].forbidden_within", "expected true or false, found 1"),
                ("tiers[2].variables", "expected a name or a list of names, found nothing"),
            ],
        ),
        (
            "required = ['a -> b', {from = 'a', too = 'b'}]\nexogenous = [true]",
            [
                ("required[0]", "expected a table with from and to, found a string: 'a -> b'"),
                ("required[1].too", 'unknown key. Did you mean "to"?', "allowed: from, to"),
                ("required[1].to", "expected a name or a list of names, found nothing"),
                ("exogenous[0]", "expected a name, found true"),
            ],
        ),
    ],
)
def test_all_mistakes_of_a_toml_file_together(tmp_path, text, problems):
    file = tmp_path / "k.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_knowledge(file)
    words = {"keys": "tiers, forbidden, required, exogenous, sinks", "a": "a string: 'a'"}
    expected = message(*((where, *(line.format(**words) for line in lines)) for where, *lines in problems))
    assert str(refused.value) == expected.replace("knowledge", str(file), 1)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError) as refused:
        read_knowledge(tmp_path / "k.txt")
    assert str(refused.value) == f"{tmp_path / 'k.txt'}: 1 problem\n\n  the file\n    does not exist"


TETRAD = """\
/knowledge
// charity.txt
addtemporal

1 TangibilityCondition AmountDonated
2* Imaginability\tSympathy
3
4  Impact

forbiddirect

TangibilityCondition Impact
Sym*,Im* AmountDonated

requiredirect

TangibilityCondition ==> Imaginability

forbiddengroup
Sympathy "body mass"
Impact
"""


def test_tetrad(tmp_path):
    file = tmp_path / "knowledge.txt"
    file.write_text(TETRAD)
    knowledge = read_knowledge(file)
    assert knowledge == Knowledge(
        tiers=[
            ["TangibilityCondition", "AmountDonated"],
            Tier(["Imaginability", "Sympathy"], forbidden_within=True),
            ["Impact"],
        ],
        forbidden=[
            ("TangibilityCondition", "Impact"),
            (["Sym*", "Im*"], "AmountDonated"),
            (["Sympathy", "body mass"], "Impact"),
        ],
        required=[("TangibilityCondition", "Imaginability")],
    )
    assert [tier.where for tier in knowledge.tiers] == ["line 5", "line 6", "line 8"]
    assert [link.where for link in knowledge.forbidden] == ["line 12", "line 13", "lines 20 and 21"]


def test_tetrad_with_names_between_commas(tmp_path):
    file = tmp_path / "knowledge.txt"
    file.write_text('/knowledge comma\naddtemporal\n0  body mass, x\n1  "a,b"\n\nforbiddirect\nbody mass, "a,b"\n')
    assert read_knowledge(file) == Knowledge(tiers=[["body mass", "x"], ["a,b"]], forbidden=[("body mass", "a,b")])


def test_only_the_star_is_special_in_tetrad(tmp_path):
    file = tmp_path / "knowledge.txt"
    file.write_text("forbiddirect\nx[1] y?\nx[* y?\n")
    known = read_knowledge(file).resolve(("x[1]", "x1", "y?", "yy"))
    assert edges(known.forbidden, ("x[1]", "x1", "y?", "yy")) == {"x[1] -> y?"}


def test_tiers_of_one_number_are_one(tmp_path):
    file = tmp_path / "knowledge.txt"
    file.write_text("addtemporal\n2 c\n1 a\n1* b\n")
    assert read_knowledge(file) == Knowledge(tiers=[Tier(["a", "b"], forbidden_within=True), ["c"]])


def test_a_contradiction_in_a_tetrad_file_names_the_lines(tmp_path):
    file = tmp_path / "knowledge.txt"
    file.write_text("/knowledge\naddtemporal\n1 age\n2 outcome\nrequiredirect\noutcome age\n")
    with pytest.raises(ConfigError) as refused:
        read_knowledge(file).resolve(NAMES)
    found = "'outcome' -> 'age' is required, but 'outcome' is in line 4, later than 'age' in line 3"
    expected = message(("line 6", found, "move one of them, or remove the edge"))
    assert str(refused.value) == expected.replace("knowledge", str(file), 1)


def test_all_mistakes_of_a_tetrad_file_together(tmp_path):
    lines = [
        "/knowledge commas",
        "x y",
        "addtemporal",
        "x y",
        "1- z",
        "forbiddengroup",
        "a b",
        "forbiddirect",
        "a,b",
        'a "b',
        "a b c",
        "tierstructure s",
        "1 a b",
        "requiredgroup",
        "a",
    ]
    file = tmp_path / "knowledge.txt"
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as refused:
        read_knowledge(file)
    sections = "addtemporal, forbiddirect, requiredirect, forbiddengroup, requiredgroup"
    comma = "; where commas separate names, the file begins with /knowledge comma"
    expected = message(
        ("line 1", "found 'commas' behind /knowledge; only comma can stand there"),
        ("line 2", "found 'x y' where a section begins.", f"one of: {sections}"),
        ("line 4", "found 'x y' where a tier begins with its number, such as 1 or 2*"),
        ("line 5", "a tier that only causes the next one (1-) is not supported; remove the -"),
        ("line 7", "a line of causes without a line of effects behind it"),
        ("line 9", f"expected a cause and an effect, found 'a,b'{comma}"),
        ("line 10", "a quote that opens here is not closed"),
        ("line 11", "expected a cause and an effect, found 'a b c'"),
        ("line 12", "a further order of tiers (tierstructure) is not supported; keep one addtemporal"),
        ("line 15", "a line of causes without a line of effects behind it"),
    )
    assert str(refused.value) == expected.replace("knowledge", str(file), 1)


def conditioned(prob, **parts):
    return Knowledge(**parts).resolve(("a", "b")).condition(np.array(prob))


def test_what_is_forbidden_leaves_its_share_to_the_rest_of_the_pair():
    # of ->, <- and neither, with .6, .1 and .3
    assert conditioned([[0, 0.6], [0.1, 0]], forbidden=[("a", "b")])[1, 0] == pytest.approx(0.1 / 0.4)
    assert conditioned([[0, 0.6], [0.1, 0]], forbidden=[("b", "a")])[0, 1] == pytest.approx(0.6 / 0.9)
    assert (conditioned([[0, 0.6], [0.1, 0]], forbidden=[("a", "b"), ("b", "a")]) == 0).all()
    assert (conditioned([[0, 0.0], [0.9, 0]], required=[("a", "b")]) == [[0, 1], [0, 0]]).all()


def test_a_pair_whose_probabilities_are_no_three_way_choice():
    assert conditioned([[0, 0.9], [0.8, 0]], forbidden=[("a", "b")])[1, 0] == pytest.approx(1)
    assert (conditioned([[0, 1.0], [0.0, 0]], forbidden=[("a", "b")]) == 0).all()
    # what is no more than rounding beside a certainty does not become one
    assert conditioned([[0, 1.0], [1e-20, 0]], forbidden=[("a", "b")])[1, 0] < 1e-6


def test_links_say_where_they_are_from_and_are_equal_all_the_same():
    assert Link("a", "b", where="line 3") == Link(["a"], ["b"])
