"""Training a population: the loop, and what is observed along it."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from repu_lab.configs.config import config_hash, result_fields
from repu_lab.configs.schema import OUTCOMES, TrainConfig
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population
from repu_lab.networks.statistics import LayerStatistics, measure
from repu_lab.runs.building import Experiment
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.forecasting import as_record, theory_profile, title
from repu_lab.runs.outcome import FirstPass, Progress, bad_layer, first_pass, judge
from repu_lab.runs.schedule import is_measured, is_profiled
from repu_lab.tasks import Evaluation, Split, Task
from repu_lab.theory.forecast import Forecast
from repu_lab.tracking.table import StatisticsTable
from repu_lab.tracking.tracker import Tracker, depth_profile

# Whether every network has ended is asked once in so many steps, since on a GPU the question waits for the answer.
END_CHECK = 16
# Bound on the preactivations an evaluation on the test split holds at once (elements).
CHUNK = 16_000_000


@dataclass(kw_only=True)
class State:
    """Everything that changes while a run goes on."""

    step: int  # updates done
    population: Population
    optimizer: Optimizer
    first: FirstPass
    progress: Progress
    table: StatisticsTable
    seconds: float  # spent in the loop, and in observing
    observing: float

    @classmethod
    def start(cls, experiment: Experiment) -> "State":
        """Return the state before the first step: the networks are drawn, and passed once."""
        population = experiment.population()
        first = first_pass(population, experiment.task, experiment.task.batch(0, experiment.config.batch_size))
        progress = Progress.start(population.members, experiment.device)
        progress.alive &= torch.from_numpy(first.exploded == 0).to(experiment.device)
        return cls(
            step=0, population=population, optimizer=experiment.optimizer(population), first=first, progress=progress,
            table=StatisticsTable(experiment.seeds), seconds=0.0, observing=0.0,
        )  # fmt: skip

    def all_ended(self) -> bool:
        """Whether every member's outcome is settled: exploded or vanished on the first pass, or frozen since."""
        settled = torch.from_numpy((self.first.exploded > 0) | (self.first.vanished > 0))
        return bool((settled | ~self.progress.alive.cpu()).all())


def train(experiment: Experiment, folder: RunFolder, expected: Forecast | None = None) -> dict[str, Any]:
    """Train the population and return what result.json holds; statistics, events and weights go to the folder.

    `expected` is drawn beside the measurement where it is given.
    """
    config, task = experiment.config, experiment.task
    state = State.start(experiment)
    population, progress, table = state.population, state.progress, state.table
    with (
        Tracker(folder.path, depth=config.depth, members=config.members) as tracker,
        tqdm(total=config.steps, initial=state.step, unit="step", disable=None, leave=False) as bar,
    ):
        tracker.layout()
        tracker.hparams(flat_parameters(config), ["test/metric", "test/loss", "outcome/trained"])
        start = time.perf_counter() - state.seconds
        for step in range(state.step, config.steps + 1):
            state.step = step
            last = step if step % END_CHECK == 0 and state.all_ended() else config.steps
            if is_measured(step, last):
                before = time.perf_counter()
                observe(experiment, state, tracker, last)
                state.observing += time.perf_counter() - before
                bar.set_postfix_str(f"loss {progress.last_loss.median():.3g}, {int(progress.alive.sum())} alive")
            if step == last:
                break
            batch = task.batch(step, config.batch_size)
            loss_M = train_step(population, state.optimizer, task, batch, progress.alive)
            progress.record_loss(step, loss_M)
            bar.update()
        state.seconds = time.perf_counter() - start

        def diverged_layer(member: int) -> int:
            at = int(progress.updates[member])
            return bad_layer(population, task, task.batch(at, config.batch_size), member)

        evaluation = evaluate(population, task)
        records = judge(progress, state.first, evaluation, task, experiment.seeds, state.step, diverged_layer)
        outcomes = dict(Counter(record["outcome"] for record in records))
        tracker.text("outcome", verdict(expected, records), state.step)
        tracker.scalars(state.step, {f"outcome/{name}": outcomes.get(name, 0) for name in OUTCOMES})
        if config.statistics:
            theory = None if expected is None else theory_profile(experiment, expected, table.profiles[0])
            if theory is not None:
                tracker.theory(theory)
            from repu_lab.figures import signal_propagation  # matplotlib: half a second that no first step waits for

            heading = title(experiment)
            figure = signal_propagation(table.profiles, theory, dtype=config.dtype, heading=heading)
            tracker.figure("figure/depth_profile", figure, state.step)
        tracker.ended(True)
    with folder.writing("statistics.npz") as path:
        table.save(path)
    with folder.writing("weights.pt") as path:
        torch.save({"sizes": population.sizes, "theta": population.theta.detach()}, path)
    return {
        "outcomes": outcomes,
        "verdict": verdict(expected, records),
        "forecast": None if expected is None else as_record(expected),
        "members": records,
        "steps": state.step,
        "seconds": round(state.seconds, 3),
        "steps_per_second": round(state.step / state.seconds, 1),
        "statistics_share": round(state.observing / state.seconds, 4),
        "config_hash": config_hash("train", config),
    }


