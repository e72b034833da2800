"""A sweep: its jobs grouped, run by worker processes, and one table at the end.

Typed again, a sweep runs what is missing, failed or interrupted: a group that was cut off is restored as it was, since
other groups would change the last bits; jobs that were left over are grouped anew.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import config_hash
from repu_lab.configs.text import escaped, printable
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.interruption import Interrupted, Request, deferred
from repu_lab.runs.paths import EVENTS, GROUPS, check_inside, remove_group, where_to_look
from repu_lab.sweeps.group import (
    Bound,
    Group,
    check_group,
    make_group,
    make_groups,
    members_that_fit,
    next_of_sweep,
    run_group,
    shape,
)
from repu_lab.sweeps.job_table import WHOLE, error_of, finished_result, held, job_state, print_table
from repu_lab.sweeps.workers import Event, Pool, Slot

if TYPE_CHECKING:
    from repu_lab.sweeps.slurm import SlurmPool

# So many jobs that fail alike before any other has ended stop a sweep: all the others would too.
ALIKE = 3
NAME = re.compile(r"[0-9a-f]{16}")  # of a group's folder
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Place:
    """Where groups run, on slots or on what `cluster` makes of the sweep's folder of them; most members of one."""

    slots: Sequence[Slot]
    max_members: int | None = None
    cluster: "Callable[[Path], SlurmPool] | None" = None


def run_sweep(command: str, jobs: Sequence[Job], place: Place) -> int:
    """Run what is not finished of a sweep's jobs, print the table of all and what to type next; return the exit code.

    0, 1 if a job failed, 3 if one is not as `require` asks. Errors: see `run_unfinished`.
    """
    try:
        stopped = run_unfinished(command, jobs, place)
    except Interrupted:
        if (sweep := sweep_of(jobs)).exists():  # else nothing had begun
            again = "the same command without rerun=true" if jobs[0].config.rerun else "the same command"
            print(f"interrupted; {again} goes on with what is left in {sweep}")
        raise
    advice = None if stopped else _advice(command, jobs, place.slots[:1])
    code = print_table(command, jobs)
    if advice:
        print(escaped(f"next:     {advice}"))
    if (picture := job_command(command).picture(jobs)) is not None:
        print(escaped(f"picture:  {picture}"))
    if any(jobs[0].folder.glob(EVENTS)):
        print(where_to_look(sweep_of(jobs)))
    return code


def run_unfinished(command: str, jobs: Sequence[Job], place: Place) -> str | None:
    """Run what is not finished of a sweep's jobs; return why that was stopped, None if it was not.

    ConfigError, before anything is written, if a job cannot run or another process sweeps here; Interrupted, after
    every worker has saved its state, if a signal asks.
    """
    left = unfinished(command, jobs)
    if not left:
        return None
    sweep = sweep_of(jobs)
    for folder in (sweep / GROUPS, *(job.folder for job in left)):
        check_inside(folder, sweep)
    with Pool(place.slots) as pool:

        def fits(config: Any) -> int:
            return pool.ask(members_that_fit, config) or 1

        groups = plan_groups(command, jobs, left, memory_bound(fits, left, len(place.slots), place.max_members))
        for group in groups:
            pool.ask(check_group, group)
        shared = RunFolder(sweep / GROUPS)
        shared.path.mkdir(parents=True, exist_ok=True)
        with shared.lock(), deferred() as request:
            if left[0].config.rerun:
                for stale in group_places(sweep):
                    remove_group(stale, sweep)
            runner = pool if place.cluster is None else place.cluster(shared.path)
            stopped = _Driver(command, runner, len(left)).drive(groups, request)
    if request.number is not None:
        raise Interrupted(request.number)
    if stopped:
        print(stopped, file=sys.stderr)
    return stopped


def _advice(command: str, jobs: Sequence[Job], slots: Sequence[Slot]) -> str | None:
    """Return what to type next after a sweep in which networks failed, see advice.next_of_jobs; else None."""
    results = (held(command, job.folder)[1] or {} for job in jobs)
    ended = {name for result in results for name in result.get("outcomes", (result.get("fate"),))}
    if ended - {None} <= {*job_command(command).good}:
        return None
    with Pool(slots) as pool:
        return pool.ask(next_of_sweep, tuple(jobs))


def sweep_of(jobs: Sequence[Job]) -> Path:
    """Return the folder of a sweep."""
    assert jobs[0].sweep is not None
    return jobs[0].sweep


