"""Each task as `repu-lab train` runs it: what its result, its folder and its refusals say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError
from repu_lab.runs.building import build, load_population
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.job import run_job
from repu_lab.tasks import TASKS

TINY = ("depth=3", "width=16", "batch_size=64", "steps=20", "probe=8", "members=2", "activation=tanh")
MEASURES = {
    "task=polynomial": {"relative_l2", "relative_h1"},
    "task=polynomial task.target=chebyshev task.degree=3": {"relative_l2", "relative_h1", "derivative_jump"},
    "task=polynomial task.target=random task.dimension=4": {"relative_l2", "relative_h1"},
    "task=function": {"relative_l2", "relative_h1", "derivative_jump"},
    "task=function task.target=franke": {"relative_l2", "relative_h1"},
    "task=burgers task.collocation=200": {"relative_l2"},
    "task=burgers task.collocation=200 task.conditions=soft": {"relative_l2"},
    "task=helmholtz task.collocation=200 steps=200": {"relative_l2"},
    "task=digits": set(),
}
Run = Callable[..., tuple[dict[str, Any], RunFolder]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def train(*overrides: str) -> tuple[dict[str, Any], RunFolder]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (job,) = compose_jobs("train", [*TINY, f"hydra.run.dir={folder}", *overrides])
        assert run_job(job_command("train"), job.config, job.folder) == 0
        result = RunFolder(job.folder).read_json("result.json")
        assert result is not None
        return result, RunFolder(job.folder)

    return train


@pytest.mark.parametrize("overrides", MEASURES)
def test_every_task_trains_and_writes_its_measures(run: Run, overrides: str):
    burgers = "burgers" in overrides
    result, folder = run(*overrides.split(), f"statistics={burgers}".lower())
    assert set(result["outcomes"]) <= {"learning", "trained", "stalled"}
    for member in result["members"]:
        assert set(member["measures"]) == MEASURES[overrides]
        assert abs(member["validation_metric"] - member["metric"]) < 0.3 and member["validation_loss"] > 0
        assert all(0 <= value < 10 for value in member["measures"].values())
    with np.load(folder.path / "statistics.npz") as file:
        table = dict(file)
    # Low waves of u count little in Helmholtz' equation: its error falls after its loss.
    falls = table["train_loss"][1:] if "helmholtz" in overrides else table["test_loss"]
    assert (falls[-1] < falls[0]).all()
    assert (folder.path / "solution.png").exists() == burgers
    if burgers:
        assert np.isfinite(table["log10_gradient"]).all() and np.isfinite(table["log10_K"]).all()


@pytest.mark.parametrize("overrides", ["task=function task.target=bump", "task=burgers task.collocation=1000"])
def test_gauss_newton_goes_on_in_float64_from_the_last_step(run: Run, overrides: str):
    settings = (*overrides.split(), "statistics=false", "depth=2")
    before, _ = run(*settings)
    after, folder = run(*settings, "task.newton_steps=40")
    log = (folder.path / "run.log").read_text()
    assert "refined:  Gauss-Newton, 40 steps of 2 networks in " in log
    for member, old in zip(after["members"], before["members"], strict=True):
        assert member["measures"]["relative_l2"] < old["measures"]["relative_l2"]
        assert member["metric"] > old["metric"]
        assert member["step"] == (20 if member["outcome"] == "trained" else member["step"]) >= 0
    assert load_population(folder.path).theta.dtype == torch.float64


@pytest.mark.parametrize(("activation", "warned"), [("relu", True), ("leaky_relu", True), ("gelu", False)])
def test_an_activation_of_straight_lines_is_warned_of(run: Run, activation: str, warned: bool):
    _, folder = run(f"activation={activation}", "task=burgers", "task.collocation=100", "statistics=false", "steps=1")
    assert ("the equation's second derivatives never reach it" in (folder.path / "run.log").read_text()) == warned


def test_a_residual_run_is_that_of_its_residual_networks(run: Run):
    result, folder = run("residual=true", "depth=5", "activation=mrepu", "task=function", "statistics=true")
    log = (folder.path / "run.log").read_text()
    # MRePU's small outputs have to grow, which some networks do not survive at any rate: the line says how many.
    assert "a share 1/4" in log and "forecast: first pass survives; of such networks" in log
    assert result["forecast"]["fate"] == "survives" and result["forecast"]["probability"] > 0.95
    population = load_population(folder.path)
    assert [population.skips(l) for l in range(6)] == [False, True, True, True, True, False]
    experiment = build(compose_jobs("train", [*TINY, "residual=true", "depth=5", "task=function"])[0].config)
    for i, member in enumerate(result["members"]):
        z_BC = population.member(i)(experiment.task.test.x)
        assert experiment.task.evaluate(z_BC[None]).metric.item() == pytest.approx(member["metric"], abs=1e-5)
    with np.load(folder.path / "statistics.npz") as table:
        chi = table["log10_chi_perp"][0]
    assert np.median(chi[:-1]) == pytest.approx(np.log10(1 + 1 / 4), abs=0.03)  # 1 + C_W E[s'^2] / 4, C_W E[s'^2] = 1


REFUSED = {
    "task=polynomial task.target=runge": "task.target=runge: no target of task=polynomial; valid: all, x, x2",
    "task=function task.target=bmp": "task.target=bmp: no target of task=function, did you mean bump?; valid: sin",
    "task=function task.degree=3": "task.degree=3: belongs to task.target=legendre or chebyshev or random",
    "task=polynomial task.target=legendre task.dimension=2": "task.dimension=2: belongs to task.target=random",
    "task=digits task.k=2": "task.k=2.0: belongs to task.target=sin",
    "task=digits task.newton_steps=10": "task.newton_steps=10: belongs to task=burgers or helmholtz or polynomial or",
    "task=function task.lbfgs_steps=10": "task.lbfgs_steps=10: is a key of earlier versions; use task.newton_steps",
    "task=function task.collocation=10": "task.collocation=10: belongs to task=burgers or helmholtz",
    "task=burgers task.boundary=1": "task.boundary=1: must be a whole number from 2",
    "task=burgers task.collocation=100": "batch_size=128: must be at most 100, the examples that burgers has for it",
    "task=digits task.cache=here": "task.cache=here: belongs to task=mnist or fashion_mnist or cifar10",
    "task=polynomial task.target=random task.degree=20 task.dimension=20": "task.degree=20 in dimension=20: has",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_mistakes_are_one_line_that_names_key_cause_and_cure(overrides: str):
    with pytest.raises(ConfigError) as caught:
        build(compose_jobs("train", overrides.split())[0].config)
    assert str(caught.value).startswith(REFUSED[overrides]) and "\n" not in str(caught.value)


def test_every_task_has_its_group():
    for name in TASKS:
        assert compose_jobs("train", [f"task={name}"])[0].config.task.name == name
