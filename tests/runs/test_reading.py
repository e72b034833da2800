"""What a run holds is shown as it was written, or as damaged, whatever reads it; nothing in it stops a tree."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from made_up import CONFIG, write_run
from repu_lab.catalogue import rows, scan
from repu_lab.catalogue.printing import as_csv, as_json, as_table
from repu_lab.cli import main
from repu_lab.configs import files
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.files import Damaged
from repu_lab.report.stored import Statistics
from repu_lab.runs import reading
from repu_lab.runs.building import load_population
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.job import run_job
from repu_lab.runs.reading import SMALL, Contents, file_entry
from repu_lab.sweeps.job_table import print_table

TINY = ("activation=tanh", "depth=2", "width=4", "steps=2", "batch_size=8", "probe=4")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Path:
    assert main(["train", *TINY, "hydra.run.dir=tree/run"]) == 0
    return Path("tree/run")


def flipped(path: Path) -> None:
    """Change the last digit in a text, or a byte in the middle: the size stays."""
    content = bytearray(path.read_bytes())
    at = max((i for i, byte in enumerate(content) if byte in b"0123456789"), default=0)
    content[at] ^= 1
    path.write_bytes(content)


def state(tree: str = "tree") -> tuple[str, str]:
    (run,) = scan(tree)
    return run.state, run.note


# --- altered


@pytest.mark.parametrize("command", ["trian", "claim", None, 7])
def test_a_run_whose_manifest_names_another_command_does_not_drop_out_of_the_tree(command, run):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"command": command}))
    assert state()[0] == "damaged" and "manifest.json has the command" in state()[1]


@pytest.mark.parametrize("name", ["result.json", "config.yaml", "statistics.npz", "weights.pt"])
def test_an_altered_file_is_damaged_wherever_the_run_is_shown(name, run, capsys):
    flipped(run / name)
    message = f"{name} is not as it was written"
    assert state() == ("damaged", message)
    (shown,) = scan("tree")
    assert (len(shown.members), bool(shown.config)) == (name != "result.json", name != "config.yaml")
    assert main(["report", "tree"]) == main(["report", str(run)]) == 0
    for page in ("tree/report.html", f"{run}/report.html"):
        assert message in Path(page).read_text()
    (job,) = compose_jobs("train", [*TINY, f"hydra.run.dir={run}"])
    capsys.readouterr()
    assert run_job(job_command("train"), job.config, job.folder) == 0  # made again from the last checkpoint
    assert f"not as it was written: {name}; made again" in capsys.readouterr().out
    assert state() == ("finished", "")


def test_a_small_file_is_hashed_in_a_tree_and_a_large_one_if_it_is_alone_or_loaded(run):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "large").write_bytes(bytes(SMALL + 1))
    (run / "small").write_bytes(bytes(SMALL))
    for name in ("large", "small"):
        manifest["files"][name] = file_entry(run / name)
    (run / "manifest.json").write_text(json.dumps(manifest))
    for name in ("large", "small"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(b"1" + content[1:])
        assert state() == (("finished", "") if name == "large" else ("damaged", "small is not as it was written"))
        assert state(str(run))[1] == f"{name} is not as it was written"
        with pytest.raises(Damaged, match=f"{name} is not as"):
            Contents(run).stream(name)
        (run / name).write_bytes(content[1:])
        assert state()[1] == f"{name} holds {len(content) - 1} of {len(content)} bytes"
        (run / name).write_bytes(content)


@pytest.mark.parametrize("name", ["config.yaml", "weights.pt"])
def test_altered_networks_are_not_loaded_whatever_their_size(name, run, monkeypatch):
    monkeypatch.setattr(reading, "CHECKED", 1)  # all files are large
    monkeypatch.setattr(reading, "SMALL", 1)
    assert load_population(run).members == 1
    flipped(run / name)
    with pytest.raises(ValueError, match=f"{name}: is not as it was written"):
        load_population(run)


def test_statistics_that_were_altered_are_not_drawn(run):
    assert Statistics(run).steps
    flipped(run / "statistics.npz")
    with pytest.raises(Damaged, match="not as it was written"):
        Statistics(run)


def test_runs_of_an_older_version_stay_whole(run):
    """Their large files have a size and no SHA-256, or the manifest lists no files at all."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"]["weights.pt"]["sha256"] = None
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert state() == state(str(run)) == ("finished", "") and load_population(run).members == 1
    assert RunFolder(run).damaged() == []
    del manifest["files"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert state() == ("finished", "") and RunFolder(run).read_json("result.json") is not None


# --- whatever a folder holds

DIGITS = "9" * 5000
CONFIGS = [
    "1: 2\na: 3\n", "a: {1: x, b: {c: 1, 2: 3}}\n", "a: {x: {1: y, b: z, 2020-01-01: w}}\n", "d: 2020-01-01\n",
    f"a: {DIGITS}\n", "a: 0x" + "f" * 5000, "a: !!int ''\n", "a: !!bool x\n", "a: !!timestamp x\n", "a: !!set {1, b}\n",
    "1:1:1\n", "a: " + ":".join(["1"] * 300) + ".5\n", "[" * 30_000, "- " * 30_000, "{a: " * 10_000 + "}" * 10_000,
    "? " * 30_000, "a: &a [*a]\n", "a: !!binary eA==\n", "<<: 3\n", "a: b: c\n", "? [1]\n: 2\n", "\0", "a: ${b}\n",
]  # fmt: skip


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: repr(text)[:30])
def test_whatever_a_config_holds_its_row_says_damaged(text):
    folder = write_run(Path("tree/run"))
    (folder / "config.yaml").write_text(text)
    assert state()[0] == "damaged" and state()[1].startswith("config.yaml ")


