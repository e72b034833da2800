"""Runs as the tests start them: composed as from the command line, in a folder of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.job import run_job
from surviving import KINDS, torture, train

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

    def train(*overrides: str, to: str = "run") -> tuple[dict[str, Any], RunFolder]:
        (job,) = compose_jobs("train", [*TINY, f"hydra.run.dir={tmp_path / to}", *overrides])
        assert run_job(job_command("train"), job.config, job.folder) == 0
        folder = RunFolder(job.folder)
        result = folder.read_json("result.json")
        assert result is not None
        return result, folder

    return train


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Return the folder of a run of a kind that nothing happened to; made once for all tests."""
    place = tmp_path_factory.mktemp("unbroken")
    (place / "torture_activation.py").write_text(torture.SWISH)

    def folder(kind: str) -> Path:
        path = place / torture.file_name(kind)
        assert path.exists() or train(path, *KINDS[kind]) == 0
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        yield folder
