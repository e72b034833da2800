"""A user's own code decides the result: it is in the name of a run's folder, and an edit makes another run of it."""

import json
import os
from pathlib import Path

import pytest

from repu_lab.cli import main
from repu_lab.configs.code import activation_name, code_of
from repu_lab.configs.composition import compose_jobs

MINE = """
import torch
from helper import SLOPE
def bent(z, table=None): return torch.tanh(z) + SLOPE * z
"""
CUSTOM = ["activation=custom", "activation._target_=mine.bent"]
TINY = ["depth=2", "width=8", "steps=2", "batch_size=16", "probe=4", "statistics=false", "optimizer.lr=0.01"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("SLOPE = 0.1\n")
    return tmp_path


def folder(*overrides: str) -> str:
    (job,) = compose_jobs("train", overrides)
    return job.folder.name


def edit(file: Path, text: str) -> None:
    """Write with another time: file systems may count in steps longer than a test takes."""
    before = os.stat(file).st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def test_the_labs_own_runs_keep_their_folders():
    assert folder("activation=repu", "depth=50") == "train-repu_p2-depth50-width128-critical-6937f863"


def test_the_folder_carries_the_users_name_and_every_file_of_the_activation(home):
    names = [folder(*CUSTOM)]
    assert names[0].startswith("train-bent-depth10-")
    edit(home / "mine.py", MINE.replace("tanh", "sin"))
    names.append(folder(*CUSTOM))
    edit(home / "helper.py", "SLOPE = 0.2\n")
    names.append(folder(*CUSTOM))
    for text in ("1", "2"):
        edit(home / "table.csv", text)
        names.append(folder(*CUSTOM, "+activation.table=table.csv"))
    assert len(set(names)) == len(names)
    edit(home / "other.py", "")
    assert folder(*CUSTOM, "+activation.table=table.csv") == names[-1]


def test_packages_and_relative_imports(home):
    (home / "pack").mkdir()
    for name, text in (("__init__", ""), ("a", "from .b import f\n"), ("b", "from pack import c\n"), ("c", "")):
        (home / "pack" / f"{name}.py").write_text(text)
    assert set(code_of({"_target_": "pack.a.f"})) == {"a.py", "b.py", "c.py", "__init__.py"}
    assert set(code_of({"_target_": "torch.nn.PReLU"})) == {"__init__.py"}
    assert code_of({"_target_": "repu_lab.activations.ReLU"}) == code_of({"_target_": "not.there"}) == {}


def test_a_finished_run_of_other_code_is_not_its_result(home, capsys):
    run = ["train", *CUSTOM, *TINY, "hydra.run.dir=here"]
    assert main(run) == 0
    manifest = json.loads((home / "here" / "manifest.json").read_text())
    assert set(manifest["code"]) == {"mine.py", "helper.py"}
    assert main(run) == 0 and "stored result" in capsys.readouterr().out
    edit(home / "helper.py", "SLOPE = 0.2\n")
    assert main(run) == 2
    assert "holds another run: helper.py changed since" in capsys.readouterr().err
    assert main(["train", "resume=here", "trust=true", "steps=4"]) == 2
    assert "helper.py changed since" in capsys.readouterr().err


def test_names():
    assert activation_name({"name": "custom", "_target_": "a.b.Mine"}) == "Mine"
    assert activation_name({"name": "relu", "_target_": "repu_lab.activations.ReLU"}) == "relu"
