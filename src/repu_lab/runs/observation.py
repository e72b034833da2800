"""What is observed of a population along its training, and written down: every layer on the probe, every member's test.

On a GPU what is looked at is captured as one graph once the steps are: launched kernel by kernel, one look would take
as long as twelve steps of a network of depth 50.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from repu_lab.configs.text import one_line
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import LayerStatistics, measure_there
from repu_lab.runs.building import Experiment
from repu_lab.runs.graphs import Graph, equal_bits
from repu_lab.runs.schedule import is_profiled
from repu_lab.runs.state import Part, State, members
from repu_lab.runs.stepping import CAPTURED
from repu_lab.tasks import Evaluation, Split, Task
from repu_lab.tracking.digest import Digest, digests

# A table of more numbers is sorted on the GPU, one of fewer sooner on the host.
LARGE = 100_000
# Bound on the preactivations an evaluation on the test split holds at once (elements).
CHUNK = 16_000_000


@dataclass(frozen=True)
class Observation:
    """What a look at a population gives, on its device."""

    evaluation: Evaluation
    layers: LayerStatistics | None

    def tensors(self) -> Iterator[Tensor]:
        """Yield every number of it."""
        yield from vars(self.evaluation).values()
        yield from (value for _, value in (self.layers.measured() if self.layers else ()))


class Observer:
    """Looks at a population: at all members, by a graph if that gives the same bits, or at some."""

    def __init__(self, experiment: Experiment, state: State, say: Callable[[str], None] = print):
        """Take what is trained; `say` gets the line that says why there is no graph."""
        self.experiment, self._state, self._say = experiment, state, say
        self._graph: Graph[Observation] | None = None
        self._plain = False

    def all(self, histogram: bool) -> Observation:
        """Look at every member; the next look may overwrite what this one gave.

        A graph always counts the histogram: a tenth of the look, where capturing a second graph takes four looks.
        """
        theta_MP = self._state.population.theta.detach()
        if self._graph is not None:
            return self._graph.replay()
        if self._plain or self._state.stepping != CAPTURED:
            return self._look(theta_MP, histogram)
        return self._first(theta_MP)

    def some(self, rows: Sequence[slice], histogram: bool) -> Observation:
        """Look at the members of some rows, one after another."""
        theta_MP = self._state.population.theta.detach()
        return self._look(torch.cat([theta_MP[each] for each in rows]), histogram)

    def _first(self, theta_MP: Tensor) -> Observation:
        try:
            graph = Graph(lambda: self._look(theta_MP, True), theta_MP.device)
            again = graph.replay()
            if not all(map(equal_bits, graph.first.tensors(), again.tensors())):
                raise RuntimeError("it does not give the same bits")
        except Exception as error:  # whatever torch, or an activation's own code, raises of it
            self._plain = True
            self._say(f"looks:    one kernel at a time, not as one graph: {one_line(error)}")
            return self._look(theta_MP, True)
        self._graph = graph
        return again

    def _look(self, theta_MP: Tensor, histogram: bool) -> Observation:
        population, config, task = self._state.population, self.experiment.config, self.experiment.task
        evaluation = evaluate(population, task, theta_MP)
        if not config.statistics:
            return Observation(evaluation, None)
        probe = Split(task.test.x[: config.probe], task.test.y[: config.probe])

        def loss(z_MBC: Tensor) -> Tensor:
            return task.objective.losses(task.formed(probe.x, z_MBC), probe.y).mean(-1)

        return Observation(evaluation, measure_there(population, probe.x, loss, histogram=histogram, theta_MP=theta_MP))


def observe(state: State, observer: Observer, watched: Sequence[Part], ending: Sequence[Part]) -> None:
    """Look at the watched parts and write down what is seen, each layer's numbers and each member's."""
    config, task = observer.experiment.config, observer.experiment.task
    profiling = bool(ending) or is_profiled(state.step, config.steps)
    complete = len(watched) == len(state.parts)
    observation = observer.all(profiling) if complete else observer.some([part.rows for part in watched], profiling)
    evaluation, layers = observation.evaluation, observation.layers
    sizes = [part.rows.stop - part.rows.start for part in watched]
    there: LayerStatistics | None = None
    stats: LayerStatistics | None = None
    digested: Sequence[Digest | None] = [None] * len(watched)
    if layers is not None:
        there = layers if torch.as_tensor(layers.log10_K).numel() > LARGE else layers.on_host()
        digested = digests(there, sizes, profiled=profiling)
        stats = there.plain().on_host(getattr(torch, np.dtype(watched[0].table.precision).name))
    progress = state.progress
    alive = progress.alive.cpu().numpy()
    last_loss = np.where(alive, progress.last_loss.cpu(), np.nan)  # one that is frozen has no loss any more
    # Where training goes on, step 0 shows how it starts; of a member that no step will change nothing is known.
    untouched = (progress.updates == 0).cpu().numpy() & (state.step > 0)
    untrained = (state.first.exploded > 0) | (config.steps == 0) | untouched
    metric = np.where(np.concatenate([untrained[part.rows] for part in watched]), np.nan, evaluation.metric.cpu())
    judged = {"test/loss": evaluation.loss.cpu().numpy(), "test/metric": metric}
    start = 0
    if complete:
        progress.record_evaluation(state.step, evaluation, task.criterion)
    for part, size, digest in zip(watched, sizes, digested, strict=True):
        tracker, rows, here = part.tracker, part.rows, slice(start, start := start + size)
        assert tracker is not None
        if not complete:
            members(progress, rows).record_evaluation(state.step, members(evaluation, here), task.criterion)
        values = {"train/loss": last_loss[rows]} | {name: value[here] for name, value in judged.items()}
        tracker.by_member(state.step, values)
        tracker.scalars(state.step, {"train/active": float(alive[rows].sum())})
        histogram = None
        if there is not None and digest is not None:
            tracker.statistics(state.step, digest)
            if digest.profile is not None and (part in ending or is_profiled(state.step, config.steps)):
                part.table.profiles[state.step] = digest.profile
                tracker.profiles(state.step, digest.profile)
                histogram = there.histogram_of(here)
                tracker.histograms(state.step, histogram)
        tracker.flush()
        part.table.add(state.step, None if stats is None else stats.members(here), values, histogram)


@torch.no_grad()
def evaluate(population: Population, task: Task, theta_MP: Tensor, split: Split | None = None) -> Evaluation:
    """Judge members on the test split, or another: those of the given rows of theta."""
    x = task.test.x if split is None else split.x
    chunk = max(1, CHUNK // (max(population.sizes) * len(x)))
    parts = [task.evaluate(population(x, rows_MP), split) for rows_MP in theta_MP.split(chunk)]
    return Evaluation(**{name: torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])})
