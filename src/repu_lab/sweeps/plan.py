"""`plan=true`: what a command would run, what it would cost and what theory forecasts. Nothing is run or written.

Every kind of population is probed for a second or two; of the jobs of `propagate` and `theory`, a few.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from repu_lab.configs.code import activation_name
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import result_fields
from repu_lab.runs.building import members_that_fit
from repu_lab.sweeps.group import Group, check_group
from repu_lab.sweeps.job_table import WHOLE, job_state, own_overrides, print_columns
from repu_lab.sweeps.probing import Cost, probe_job, probe_training
from repu_lab.sweeps.sweep import memory_bound, plan_groups
from repu_lab.sweeps.workers import Slot
from repu_lab.theory.forecast import Forecast

# A job that is likelier than not to lose its signal is doomed; one that is this likely to ends at its first pass.
DOOMED, LOST = 0.5, 0.95
PROBED = 8  # jobs of propagate or theory

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
    doomed = {folder for folder, found in expected.items() if found is not None and _lost(found) > DOOMED}
    print(f"{len(jobs)} job{'s' * (len(jobs) != 1)} in {jobs[0].sweep or jobs[0].folder.parent}:")
    rows = [(states[job.folder], _words(expected[job.folder]), "doomed" * (job.folder in doomed)) for job in jobs]
    print_columns(
        [(*row, typed, job.folder.name) for row, typed, job in zip(rows, own_overrides(jobs), jobs, strict=True)]
    )
    print(f"jobs:    {', '.join(f'{count} {state}' for state, count in Counter(states.values()).items())}")
    print(f"doomed:  {len(doomed)} of {len(jobs)}, by theory: their signal more likely explodes or vanishes than not")
    if groups:
        _print_costs(groups, _costs(groups, expected), len(slots), start_up)
    print("plan=true: nothing was run, nothing written")
    return 0


def _forecasts(command: str, jobs: Sequence[Job]) -> Forecasts:
    """Return the forecast of every job, None where theory has none; jobs of the same law share it."""
    known: dict[str, Forecast | None] = {}
    found: Forecasts = {}
    for job in jobs:
        fields = result_fields(job.config)
        law = json.dumps({key: fields[key] for key in fields if key not in ("seed", "members", "optimizer", "steps")})
        if law not in known:
            known[law] = _forecast(command, job)
        found[job.folder] = known[law]
    return found


def _forecast(command: str, job: Job) -> Forecast | None:
    try:
        forecast, prepare = job_command(command).forecast, job_command(command).prepare
        return None if forecast is None else forecast(prepare(job.config, job.folder).parts)
    except ValueError:  # ConfigErrors were found before
        return None


def _lost(found: Forecast) -> float:
    return found.probabilities["explodes"] + found.probabilities["vanishes"]


def _words(found: Forecast | None) -> str:
    if found is None:
        return "no forecast"
    layers = "" if found.layer_range is None else ", layer {}-{}".format(*found.layer_range)
    return f"{found.fate} ({found.probability:.2f}){layers}"


def _costs(groups: Sequence[Group], expected: Forecasts) -> list[Cost]:
    """Return the cost of every group; groups of one kind, and jobs that are no populations beyond a few, share it."""
    command = groups[0].command
    probed = {} if command == "train" else set(groups[:: -(-len(groups) // PROBED)])
    known: dict[str, Cost] = {}
    costs: list[Cost | None] = []
    for group in groups:
        forecasts = [expected[job.folder] for job in group.jobs]
        if command == "train":
            lost = all(found is not None and _lost(found) > LOST for found in forecasts)
            kind = f"{_kind(group)} {lost}"
            if kind not in known:
                known[kind] = probe_training(group, forecasts[0], lost=lost)
            costs.append(known[kind])
        else:
            costs.append(probe_job(group) if group in probed else None)
    measured = [cost for cost in costs if cost is not None]
    mean = Cost(work=sum(cost.seconds for cost in measured) / len(measured))
    return [mean if cost is None else cost for cost in costs]


def _kind(group: Group) -> str:
    """Return what populations of the same cost have in common: all but seeds, distributions and rates."""
    fields = result_fields(group.jobs[0].config)
    return f"{len(group.jobs)} {group.members} " + json.dumps(
        {key: fields[key] for key in fields if key not in ("seed", "members", "initialization", "optimizer")}
    )


def _print_costs(groups: Sequence[Group], costs: Sequence[Cost], workers: int, start_up: float) -> None:
    if groups[0].command == "train":
        priced = zip(groups, costs, strict=True)
        alike = Counter(f"{_network(group)}: {_bytes(cost.memory)}, {cost.seconds:.3g} s" for group, cost in priced)
        for words, count in alike.items():
            print(f"group:   {f'{count} x ' * (count > 1)}{words}")
    else:
        seconds = [cost.seconds for cost in costs]
        told = f"{min(seconds):.3g} to {max(seconds):.3g} s each (a few were tried)"
        print(f"one by one: {_bytes(max(cost.memory for cost in costs))}, {told}")
    loads = [0.0] * workers
    for cost in costs:  # each to the worker that is free first
        loads[loads.index(min(loads))] += cost.seconds
    parts = {
        "start": start_up + sum(cost.start for cost in costs),
        "work": sum(cost.work for cost in costs),
        "statistics": sum(cost.statistics for cost in costs),
        "folders and pictures": sum(cost.writing for cost in costs),
    }
    spent = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in parts.items() if seconds)
    at_once = f" on {workers} workers" * (workers > 1)
    print(f"time:    about {start_up + max(loads):.3g} s{at_once} by a probe on this machine: {spent}")


def _network(group: Group) -> str:
    config, members, jobs = group.jobs[0].config, group.members, len(group.jobs)
    population = f"{members} network{'s' * (members != 1)} of {jobs} job{'s' * (jobs != 1)}"
    return f"{population}, {activation_name(config.activation)}, depth {config.depth}, width {config.width}"


def _bytes(count: int) -> str:
    return f"{count / 2**30:.2g} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
