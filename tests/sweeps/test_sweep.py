"""Groups: a job trained with others has the result that it would have alone; what is chunked, stored and shown."""

import itertools
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata

from repu_lab.cli import main
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job, compose_jobs
from repu_lab.configs.config import config_hash
from repu_lab.runs import training
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.interruption import Interrupted
from repu_lab.runs.job import run_job
from repu_lab.sweeps.group import Group, make_group, make_groups, train_group
from repu_lab.sweeps.sweep import memory_bound, plan_groups

TINY = ("activation=tanh", "depth=3", "width=8", "batch_size=16", "probe=4", "initialization=custom")
WORDS = ("seconds", "steps_per_second", "statistics_share")  # of a result, that tell of time


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def together(*overrides: str, most: int = 1000) -> list[Job]:
    """Train a sweep in this process, group by group, and return its jobs."""
    jobs = compose_jobs("train", [*TINY, *overrides], multirun=True)
    assert jobs[0].sweep is not None
    for group in make_groups("train", jobs, jobs[0].sweep, lambda config: most):
        train_group(group, lambda share: None)
    return jobs


def alone(job: Job, folder: str) -> Path:
    """Train a job by itself and return its folder."""
    place = Path(folder) / job.folder.name
    assert run_job(job_command("train"), job.config, place) == 0
    return place


def loaded(folder: Path) -> tuple[torch.Tensor, dict[str, Any], dict[str, Any]]:
    """Return weights, statistics and result of a run."""
    theta = torch.load(folder / "weights.pt", weights_only=True)["theta"]
    result = json.loads((folder / "result.json").read_text())
    with np.load(folder / "statistics.npz") as file:
        return theta, dict(file), {key: value for key, value in result.items() if key not in WORDS}


def events(folder: Path) -> list[tuple[str, int]]:
    """Return the tags and steps of a run's events, in order."""
    (file,) = folder.glob("events.*")
    return [(value.tag, event.step) for event in EventFileLoader(str(file)).Load() for value in event.summary.value]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initial_weights_are_those_of_the_job_alone_bit_for_bit(dtype):
    variants = ("seed=0,3", "initialization.c_w=1,2.5", "optimizer.lr=0.1,0.2", "members=1,3")
    jobs = together(*variants, "steps=0", f"dtype={dtype}", "statistics=false")
    assert len(jobs) == 16
    for job in jobs:
        assert torch.equal(loaded(job.folder)[0], loaded(alone(job, "alone"))[0])


def test_float64_losses_are_those_of_the_job_alone_to_1e_5_over_50_steps():
    variants = ("seed=0,3", "initialization.c_w=1,2", "optimizer.lr=0.003,auto", "optimizer.weight_decay=0.1")
    for job in together(*variants, "steps=50", "dtype=float64"):
        ours, theirs = loaded(job.folder)[1], loaded(alone(job, "alone"))[1]
        assert ours.keys() == theirs.keys() and np.array_equal(ours["step"], theirs["step"])
        for name in ("train_loss", "test_loss"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=0)


def test_float32_results_are_the_same_in_law():
    # Half of these networks end as trained. Two groups of n that follow one law have shares that differ by more than
    # three standard errors of a difference, 3 sqrt(2 p (1 - p) / n), once in 370; their metrics a Kolmogorov-Smirnov
    # p-value below 0.001 once in 1000. Here the seeds are the same, so that both are rarer still.
    jobs = together("seed=range(40)", "steps=70", "initialization.c_w=1.5", "optimizer.lr=0.01", "statistics=false")
    members = [
        [loaded(folder)[2]["members"][0] for folder in folders]
        for folders in ([job.folder for job in jobs], [alone(job, "alone") for job in jobs])
    ]
    shares = [np.mean([member["outcome"] == "trained" for member in run]) for run in members]
    p = np.mean(shares)
    assert 0.2 < p < 0.8
    assert abs(shares[0] - shares[1]) <= 3 * np.sqrt(2 * p * (1 - p) / len(jobs))
    first, second = ([member["metric"] for member in run] for run in members)
    difference: Any = ks_2samp(first, second)
    assert difference.pvalue > 1e-3


def test_a_job_that_ends_early_in_a_group_is_as_if_it_had_run_alone():
    jobs = together("activation=repu", "depth=8", "initialization.c_w=1e10,0.5", "seed=0,1", "steps=40")
    ended = []
    for job in jobs:
        folder = alone(job, "alone")
        (theta, table, result), (theta_alone, table_alone, result_alone) = loaded(job.folder), loaded(folder)
        ended.append(result["steps"])
        assert events(job.folder) == events(folder)
        assert result["outcomes"] == result_alone["outcomes"] and result["steps"] == result_alone["steps"]
        assert np.array_equal(table["step"], table_alone["step"])
        if result["outcomes"] == {"exploded": 1}:
            assert result == result_alone and torch.equal(theta, theta_alone)
            assert all(np.array_equal(table[name], table_alone[name], equal_nan=name != "axes") for name in table)
    assert ended == [0, 0, 40, 40]


