"""`plan=true`: the jobs that would run, what theory forecasts of each, what they take; nothing is written."""

import json
import re
from pathlib import Path

import pytest

from repu_lab.cli import main
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import build
from repu_lab.runs.forecasting import forecast_run
from repu_lab.runs.memory import member_bytes

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
        found = forecast_run(build(job.config))
        assert found is not None
        (line,) = [line for line in out.splitlines() if line.endswith(f"  {job.folder.name}")]
        assert line.startswith(f"  new  {found.fate} ({found.probability:.2f})")
        assert f"activation={job.config.activation['name']} depth={job.config.depth} " in line
        lost = found.probabilities["explodes"] + found.probabilities["vanishes"]
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