def test_a_usual_config_is_read_as_python_alone_reads_it():
    folder = write_run(Path("tree/run"), depth=3, optimizer={"lr": 1e-3, "clip": None}, name="a - b ? [c] {d} *e")
    assert Contents(folder).config() == yaml.safe_load((folder / "config.yaml").read_text())
    assert Contents(folder).config()["activation"] == CONFIG["activation"]


NUMBERS = [
    [{"metric": int("9" * 309)}], [{"metric": -int("9" * 308)}, {"metric": int("9" * 308)}, {"metric": int("8" * 308)}],
    [{"seed": int("9" * 308), "layer": int("7" * 308), "step": int("9" * 308)}] * 2,
    [{"layer": -1.5}, {"layer": 1e308}],
    [{"outcome": "\ud800", "metric_name": "\0"}], [{"measures": {"\ud800": int("9" * 308)}}, {"measures": {"\0": "x"}}],
    [{"outcome": ["trained"], "seed": [1], "metric": {"a": 1}}],
]  # fmt: skip


@pytest.mark.parametrize("members", NUMBERS, ids=lambda members: repr(members)[:30])
@pytest.mark.parametrize("by", ["member", "run", "config"])
def test_no_number_or_name_in_a_result_stops_a_table(members, by):
    write_run(Path("tree/odd"), members)
    write_run(Path("tree/good"))
    table = rows(scan("tree"), by)
    for text in (as_table(table, by), as_csv(table), as_json(table)):
        text.encode()
    assert len(table) >= 1 and main(["report", "tree"]) == main(["report", "tree/odd"]) == 0


PYTHONS = "Traceback (most recent call last):\n  File x, line 1\n    f()\n"
TRACEBACKS = {
    f"{PYTHONS}RuntimeError: boom\n\n": "RuntimeError: boom",
    f"{PYTHONS}KeyError: 1\n\nDuring handling of it:\n\n{PYTHONS}ValueError: CUDA:\nset CUDA=1\n": "ValueError: CUDA:",
    f"the process was ended by SIGKILL\n{PYTHONS}KeyError: 1\nlast words\n": "the process was ended by SIGKILL",
    "Traceback\n": "Traceback",
    " \n": "ended without a result",
}


@pytest.mark.parametrize("text", TRACEBACKS)
def test_a_failure_is_the_same_line_in_the_table_of_its_sweep_and_of_all_runs(text, capsys):
    (job,) = compose_jobs("train", [*TINY, "seed=3", "sweep=s"], multirun=True)
    folder = write_run(job.folder, status="failed")
    (folder / "traceback.txt").write_text(text)
    assert state(str(folder)) == ("failed", TRACEBACKS[text])
    assert print_table("train", [job]) == 1
    assert f"failed: {TRACEBACKS[text]} (in 1)" in capsys.readouterr().out


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 42)


@pytest.mark.parametrize("put", [pipe, endless, Path.mkdir, huge])
@pytest.mark.parametrize(
    "name", ["lock", "statistics.npz", "manifest.json", "config.yaml", "result.json", "traceback.txt", "run.log"]
)
@pytest.mark.parametrize("status", ["finished", "running", "failed"])
def test_nobody_waits_for_what_is_no_file_or_takes_memory_for_it(put: Callable[[Path], None], name, status):
    folder = write_run(Path("tree/run"), status=status)
    (folder / name).unlink(missing_ok=True)
    put(folder / name)
    write_run(Path("tree/good"))
    states = {run.folder: run.state for run in scan("tree")}
    assert states["good"] == "finished"
    needed = {"finished": ["statistics.npz", "result.json"], "running": ["lock"]}.get(status, [])
    if name in ("manifest.json", "config.yaml", *needed):
        assert states["run"] == "damaged" or (name, put) == ("lock", huge)
    assert main(["report", "tree"]) == main(["report", str(folder)]) == 0


