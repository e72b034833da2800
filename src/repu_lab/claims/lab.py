"""What a claim may use: networks built or trained from command lines, and the scale of the reproduction."""

import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from repu_lab.configs.composition import Base, Job, composer
from repu_lab.configs.config import folder_name
from repu_lab.configs.launchers import LabConf
from repu_lab.runs.building import Experiment, build, pick_device
from repu_lab.runs.reading import Contents
from repu_lab.sweeps.job_table import error_of, finished_result, held
from repu_lab.sweeps.launching import slots
from repu_lab.sweeps.sweep import Place, run_unfinished

Choice = TypeVar("Choice")
APART = 10_000  # between the first seeds of reproductions of other seeds: more than a claim's networks and tuning take
# What this process has composed, by command: 0.2 s each, and most claims train the same activations.
BASES: defaultdict[str, dict[tuple[str, ...], Base]] = defaultdict(dict)


class RunFailed(RuntimeError):
    """A training run of a claim ended with an error of the lab; its folder holds the traceback."""


@dataclass(frozen=True)
class Trained:
    """A finished `train` run: its command line, its folder, what result.json holds."""

    overrides: tuple[str, ...]
    folder: Path
    result: dict[str, Any]

    @property
    def members(self) -> list[dict[str, Any]]:
        """One record a network: seed, outcome, layer, step, loss, metric."""
        return self.result["members"]

    @cached_property
    def statistics(self) -> dict[str, np.ndarray]:
        """The per-layer numbers of the run, by name, with the axes that statistics.npz names."""
        with Contents(self.folder).stream("statistics.npz") as file, np.load(file) as table:
            return dict(table)


class Lab:
    """The networks of one claim. `commands`, `runs`: the command lines and the run folders used so far."""

    def __init__(
        self,
        folder: Path,
        *,
        scale: str,
        versions: dict[str, str],
        device: str = "auto",
        threads: int | None = None,
        rerun: bool = False,
        seed: int = 0,
        progress: Callable[[float], None] = lambda share: None,
    ):
        """Take the reproduction's folder and what its config says; `progress` hears the share of the claim done."""
        self.folder, self.scale, self.versions, self.rerun = folder, scale, versions, rerun
        self.progress = progress
        self.first_seed = APART * seed
        self.machine = [f"device={device}"] if device != "auto" else []
        self.machine += [f"threads={threads}"] if threads is not None else []
        picked = pick_device(device)
        # Apple's mps knows no float64, in which networks at initialization are measured.
        self.device = torch.device("cpu") if picked.type == "mps" else picked
        if threads is not None:
            torch.set_num_threads(threads)
        self.commands: list[str] = []
        self.runs: list[str] = []
        self._done: set[Path] = set()

    def choose(self, *, smoke: Choice, full: Choice) -> Choice:
        """Return what belongs to this reproduction's scale."""
        return full if self.scale == "full" else smoke

    @property
    def seeds(self) -> int:
        """Networks behind a number that is compared: 10, or 3 for smoke."""
        return self.choose(smoke=3, full=10)

    def numbers(self, count: int, start: int = 0) -> range:
        """Return the seeds of so many networks that a claim draws by itself, behind `start` others."""
        return range(self.first_seed + start, self.first_seed + start + count)

    def through(self, items: Sequence[Choice]) -> Iterator[Choice]:
        """Yield what a claim measures one after another, and report how far it has come."""
        for done, item in enumerate(items, 1):
            yield item
            self.progress(done / len(items))

    def note(self, command: str, overrides: Sequence[str]) -> None:
        """Keep the command line that makes networks which a claim examines."""
        line = shlex.join(["repu-lab", command, *overrides])
        if line not in self.commands:
            self.commands.append(line)

    def build(self, *overrides: str) -> Experiment:
        """Return the networks that `repu-lab propagate` with these overrides would measure, without a folder."""
        (job,) = self._compose("propagate", [overrides])
        self.note("propagate", job.overrides)
        job.config.device = str(self.device)
        return build(job.config)

    def train(self, jobs: Sequence[Sequence[str]]) -> list[Trained]:
        """Train each job's networks, or take the stored result; results in the order of the jobs.

        Jobs that differ only in what a member may have of its own train as one population: hand over all at once.
        ConfigError if one of them cannot run, RunFailed if one ended with an error.
        """
        composed = [self._at_home(job) for job in self._compose("train", jobs)]
        todo = list({job.folder: job for job in composed}.values())
        if not todo:
            return []
        for job in todo:
            job.config.rerun = self.rerun and job.folder not in self._done
        run_unfinished("train", todo, Place(slots(vars(LabConf(workers=self._workers())))))
        self._done |= {job.folder for job in todo}
        return [_trained(job) for job in composed]

    def _compose(self, command: str, jobs: Sequence[Sequence[str]]) -> list[Job]:
        with composer(command, bases=BASES[command]) as composing:
            texts = [[*self._seeded(overrides), *self.machine] for overrides in jobs]
            parsed = [[composing.parse(text) for text in job] for job in texts]
            return [job for overrides in parsed for job in composing.jobs(overrides, multirun=False)]

    def _seeded(self, overrides: Sequence[str]) -> Sequence[str]:
        """Return overrides whose seeds, of the networks and of the data, start at this reproduction's first one."""
        if not self.first_seed:
            return overrides
        keys = {"seed": "0", "data_seed": "0"} | dict(text.split("=", 1) for text in overrides)
        shifted = [f"{key}={int(keys[key]) + self.first_seed}" for key in ("seed", "data_seed")]
        return [*(text for text in overrides if not text.startswith(("seed=", "data_seed="))), *shifted]

    def _at_home(self, job: Job) -> Job:
        """Return the job in the reproduction's own folder of runs, and note it."""
        home = self.folder / "runs"
        placed = replace(job, folder=home / folder_name("train", job.config), sweep=home)
        self.note("train", job.overrides)
        run = f"runs/{placed.folder.name}"
        if run not in self.runs:
            self.runs.append(run)
        return placed

    def _workers(self) -> int:
        """Return how many processes run side by side: one a core, where small populations leave others idle, or one."""
        return (os.cpu_count() or 1) if self.device.type == "cpu" else 1


def _trained(job: Job) -> Trained:
    result = finished_result("train", job)
    if result is None:
        manifest, _ = held("train", job.folder)
        raise RunFailed(f"{job.folder.name}: {error_of(job.folder, manifest) or 'its result is damaged'}")
    return Trained(job.overrides, job.folder, result)
