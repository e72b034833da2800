"""Locks, deletes and writes stay inside of the folder that was given, and leave what is somebody else's alone."""

import hashlib
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from made_up import write_run, write_sweep
from repu_lab.cli import main
from repu_lab.configs.composition import Job, compose_jobs
from repu_lab.configs.config import ConfigError, config_hash
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.lock import locked
from repu_lab.runs.output import write_output
from repu_lab.runs.paths import check_inside, remove_group, remove_leftovers
from repu_lab.sweeps.group import GROUPS, make_group
from repu_lab.sweeps.sweep import Place, group_places, plan_groups, run_sweep

GROUP = "0123456789abcdef"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def held(folder: Path) -> dict[str, str]:
    """Return the files below a folder and what they hold."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes().decode(errors="replace") for path in files}


def made_group(place: Path) -> dict[str, str]:
    """Write what the lab leaves of a group, and one file of somebody else's."""
    (place / "checkpoints").mkdir(parents=True)
    for name in ("group.json", "checkpoints/step_0000000001.ckpt", "checkpoints/step_0000000002.ckpt.damaged"):
        (place / name).write_text("{}")
    (place / "checkpoints" / "newton.part").write_text("x")
    (place / "checkpoints" / ".step_0000000003.ckpt.4711").write_text("half")
    return held(place)


# --- what is deleted


def test_only_what_the_lab_writes_for_a_moment_is_a_leftover():
    folder = Path("run")
    folder.mkdir()
    gone = [".result.json.4711", ".step_0000000001.ckpt.1", ".lock.22", ".phase_diagram.png.3", ".weights.pt.99"]
    kept = [".notes.2024", ".result.json.old", ".result.json", "result.json.2", ".hidden", ".bashrc.1"]
    for name in [*gone, *kept]:
        (folder / name).write_text("x")
    (folder / ".config.yaml.7").mkdir()
    remove_leftovers(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, ".config.yaml.7"])


def test_a_group_goes_with_all_that_is_its_own():
    place = Path("sweep", GROUPS, GROUP)
    assert len(made_group(place)) == 5
    remove_group(place, Path("sweep"))
    assert not place.exists() and place.parent.is_dir()


def test_what_somebody_put_into_a_group_stays():
    place = Path("sweep", GROUPS, GROUP)
    made_group(place)
    (place / ".notes.2024").write_text("mine")
    (place / "checkpoints" / "best.ckpt").write_text("mine")
    remove_group(place, Path("sweep"))
    assert held(place) == {".notes.2024": "mine", "checkpoints/best.ckpt": "mine"}


@pytest.mark.parametrize("linked", [GROUPS, f"{GROUPS}/{GROUP}", f"{GROUPS}/{GROUP}/checkpoints"])
def test_no_group_is_removed_through_a_link(linked):
    outside = Path("outside").absolute()
    before = made_group(outside / GROUP)
    link = Path("sweep", linked)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / Path(GROUPS, *link.parts[2:]).relative_to(GROUPS))
    with pytest.raises(ConfigError, match="is a link or no folder"):
        remove_group(Path("sweep", GROUPS, GROUP), Path("sweep"))
    assert held(outside / GROUP) == before


def test_the_way_to_a_folder_is_looked_at_step_by_step():
    Path("real/a/b").mkdir(parents=True)
    Path("real/file").write_text("")
    Path("real/link").symlink_to("a")
    Path("real/gone").symlink_to("nowhere")
    Path("root").symlink_to("real")
    for inside in ("a/b", "a/new/er", "a"):
        check_inside(Path("root", inside), Path("root"))  # the root itself may be a link: the user named it
    for inside in ("link", "link/b", "gone", "gone/x", "file", "file/x"):
        with pytest.raises(ConfigError, match=r"root/(link|gone|file): is a link or no folder"):
            check_inside(Path("root", inside), Path("root"))


# --- sweeps


def sweep(*overrides: str) -> list[Job]:
    line = ["activation=tanh", "depth=1", "width=4", "steps=1", "batch_size=8", "probe=4", "sweep=s", "seed=0,1,2"]
    return compose_jobs("train", [*line, *overrides], multirun=True)