def test_a_job_has_a_row_of_the_hparams_table_without_the_keys_of_other_activations():
    jobs = together("activation=relu,mrepu,elu,tanh", "initialization.c_w=1", "steps=0", "statistics=false")
    rows, columns = [], []
    for job in jobs:
        (file,) = job.folder.glob("events.*")
        values = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
        content = {value.tag: value.metadata.plugin_data.content for value in values}
        table = metadata.parse_experiment_plugin_data(content["_hparams_/experiment"])
        columns.append([column.name for column in table.hparam_infos])
        start = metadata.parse_session_start_info_plugin_data(content["_hparams_/session_start_info"])
        rows.append(start.hparams["activation"].string_value)
    assert rows == ["relu", "mrepu(p=1, scale=1)", "elu(alpha=1.0)", "tanh"]  # all is said, whosever columns are shown
    own = [[name for name in names if name.startswith("activation.")] for names in columns]
    assert own == [[], ["activation.p", "activation.scale"], ["activation.alpha"], []]
    shown = ["activation", "depth", "width", "initialization", "optimizer.lr"]  # TensorBoard ticks the first five
    assert all(names[:5] == shown for names in columns)


def test_only_what_a_member_may_have_of_its_own_is_grouped():
    overrides = ("seed=0,1", "optimizer.lr=0.1,0.2", "optimizer.weight_decay=0,0.1", "initialization.c_b=0,1")
    jobs = compose_jobs("train", [*TINY, *overrides, "initialization.c_w=1", "members=2"], multirun=True)
    groups = make_groups("train", jobs, Path("s"), lambda config: 1000)
    assert [(len(group.jobs), group.members) for group in groups] == [(16, 32)]
    for other in ("depth=1,2", "batch_size=8,16", "steps=1,2", "data_seed=0,1", "optimizer.clip=1,2", "probe=2,4"):
        jobs = compose_jobs("train", [*TINY, "initialization.c_w=1", other, "seed=0,1"], multirun=True)
        groups = make_groups("train", jobs, Path("s"), lambda config: 1000)
        assert [len(group.jobs) for group in groups] == [2, 2], other
    jobs = compose_jobs("propagate", [*TINY[:3], "seed=0,1"], multirun=True)
    assert [len(group.jobs) for group in make_groups("propagate", jobs, Path("s"), lambda config: 1000)] == [1, 1]


def test_groups_are_cut_where_the_next_job_would_not_fit():
    def sizes(most: int, *overrides: str) -> list[int]:
        jobs = compose_jobs("train", [*TINY, "initialization.c_w=1", *overrides], multirun=True)
        return [group.members for group in make_groups("train", jobs, Path("s"), lambda config: most)]

    assert sizes(3, "seed=range(8)") == [3, 3, 2]
    assert sizes(5, "members=2", "seed=range(5)") == [4, 4, 2]
    assert sizes(1, "members=2", "seed=0,1") == [2, 2]  # a job is never cut
    assert sizes(10**6, "seed=range(260)") == [256, 4]  # event files are open side by side


def test_a_sweep_is_typed_again_and_only_says_what_there_is(empty_folder, capsys):
    typed = [
        "train",
        "-m",
        *TINY,
        "initialization.c_w=1",
        "seed=range(3)",
        "steps=3",
        "statistics=false",
        "hydra.launcher.max_members=2",
    ]
    assert main(typed) == 0
    capsys.readouterr()
    manifests = [json.loads(path.read_text()) for path in empty_folder.rglob("manifest.json")]
    assert sorted(m["group"]["jobs"] if "group" in m else 1 for m in manifests) == [1, 2, 2]
    assert {m["group"]["first_member"] for m in manifests if "group" in m} == {0, 1}
    assert all(m["command_line"][1:] == typed for m in manifests)
    before = {path: path.stat().st_mtime_ns for path in empty_folder.rglob("*")}
    assert main(typed) == 0
    assert {path: path.stat().st_mtime_ns for path in empty_folder.rglob("*")} == before
    out = capsys.readouterr().out
    assert "3 jobs in" in out and "total: 3 " in out


def test_a_finished_sweep_says_again_what_to_type_next(empty_folder, capsys):
    typed = ["train", "-m", *TINY, "activation=repu", "depth=15", "initialization=critical", "seed=0,1", "steps=2"]
    said = []
    for _ in range(2):
        assert main(typed) == 0
        said.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("next:")])
    assert len(said[0]) == 1 and "exploded in 2 of 2 jobs" in said[0][0] and said[0] == said[1]


