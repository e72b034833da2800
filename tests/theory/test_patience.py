"""An analysis that takes long says so, once, and what it cost; by a clock that the tests move."""

from itertools import count
from threading import active_count

import pytest
from torch.nn import functional as F

from repu_lab.activations import Tanh, as_activation
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.job import check_job, run_job
from repu_lab.theory import analyse, patience


def test_what_takes_long_is_told_once_with_its_cost(monkeypatch):
    lines, threads = [], active_count()
    # A second at every look: at the start, at each of the calls, then at the line that tells.
    monkeypatch.setattr(patience, "clock", count().__next__)
    with patience.waiting("Slow", lines.append) as watch:
        for _ in range(10):
            patience.evaluated(500)
        assert lines == []
        for _ in range(100):
            patience.evaluated(500)
    (line,) = lines
    assert line.startswith("analysis: averaging Slow over Gaussians takes long, 12 s for 5,500 values")
    # Looks at the clock end with the line: 12 so far, and one for the cost.
    assert watch.cost.startswith("analysis: Slow took 13 s for 55,000 values of s, s' and s'' (2.4e+02 microseconds")
    assert active_count() == threads


def test_the_analysis_itself_is_watched_and_what_is_quick_says_nothing(monkeypatch):
    lines = []
    activation = as_activation(F.softsign)
    with patience.waiting("softsign", lines.append) as watch:
        monkeypatch.setattr(patience, "clock", lambda: watch.start + 9.9)
        analyse(activation)
    assert lines == [] and watch.cost == "" and watch.values > 100_000
    with patience.waiting("softsign", lines.append) as watch:
        monkeypatch.setattr(patience, "clock", lambda: watch.start + 10.1)
        analyse(activation)
    assert len(lines) == 1 and watch.cost
    patience.evaluated(1)
    analyse(Tanh())
    assert len(lines) == 1


@pytest.mark.parametrize("command", ["train", "theory"])
def test_runs_tell_it_on_the_terminal_and_in_run_log(tmp_path, capsys, monkeypatch, command):
    # 0.1 s a look: the search for a critical point looks several hundred times, as does what comes after.
    monkeypatch.setattr(patience, "clock", map(lambda look: look / 10, count()).__next__)
    more = ["steps=2", "members=1"] if command == "train" else []
    (job,) = compose_jobs(
        command,
        [
            f"hydra.run.dir={tmp_path}",
            "activation=custom",
            "activation._target_=torch.nn.Softsign",
            "depth=2",
            "width=8",
            *more,
        ],
    )
    check_job(job_command(command), job.config, tmp_path)
    assert "analysis: averaging Softsign over Gaussians takes long, " in capsys.readouterr().out
    assert run_job(job_command(command), job.config, tmp_path) == 0
    for text in (capsys.readouterr().out, (tmp_path / "run.log").read_text()):
        assert "analysis: Softsign took" in text and "every run of it begins with that" in text