NAMES = ["\0", "..", "../good/manifest.json", "/etc/passwd", "", "\ud800", "a\nb", "x" * 300]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_manifest_that_lists_odd_names_is_damaged(name, capsys):
    folder = write_run(Path("tree/run"))
    manifest = json.loads((folder / "manifest.json").read_text()) | {"files": {name: {"bytes": 3, "sha256": "x"}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert state()[0] == "damaged"
    assert main(["results", "tree"]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_a_json_of_millions_of_parts_is_refused_before_memory_is_taken(monkeypatch):
    folder = write_run(Path("tree/run"))
    monkeypatch.setattr(files, "MOST_PARTS", 1000)
    assert state()[0] == "finished"
    (folder / "result.json").write_text('{"members": [' + "{}," * 1000 + "{}]}")
    assert state() == ("damaged", "result.json holds more than 1000 entries")


# --- a manifest that is lost


def test_a_finished_run_that_lost_its_manifest_goes_on_and_is_as_before(run, capsys):
    weights, table = (run / "weights.pt").read_bytes(), dict(np.load(run / "statistics.npz"))
    (run / "manifest.json").unlink()
    (run / ".notes.2024").write_text("mine")
    (run / "notes.txt").write_text("mine")
    assert main(["train", *TINY, "hydra.run.dir=tree/run"]) == 0
    assert "resumed:  from the checkpoint at step 2" in capsys.readouterr().out
    assert state() == ("finished", "") and (run / "weights.pt").read_bytes() == weights
    again = dict(np.load(run / "statistics.npz"))
    assert again.keys() == table.keys() and all(
        np.array_equal(again[k], table[k], equal_nan=k != "axes") for k in again
    )
    assert (run / ".notes.2024").read_text() == (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("config", ["another", "none", "no YAML"])
def test_without_a_manifest_nothing_but_its_own_run_goes_on(config, run, capsys):
    (run / "manifest.json").unlink()
    if config == "none":
        (run / "config.yaml").unlink()
    if config == "no YAML":
        (run / "config.yaml").write_text("[")
    assert main(["train", *TINY, *(["seed=7"] if config == "another" else []), "hydra.run.dir=tree/run"]) == 2
    assert "holds files that are not of a run" in capsys.readouterr().err


# --- a job of a sweep that was extended


def test_a_job_that_was_extended_does_not_lock_its_sweep_out(capsys):
    line = [*TINY, "depth=1,2,3", "statistics=false", "sweep=s"]
    jobs = compose_jobs("train", line, multirun=True)
    assert main(["train", "-m", *line]) == 0
    assert main(["train", f"resume={jobs[1].folder}", "steps=5"]) == 0
    assert "is a job of the sweep in" in capsys.readouterr().out
    (jobs[2].folder / "result.json").unlink()
    before = (jobs[1].folder / "manifest.json").read_bytes()
    assert main(["train", "-m", *line]) == 0
    out = capsys.readouterr().out
    assert out.count("extended to 5 steps") == 1 and "3 jobs in" in out
    assert (jobs[1].folder / "manifest.json").read_bytes() == before
    assert json.loads((jobs[2].folder / "result.json").read_text())["steps"] == 2
    assert main(["train", "-m", *line, "plan=true"]) == 0
    assert "jobs:    2 finished, 1 extended" in capsys.readouterr().out
    assert main(["train", "-m", *line, "rerun=true"]) == 0
    assert "extended" not in capsys.readouterr().out
    assert json.loads((jobs[1].folder / "result.json").read_text())["steps"] == 2


def test_what_is_not_this_job_with_more_steps_is_another_run(capsys):
    line = [*TINY, "depth=1,2", "steps=3", "statistics=false", "sweep=s"]
    jobs = compose_jobs("train", line, multirun=True)
    other = ["train", *TINY, "depth=1", "statistics=false", f"hydra.run.dir={jobs[0].folder}"]
    assert main(other) == 0  # two steps: fewer
    assert main(["train", "-m", *line]) == 2
    assert "steps is 2 there and 3 here" in capsys.readouterr().err
    shutil.rmtree(jobs[0].folder)
    assert main([*other, "steps=5", "seed=4"]) == 0
    assert main(["train", "-m", *line]) == 2
    assert "seed is 4 there and 0 here" in capsys.readouterr().err


def test_a_damaged_result_is_damaged_in_the_table_of_a_sweep(capsys):
    (job,) = compose_jobs("train", [*TINY, "sweep=s"], multirun=True)
    assert run_job(job_command("train"), job.config, job.folder) == 0
    flipped(job.folder / "result.json")
    capsys.readouterr()
    assert print_table("train", [job]) == 1
    assert "total: 1 job damaged" in capsys.readouterr().out


def test_a_run_that_an_earlier_version_finished_is_found(tmp_path, monkeypatch, capsys):
    """tests/runs/finished_before is a run of version 0.1.0, but for its arrays and weights."""
    monkeypatch.chdir(tmp_path)
    folder = Path("outputs/train-relu-depth3-width16-critical-808cac83")
    shutil.copytree(Path(__file__).with_name("finished_before"), folder)
    assert main(["train", "activation=relu", "depth=3", "width=16", "steps=8", "threads=1", "device=cpu"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("stored result of 2026-11-27T18:37:58+00:00 (commit ffc8508)")
    assert said[1].endswith("| measured: learning, accuracy 0.196") and said[2] == f"folder:   {folder}"
    assert not any((folder / name).exists() for name in ("weights.pt", "lock"))
