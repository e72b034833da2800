"""Training a population: the loop, and what is observed along it."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from repu_lab.configs.code import activation_name, described
from repu_lab.configs.config import config_hash, result_fields
from repu_lab.configs.schema import OUTCOMES, TrainConfig
from repu_lab.networks.quantiles import median
from repu_lab.runs.checkpoint import Checkpoints, Damaged, Saved, dump
from repu_lab.runs.forecasting import as_record, theory_profile, verdict
from repu_lab.runs.interruption import Interrupted, deferred
from repu_lab.runs.memory import keys_named
from repu_lab.runs.observation import Observer, evaluate, observe
from repu_lab.runs.outcome import DIVERGED, bad_layer, judge
from repu_lab.runs.pictures import draw_solution
from repu_lab.runs.refining import PART, add_measured, refine
from repu_lab.runs.schedule import is_measured
from repu_lab.runs.state import Part, State, TrainingRun, members
from repu_lab.runs.stepping import stepper
from repu_lab.runs.words import tailor_record
from repu_lab.runs.writer import synced_together
from repu_lab.tasks import Evaluation, Task
from repu_lab.tracking import summaries
from repu_lab.tracking.events import EVENTS_NAME
from repu_lab.tracking.tracker import Tracker

# Whether every network of a run has ended is asked once in so many steps, since on a GPU the question waits for the
# answer.
END_CHECK = 16


class Bar(Protocol):
    """What shows how far the steps have come, as tqdm does."""

    def update(self, n: float | None = 1) -> Any:
        """Add steps."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Show a few words."""


def train(runs: Sequence[TrainingRun], checkpoints: Checkpoints, bar: Bar) -> list[dict[str, Any]]:
    """Train the runs as one population, from the newest checkpoint if there is one, and return what each result holds.

    The runs differ in what a member may have of its own (seed, initialization, rate, weight decay) and agree in the
    rest. Statistics, events and weights go to each run's folder, of runs whose result is not stored already.
    Interrupted, after a checkpoint, if a signal asks; MemoryError names the keys to lower.
    """
    experiments = [run.experiment for run in runs]
    task, config = experiments[0].task, experiments[0].config
    with keys_named(config, experiments[0].device), ExitStack() as stack:
        state = checkpoints.newest(experiments[0].device, lambda saved: _restore(saved, runs))
        if state is None:
            state = State.start(experiments)
        else:
            checkpoints.say(f"resumed:  from the checkpoint at step {state.step}")
        progress = state.progress
        advance, line = stepper(state, task, config.batch_size, config.steps - state.step)
        for run in runs:
            run.folder.notes |= {"steps": state.stepping, "chunk": state.chunk}
        if line:
            checkpoints.say(line)
        observer = Observer(experiments[0], state, checkpoints.say)
        if state.chunk is not None:
            checkpoints.say(f"memory:   holds the preactivations of {state.chunk} members at once, which pass in turn")
        written = [(run, part) for run, part in zip(runs, state.parts, strict=True) if not run.stored]
        for run, part in written:
            part.tracker = stack.enter_context(_tracker(run, part.events))
        bar.update(state.step)
        start = time.perf_counter() - state.seconds
        with deferred() as request:
            for step in range(state.step, config.steps + 1):
                state.step = step
                going = [part for _, part in written if part.ended is None]
                # All at the last step, else those whose members are settled, which is asked seldom.
                asks = step % END_CHECK == 0
                ending = [p for p in going if step == config.steps or (asks and state.settled(p.rows))]
                last = len(ending) == len(going)
                # At its end a run can be extended from what it saves; of a group nothing is left but the results.
                keeps = last and len(runs) == 1
                if keeps or request.number is not None or checkpoints.due(state.nbytes):
                    for part in state.parts:
                        part.events = part.events if part.tracker is None else part.tracker.length()
                    state.seconds = time.perf_counter() - start
                    checkpoints.save(step, state.saved() | {"identity": identity(runs)})
                if request.number is not None:
                    raise Interrupted(request.number)
                measured = is_measured(step, config.steps, config.looks)
                if measured or ending:
                    before = time.perf_counter()
                    observe(state, observer, going if measured else ending, ending)
                    state.observing += time.perf_counter() - before
                    loss, alive = float(progress.last_loss.median()), int(progress.alive.sum())
                    bar.set_postfix_str((f"loss {loss:.3g}, " if loss == loss else "") + f"{alive} alive")
                for part in ending:
                    part.ended = step
                if last:
                    break
                for part in ending:
                    progress.alive[part.rows] = False  # the others train on without them
                advance(step)
                bar.update()
        if request.number is not None:  # while the last step was observed; from here on a signal ends at once
            raise Interrupted(request.number)
        state.seconds = time.perf_counter() - start
        refinable_M = progress.alive.clone()
        for run, part in zip(runs, state.parts, strict=True):
            refinable_M[part.rows] &= not run.stored
        judged, theta_MP = refine(experiments[0], state.population, refinable_M, checkpoints)
        # All runs at once: .5 ms for a network of 10 x 32 in place of 1.2, with the same bits.
        looks = [evaluate(state.population, judged, theta_MP, split) for split in (judged.test, judged.validation)]
        with synced_together([run.folder for run, _ in written]):
            results = [finish(run, state, part, judged, theta_MP[part.rows], looks) for run, part in written]
        checkpoints.drop_part(PART)
        return results


