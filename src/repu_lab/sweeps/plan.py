"""`plan=true`: what a command would run, what it would cost and what theory forecasts. Nothing is run or written.

Without finished runs of its kind every kind of population does a few steps; of the jobs of other commands a few are
tried, in temporary folders.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean

import psutil
import torch

from repu_lab.configs.code import activation_name, with_tailor
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import result_fields
from repu_lab.runs.building import members_that_fit
from repu_lab.runs.words import memory
from repu_lab.sweeps.costs import Cost, cost_of, seconds_by_law, settings_key
from repu_lab.sweeps.group import Group, check_group
from repu_lab.sweeps.job_table import WHOLE, job_state, own_overrides, print_columns
from repu_lab.sweeps.sweep import memory_bound, plan_groups
from repu_lab.sweeps.workers import Slot
from repu_lab.theory.forecast import Forecast

# A job that is likelier than not to lose its signal is doomed; one that is this likely to ends at its first pass.
DOOMED, LOST = 0.5, 0.95
TRIED = 8  # jobs that are no populations

Forecasts = dict[Path, Forecast | None]  # by a job's folder


def print_plan(command: str, jobs: Sequence[Job], slots: Sequence[Slot], max_members: int | None) -> int:
    """Print the jobs with their forecasts, the groups with their memory and seconds, and the sum; return 0.

    ConfigError if a job could not run.
    """
    start_up = time.time() - psutil.Process().create_time()  # importing torch and composing: a run has to, too
    if slots[0].threads is not None:
        torch.set_num_threads(slots[0].threads)
    states = {job.folder: job_state(command, job) for job in jobs}
    left = [job for job in jobs if states[job.folder] not in WHOLE or job.config.rerun]
    groups = [Group(command=command, jobs=(job,)) for job in left]
    if left and jobs[0].sweep is not None:
        groups = plan_groups(command, jobs, left, memory_bound(members_that_fit, left, len(slots), max_members))
    for group in groups:
        check_group(group, lambda share: None)
    expected = _forecasts(command, jobs)
    doomed = {folder for folder, each in expected.items() if each is not None and _lost(each) > DOOMED}
    print(f"{len(jobs)} job{'s' * (len(jobs) != 1)} in {jobs[0].sweep or jobs[0].folder.parent}:")
    rows = [(states[job.folder], _words(expected[job.folder]), "doomed" * (job.folder in doomed)) for job in jobs]
    print_columns(
        [(*row, typed, job.folder.name) for row, typed, job in zip(rows, own_overrides(jobs), jobs, strict=True)]
    )
    print(f"jobs:    {', '.join(f'{count} {state}' for state, count in Counter(states.values()).items())}")
    print(f"doomed:  {len(doomed)} of {len(jobs)}, by theory: their signal more likely explodes or vanishes than not")
    if groups:
        finished = [job for job in jobs if states[job.folder] == "finished"]
        _print_costs(groups, _costs(groups, finished, expected), len(slots), start_up)
    print("plan=true: nothing was run, nothing written; without plan=true the same command runs it")
    return 0


def _forecasts(command: str, jobs: Sequence[Job]) -> Forecasts:
    """Return the forecast of every job, None where theory has none; jobs of the same law share it."""
    known: dict[str, Forecast | None] = {}
    expected: Forecasts = {}
    forecast, prepare = job_command(command).forecast, job_command(command).prepare
    for job in jobs:
        same = settings_key(job.config, "optimizer", "steps")
        if same not in known:
            known[same] = None
            if forecast is not None:
                with suppress(ValueError):  # theory has none; ConfigErrors were found before
                    known[same] = forecast(prepare(job.config, job.folder).parts)
        expected[job.folder] = known[same]
    return expected


def _lost(expected: Forecast) -> float:
    return expected.probabilities["explodes"] + expected.probabilities["vanishes"]


def _words(expected: Forecast | None) -> str:
    if expected is None:
        return "no forecast"
    layers = "" if expected.layer_range is None else ", layer {}-{}".format(*expected.layer_range)
    return f"{expected.fate} ({expected.probability:.2f}){layers}"


def _costs(groups: Sequence[Group], finished: Sequence[Job], expected: Forecasts) -> list[Cost]:
    """Return the cost of every group; populations of one kind share it, and other jobs have the mean of a few."""
    command = groups[0].command
    known, by_kind = seconds_by_law(command, finished), dict[str, Cost]()
    kinds = [_kind(group, expected) for group in groups]
    every = 1 if job_command(command).populations else -(-len(groups) // TRIED)
    for kind, group in list(zip(kinds, groups, strict=True))[::every]:
        if kind not in by_kind:
            by_kind[kind] = cost_of(group, known, lost=_doomed(group, expected, LOST))
    usual = Cost(mean(each.seconds for each in by_kind.values()))
    return [by_kind.get(kind, usual) for kind in kinds]


def _kind(group: Group, expected: Forecasts) -> str:
    """Return what populations of the same cost have in common: all but seeds, distributions and rates."""
    config = group.jobs[0].config
    if not job_command(group.command).populations:
        return json.dumps(result_fields(config))
    shared = settings_key(config, "initialization", "optimizer")
    return json.dumps([len(group.jobs), group.members, _doomed(group, expected, LOST), shared])


def _doomed(group: Group, expected: Forecasts, chance: float) -> bool:
    forecasts = [expected[job.folder] for job in group.jobs]
    return all(each is not None and _lost(each) > chance for each in forecasts)


def _print_costs(groups: Sequence[Group], costs: Sequence[Cost], workers: int, start_up: float) -> None:
    if job_command(groups[0].command).populations:
        priced = zip(groups, costs, strict=True)
        words = Counter(f"{_network(group)}: {memory(cost.memory)}, {cost.seconds:.3g} s" for group, cost in priced)
        for text, count in words.items():
            print(f"group:   {f'{count} x ' * (count > 1)}{text}")
    else:
        seconds = [cost.seconds for cost in costs]
        span = f"{min(seconds):.3g} to {max(seconds):.3g} s each (a few were tried)"
        print(f"one by one: {memory(max(cost.memory for cost in costs))}, {span}")
    loads = [0.0] * workers
    for cost in costs:  # each to the worker that is free first
        loads[loads.index(min(loads))] += cost.seconds
    at_once = f" on {workers} workers" * (workers > 1)
    print(f"time:    about {start_up + max(loads):.3g} s{at_once}, {start_up:.3g} s of it to start")


def _network(group: Group) -> str:
    config, members, jobs = group.jobs[0].config, group.members, len(group.jobs)
    population = f"{members} network{'s' * (members != 1)} of {jobs} job{'s' * (jobs != 1)}"
    name = with_tailor(activation_name(config.activation), config.tailor.name)
    return f"{population}, {name}, depth {config.depth}, width {config.width}"
