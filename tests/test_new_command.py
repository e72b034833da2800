"""A command and a task are added to a copy of the lab as CONTRIBUTING says, word by word; all else knows them then."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import repu_lab

ROOT = Path(repu_lab.__file__).parents[2]
# Gaussian draws of a given spread: the mean square is an estimate of the variance.
COMMAND = '''
"""`repu-lab spread`: draw numbers and say whether their mean square is near the variance."""

from dataclasses import dataclass
from typing import Any

from repu_lab.configs.command import JobCommand, Prepared, JobResult
from repu_lab.configs.schema import Handling
from repu_lab.configs.settings import number, setting, whole


@dataclass(kw_only=True)
class SpreadConfig(Handling):
    """Draw numbers."""

    count: int = setting(1000, "how many numbers are drawn", whole(1, 1_000_000))
    sigma: float = setting(1.0, "their standard deviation", number(0))
    seed: int = setting(0, "of the generator", whole(0))


def prepare(config: SpreadConfig, path: Any) -> Prepared:
    return Prepared(afresh=config.rerun)


def work(config: SpreadConfig, _: Any, folder: Any) -> JobResult:
    import numpy as np

    numbers = np.random.default_rng(config.seed).normal(0.0, config.sigma, config.count)
    outcome = "near" if abs((numbers**2).mean() - config.sigma**2) < 0.2 * config.sigma**2 else "far"
    text = f"{outcome}: mean square {(numbers**2).mean():.3f}"
    folder.log(text)
    return {"outcomes": {outcome: 1}, "text": text}


COMMAND = JobCommand(
    name="spread", purpose="draw numbers", config=SpreadConfig, examples=("repu-lab spread sigma=2",),
    prepare=prepare, work=work, good=("near",),
    ending=lambda config, result: (0, "") if "near" in result["outcomes"] else (3, "not near"),
)
'''
CONF = """
defaults:
  - spread_schema
  - _self_
  - override hydra/launcher: lab
  - override hydra/job_logging: disabled
  - override hydra/hydra_logging: disabled

hydra:
  job:
    name: spread
    chdir: false
  output_subdir: null
  run:
    dir: outputs/{folder}
  sweep:
    dir: outputs/sweeps/{sweep}
    subdir: "{folder}"
"""
# Two classes inside and outside a circle, which no linear network tells apart.
TASK = '''
"""Points of the plane, inside and outside a circle."""

import torch

from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.tensors import Splits, classification


def circle(data_seed: int = 0) -> Task:
    """Two classes by |x|^2 above 2 ln 2, the median of a chi-squared variable of two degrees of freedom."""
    x = torch.randn(1200, 2, generator=torch.Generator().manual_seed(data_seed), dtype=torch.float64)
    y = (x.square().sum(-1) > 1.3862943611198906).long()
    splits = Splits(*map(Split, x.split([800, 200, 200]), y.split([800, 200, 200])))
    return classification("circle", splits, scale="none", criterion=0.9, data_seed=data_seed)
'''
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """Return a function that types a line at a copy of the lab with what is new in it, in an empty folder."""
    lab, here = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("here")
    shutil.copytree(ROOT / "src", lab / "src")
    shutil.copytree(ROOT / "conf", lab / "conf")
    (lab / "src/repu_lab/commands/spread.py").write_text(COMMAND.lstrip())
    (lab / "conf/spread.yaml").write_text(CONF)
    (lab / "src/repu_lab/tasks/circle.py").write_text(TASK.lstrip())
    (lab / "conf/task/circle.yaml").write_text("name: circle\n")
    registry = lab / "src/repu_lab/tasks/__init__.py"
    text = registry.read_text().replace("in (burgers, ", "in (burgers, circle, ")
    registry.write_text(text.replace("\n\n#", "\nfrom repu_lab.tasks.circle import circle\n\n#", 1))

    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        environment = os.environ | {"PYTHONPATH": str(lab / "src")} | variables
        line = [sys.executable, "-m", "repu_lab", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, cwd=here, env=environment, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def test_help_and_completion_know_it(typed: Typed) -> None:
    assert "  spread      draw numbers\n" in typed("--help")[1]
    code, text, _ = typed("spread", "--help")
    assert code == 0 and text.startswith("usage: repu-lab spread [-m] [key=value ...]\n\nDraw numbers.\n")
    assert (
        "sigma=1.0" in text
        and "repu-lab spread sigma=2" in text
        and "finite number of at least 0" in " ".join(text.split())
    )
    assert typed("-sc", "query=bash", COMP_LINE="repu-lab spr")[1] == "spread\n"
    assert typed("-sc", "query=bash", COMP_LINE="repu-lab spread si")[1] == "sigma=\n"
    code, _, error = typed("spread", "sigm=1")
    assert code == 2 and error.startswith("repu-lab spread: sigm=1: no such key, did you mean sigma?")


def test_it_runs_stores_and_is_listed(typed: Typed) -> None:
    code, out, _ = typed("spread", "sigma=2")
    assert code == 0 and out.startswith("near: mean square ")
    said, folder = out.splitlines()
    folder = folder.removeprefix("folder:   ")
    code, again, _ = typed("spread", "sigma=2")
    assert (
        code == 0 and again.startswith("stored result of ") and again.splitlines()[1:] == [said, f"folder:   {folder}"]
    )
    assert typed("spread", "count=1", "hydra.run.dir=far")[:1] == (3,)
    code, out, _ = typed("results", ".", "--by", "run", "--json", "-")
    rows = {row["folder"]: row for row in json.loads(out)}
    assert rows[folder] | {"sigma": 2.0, "command": "spread", "outcome": "near 1", "state": "finished"} == rows[folder]
    assert rows["far"]["outcome"] == "far 1"


def test_it_is_planned_and_swept(typed: Typed) -> None:
    line = ["spread", "-m", "sigma=3,4", "sweep=s"]
    code, out, error = typed(*line, "plan=true")
    assert code == 0 and "jobs:    2 new" in out, error
    code, out, error = typed(*line)
    assert code == 0 and out.splitlines()[-1] == "total: 2 near", error
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [["near", "sigma=3"], ["near", "sigma=4"]]
    assert "jobs:    2 finished" in typed(*line, "plan=true")[1]


def test_a_new_task_is_offered_and_learnt(typed: Typed) -> None:
    assert typed("-sc", "query=bash", COMP_LINE="repu-lab train task=ci")[1].split() == ["task=cifar10", "task=circle"]
    small = ["depth=2", "width=32", "steps=300", "statistics=false", "threads=1"]
    code, out, error = typed(
        "train", "task=circle", "activation=relu", "require=trained", *small, "hydra.run.dir=circle"
    )
    assert code == 0 and "measured: trained, accuracy 0.9" in out, out + error
    # A linear network is no better than guessing: both classes are half of the plane and have the same mean.
    code, out, _ = typed("train", "task=circle", "activation=identity", "require=stalled", *small, "hydra.run.dir=line")
    assert code == 0, out
