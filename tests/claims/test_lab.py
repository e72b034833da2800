"""A claim's networks: trained together, stored, noted; the scale decides how many."""

import pytest

from repu_lab.claims.contest import Case, Grid, contest
from repu_lab.claims.lab import Lab
from repu_lab.configs.config import ConfigError
from repu_lab.sweeps import sweep

TINY = ["depth=2", "width=8", "steps=2", "batch_size=16", "probe=4", "initialization=he", "statistics=false"]


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    monkeypatch.setattr(Lab, "_workers", lambda _: 1)
    monkeypatch.setattr(sweep, "_advice", None)  # nobody reads what to type next
    return Lab(tmp_path, scale="smoke", versions={"repu-lab": "1"}, threads=1)


def test_the_scale_decides(lab, tmp_path):
    full = Lab(tmp_path, scale="full", versions={})
    assert (lab.seeds, full.seeds) == (3, 10)
    assert (lab.choose(smoke=1, full=2), full.choose(smoke=1, full=2)) == (1, 2)


def test_jobs_are_trained_once_and_come_back_in_order(lab, capsys):
    jobs = [["activation=relu", *TINY, f"optimizer.lr={rate}", "members=2"] for rate in (0.01, 0.1)]
    trained = lab.train([*jobs, jobs[0]])
    assert [run.overrides[-3] for run in trained] == ["optimizer.lr=0.01", "optimizer.lr=0.1", "optimizer.lr=0.01"]
    assert [len(run.members) for run in trained] == [2, 2, 2]
    assert {member["outcome"] for member in trained[0].members} <= {"learning", "stalled", "diverged"}
    assert lab.runs == [f"runs/{run.folder.name}" for run in trained[:2]]
    assert lab.commands[0].startswith("repu-lab train activation=relu depth=2")
    assert capsys.readouterr().out == ""
    stamps = [(run.folder / "result.json").stat().st_mtime_ns for run in trained]
    again = lab.train(jobs)
    assert [(run.folder / "result.json").stat().st_mtime_ns for run in again] == stamps[:2]
    assert "test_loss" in again[0].statistics


def test_a_claim_with_one_setting_each_tries_none_and_trains(lab):
    """Without a choice the list of what is to be tried is empty."""
    assert lab.train([]) == []
    tiny = Grid(("critical",), ("1e-3",), 1, 2)
    entries = contest(lab, [("ReLU", Case("digits", 2, (*TINY[1:], "task=digits")))], tiny)
    assert [len(entry.records) for entry in entries.values()] == [2] and len(lab.runs) == 1


def test_a_job_that_cannot_run_is_refused_before_any_runs(lab):
    with pytest.raises(ConfigError, match=r"activation\.p=0\.3"):
        lab.train([["activation=relu", *TINY], ["activation=repu", "activation.p=0.3", *TINY]])
    assert not (lab.folder / "runs").exists()


def test_another_seed_is_other_networks_and_other_data_everywhere(lab, tmp_path):
    """Those of no seed of the first reproduction: tuning begins at 1,000 there."""
    other = Lab(tmp_path, scale="smoke", versions={}, threads=1, seed=2)
    jobs = [[*TINY, "members=2"], [*TINY, "members=1", "seed=1000", "data_seed=1"]]
    asked = [run.overrides for run in other.train(jobs)]
    assert [text for text in asked[0] if "seed" in text] == ["seed=20000", "data_seed=20000"]
    assert [text for text in asked[1] if "seed" in text] == ["seed=21000", "data_seed=20001"]
    one = (*TINY[:2], "members=1")
    assert other.build(*one).seeds == [20000] and other.numbers(2, 5) == range(20005, 20007)
    assert lab.build(*one).seeds == [0] and lab.numbers(2) == range(2)
