"""A curriculum: easier tables first, and harder ones once the network is good at them."""

import attrs
import torch

from tabscm.engine.state import State
from tabscm.engine.stopping import as_good
from tabscm.engine.stream import Purpose, Stream
from tabscm.kernel.experiment import Experiment


class Curriculum:
    """The streams of an experiment level by level, counted from 1; the last level is `[stream]` itself.

    Without a curriculum that is the only one. Step k of a level is a function of (seed, k) alone.

    Args:
        experiment: says which levels.
        device: where tables are made.
        effects: measure the effects of interventions too.
    """

    def __init__(self, experiment: Experiment, *, device: torch.device, effects: bool) -> None:
        self.experiment = experiment
        self.device = device
        self.effects = effects
        self.last = len(experiment.curriculum) + 1

    def stream(self, level: int, purpose: Purpose = "train") -> Stream:
        """The tables of a level."""
        own, key = self.experiment.stream, "stream"
        if level < self.last:
            own, key = self.experiment.curriculum[level - 1].stream, f"curriculum[{level - 1}].stream"
        seed, effects = self.experiment.seed, self.effects
        return Stream(own, seed=seed, device=self.device, purpose=purpose, effects=effects, key=key)

    def advance(self, state: State, step: int) -> tuple[State, str | None]:
        """The state that `step` begins with, and, where that is on the next level, the line that says so and why."""
        if state.level == self.last:
            return state, None
        level, steps = self.experiment.curriculum[state.level - 1], step - state.level_began
        if state.level_value is not None and as_good(level.metric, state.level_value, level.reach):
            reason = f"{level.metric} {state.level_value:.3f} reached {level.reach:g}"
        elif level.most_steps is not None and steps >= level.most_steps:
            reason = f"{level.metric} did not reach {level.reach:g} in {steps} steps"
        else:
            return state, None
        state = attrs.evolve(state, level=state.level + 1, level_began=step, level_value=None)
        return state, f"level {state.level} of {self.last} from step {step}: {reason}"