def test_rerun_keeps_the_finished_runs_aside(empty_folder):
    typed = ["train", "-m", *TINY, "initialization.c_w=1", "seed=0,1", "steps=2", "statistics=false"]
    assert main(typed) == main([*typed, "rerun=true"]) == 0
    folders = {path.parent for path in empty_folder.rglob("result.json")}
    assert len(folders) == 4 and sum(folder.name.endswith(".1") for folder in folders) == 2
    assert len({folder.parent for folder in folders}) == 1  # rerun=true makes no other sweep
    assert main(typed) == 0
    assert len(list(empty_folder.rglob("result.json"))) == 4


def test_a_folder_in_use_by_another_sweep_is_named_with_its_process(empty_folder, capsys):
    typed = ["train", "-m", "sweep=s", *TINY, "initialization.c_w=1", "seed=0,1", "steps=2"]
    place = RunFolder(empty_folder / "outputs/sweeps/s/.groups")
    place.path.mkdir(parents=True)
    with place.lock():
        assert main(typed) == 2
    err = capsys.readouterr().err
    assert f"process {os.getpid()}" in err and "in use" in err and err.count("\n") == 1
    assert not list(empty_folder.rglob("manifest.json"))
    assert main(typed) == 0


def test_a_sweep_folder_may_hold_other_things_but_not_a_job_folder(empty_folder, capsys):
    typed = ["train", "-m", "sweep=s", *TINY, "initialization.c_w=1", "seed=0,1", "steps=2"]
    jobs = compose_jobs("train", typed[2:], multirun=True)
    jobs[1].folder.mkdir(parents=True)
    (jobs[1].folder / "thesis.tex").write_text("mine")
    (empty_folder / "outputs/sweeps/s/notes.txt").write_text("mine")
    assert main(typed) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert not list(empty_folder.rglob("manifest.json"))
    (jobs[1].folder / "thesis.tex").unlink()
    assert main(typed) == 0
    assert (empty_folder / "outputs/sweeps/s/notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("values", "count"),
    [("depth=range(1,4)", 3), ("seed=choice(1,5)", 2), ("activation=glob(s*lu)", 2), ("members=2,3", 2)],
)
def test_ranges_of_hydra_make_jobs(values, count):
    typed = ["depth=1", "width=4", "steps=1", "batch_size=8", "probe=2", "statistics=false", values]
    jobs = compose_jobs("train", typed, multirun=True)
    assert len({job.folder for job in jobs}) == count
    assert main(["train", "-m", *typed]) == 0
    assert sum(json.loads((job.folder / "result.json").read_text())["steps"] for job in jobs) == count


def test_a_manifest_says_which_members_of_its_population_are_the_jobs():
    jobs = together("members=2,3", "seed=0,1", "initialization.c_w=1", "steps=0", "statistics=false")
    groups = [json.loads((job.folder / "manifest.json").read_text())["group"] for job in jobs]
    assert [group["first_member"] for group in groups] == [0, 2, 4, 7]
    assert {(group["jobs"], group["members"]) for group in groups} == {(4, 10)}


def test_workers_share_the_memory():
    jobs = compose_jobs("train", [*TINY, "initialization.c_w=1", "members=50", "seed=range(4)"], multirun=True)

    def bound(fit: int, workers: int, most: int | None = None) -> int:
        return memory_bound(lambda config: fit, jobs, workers, most)(jobs[0].config)

    assert [bound(80, workers) for workers in (1, 2, 3)] == [80, 40, 26]
    assert bound(10**6, 3) == 67  # of the 200 members each worker gets some
    assert (bound(80, 2, most=30), bound(80, 2, most=60), bound(1, 4)) == (30, 40, 1)


def test_a_population_that_was_cut_off_is_restored_as_it_was():
    """Cut off between the writing of its jobs' results, or with a checkpoint; before either it is cut anew."""
    jobs = compose_jobs("train", [*TINY, "initialization.c_w=1", "seed=range(4)"], multirun=True)
    assert jobs[0].sweep is not None
    whole = make_group("train", jobs, jobs[0].sweep)
    assert whole.place is not None

    def planned(left: list[Job]) -> list[list[int]]:
        return [[job.config.seed for job in group.jobs] for group in plan_groups("train", jobs, left, lambda _: 2)]

    assert planned(jobs[1:]) == [[1, 2], [3]]
    whole.place.mkdir(parents=True)
    named = {"jobs": [config_hash("train", job.config) for job in jobs]}
    RunFolder(whole.place).write_json("group.json", named)
    assert planned(jobs[1:]) == [[0, 1, 2, 3]]
    assert planned(jobs) == [[0, 1], [2, 3]]
    (whole.place / "checkpoints").mkdir()
    (whole.place / "checkpoints/step_0000000003.ckpt").write_bytes(b"")
    assert planned(jobs) == [[0, 1, 2, 3]]


