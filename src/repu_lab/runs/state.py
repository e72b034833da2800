"""Everything that changes while a population trains, as one value that can be saved and restored bit for bit.

A population holds the networks of one run, or of several that differ only in what a member may have of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch

from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population
from repu_lab.runs.building import Experiment, make_optimizer, make_population
from repu_lab.runs.checkpoint import Saved
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.outcome import FirstPass, Progress, first_pass
from repu_lab.tasks import Evaluation
from repu_lab.theory.forecast import Forecast
from repu_lab.tracking.table import StatisticsTable, precision
from repu_lab.tracking.tracker import Tracker

Members = TypeVar("Members", Progress, FirstPass, Evaluation)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run: what it is made of, where it is written, and what theory expects of it."""

    experiment: Experiment
    folder: RunFolder
    expected: Forecast | None = None
    stored: bool = False  # its result is there already: it trains along, so that the others keep their bits


@dataclass(kw_only=True, eq=False)
class Part:
    """A run's part of a population: its rows of theta, what was seen of it and where that is written, and its end."""

    rows: slice
    table: StatisticsTable
    events: int | None = None  # length of the event file, None before it exists
    ended: int | None = None  # the step at which the run ended
    tracker: Tracker | None = None  # None while nothing is written of it


@dataclass(kw_only=True)
class State:
    """The state before the update number `step` (from 0)."""

    step: int
    parts: list[Part]  # in the order of the runs
    population: Population
    optimizer: Optimizer
    first: FirstPass
    progress: Progress
    seconds: float = 0.0  # spent in the loop, and in observing
    observing: float = 0.0
    stepping: str | None = None  # how the steps are done, see runs.stepping; None before it is chosen
    chunk: int | None = None  # members that pass at once, None if all do

    @classmethod
    def start(cls, experiments: Sequence[Experiment]) -> "State":
        """Return the state before the first step: the networks are drawn, and passed once."""
        state = cls._blank(experiments)
        shared = experiments[0]
        state.first = first_pass(state.population, shared.task, shared.task.batch(0, shared.config.batch_size))
        state.progress.alive &= torch.from_numpy(state.first.exploded == 0).to(shared.device)
        return state

    @classmethod
    def restore(cls, experiments: Sequence[Experiment], saved: Saved) -> "State":
        """Return the state that `saved()` gave, of the same experiments; TypeError if it is of another form."""
        state = cls._blank(experiments, draw=False)
        blank = state.saved()
        for name in ("theta", "optimizer", "first", "progress"):
            _check_form(name, saved[name], blank[name])
        with torch.no_grad():
            state.population.theta.copy_(saved["theta"])
        for name, tensor in state.optimizer.state.items():
            tensor.copy_(saved["optimizer"][name])
        state.first = FirstPass(**{name: value.cpu().numpy() for name, value in saved["first"].items()})
        state.progress = Progress(**saved["progress"])
        of_parts = zip(state.parts, saved["tables"], saved["events"], saved["ended"], strict=True)
        for part, content, part.events, part.ended in of_parts:
            part.table.restore(content)
        for name in ("step", "seconds", "observing"):
            setattr(state, name, saved[name])
        # Checkpoints of earlier versions have neither.
        state.stepping, state.chunk = saved.get("stepping"), saved.get("chunk", state.chunk)
        return state

    @classmethod
    def _blank(cls, experiments: Sequence[Experiment], draw: bool = True) -> "State":
        population = make_population(experiments, draw=draw)
        ends = np.cumsum([0, *(experiment.config.members for experiment in experiments)]).tolist()
        none = np.zeros(population.members, np.int64)
        return cls(
            step=0,
            parts=[
                Part(rows=slice(start, stop), table=StatisticsTable(each.seeds, precision(each.dtype)))
                for each, (start, stop) in zip(experiments, pairwise(ends), strict=True)
            ],
            population=population,
            optimizer=make_optimizer(experiments, population),
            first=FirstPass(exploded=none, vanished=none),
            progress=Progress.start(population.members, experiments[0].device),
            chunk=experiments[0].chunk,
        )

    def saved(self) -> Saved:
        """Return the state as tensors and plain values. No generator is among them: every draw follows from a seed."""
        return {
            "step": self.step,
            "theta": self.population.theta.detach(),
            "optimizer": self.optimizer.state,
            "first": {name: torch.from_numpy(value) for name, value in vars(self.first).items()},
            "progress": vars(self.progress),
            "tables": [part.table.content() for part in self.parts],
            "events": [part.events for part in self.parts],
            "ended": [part.ended for part in self.parts],
            "seconds": self.seconds,
            "observing": self.observing,
            "stepping": self.stepping,
            "chunk": self.chunk,
        }

    @property
    def nbytes(self) -> int:
        """The size of what `saved()` gives, but for the small parts."""
        return sum(tensor.nbytes for tensor in (self.population.theta, *self.optimizer.state.values()))

    def settled(self, rows: slice) -> bool:
        """Whether nothing changes any more: every member is frozen, exploded on the first pass or since."""
        return not self.progress.alive[rows].any()


def _check_form(name: str, value: Any, blank: Any) -> None:
    """Refuse what is not of the same keys, shapes and dtypes: copying would broadcast it."""
    if isinstance(blank, dict):
        if not isinstance(value, dict) or value.keys() != blank.keys():
            raise TypeError(f"{name} is of another form")
        for key in blank:
            _check_form(f"{name}.{key}", value[key], blank[key])
    elif not isinstance(value, torch.Tensor) or (value.shape, value.dtype) != (blank.shape, blank.dtype):
        raise TypeError(f"{name} is of another form")


def members(values: Members, rows: slice) -> Members:
    """Return the same of some members only."""
    return type(values)(**{spec.name: getattr(values, spec.name)[rows] for spec in fields(values)})
