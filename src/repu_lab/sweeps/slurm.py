"""Groups on a Slurm cluster: tasks of job arrays, submitted and watched by the methods of workers.Pool.

submitit writes the batch script and pickles the task. A task that nears its time limit saves its state after the step
and puts itself back into the queue; any that is requeued starts again and goes on from the group's checkpoint. What
became of a group is read from its jobs' folders, since Slurm may call a job that raised COMPLETED; Slurm only says
whether it still runs, by one squeue for all (no accounting database is needed). Job ids are kept in .groups/slurm.json:
a driver that is killed and typed again finds what it has submitted.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from repu_lab.configs.config import ConfigError, config_hash
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.interruption import Interrupted, terminable
from repu_lab.runs.paths import check_inside
from repu_lab.sweeps.group import Group, run_group
from repu_lab.sweeps.workers import Duty, Event, tail

RECORD = "slurm.json"
ANSWER_SECONDS = 25  # that Slurm may take to answer
# States of a job that has ended; in all others it runs, waits or is about to.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
# Those that are not the group's own fault: it is submitted again, so many times, and goes on from its checkpoint.
CUT_OFF, AGAIN = {"BOOT_FAIL", "LAUNCH_FAILED", "NODE_FAIL", "PREEMPTED", "TIMEOUT"}, 10


def do(task: Duty, argument: Any, threads: int) -> None:
    """Do a task on the cluster; SIGTERM (scancel, a requeue, preemption) ends it after a checkpoint.

    So does SIGUSR2, which submitit asks for ahead of the time limit, and then the task queues itself again.
    """
    import torch

    torch.set_num_threads(threads)
    late: list[int] = []

    def near_the_limit(number: int, frame: FrameType | None) -> None:
        late.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGUSR2, near_the_limit)
    try:
        with terminable():
            task(argument, lambda share: None)
    except Interrupted:
        if not late:
            raise
        # Not by SLURM_JOB_ID: the last task's is that of the whole array.
        own = "_".join(os.environ[f"SLURM_ARRAY_{part}_ID"] for part in ("JOB", "TASK"))
        subprocess.run(["scontrol", "requeue", own], check=True)
        signal.pause()  # until Slurm ends this process


class SlurmPool:
    """Groups in Slurm's queue, and those that are about to be submitted."""

    def __init__(self, place: Path, settings: Mapping[str, Any]):
        """Take the sweep's folder of groups and the launcher's settings."""
        self.place, self.settings = RunFolder(place), settings
        self.waiting: deque[tuple[Duty, Group]] = deque()
        self.running: dict[str, Group] = {}  # by job id
        self._cancelled = set[str]()
        # Its end tells this sweep's jobs from all others of the user, which an odd record may name.
        self.job_name = f"repu-lab-{hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:12]}"
        self._polled = 0.0
        self._again = Counter[str]()
        check_inside(place / "slurm", place.parent)
        stored = (self.place.read_json(RECORD) or {}).items()
        record = {name: i for name, i in stored if isinstance(i, str) and re.fullmatch(r"[0-9]+_[0-9]+", i)}
        active = {i for i, state in states(record.values(), self.job_name).items() if state not in ENDED}
        self._submitted = {name: i for name, i in record.items() if i in active}
        self.place.write_json(RECORD, self._submitted)

    def submit(self, task: Duty, argument: Group, *, alone: bool = False) -> None:
        """Take up a group: one that an earlier driver submitted and that has not ended is only watched."""
        known = self._submitted.get(_name(argument))
        if known is None:
            self.waiting.append((task, argument))
        else:
            self.running[known] = argument

    def events(self, seconds: float) -> Iterator[Event]:
        """Submit what waits and yield the news; the queue is asked once in `poll_seconds`."""
        if self.waiting:
            self._submit_all()
        time.sleep(seconds)
        if time.monotonic() - self._polled < self.settings["poll_seconds"]:
            return
        self._polled = time.monotonic()
        try:
            now = states(self.running, self.job_name)
        except ConfigError:  # a controller that is being restarted: the jobs are not lost
            return
        for i, state in now.items():
            if state in ENDED:
                yield self._ended(i, self.running.pop(i), state)

    @property
    def busy(self) -> bool:
        """Whether a group waits, is queued or runs."""
        return bool(self.waiting or self.running)

    def interrupt(self) -> None:
        """Forget what waits and cancel, once, what is in the queue: running groups save their state and end."""
        self.waiting.clear()
        if fresh := [i for i in self.running if i not in self._cancelled]:
            _slurm("scancel", *fresh)
            self._cancelled.update(fresh)

    def leave(self) -> None:
        """Forget what waits; what is in the queue goes on without a driver."""
        if self.running:
            print(f"left in Slurm's queue: {' '.join(self.running)}; the same command watches on, scancel ends them")
        self.waiting.clear()
        self.running.clear()

    def _submit_all(self) -> None:
        """Submit all groups that wait as one array."""
        executor = _executor(self.place.path / "slurm", self.job_name, self.settings)
        with executor.batch():
            submitted = [executor.submit(do, task, group, self.settings["cpus"]) for task, group in self.waiting]
        groups = [group for _, group in self.waiting]
        self.waiting.clear()
        for job, group in zip(submitted, groups, strict=True):
            self.running[job.job_id] = group
            self._submitted[_name(group)] = job.job_id
        self.place.write_json(RECORD, self._submitted)

    def _ended(self, i: str, group: Group, state: str) -> Event:
        """Say what became of a group that left the queue, by what its jobs' folders hold."""
        self._submitted.pop(_name(group), None)
        self.place.write_json(RECORD, self._submitted)
        statuses = {(RunFolder(job.folder).manifest() or {}).get("status") for job in group.jobs}
        if statuses <= {"finished", "failed"} and (group.place is None or statuses == {"finished"}):
            return Event("done", group)
        if state in CUT_OFF and self._again[_name(group)] < AGAIN:
            self._again[_name(group)] += 1
            self.waiting.append((run_group, group))
            return Event("progress", group, 0.0)
        if state == "CANCELLED":
            return Event("interrupted", group)
        if "failed" in statuses:
            return Event("raised", group, f"see traceback.txt\nSlurm job {i}")
        logs = sorted((self.place.path / "slurm").glob(f"{i}_*_log.out"))
        return Event("died", group, f"Slurm says {state}\njob {i}{''.join(map(tail, logs[:1]))}")