def test_the_seconds_of_a_job_are_its_members_share_of_the_populations(monkeypatch):
    """By a clock that goes on by a second each time it is looked at."""
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    jobs = together("members=1,3", "initialization.c_w=1", "steps=4", "statistics=false")
    one, three = (json.loads((job.folder / "result.json").read_text()) for job in jobs)
    assert one["seconds"] > 1 and three["seconds"] == pytest.approx(3 * one["seconds"])
    assert (one["seconds"] + three["seconds"]) % 1 == 0
    assert one["steps_per_second"] == pytest.approx(4 / one["seconds"], abs=0.05)


def test_workers_share_a_population(empty_folder):
    typed = ["train", "-m", *TINY, "initialization.c_w=1", "seed=range(4)", "steps=2", "statistics=false"]
    assert main([*typed, "hydra.launcher.workers=2", "hydra.launcher.threads=1"]) == 0
    manifests = [json.loads(path.read_text()) for path in empty_folder.rglob("manifest.json")]
    assert sorted(m["group"]["members"] for m in manifests) == [2, 2, 2, 2]
    assert len({m["group"]["name"] for m in manifests}) == 2


@pytest.mark.parametrize("setting", ["workers=0", "threads=0", "max_members=-1"])
def test_a_launcher_needs_whole_numbers(setting, empty_folder, capsys):
    assert main(["train", "-m", *TINY, "initialization.c_w=1", "seed=0,1", f"hydra.launcher.{setting}"]) == 2
    assert f"hydra.launcher.{setting}: must be" in capsys.readouterr().err
    assert not list(empty_folder.iterdir())


def test_jobs_of_theory_and_propagate_run_one_by_one(empty_folder, capsys):
    assert main(["theory", "-m", "activation=relu,repu", "depth=3", "width=8"]) == 0
    assert main(["propagate", "-m", "activation=relu,repu", "depth=3", "width=8", "members=2", "probe=4"]) == 0
    assert len(list(empty_folder.rglob("theory.json"))) == len(list(empty_folder.rglob("table.csv"))) == 2
    out = capsys.readouterr().out
    (sweep,) = {path.parent.parent for path in empty_folder.rglob("theory.json")}
    picture = sweep / "comparison.png"
    assert f"picture:  {picture.relative_to(empty_folder)}\n" in out and picture.read_bytes()[:4] == b"\x89PNG"
    assert "total: 2 done\n" in out and "total: 4 survived\n" in out


def test_a_group_of_one_is_a_run(empty_folder):
    (job,) = compose_jobs("train", [*TINY, "initialization.c_w=1", "steps=2", "seed=5"], multirun=True)
    train_group(Group(command="train", jobs=(job,)), lambda share: None)
    assert loaded(job.folder)[2] == loaded(alone(job, "alone"))[2]
    assert "group" not in json.loads((job.folder / "manifest.json").read_text())


@pytest.mark.parametrize("seeds", ["5", "5,6"])
def test_groups_are_saved_while_they_train(seeds, empty_folder):
    jobs = compose_jobs(
        "train",
        [*TINY, "initialization.c_w=1", "steps=3", "checkpoint.every_seconds=0", f"seed={seeds}"],
        multirun=True,
    )
    (group,) = make_groups("train", jobs, empty_folder, lambda config: 1000)
    place = group.place or jobs[0].folder
    saved = []  # checkpoints in sight when the training starts, and after every step; the last two are kept
    train_group(group, lambda share: saved.append(len(list(place.glob("checkpoints/*.ckpt")))))
    assert saved == [0, 1, 2, 2]


def test_a_group_in_which_jobs_have_ended_goes_on_to_the_same_bits():
    early = ("activation=repu", "depth=8", "initialization.c_w=1e10,0.5", "seed=0,1", "steps=40")
    straight = together(*early, "sweep=straight")
    jobs = compose_jobs("train", [*TINY, *early, "sweep=broken", "checkpoint.every_seconds=0"], multirun=True)
    assert jobs[0].sweep is not None
    (group,) = make_groups("train", jobs, jobs[0].sweep, lambda config: 1000)

    def stop(share: float) -> None:
        if 0.7 < share < 0.74:  # behind step 16, at which the first jobs may end
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_group(group, stop)
    train_group(group, lambda share: None)
    steps = set()
    for ours, theirs in zip(jobs, straight, strict=True):
        (theta, table, result), (theta_, table_, result_) = loaded(ours.folder), loaded(theirs.folder)
        assert torch.equal(theta, theta_) and result == result_
        assert table.keys() == table_.keys()
        for key in table:
            np.testing.assert_array_equal(table[key], table_[key])
        assert events(ours.folder) == events(theirs.folder)
        steps.add(result["steps"])
    assert len(steps) > 1  # some ended earlier than others