@pytest.mark.parametrize("rerun", [False, True])
@pytest.mark.parametrize("linked", ["groups", "job"])
def test_a_sweep_with_a_link_in_it_is_refused_before_anything_is_written(linked, rerun):
    jobs = sweep(f"rerun={str(rerun).lower()}")
    outside = Path("outside")
    made_group(outside / GROUP)
    (outside / GROUP / "group.json").unlink(missing_ok=linked == "job")  # which would be told as somebody's
    before = held(outside / GROUP)
    link = Path("outputs/sweeps/s", GROUPS) if linked == "groups" else jobs[1].folder
    link.parent.mkdir(parents=True)
    link.symlink_to((outside if linked == "groups" else outside / GROUP).absolute())
    with pytest.raises(ConfigError, match=f"{link.name}: is a link or no folder"):
        run_sweep("train", jobs, Place([]))
    assert held(outside / GROUP) == before and os.listdir("outputs/sweeps/s") == [link.name]


def test_rerun_forgets_groups_and_nothing_that_is_called_otherwise_or_linked():
    groups = Path("s", GROUPS)
    made_group(groups / GROUP)
    before = made_group(groups / "my_notes")
    outside = made_group(Path("outside"))
    (groups / ("f" * 16)).symlink_to(Path("outside").absolute())
    for place in group_places(Path("s")):
        remove_group(place, Path("s"))
    assert not (groups / GROUP).exists()
    assert held(groups / "my_notes") == before and held(Path("outside")) == outside


def odd_groups(hashes: list[str]) -> list[object]:
    return [
        None,
        5,
        "abc",
        [],
        [None],
        [5],
        [[hashes[0]]],
        [{"a": 1}],
        {hashes[0]: 1},
        ["unknown", hashes[0]],
        hashes[:1],
        hashes[:2] * 2,
    ]


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("named", ["by its jobs", "otherwise"])
def test_an_odd_group_is_no_group(number, named):
    """Each one ended every later sweep in a TypeError, or trained jobs twice or in the wrong company."""
    jobs = sweep()
    odd = odd_groups([config_hash("train", job.config) for job in jobs])[number]
    name = hashlib.sha256("".join(map(str, odd if isinstance(odd, list) else [])).encode()).hexdigest()[:16]
    place = Path("outputs/sweeps/s", GROUPS, name if named == "by its jobs" else GROUP)
    made_group(place)
    (place / "group.json").write_text(json.dumps({"jobs": odd}))
    (group,) = plan_groups("train", jobs, jobs, lambda config: 100)
    assert group.jobs == tuple(jobs)


def test_a_group_that_was_cut_off_is_known_by_the_hash_of_its_jobs():
    jobs = sweep()
    sweep_folder = Path("outputs/sweeps/s")
    group = make_group("train", jobs[1:], sweep_folder)
    assert group.place is not None
    made_group(group.place)
    text = json.dumps({"jobs": [config_hash("train", job.config) for job in jobs[1:]]})
    (group.place / "group.json").write_text(text)
    assert [g.jobs for g in plan_groups("train", jobs, jobs, lambda config: 100)] == [tuple(jobs[1:]), (jobs[0],)]
    moved = group.place.with_name(GROUP)
    group.place.rename(moved)
    assert [g.jobs for g in plan_groups("train", jobs, jobs, lambda config: 100)] == [tuple(jobs)]


# --- locks


@pytest.mark.parametrize("name", ["lock", "run.log", "events.out.tfevents.0.repu-lab"])
def test_a_second_name_of_a_file_keeps_its_content(name):
    """A backup by hard links (cp -al) shares its files with the run."""
    folder = RunFolder("run", echo=False)
    folder.path.mkdir()
    Path("backup").write_text("as it was\n")
    os.link("backup", folder.path / name)
    with folder.lock():
        folder.log("more")
        with open(folder.path / name, "a") as file:
            file.write("more")
        with pytest.raises(ConfigError, match="in use by another run"), locked(folder.path):
            pytest.fail("two hold one folder")
    assert Path("backup").read_text() == "as it was\n"
    assert name == "lock" or (folder.path / name).read_text().startswith("as it was\nmore")
    assert os.listdir("run").count(name) == 1 and not list(folder.path.glob(".*"))


def test_a_lock_of_two_names_that_is_held_elsewhere_is_respected():
    for name in ("one", "two"):
        Path(name).mkdir()
    with locked(Path("one")):
        os.link("one/lock", "two/lock")
        with pytest.raises(ConfigError, match="in use"), locked(Path("two")):
            pytest.fail("held")


@pytest.mark.parametrize("name", ["config.yaml", "result.json", "run.log", "statistics.npz"])
def test_a_folder_in_place_of_a_file_is_named(name):
    Path("run", name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=rf"run/{name}: is a folder"), locked(Path("run")):
        pytest.fail("held")


