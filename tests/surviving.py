"""Runs that are interrupted, killed or damaged, and the comparison with one that was not: what these tests share."""

import importlib.util
import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from repu_lab.cli import main
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs import stepping
from repu_lab.runs.checkpoint import HEADER
from repu_lab.runs.job import run_job

TORTURE = Path(__file__).parents[1] / "scripts" / "torture.py"
_spec = importlib.util.spec_from_file_location("torture", TORTURE)
assert _spec is not None and _spec.loader is not None
torture = importlib.util.module_from_spec(_spec)
sys.modules["torture"] = torture
_spec.loader.exec_module(torture)

KINDS: dict[str, tuple[str, ...]] = torture.KINDS
ADAM = KINDS["adam"]
STEPS = 24


def train(folder: Path, *overrides: str) -> int:
    """Run the command's function on a tiny network that saves its state after every step; return the exit code."""
    (job,) = compose_jobs("train", [*torture.TINY, *overrides, f"hydra.run.dir={folder}"])
    return run_job(job_command("train"), job.config, job.folder)


def typed(*arguments: str) -> int:
    """Run a command line in this process and return its exit code."""
    return main(["train", *arguments])


def signals_at(monkeypatch: pytest.MonkeyPatch, *calls: int, number: int = signal.SIGTERM) -> None:
    """Let a signal come while the steps of these numbers, counted from now on, are done."""
    original, done = stepping.train_step, 0

    def step(*arguments: Any) -> Any:
        nonlocal done
        if done in calls:
            signal.raise_signal(number)
        done += 1
        return original(*arguments)

    monkeypatch.setattr(stepping, "train_step", step)


def manifest(folder: Path) -> dict[str, Any]:
    """Return a run's manifest."""
    return json.loads((folder / "manifest.json").read_text())


def steps_kept(folder: Path) -> list[int]:
    """Return the steps of the checkpoints."""
    return sorted(int(path.stem[-10:]) for path in (folder / "checkpoints").glob("*.ckpt"))


def same(one: Path, other: Path) -> bool:
    """Whether two finished runs have the same bits in everything; prints what differs."""
    assert manifest(other)["status"] == manifest(one)["status"] == "finished"
    differing = torture.differences(one, other)
    print(differing)
    return not differing


def damages(content: bytes, number: int) -> list[bytes]:
    """A file's content damaged at so many random places: a flipped bit, a lost or added part, a stretch of zeros."""
    draw = random.Random(0)
    kinds = (
        lambda at: content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :],
        lambda at: content[:at],
        lambda at: content[:at] + content[at + draw.randint(1, 100) :],
        lambda at: content[:at] + draw.randbytes(draw.randint(1, 100)) + content[at:],
        lambda at: content[:at] + bytes(512) + content[at + 512 :],
    )
    made: list[bytes] = []
    while len(made) < number:
        end = len(content) if len(made) % 3 else HEADER  # the header is a small target
        damaged = kinds[len(made) % len(kinds)](draw.randrange(end))
        made += [damaged] if damaged != content else []
    return made
