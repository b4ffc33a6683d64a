"""What a prediction shows of the network inside: logits, the KL, gate and expert load that components give, and the
shares of specialists.

Letters: B tasks, D variables, E width, L layers, X experts or specialists.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tabscm.engine.health.event import Alarm, Event
from tabscm.engine.metrics import entropy, gini
from tabscm.engine.mixture import BELIEFS
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction

PATIENCE = 3
"""Looks running that must agree: one batch alone proves nothing."""

GRACE = 100
"""Steps after the warm-up in which logits and posteriors may still be where they began."""

FLAT = 0.1
"""Nats. Standard deviation of logits over ordered pairs; with width^-0.5 = .044 before them the sources had about .04,
quick.toml has 1 after 100 steps."""
SATURATED = 15.0
"""Nats. Beyond it a sigmoid has a slope below 3e-7."""
MOST = 0.5
"""Share of the logits that must be saturated."""

HIGH_KL = 20.0
"""Nats. The sources' healthy range was 8 to 15. What lets a KL run away is a weight too small to hold it: tiny.toml
behind a bottleneck of 16 dimensions passes 20 within 85 steps at weight 0, and stays between 10 and 16 at 3e-4. They
saw 8 go to 73, and the loss to 1e8, under a weight that grew without a cap; by itself such a weight does the
opposite, see LOW_KL, so that theirs rose in spite of it, in a training that blew up."""
LOW_KL = 0.1
"""Nats. A posterior this near its prior says nothing of the table. A weight that grows with every step leads there: a
twentieth of the steps done takes the 12 nats of that bottleneck to .1 in some 60 steps."""

SHUT, OPEN = 0.02, 0.98
"""Mean of a gate beyond which one of its branches is not heard; .18 +- .12 was healthy in the sources."""
RIGID = 0.02
"""Standard deviation of a gate below which it does not depend on what it sees."""

FAIR = 0.1
"""An expert is idle when it gets less than this share of 1 / X."""
IDLE = 0.5
"""Share of idle experts in a layer. Top-1 and top-2 routers that always choose the same reach it from X = 2 and 4 on;
the Gini coefficient is then .45 or more, and .30 to .40 was healthy in the sources. (Their "red flag below -.3" cannot
be: a Gini coefficient lies between 0 and 1 - 1 / X.)"""


class Shape:
    """Logits that are all alike, or so large that nothing can move them."""

    remembers: tuple[str, ...] = ("flat", "saturated")

    def __init__(self, warmup: int) -> None:
        self.from_step = warmup + GRACE
        self.flat, self.saturated = Alarm(PATIENCE), Alarm(PATIENCE)

    def logged(self, step: int, predictions: Sequence[Prediction]) -> tuple[dict[str, float], list[Event]]:
        """Look at the logits of a step."""
        logits = torch.cat([_ordered_pairs(one.logits.detach()) for one in predictions])
        if len(logits) < 2:
            return {}, []
        spread, beyond = float(logits.std()), float((logits.abs() > SATURATED).float().mean())
        scalars = {"logit_spread": spread, "logits_saturated": beyond}
        events = []
        if step >= self.from_step and self.flat.rings(spread < FLAT):
            line = (
                f"logits differ by {spread:.3f} nats over the pairs, so that every edge is as probable as every other. "
                "Usually a constant such as width^-0.5 shrinks them, or nothing about the pairs reaches the head. Take "
                "the factor out of the head, and see whether collapse is named as well."
            )
            events.append(Event(step, "flat-logits", spread, line))
        if self.saturated.rings(beyond > MOST):
            line = (
                f"{beyond:.0%} of the logits are beyond +-{SATURATED:g} nats, where hardly a gradient is left. Usually "
                "the learning rate is too high, or a loss or regulariser pays for certainty. Lower trainer.lr and "
                "trainer.muon_lr, or the weight of that term."
            )
            events.append(Event(step, "saturated-logits", beyond, line))
        return scalars, events


class Divergence:
    """The KL of a variational part outside its range."""

    remembers: tuple[str, ...] = ("high", "low")

    def __init__(self, experiment: Experiment) -> None:
        self.from_step = experiment.trainer.warmup + GRACE
        self.high, self.low = Alarm(PATIENCE), Alarm(PATIENCE)
        self.weights = [entry.weight for entry in experiment.regularisers if "kl" in entry.component.needs]

    def logged(self, step: int, predictions: Sequence[Prediction]) -> tuple[dict[str, float], list[Event]]:
        """Look at "kl" [B], nats."""
        found = _gather(predictions, "kl", torch.flatten)
        if found is None:
            return {}, []
        kl, weight = float(found.mean()), sum(ramp.at(step - 1) for ramp in self.weights)
        scalars = {"kl": kl, "kl_weight": weight}
        events = []
        if self.high.rings(kl > HIGH_KL):
            line = (
                f"the KL is {kl:.1f} nats at a weight of {weight:.1e}; 8 to 15 is healthy. Usually the weight is too "
                "small, or rises too late, to hold the posterior. Raise it, or shorten its warm-up. Where the loss "
                "grows as well (the sources saw 73 nats and 1e8), training blows up: cap the weight, lower trainer.lr."
            )
            events.append(Event(step, "high-kl", kl, line))
        if step >= self.from_step and self.low.rings(kl < LOW_KL):
            line = (
                f"the KL is {kl:.3f} nats at a weight of {weight:.1e}: the posterior is the prior and says nothing of "
                "the table. Usually the weight rose too fast, or goes on rising without a cap. Cap it lower, warm it "
                "up for longer, or allow free bits."
            )
            events.append(Event(step, "posterior-collapse", kl, line))
        return scalars, events


class Gate:
    """A gate that lets only one of its branches through, whatever the table."""

    remembers: tuple[str, ...] = ("alarm",)

    def __init__(self) -> None:
        self.alarm = Alarm(PATIENCE)

    def logged(self, step: int, predictions: Sequence[Prediction]) -> tuple[dict[str, float], list[Event]]:
        """Look at "gate" [B, D, E], shares of the first branch."""
        gate = _gather(predictions, "gate", torch.flatten)
        if gate is None:
            return {}, []
        mean, std = float(gate.mean()), float(gate.std(correction=0))
        low, middle, high = (float(value) for value in (gate.amin(), gate.median(), gate.amax()))
        scalars = {"gate_mean": mean, "gate_std": std, "gate_median": middle, "gate_min": low, "gate_max": high}
        if not self.alarm.rings(not SHUT <= mean <= OPEN and std < RIGID):
            return scalars, []
        branch = "first" if mean < SHUT else "second"
        line = (
            f"the gate is {mean:.3f} +- {std:.3f} in [{low:.3f}, {high:.3f}]: the {branch} branch is dead. Usually the "
            "branches have different scales, or the gate began far from .5 at a high learning rate. Normalise both "
            "branches before the gate, start it at .5, lower trainer.lr."
        )
        return scalars, [Event(step, "gate", mean, line)]


class Experts:
    """A router that gives some experts nearly everything."""

    remembers: tuple[str, ...] = ("alarm",)

    def __init__(self) -> None:
        self.alarm = Alarm(PATIENCE)

    def logged(self, step: int, predictions: Sequence[Prediction]) -> tuple[dict[str, float], list[Event]]:
        """Look at "load" [B, L, X], shares of the tokens."""
        found = _gather(predictions, "load", lambda load: load)
        if found is None:
            return {}, []
        load = found.mean(0)  # [L, X]
        load = load / load.sum(1, keepdim=True).clamp(min=1e-12)
        experts = load.shape[1]
        idle = (load < FAIR / experts).float().mean(1)  # [L]
        worst = int(idle.argmax())
        scalars = {
            "expert_entropy": float(entropy(load).mean()) / math.log(max(2, experts)),  # 1 is even
            "expert_gini": float(gini(load).mean()),
            "experts_idle": float(idle[worst]),
        }
        if not self.alarm.rings(experts > 1 and scalars["experts_idle"] >= IDLE):
            return scalars, []
        line = (
            f"{idle[worst]:.0%} of the {experts} experts of layer {worst} are idle, one gets {load[worst].amax():.0%} "
            f"of the tokens; Gini {scalars['expert_gini']:.2f} over all layers, .30 to .40 is healthy. Usually the "
            "load-balancing loss is missing or too light. Raise its weight (the sources had 0.1)."
        )
        return scalars, [Event(step, "experts", scalars["experts_idle"], line)]


class Beliefs:
    """A gate that believes one specialist alone, whatever the table."""

    remembers: tuple[str, ...] = ("alarm",)

    def __init__(self, experiment: Experiment) -> None:
        self.names = experiment.specialists
        self.from_step = experiment.trainer.warmup + GRACE
        self.alarm = Alarm(PATIENCE)

    def logged(self, step: int, predictions: Sequence[Prediction]) -> tuple[dict[str, float], list[Event]]:
        """Look at "beliefs" [B, X], logarithms of the shares of specialists."""
        found = _gather(predictions, BELIEFS, torch.exp) if self.names else None
        if found is None:
            return {}, []
        means, deviations = found.mean(0), found.std(0, correction=0)
        scalars = {f"share/{name}": share for name, share in zip(self.names, means.tolist(), strict=True)}
        most = int(means.argmax())
        alone = float(means[most]) > OPEN and float(deviations[most]) < RIGID
        if not self.alarm.rings(step >= self.from_step and alone):
            return scalars, []
        line = (
            f"the gate believes {self.names[most]} to {means[most]:.3f} +- {deviations[most]:.3f}, whatever the table: "
            "the other specialists are of no use. Usually they are untrained, or all tables are of one kind. Start "
            "them from trained runs (--init), train the gate on tables of all kinds."
        )
        return scalars, [Event(step, "one-for-all", float(means[most]), line)]


def _gather(predictions: Sequence[Prediction], name: str, flatten: Callable[[Tensor], Tensor]) -> Tensor | None:
    """What a component gave as `name` in every part of a step, end to end; None where no component gives it."""
    found = [flatten(one.aux[name].detach().float()) for one in predictions if name in one.aux]
    return torch.cat(found) if found else None


def _ordered_pairs(logits: Tensor) -> Tensor:
    """Everything off the diagonal, of all tables: [B, D, D] -> [B D (D - 1)]."""
    off = ~torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits[:, off].flatten()
