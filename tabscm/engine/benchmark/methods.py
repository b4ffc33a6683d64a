"""Who is compared: every method by name, and what it may see."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import attrs
import torch

from tabscm.engine.benchmark import classical, floors
from tabscm.engine.benchmark.answer import Answer
from tabscm.engine.benchmark.case import Case
from tabscm.engine.benchmark.notears import notears
from tabscm.engine.benchmark.score_matching import score_matching
from tabscm.engine.loading import load_model
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.released import find
from tabscm.engine.tables import DataTable
from tabscm.kernel.errors import TabSCMError, did_you_mean
from tabscm.kernel.registry import discover

Work = Callable[[Case], Answer]
OURS = "tabscm"


@attrs.frozen
class Method:
    """A way to find the graph of a table."""

    title: str
    prepare: Callable[[Path | None], Work]
    """Import or load everything, given the folder of a trained run; what it returns is timed."""
    needs: str | None = None
    """A package that has to be installed."""
    raw: bool = False
    """Sees the scale of columns, which is taken from all others; no rival therefore."""


def tabscm(run: Path | None) -> Work:
    """The trained network, as `predict` runs it."""
    model = obtain(run)
    device = torch.device("cpu")

    def work(case: Case) -> Answer:
        names = tuple(f"x{index}" for index in range(len(case.adj)))
        table = DataTable(names=names, x=case.x, source="the table")
        probability = predict(model, table, device=device, intervened=case.intervened).edge_prob
        logits = torch.logit(torch.from_numpy(probability), eps=1e-15).numpy()
        return Answer(scores=logits, graph=(probability > 0.5).astype(float), logits=logits)

    return work


def obtain(run: Path | None) -> Model:
    """The network of a run, or the released one.

    Raises:
        CheckpointError: it cannot be read, or there is none.
    """
    return load_model(find(run), discover(), torch.device("cpu"))


def fingerprint(model: Model) -> str:
    """What tells a network from others: of its weights, of which of several is asked alone, and of which read images of
    tables; 16 hexadecimal digits."""
    digest = hashlib.sha256(" ".join([model.alone, *model.mirrored]).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _ready(work: Work, *modules: str) -> Callable[[Path | None], Work]:
    """A method without weights; `modules` are imported before anything is timed."""

    def prepare(_: Path | None) -> Work:
        for module in modules:
            __import__(module)
        return work

    return prepare


_SEARCH = "causallearn.search"
METHODS = {
    OURS: Method("TabSCM", tabscm),
    "pc": Method("PC", _ready(classical.pc, f"{_SEARCH}.ConstraintBased.PC"), "causallearn"),
    "ges": Method("GES", _ready(classical.ges, f"{_SEARCH}.ScoreBased.GES"), "causallearn"),
    "boss": Method("BOSS", _ready(classical.boss, f"{_SEARCH}.PermutationBased.BOSS"), "causallearn"),
    "grasp": Method("GRaSP", _ready(classical.grasp, f"{_SEARCH}.PermutationBased.GRaSP"), "causallearn"),
    "lingam": Method("DirectLiNGAM", _ready(classical.lingam, f"{_SEARCH}.FCMBased.lingam"), "causallearn"),
    "gies": Method("GIES", _ready(classical.gies, "gies"), "gies"),
    "notears": Method("NOTEARS", _ready(notears, "scipy.optimize", "scipy.linalg"), "scipy"),
    "score": Method("SCORE", _ready(score_matching, "scipy.stats"), "scipy"),
    "sortnregress": Method("sortnregress", _ready(floors.sortnregress, "sklearn.linear_model"), "sklearn", raw=True),
    "r2-sortnregress": Method("R2-sortnregress", _ready(floors.r2_sortnregress, "sklearn.linear_model"), "sklearn"),
    "correlation": Method("correlation", _ready(floors.correlation)),
    "partial-correlation": Method("partial correlation", _ready(floors.partial_correlation)),
    "empty": Method("empty graph", _ready(floors.empty)),
}
"""By name. GIES runs where there are interventions; the others that cannot read them see all rows pooled."""


def choose(names: Sequence[str]) -> list[str]:
    """The methods that are named, in the order of METHODS; none means all.

    Raises:
        TabSCMError: a name that nothing has, or a package that is not installed.
    """
    for name in names:
        if name not in METHODS:
            raise TabSCMError(
                f'--methods: there is no "{name}".{did_you_mean(name, METHODS)}\nthere are: {", ".join(METHODS)}'
            )
    chosen = [name for name in METHODS if not names or name in names]
    missing = [name for name in chosen if (needs := METHODS[name].needs) and find_spec(needs) is None]
    if missing:
        raise TabSCMError(f"{', '.join(missing)}: not installed. Run: pip install 'tabscm[baselines]'")
    return chosen


def applies(method: str, case: Case) -> bool:
    """Whether a method has anything to do with such tables: GIES without interventions is GES."""
    return method != "gies" or bool(case.intervened.any())
