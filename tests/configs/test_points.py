"""`points=FILE.csv`: one job a row, beside what is typed; each file its own sweep; mistakes are named by their row."""

from pathlib import Path

import pytest

from repu_lab.configs.composition import Job, compose_jobs
from repu_lab.configs.config import ConfigError
from repu_lab.configs.points import has_points


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def jobs_of(content: str, *overrides: str, name: str = "points.csv") -> list[Job]:
    Path(name).write_text(content)
    return compose_jobs("train", [f"points={name}", *overrides], multirun=True)


def test_every_row_is_a_job_and_an_empty_cell_leaves_its_key_out():
    jobs = jobs_of("depth, optimizer.lr\n3,0.1\n\n5,\n7,auto\n")
    assert [(job.config.depth, job.config.optimizer.lr) for job in jobs] == [(3, 0.1), (5, "auto"), (7, "auto")]
    assert len({job.folder for job in jobs}) == 3 and len({job.sweep for job in jobs}) == 1
    typed = compose_jobs("train", ["depth=3", "optimizer.lr=0.1"])[0]
    assert jobs[0].folder.name == typed.folder.name  # named by a hash of all that decides the result


def test_rows_are_paired_and_what_is_typed_is_crossed_with_them():
    jobs = jobs_of("depth,width\n3,8\n5,16\n", "seed=1,2", "members=4")
    assert [(job.config.depth, job.config.width, job.config.seed) for job in jobs] == [
        (3, 8, 1),
        (3, 8, 2),
        (5, 16, 1),
        (5, 16, 2),
    ]
    assert {job.config.members for job in jobs} == {4}


def test_two_files_are_two_sweeps():
    first, second = (jobs_of(f"depth\n{depth}\n", name=f"{depth}.csv")[0].sweep for depth in (3, 5))
    assert first != second and first == jobs_of("depth\n3\n", name="3.csv")[0].sweep


def test_a_file_of_points_makes_a_sweep():
    assert has_points(["depth=3", "points=a.csv"]) and not has_points(["points=null"])


@pytest.mark.parametrize(
    ("content", "overrides", "words"),
    [
        ("", [], "points=points.csv: is empty; the first row names keys"),
        ("depth\n", [], "has a header and no row"),
        ("depth,\n3,4\n", [], "row 1: column 2 has no name"),
        ("depth,depth\n3,4\n", [], "row 1: depth names two columns"),
        ("depth,width\n3,4\n5\n", [], r"row 3: has 1 values for 2 keys \(depth, width\)"),
        ("dpth\n3\n", [], "row 2: .*did you mean depth"),
        ("depth\n3\nten\n", [], "row 3: depth=ten: must be a whole number"),
        ('depth\n"3,5"\n', [], "row 2: depth=3,5: is several values"),
        ("depth\n3\n", ["depth=4"], "row 2: depth: is typed on the command line too"),
        ("plan\ntrue\n", [], "row 2: plan: is the same for all jobs"),
        ("depth\n3\n3\n", [], "jobs 1 and 2 of 2 are the same run"),
    ],
)
def test_what_is_wrong_is_named_by_its_row(content, overrides, words):
    with pytest.raises(ConfigError, match=words):
        jobs_of(content, *overrides)