def finish(
    run: TrainingRun, state: State, part: Part, judged: Task, theta_MP: Tensor, looks: Sequence[Evaluation]
) -> dict[str, Any]:
    """Judge the members of a run that has ended, write its statistics and weights and return what its result holds.

    theta_MP: their weights; `looks`: all members on the test and the validation split of the task that judges.
    """
    experiment, expected, config = run.experiment, run.expected, run.experiment.config
    task, population, rows, table = experiment.task, state.population, part.rows, part.table
    progress, first = members(state.progress, rows), members(state.first, rows)
    step, tracker = part.ended, part.tracker
    assert step is not None and tracker is not None

    def diverged_layer(member: int) -> int:
        at = int(progress.updates[member])
        return bad_layer(population, task, task.batch(at, config.batch_size), rows.start + member)

    evaluation, validation = (members(look, rows) for look in looks)
    progress.record_evaluation(step, evaluation, task.criterion)
    refined = bool(config.task.newton_steps) and bool(progress.alive.any())
    if refined:  # what TensorBoard's table shows is what the result says
        judged_at = step + config.task.newton_steps
        tracker.by_member(judged_at, {"test/loss": evaluation.loss.cpu(), "test/metric": evaluation.metric.cpu()})
    records = judge(progress, first, evaluation, judged, experiment.seeds, step, diverged_layer, refined=refined)
    add_measured(records, validation, task.measures(population, theta_MP))
    outcomes = dict(Counter(record["outcome"] for record in records))
    line = verdict(expected, summary(records))
    tracker.write(step, summaries.text("outcome", line))
    tracker.scalars(step, {f"train_outcome/{name}": outcomes.get(name, 0) for name in OUTCOMES} | {"train/steps": step})
    if config.statistics:
        tracker.profiles(None, table.profiles[max(table.profiles)])
    if config.statistics and expected is not None:
        tracker.theory(theory_profile(experiment, expected, table.profiles[0]))
    if task.name == "burgers":
        draw_solution(run.folder, task, population, theta_MP, records)
    tracker.write(0, summaries.hparams_end())
    with run.folder.writing("statistics.npz") as path:
        table.save(path)
    with run.folder.writing("weights.pt") as path, open(path, "wb") as file:
        dump({"sizes": population.sizes, "theta": theta_MP.clone()}, file)  # a view would save the whole
    seconds = state.seconds * len(records) / population.members
    return {
        "outcomes": outcomes,
        "verdict": line,
        "forecast": None if expected is None else as_record(expected),
        **tailor_record(experiment.activation),
        "members": records,
        "steps": step,
        "seconds": round(seconds, 3),
        "steps_per_second": round(step / seconds, 1),
        "statistics_share": round(state.observing / state.seconds, 4),
        "config_hash": config_hash("train", config),
    }