def unfinished(command: str, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that have to run, without those that were extended; ConfigError if a folder holds another run."""
    states = [job_state(command, job) for job in jobs]
    return [job for job, state in zip(jobs, states, strict=True) if job.config.rerun or state not in WHOLE]


def memory_bound(fits: Bound, jobs: Sequence[Job], workers: int, max_members: int | None) -> Bound:
    """Return how many members a population may have: they fit a worker's part of the memory, every worker gets some."""
    share = -(-sum(getattr(job.config, "members", 1) for job in jobs) // workers)

    def bound(config: Any) -> int:
        most = fits(config) // workers
        return max(1, min(most, max_members or most, share))

    return bound


def plan_groups(command: str, jobs: Sequence[Job], left: Sequence[Job], bound: Bound) -> list[Group]:
    """Return the groups to run: those that were cut off as they were, jobs with a checkpoint of their own, the rest."""
    sweep = sweep_of(jobs)
    known = {config_hash(command, job.config): job for job in jobs}
    rest = {config_hash(command, job.config): job for job in left}
    groups: list[Group] = []
    if not left[0].config.rerun:
        taken = set[str]()
        for place in group_places(sweep):
            group = _stored_group(command, place, known)
            hashes = [] if group is None else [config_hash(command, job.config) for job in group.jobs]
            begun = any(place.glob("checkpoints/*.ckpt")) or any(name not in rest for name in hashes)
            if group is not None and begun and any(name in rest for name in hashes) and taken.isdisjoint(hashes):
                groups.append(group)
                taken.update(hashes)
                rest = {name: job for name, job in rest.items() if name not in taken}
        alone = {name: job for name, job in rest.items() if any(job.folder.glob("checkpoints/*.ckpt"))}
        groups += [make_group(command, [job], sweep) for job in alone.values()]
        rest = {name: job for name, job in rest.items() if name not in alone}
    return groups + make_groups(command, rest.values(), sweep, bound)


def group_places(sweep: Path) -> list[Path]:
    """Return the folders of groups that were cut off, in a fixed order; links and what is called otherwise are none."""
    if (sweep / GROUPS).is_symlink():
        return []
    places = (file.parent for file in (sweep / GROUPS).glob("*/group.json"))
    return sorted(place for place in places if NAME.fullmatch(place.name) and not place.is_symlink())


def _stored_group(command: str, place: Path, known: Mapping[str, Job]) -> Group | None:
    """Return the group that a folder says it is of, None if that cannot be: its name is a hash of its jobs."""
    hashes = (RunFolder(place).read_json("group.json") or {}).get("jobs")
    if not isinstance(hashes, list) or not all(isinstance(name, str) and name in known for name in hashes):
        return None
    jobs = [known[name] for name in hashes]
    if (
        not job_command(command).populations
        or len(set(hashes)) < max(2, len(hashes))
        or len({shape(job.config) for job in jobs}) > 1
    ):
        return None
    group = make_group(command, jobs, place.parent.parent)
    return group if group.place == place else None


class _Driver:
    """Follows the groups of a sweep: retries, counts, shows how far they are."""

    def __init__(self, command: str, pool: "Pool | SlurmPool", jobs: int):
        self.command, self.pool, self.jobs = command, pool, jobs
        self.share: dict[Group, float] = {}  # done of the groups that run
        self.ended = 0
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str | None] = []  # of the jobs in the order in which they ended

    def drive(self, groups: Sequence[Group], request: Request) -> str | None:
        """Run the groups to their end; return why the sweep was stopped, if it was."""
        for group in groups:
            self.pool.submit(run_group, group)
        stopped = None
        with tqdm(total=self.jobs, unit="job", disable=None, leave=False) as bar:
            while self.pool.busy:
                for event in self.pool.events(WAIT_SECONDS):
                    self._take(event)
                bar.n = round(self.ended + sum(len(group.jobs) * share for group, share in self.share.items()), 1)
                bar.set_postfix_str(", ".join(f"{name} {count}" for name, count in self.outcomes.items()))
                stopped = stopped or self._reason_to_stop(groups[0].jobs[0].config)
                if stopped:
                    self.pool.interrupt()
                elif request.number is not None:
                    self.pool.leave()
        return stopped

    def _take(self, event: Event) -> None:
        group: Group = event.argument
        if event.kind == "progress":
            self.share[group] = event.value
            return
        self.share.pop(group, None)
        if event.kind == "interrupted":
            return
        if group.place is not None:
            with suppress(OSError):  # every job has its result, or is run again: what is left here serves nobody
                remove_group(group.place, group.place.parent.parent)
            if event.kind != "done":  # one job may have brought down the others: each again, in a process of its own
                for job in group.jobs:
                    self.pool.submit(run_group, Group(command=self.command, jobs=(self._again(job),)), alone=True)
                return
        for job in group.jobs:
            if event.kind == "died":
                _record_death(self.command, job, event.value)
            self.ended += 1
            manifest, result = held(self.command, job.folder)
            done, cause = event.kind == "done", str(event.value).partition("\n")[0]
            self.errors.append(error_of(job.folder, manifest) if done else cause)
            self.outcomes.update((result or {}).get("outcomes", {}) if self.errors[-1] is None else {"failed": 1})

    def _again(self, job: Job) -> Job:
        """Return a job to be run once more: what its group has begun is not kept aside a second time."""
        begun = finished_result(self.command, job) is None
        return replace(job, config=replace(job.config, rerun=job.config.rerun and not begun))

    def _reason_to_stop(self, config: Any) -> str | None:
        failed = [error for error in self.errors if error is not None]
        if failed and config.on_failure == "stop":
            return f"stopped, since a job failed (on_failure=stop): {printable(failed[0])}"
        first = self.errors[:ALIKE]
        if len(first) == ALIKE and first[0] is not None and len(set(first)) == 1:
            return f"stopped, since the first {ALIKE} jobs failed alike: {printable(first[0])}"
        return None


def _record_death(command: str, job: Job, cause: str) -> None:
    """Write into a job's folder that its process ended without a word, also if it did so before there was a folder."""
    folder = RunFolder(job.folder, echo=False)
    if folder.manifest() is None:
        try:
            with folder.run(command, job.config, {}):
                raise RuntimeError(cause)
        except RuntimeError:
            pass
    folder.died(cause)
