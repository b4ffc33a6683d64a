import attrs

from tabscm import Embedding, Encoder, Head, Weighted
from tabscm.kernel.nesting import evidence_given, parts


class Built:
    def build(self, width):
        raise NotImplementedError


@attrs.frozen
class Reader(Built, Head):
    """Answers, and puts nothing into the evidence."""

    name = "reader"
    gives = frozenset({"edges"})


@attrs.frozen
class Leaf(Built, Encoder):
    """Measures something."""

    name = "leaf"
    gives = frozenset({"load"})


@attrs.frozen
class Branch(Built, Embedding):
    """Holds one encoder, several and a head."""

    name = "branch"
    gives = frozenset({"pairs"})
    between: Encoder | None = None
    of: tuple[Weighted[Encoder], ...] = ()
    plain: tuple[Encoder, ...] = ()
    head: Head = Reader()
    size: int = 1


@attrs.frozen
class Trunk(Built, Embedding):
    """Holds an embedding."""

    name = "trunk"
    gives = frozenset({"kl"})
    of: Embedding = Branch(between=Leaf())


def test_parts_are_the_components_in_fields_by_their_keys():
    branch = Branch(between=Leaf(), of=(Weighted(Leaf()), Weighted(Leaf())), plain=(Leaf(),))
    assert [key for key, _ in parts(branch)] == ["between", "of[0]", "of[1]", "plain[0]", "head"]
    assert dict(parts(Branch())) == {"head": Reader()}
    assert dict(parts(Leaf())) == {}


def test_the_evidence_holds_what_the_parts_of_parts_give_but_no_answers():
    assert evidence_given(Trunk()) == {"kl", "pairs", "load"}
    assert evidence_given(Trunk(of=Branch())) == {"kl", "pairs"}
    assert evidence_given(Leaf()) == {"load"}