def summary(records: list[dict[str, Any]]) -> str:
    """Return one line that says what became of the members: `exploded at layer 9 (31 of 32), 10 (1 of 32)`."""
    parts = []
    of = f" of {len(records)}" if len(records) > 1 else ""
    for outcome, count in Counter(record["outcome"] for record in records).most_common():
        these = [record for record in records if record["outcome"] == outcome]
        layers = Counter(record["layer"] for record in these if record["layer"] is not None)
        part, elsewhere = outcome, count - layers.total()
        if layers:
            part += ", " + WHERE[outcome] + " at layer "
            part += ", ".join(f"{layer} ({n}{of})" if of else f"{layer}" for layer, n in sorted(layers.items()))
        if elsewhere:
            part += f", {FINITE[outcome]}" if outcome in FINITE else ""
            part += f" ({elsewhere}{of})" if of else ""
        metric = median([record["metric"] for record in these], -math.inf)
        if all(record["metric"] is None for record in these) and outcome == "stalled":
            part += ", as no step has changed it"
        elif outcome not in ("exploded", "diverged"):
            part += f", {these[0]['metric_name']} " + ("-" if metric is None else f"{metric:.3f}")
        parts.append(part)
    if all(record["outcome"] == "exploded" for record in records):
        parts.append("not trained, since no network is finite")
    return "; ".join(parts)


WHERE = {
    "exploded": "first non-finite preactivation",
    "vanished": "signal or gradient lost",
    "diverged": "first non-finite value",
}
# What became of those that have no such layer.
FINITE = {"diverged": f"loss more than {DIVERGED:g} times that of the constant predictor"}


def flat_parameters(config: TrainConfig) -> dict[str, Any]:
    """Return the config as one level of dotted keys, for the HParams table.

    The activation is named with its parameters, `repu(p=2)`: TensorBoard shows the columns of any one run of a sweep,
    which may not have the keys of another activation.
    """
    flat: dict[str, Any] = dict.fromkeys(("activation", "depth", "width", "initialization", "optimizer.lr"))  # first
    for key, value in result_fields(config).items():
        if not isinstance(value, dict):
            flat[key] = value
            continue
        named = {**value, "name": activation_name(value)} if key == "activation" else value
        flat |= {key if name == "name" else f"{key}.{name}": v for name, v in named.items() if name != "_target_"}
    return flat | {"activation": described(config)}


def identity(runs: Sequence[TrainingRun]) -> list[str]:
    """Return what a checkpoint belongs to: the runs' configs but for `steps`, which may be raised later."""
    return [config_hash("train", replace(run.experiment.config, steps=0)) for run in runs]


def _restore(saved: Saved, runs: Sequence[TrainingRun]) -> State:
    """Return the state of a checkpoint; Damaged if these runs cannot go on from it."""
    if saved["identity"] != identity(runs):
        raise Damaged("it belongs to another run")
    for run, length in zip(runs, saved["events"], strict=True):
        file = run.folder.path / EVENTS_NAME
        if length is not None and not run.stored and (not file.exists() or file.stat().st_size < length):
            raise Damaged(f"{file} has lost what was written before it")
    return State.restore([run.experiment for run in runs], saved)


def _tracker(run: TrainingRun, append_at: int | None) -> Tracker:
    config = run.experiment.config
    tracker = Tracker(run.folder.path, depth=config.depth, members=config.members, append_at=append_at)
    if append_at is None:
        tracker.layout()
        parameters = flat_parameters(config)
        # A column of results instead: a run that is extended keeps the row it has.
        del parameters["steps"]
        results = ["test/metric", "test/loss", "train_outcome/trained", "train/steps"]
        tracker.write(0, summaries.hparams_start(parameters, results))
    return tracker