def train_step(population: Population, optimizer: Optimizer, task: Task, batch: Split, alive_M: Tensor) -> Tensor:
    """Do one step of every member that is alive and return the losses (M,) before it; the others are left alone."""
    loss_M = task.objective.losses(population(batch.x), batch.y).mean(-1)
    (gradient_MP,) = torch.autograd.grad(loss_M.sum(), population.theta)
    alive_M &= loss_M.isfinite()
    optimizer.step(population.theta, gradient_MP, alive_M)
    return loss_M.detach()


def observe(experiment: Experiment, state: State, tracker: Tracker, last: int) -> None:
    """Measure every layer on the probe and every member on the test split, and write both down."""
    task, config, population, progress = experiment.task, experiment.config, state.population, state.progress
    evaluation = evaluate(population, task)
    progress.record_evaluation(state.step, evaluation, task.criterion)
    values = {
        "train/loss": progress.last_loss.cpu().numpy(),
        "test/loss": evaluation.loss.cpu().numpy(),
        "test/metric": evaluation.metric.cpu().numpy(),
    }
    tracker.by_member(state.step, values)
    tracker.scalars(state.step, {"members/active": float(progress.alive.sum())})
    stats: LayerStatistics | None = None
    if config.statistics:
        probe = Split(task.test.x[: config.probe], task.test.y[: config.probe])
        profiled = is_profiled(state.step, last)
        stats = measure(
            population, probe.x, lambda z_MBC: task.objective.losses(z_MBC, probe.y).mean(-1), histogram=profiled
        )
        tracker.statistics(state.step, stats)
        if profiled:
            state.table.profiles[state.step] = depth_profile(stats)
            tracker.profiles(state.step, stats)
            tracker.histograms(state.step, stats)
    state.table.add(state.step, stats, values)


@torch.no_grad()
def evaluate(population: Population, task: Task) -> Evaluation:
    """Judge every member on the test split."""
    chunk = max(1, CHUNK // (max(population.sizes) * len(task.test)))
    parts = [task.evaluate(population(task.test.x, theta_MP)) for theta_MP in population.theta.detach().split(chunk)]
    return Evaluation(
        loss=torch.cat([part.loss for part in parts]),
        metric=torch.cat([part.metric for part in parts]),
        advantage=torch.cat([part.advantage for part in parts]),
    )


def summary(records: list[dict[str, Any]]) -> str:
    """Return one line that says what became of the members: `exploded at layer 9 (31 of 32), 10 (1 of 32)`."""
    parts = []
    of = f" of {len(records)}" if len(records) > 1 else ""
    for outcome, count in Counter(record["outcome"] for record in records).most_common():
        these = [record for record in records if record["outcome"] == outcome]
        layers = Counter(record["layer"] for record in these if record["layer"] is not None)
        metrics = [record["metric"] for record in these if record["metric"] is not None]
        part = outcome
        if layers:
            part += ", " + WHERE[outcome] + " at layer "
            part += ", ".join(f"{layer} ({n}{of})" if of else f"{layer}" for layer, n in sorted(layers.items()))
        elif of:
            part += f" ({count}{of})"
        if metrics and outcome in ("trained", "learning", "stalled"):
            part += f", {these[0]['metric_name']} {np.median(metrics):.3f}"
        parts.append(part)
    return "; ".join(parts)


def verdict(expected: Forecast | None, records: list[dict[str, Any]]) -> str:
    """Return what theory forecast and what happened, side by side."""
    forecast = "none: the activation has no averages" if expected is None else expected.summary()
    return f"forecast: {forecast} | measured: {summary(records)}"


WHERE = {
    "exploded": "first non-finite preactivation",
    "vanished": "signal or gradient lost",
    "diverged": "first non-finite value",
}


def flat_parameters(config: TrainConfig) -> dict[str, Any]:
    """Return the config as one level of dotted keys, for the HParams table."""
    flat: dict[str, Any] = {}
    for key, value in result_fields(config).items():
        if isinstance(value, dict):
            flat |= {key if name == "name" else f"{key}.{name}": v for name, v in value.items() if name != "_target_"}
        else:
            flat[key] = value
    return flat
