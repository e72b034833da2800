"""`plan=true`: the jobs that would run, what theory forecasts of each, what they take; nothing is written."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from repu_lab.cli import main
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.schema import LOOKS
from repu_lab.runs.building import build
from repu_lab.runs.forecasting import forecast_run
from repu_lab.runs.memory import member_bytes
from repu_lab.runs.schedule import is_measured, measured_steps
from repu_lab.sweeps import costs
from repu_lab.sweeps.group import Group
from repu_lab.sweeps.job_table import own_overrides

TINY = ("width=64", "batch_size=16", "steps=2", "probe=4", "statistics=false", "threads=1", "initialization=custom")
POINTS = "activation,depth,initialization.c_w,seed\nrepu,20,2,0\nrepu,20,2,1\ntanh,3,1,\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_plan_of_a_points_file_is_what_its_run_does(empty_folder, capsys):
    Path("points.csv").write_text(POINTS)
    typed = ["points=points.csv", *TINY, "members=2"]
    jobs = compose_jobs("train", typed, multirun=True)
    assert main(["train", *typed, "plan=true"]) == 0
    out = capsys.readouterr().out
    assert [path.name for path in empty_folder.iterdir()] == ["points.csv"]
    # the jobs, by their folders, and their forecasts
    for job in jobs:
        expected = forecast_run(build(job.config))
        assert expected is not None
        (line,) = [line for line in out.splitlines() if line.endswith(f"  {job.folder.name}")]
        assert line.startswith(f"  new  {expected.fate} ({expected.probability:.2f})")
        assert f"activation={job.config.activation['name']} depth={job.config.depth} " in line
        lost = expected.probabilities["explodes"] + expected.probabilities["vanishes"]
        assert ("doomed" in line) == (lost > 0.5) == (job.config.depth == 20)
    assert "jobs:    3 new\n" in out and "doomed:  2 of 3," in out
    # two seeds are one population, the other job is another
    for job, words, members in ((jobs[0], "4 networks of 2 jobs, repu", 4), (jobs[2], "2 networks of 1 job, tanh", 2)):
        (line,) = [line for line in out.splitlines() if line.startswith("group:") and words in line]
        size = members * sum(member_bytes(job.config, build(job.config).sizes)) / 2**20
        assert f"depth {job.config.depth}, width 64: {size:.0f} MiB, " in line and size > 0.5
    assert re.search(r"^time:    about [\d.e+]+ s", out, re.MULTILINE)
    # and so it runs
    assert main(["train", *typed]) == 0
    assert sorted(empty_folder.rglob("result.json")) == sorted(
        empty_folder / job.folder / "result.json" for job in jobs
    )
    for job in jobs:
        result = json.loads((job.folder / "result.json").read_text())
        assert set(result["outcomes"]) <= ({"exploded"} if job.config.depth == 20 else {"learning", "stalled"})
    capsys.readouterr()
    assert main(["train", *typed, "plan=true"]) == 0
    out = capsys.readouterr().out
    assert "jobs:    3 finished\n" in out and "group:" not in out


def test_what_decides_no_result_sets_no_job_apart():
    typed = ["activation=tanh", "depth=3", "plan=true", "checkpoint.every_seconds=5", "hydra.run.dir=here"]
    assert own_overrides(compose_jobs("train", typed)) == ["activation=tanh depth=3"]
    assert own_overrides(compose_jobs("train", [*typed[:2], "seed=0,1"], multirun=True)) == ["seed=0", "seed=1"]


def test_seconds_follow_the_runs_that_finished(monkeypatch):
    """Two networks took 10 s: three of the same law take 15, and what a folder takes; another law does some steps."""
    old, new = (compose_jobs("train", [*TINY, "initialization.c_w=2", f"members={count}"])[0] for count in (2, 3))
    other = compose_jobs("train", [*TINY, "initialization.c_w=1", "members=3"])[0]
    monkeypatch.setattr(costs, "finished_result", lambda command, job: {"seconds": 10.0} if job is old else None)
    monkeypatch.setattr(costs, "_by_steps", lambda group, lost: 7.0)
    known = costs.seconds_by_law("train", [old])
    both = Group(command="train", jobs=(new, new))
    assert costs.cost_of(both, known, lost=False).seconds == pytest.approx(30 + 2 * costs.FOLDER)
    for jobs in ((other,), (new, other)):
        assert costs.cost_of(Group(command="train", jobs=jobs), known, lost=False).seconds == 7


@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize("last", [0, 1, 4, 5, 6, 12, 1000, 1001, 4095])
def test_the_measured_steps_are_those_that_are_measured(last, looks):
    assert measured_steps(last, looks) == [step for step in range(last + 1) if is_measured(step, last, looks)]


@pytest.mark.parametrize(("steps", "seconds"), [(0, 0.0), (10, 60.0)])
def test_gauss_newton_is_part_of_the_plan(monkeypatch, steps, seconds):
    """Two steps that take 3 s by a clock of our own: 10 of 4 networks take 60."""
    now = [0.0]

    def two_steps(residuals, theta_MP, count):
        assert theta_MP.shape[0] == 1 and count == 2 and residuals.examples == 500
        now[0] += 3.0

    monkeypatch.setattr(costs, "gauss_newton", two_steps)
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    (job,) = compose_jobs("train", ["task=function", "depth=2", f"task.newton_steps={steps}"])
    assert costs._refining(build(job.config), 4) == seconds
