"""Runs as the tests start them: composed as from the command line, in a folder of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repu_lab.configs.composition import compose_jobs
from repu_lab.runs import commands
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.folder import RunFolder

TINY = ("depth=2", "width=16", "batch_size=32", "steps=12", "probe=8")


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    """Return the built experiment of a command line."""

    def compose(*overrides: str) -> Experiment:
        return build(compose_jobs("train", [*TINY, *overrides])[0].config)

    return compose


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], RunFolder]]:
    """Run `train` and return its result and its folder."""

    def train(*overrides: str) -> tuple[dict[str, Any], RunFolder]:
        (job,) = compose_jobs("train", [*TINY, f"hydra.run.dir={tmp_path / 'run'}", *overrides])
        assert commands.train(job.config, job.folder) == 0
        folder = RunFolder(job.folder)
        result = folder.read_json("result.json")
        assert result is not None
        return result, folder

    return train