def test_what_is_moved_aside_passes_over_a_dangling_link_and_is_not_the_working_directory(monkeypatch):
    folder = RunFolder("run")
    folder.path.mkdir()
    (folder.path / "run.log").write_text("first")
    Path("run.1").symlink_to("nowhere")
    folder._move_aside()
    assert Path("run.2", "run.log").read_text() == "first" and not Path("run").exists()
    monkeypatch.chdir("run.2")
    with pytest.raises(ConfigError, match="the working directory is in it"):
        RunFolder(".")._move_aside()


# --- files that a user names


@pytest.fixture
def table() -> Path:
    write_sweep(Path("sweep"))
    return Path("table.csv")


def results(*options: str) -> int:
    return main(["results", "sweep", "--by", "config", *options])


def test_a_device_stays_a_device(table):
    device = os.stat(os.devnull)
    assert results("--csv", os.devnull, "--json", "/dev/full") == 2
    assert results("--csv", os.devnull) == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode) and os.stat(os.devnull).st_rdev == device.st_rdev


def test_a_link_is_followed_and_keeps_leading_there(table, capsys):
    Path("elsewhere").mkdir()
    table.symlink_to("elsewhere/table.csv")
    for _ in range(2):  # not there yet, and there
        assert results("--csv", str(table)) == 0
        assert table.is_symlink() and Path("elsewhere/table.csv").read_text().startswith("command,")
    assert os.listdir("elsewhere") == ["table.csv"]
    Path("loop").symlink_to("loop")
    Path("lost").symlink_to("no/where")
    capsys.readouterr()
    for name, why in (("loop", "cannot be written"), ("lost", "there is no folder")):
        assert results("--csv", name) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and why in err


def test_a_pipe_is_written_into(table):
    os.mkfifo(table)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(table.read_text()))
    reader.start()
    assert results("--csv", str(table)) == 0
    reader.join()
    assert read[0].startswith("command,") and stat.S_ISFIFO(table.stat().st_mode)


def test_a_file_is_replaced_in_one_step_with_its_permissions(table):
    table.write_text("old")
    table.chmod(0o640)
    before = table.stat().st_ino
    assert results("--csv", str(table)) == 0
    assert (stat.S_IMODE(table.stat().st_mode), table.stat().st_ino == before) == (0o640, False)
    longest = "x" * 255
    assert results("--csv", longest) == 0 and Path(longest).stat().st_size == table.stat().st_size
    assert results("--csv", longest + "x") == 2
    assert not [name for name in os.listdir() if name.startswith(".")]


OF_A_RUN = ["result.json", "manifest.json", "lock", "theory.json", "checkpoints/step_0000000001.ckpt", "own.csv"]


@pytest.mark.parametrize("name", OF_A_RUN)
@pytest.mark.parametrize("way", ["named", "linked"])
def test_no_table_is_written_over_a_file_of_a_run(name, way, capsys):
    folder = write_run(Path("sweep/run"))
    (folder / "checkpoints").mkdir()
    manifest = json.loads((folder / "manifest.json").read_text()) | {"files": {"own.csv": {"bytes": 1}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = held(folder)
    target = folder / name
    if way == "linked":
        Path("link").symlink_to(target)
        target = Path("link")
    assert results("--csv", str(target)) == 2
    assert "is a file of a run" in capsys.readouterr().err and held(folder) == before
    assert results("--csv", str(folder / "mine.csv")) == 0


def test_the_page_of_a_folder_is_not_written_through_a_link_that_lies_in_it(capsys):
    folder = write_run(Path("run"))
    Path("precious").write_text("mine")
    (folder / "report.html").symlink_to(Path("precious").absolute())
    assert main(["report", "run"]) == 2
    assert "report.html: is a link" in capsys.readouterr().err and Path("precious").read_text() == "mine"
    assert main(["report", "run", "--output", "page.html"]) == 0
    Path("link.html").symlink_to("page.html")
    assert main(["report", "run", "--output", "link.html"]) == 0 and Path("link.html").is_symlink()


def test_what_goes_to_the_own_output_is_not_replaced(capfd):
    """`--csv /dev/stdout > FILE`: what is printed before and after stays."""
    with open("out", "wb") as file:
        saved = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            os.write(1, b"before\n")
            write_output("--csv", Path("/dev/stdout"), "table\n")
            os.write(1, b"after\n")
        finally:
            os.dup2(saved, 1)
            os.close(saved)
    assert Path("out").read_text() == "before\ntable\nafter\n"
