"""A sweep: its jobs grouped, run by worker processes, and one table at the end.

Typed again, a sweep runs what is missing, failed or interrupted: a group that was cut off is restored as it was, since
other groups would change the last bits; jobs that were left over are grouped anew.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tqdm import tqdm

from repu_lab.configs.composition import Job
from repu_lab.configs.config import config_hash
from repu_lab.configs.mistakes import printable
from repu_lab.runs.commands import RESULTS, meets, prepare
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.group import PLACE, Group, make_group, make_groups
from repu_lab.runs.interruption import Interrupted, Request, deferred
from repu_lab.runs.workers import Event, Pool, Slot

FAILED, NOT_MET = 1, 3
# So many jobs that fail alike before any other has ended stop a sweep: all the others would too.
ALIKE = 3
WAIT_SECONDS = 0.2


def run_sweep(command: str, jobs: Sequence[Job], slots: Sequence[Slot], max_members: int | None = None) -> int:
    """Run what is not finished of a sweep's jobs and print the table of all; return the exit code.

    0, 1 if a job failed, 3 if one is not as `require` asks. ConfigError, before anything is written, if a job cannot
    run or another process sweeps here; Interrupted, after every worker has saved its state, if a signal asks.
    """
    sweep = jobs[0].sweep
    assert sweep is not None
    todo = [job for job in jobs if job.config.rerun or stored_result(command, job) is None]
    groups = plan(command, jobs, todo, max_members)
    for group in groups:
        _check(group)
    if groups:
        place = RunFolder(sweep / PLACE)
        place.path.mkdir(parents=True, exist_ok=True)
        with place.lock(), deferred() as asked, Pool(slots[: len(groups)], place.path) as pool:
            stopped = _Driver(command, pool, len(todo)).drive(groups, asked)
        if asked.number is not None:
            print(f"interrupted; the same command goes on with what is left in {sweep}")
            raise Interrupted(asked.number)
        if stopped:
            print(stopped, file=sys.stderr)
    return print_table(command, jobs)


def stored_result(command: str, job: Job) -> dict[str, Any] | None:
    """Return what a finished job left; ConfigError if its folder holds another run."""
    return RunFolder(job.folder).finished(command, job.config, RESULTS[command])


def plan(command: str, jobs: Sequence[Job], todo: Sequence[Job], max_members: int | None) -> list[Group]:
    """Return the groups to run: those that were cut off as they were, jobs with a checkpoint of their own, the rest."""
    sweep = jobs[0].sweep
    assert sweep is not None
    known = {config_hash(command, job.config): job for job in jobs}
    left = {config_hash(command, job.config): job for job in todo}
    groups: list[Group] = []
    for file in sorted((sweep / PLACE).glob("*/group.json")):
        hashes = (RunFolder(file.parent).read_json(file.name) or {}).get("jobs", [])
        resumable = all(name in known for name in hashes) and any(file.parent.glob("checkpoints/*.ckpt"))
        if resumable and any(name in left for name in hashes):
            groups.append(make_group(command, [known[name] for name in hashes], sweep))
            left = {name: job for name, job in left.items() if name not in hashes}
    alone = {name: job for name, job in left.items() if any(job.folder.glob("checkpoints/*.ckpt"))}
    groups += [make_group(command, [job], sweep) for job in alone.values()]
    rest = [job for name, job in left.items() if name not in alone]
    return groups + make_groups(command, rest, sweep, max_members)


class _Driver:
    """Follows the groups of a sweep: retries, counts, shows how far they are."""

    def __init__(self, command: str, pool: Pool, jobs: int):
        self.command, self.pool, self.jobs = command, pool, jobs
        self.share: dict[Group, float] = {}  # done of the groups that run
        self.ended = 0
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str | None] = []  # of the jobs in the order in which they ended

    def drive(self, groups: Sequence[Group], asked: Request) -> str | None:
        """Run the groups to their end; return why the sweep was stopped, if it was."""
        for group in groups:
            self.pool.submit(group)
        stopped = None
        with tqdm(total=self.jobs, unit="job", disable=None, leave=False) as bar:
            while self.pool.busy:
                for event in self.pool.events(WAIT_SECONDS):
                    self._take(event)
                bar.n = round(self.ended + sum(len(group.jobs) * share for group, share in self.share.items()), 1)
                bar.set_postfix_str(", ".join(f"{name} {count}" for name, count in self.outcomes.items()))
                stopped = stopped or self._reason_to_stop(groups[0].jobs[0].config)
                if stopped or asked.number is not None:
                    self.pool.interrupt()
        return stopped

    def _take(self, event: Event) -> None:
        if event.kind == "progress":
            self.share[event.group] = event.share
            return
        self.share.pop(event.group, None)
        if event.kind == "interrupted":
            return
        if event.kind != "done" and event.group.place is not None:
            # One job may have brought down the others: each again, in a process of its own.
            shutil.rmtree(event.group.place, ignore_errors=True)
            for job in event.group.jobs:
                self.pool.submit(Group(command=self.command, jobs=(job,)), alone=True)
            return
        if event.group.place is not None:
            shutil.rmtree(event.group.place, ignore_errors=True)  # every job has its result
        for job in event.group.jobs:
            folder = RunFolder(job.folder)
            if event.kind == "died":
                folder.died(event.message)
            self.ended += 1
            self.errors.append(error_of(folder) if event.kind == "done" else event.message.splitlines()[0])
            result = folder.read_json(RESULTS[self.command]) or {}
            self.outcomes.update(result.get("outcomes", {}) if self.errors[-1] is None else {"failed": 1})

    def _reason_to_stop(self, config: Any) -> str | None:
        failed = [error for error in self.errors if error is not None]
        if failed and config.on_failure == "stop":
            return f"stopped, since a job failed (on_failure=stop): {printable(failed[0])}"
        first = self.errors[:ALIKE]
        if len(first) == ALIKE and first[0] is not None and len(set(first)) == 1:
            return f"stopped, since the first {ALIKE} jobs failed alike: {printable(first[0])}"
        return None


def error_of(folder: RunFolder) -> str | None:
    """Return the error of a job that failed, in one line, None if it finished."""
    if (folder.manifest() or {}).get("status") == "finished":
        return None
    try:
        lines = (folder.path / "traceback.txt").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "ended without a result"


def print_table(command: str, jobs: Sequence[Job]) -> int:
    """Print one line a job: what became of its members, what sets it apart, where it lies; return the exit code."""
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    rows, counts, code = [], Counter[str](), 0
    for job in jobs:
        folder = RunFolder(job.folder)
        manifest, result = folder.manifest() or {}, folder.read_json(RESULTS[command])
        own = " ".join(override for override in job.overrides if override not in shared)
        if manifest.get("status") != "finished" or result is None:
            status = "damaged" if manifest.get("status") == "finished" else manifest.get("status", "not started")
            became, numbers = [status], ("", "")
            code = FAILED
        else:
            became, numbers = _became(result)
            if command == "train" and not meets(job.config, result):
                code = code or NOT_MET
        counts.update(became if len(became) == 1 else ["mixed"])
        rows.append((", ".join(became), *numbers, own, job.folder.name))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    print(f"{len(jobs)} job{'s' * (len(jobs) != 1)} in {jobs[0].sweep}:")
    for *cells, name in rows:
        print("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)) + f"  {name}")
    print("total: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    return code


def _became(result: Mapping[str, Any]) -> tuple[list[str], tuple[str, str]]:
    """Return the outcomes, and the median metric and the seconds in words."""
    outcomes = result.get("outcomes")
    if not isinstance(outcomes, dict):
        return ["done"], ("", "")
    several = sum(outcomes.values()) > 1
    metric = median_metric(result)
    seconds = f"{result['seconds']:.1f} s" if "seconds" in result else ""
    return [f"{outcome} {count}" if several else outcome for outcome, count in outcomes.items()], (
        "" if metric is None else f"{result['members'][0]['metric_name']} {metric:.3f}",
        seconds,
    )


def median_metric(result: Mapping[str, Any]) -> float | None:
    """Return the median of the members' metric, None where there is none."""
    metrics = [member["metric"] for member in result.get("members", []) if member.get("metric") is not None]
    return median(metrics) if metrics else None


def _check(group: Group) -> None:
    """Raise ConfigError if a job of the group cannot run."""
    if group.place is None:
        (job,) = group.jobs
        prepare(group.command, job.config, job.folder)
    else:
        from repu_lab.runs.building import build_group

        build_group([job.config for job in group.jobs])