def check_slurm() -> None:
    """Raise ConfigError if submitit is not installed or no Slurm answers."""
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise ConfigError("hydra/launcher=slurm: needs submitit; pip install 'repu-lab[slurm]'") from error
    if shutil.which("sbatch") is None:
        raise ConfigError("hydra/launcher=slurm: this machine has no sbatch; log in to a node of a Slurm cluster")
    answer = _slurm("scontrol", "ping")
    if "UP" not in answer:
        raise ConfigError(f"hydra/launcher=slurm: {answer.strip()}; wait for it, or start it")


def states(jobs: Iterable[str], name: str) -> dict[str, str]:
    """Return the state of each job (`ARRAY_TASK`), COMPLETED for one that Slurm does not know under this name any more.

    ConfigError if Slurm does not answer.
    """
    jobs = list(jobs)
    if not jobs:
        return {}
    arrays = {job.partition("_")[0] for job in jobs}
    shown = _slurm(
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        "--format=%i|%T|%j",
        f"--jobs={','.join(sorted(arrays))}",
        unknown="Invalid job id",
    )
    rows = [line.strip().split("|", 2) for line in shown.splitlines()]
    answered = {row[0]: row[1] for row in rows if row[2:] == [name]}
    return {job: answered.get(job, "COMPLETED") for job in jobs}


def _slurm(*command: str, unknown: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        cause = f"no answer from Slurm's controller within {ANSWER_SECONDS} s"
        raise ConfigError(f"hydra/launcher=slurm: {cause}; is it up? (scontrol ping)") from error
    except OSError as error:
        raise ConfigError(f"hydra/launcher=slurm: {command[0]} cannot be run ({error.strerror})") from error
    if done.returncode and not (unknown and unknown in done.stderr):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        cure = "log in to a node of a Slurm cluster, or let SLURM_CONF name its slurm.conf"
        raise ConfigError(f"hydra/launcher=slurm: {command[0]} failed: {last}; {cure}")
    return done.stdout


def _executor(folder: Path, name: str, settings: Mapping[str, Any]) -> Any:
    import submitit

    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=10**6)  # it counts what it never handles
    given = {
        "partition": settings["partition"],
        "mem": settings["memory"],
        "gpus_per_node": settings["gpus"],
        "setup": list(settings["setup"]) or None,
    }
    executor.update_parameters(
        job_name=name,
        time=settings["minutes"],
        cpus_per_task=settings["cpus"],
        array_parallelism=settings["jobs_at_once"],
        stderr_to_stdout=True,
        additional_parameters={"requeue": True, **settings["options"], "job_name": name},
        **{key: value for key, value in given.items() if value is not None},
    )
    return executor


def _name(group: Group) -> str:
    return group.place.name if group.place else config_hash(group.command, group.jobs[0].config)
