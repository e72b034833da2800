"""Folders, configs and weights that somebody else sent: nothing in them runs, grows, or speaks to the terminal."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from repu_lab.cli import main
from repu_lab.configs.spelling import literal
from repu_lab.runs.building import load_population
from repu_lab.tracking.events import EVENTS_NAME

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
TINY = ["depth=2", "width=4", "steps=1", "batch_size=8", "probe=4", "initialization=he", "statistics=false"]
OWN = "activation: {name: custom, _target_: mine.Mine}\n"
LAUGHS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'ha'] * 9)}]\n" for i in range(30))
ESCAPE = "\x1b]0;owned\x07"
IN_YAML = r'"\e]0;owned\a"'

# What config.yaml holds, and what the one line must hold.
FILES = [
    (OWN, ["mine.Mine", "trust=true"]),
    ("activation: {name: relu, _target_: os.system}\n", ["os.system", "trust=true"]),
    ("activation: {name: custom, _target_: repu_lab.activations.ReLU, a: [{b: {_target_: os.system}}]}", ["os.system"]),
    ("activation: {name: relu, _target_: repu_lab_too.ReLU}\n", ["repu_lab_too.ReLU", "trust=true"]),
    ("depth: 3\noptimizer: {_target_: os.system}\n", ["os.system", "trust=true"]),
    (f"activation: {{name: custom, _target_: {IN_YAML}}}\n", [r"\x1b]0;owned\x07", "trust=true"]),
    (LAUGHS, ["alias"]),
    ("depth: &d 3\nwidth: *d\n", ["alias"]),
    ("depth: !!python/object/apply:os.system ['touch owned']\n", ["no plain YAML", "python/object"]),
    ("activation: !!python/name:os.system\n", ["no plain YAML"]),
    ("depth: !!binary aGE=\n", ["holds a bytes under depth"]),
    ("depth: 2020-01-01\n", ["holds a date under depth"]),
    ("sweep: ${oc.env:HOME}\n", ["refers to something else under sweep"]),
    ("depth: 0x" + "f" * 5000, ["a number of 20000 bits under depth"]),
    ("[" * 5000, ["nested too deeply"]),
    ("x" * 10_000_000, ["larger than 64 kB"]),
    ("depth: [\n", ["is no YAML"]),
    ("depth: \x00\n", ["is no YAML"]),
    ("", ["holds no keys"]),
    ("- 3\n", ["holds no keys"]),
    ("3: 4\n", ["has 3 for a key"]),
    ("{[1]: 4}\n", ["no plain YAML"]),
    ("dpth: 3\n", ["dpth", "did you mean depth?"]),
    ("hydra: {run: {dir: ../owned}}\n", ["hydra: no such key"]),
    ("hydra.run.dir: ../owned\n", ["hydra.run.dir: no such key"]),
    ('"hydra.run.dir=../owned#": 3\n', ["no such key"]),
    ('activation: {name: custom, "p=1 ": 3}\n', ["'p=1 '", "is not a key"]),
    ("trust: true\n" + OWN, ["trust=true"]),
    ("rerun: true\n", ["rerun: no such key"]),
    ("depth: ten\n", ["depth='ten'", "whole number"]),
    ("depth: {a: 1}\n", ["depth"]),
    ("depth: .nan\n", ["depth"]),
    ("width: [1, 2]\n", ["width"]),
    ("activation: 3\n", ["activation=3", "no such option"]),
    ("activation: [relu]\n", ["activation"]),
    ("activation: {name: 'relu,tanh'}\n", ["no such option"]),
    ("activation: {p: 2}\n", ["activation=null", "no such option"]),
    (f"dtype: {IN_YAML}\n", [r"\x1b]0;owned\x07", "float32"]),
    (f"{IN_YAML}: 3\n", [r"\x1b]0;owned\x07", "no such key"]),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def refused(line: list[str], capfd: pytest.CaptureFixture[str], *, anything_before: bool = False) -> str:
    """The one line that says why."""
    if anything_before:
        capfd.readouterr()
    assert main(line) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.endswith("\n") and err[:-1].isprintable() and len(err) < 1500, err
    return err


def trained(*overrides: str) -> Path:
    """A finished run."""
    assert main(["train", "activation=relu", *TINY, *overrides]) == 0
    (folder,) = Path("outputs").iterdir()
    return folder


@pytest.mark.parametrize(("text", "needles"), FILES, ids=lambda value: repr(value)[:40])
def test_a_config_is_data(text, needles, here, capfd):
    Path("mine.py").write_text("open('owned', 'w')\n")
    Path("config.yaml").write_text(text)
    error = refused(["train", *TINY, "config=config.yaml"], capfd)
    assert all(needle in error for needle in needles), error
    assert sorted(path.name for path in here.parent.rglob("*")) == ["config.yaml", "here", "mine.py"]


def test_a_folder_to_go_on_with_is_data_too(here, capfd):
    folder = trained()
    capfd.readouterr()
    Path("mine.py").write_text("open('owned', 'w')\n")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["activation"] = {"name": "custom", "_target_": "mine.Mine"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "trust=true" in refused(["train", f"resume={folder}", "steps=2"], capfd)
    (folder / "config.yaml").write_text(LAUGHS)
    assert "alias" in refused(["train", f"resume={folder}", "steps=2"], capfd)
    assert not Path("owned").exists()


def link(path: Path) -> None:
    path.symlink_to(Path("elsewhere").absolute() / ("" if path.name == "checkpoints" else "file"))


LED_ELSEWHERE = ["lock", "run.log", "checkpoints", EVENTS_NAME, "checkpoints/step_0000000001.ckpt"]


@pytest.mark.parametrize("make", [link, os.mkfifo])
@pytest.mark.parametrize("name", LED_ELSEWHERE)
def test_a_folder_that_leads_elsewhere_is_not_written_through(name, make, capfd):
    """A run empties its lock, cuts its events, appends to its log and clears checkpoints/ of what a kill left."""
    folder = trained()
    Path("elsewhere").mkdir()
    held = {"file": "precious", ".hidden": "too", ".step_0000000001.ckpt.7": "too"}
    for other, text in held.items():
        Path("elsewhere", other).write_text(text)
    moved = folder / name
    moved.rename(folder / "aside")
    make(moved)
    error = refused(["train", f"resume={folder}", "steps=2"], capfd, anything_before=True)
    assert f"{name}: is a link or a device" in error
    assert {path.name: path.read_text() for path in Path("elsewhere").iterdir()} == held


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json", "result.json"])
def test_nobody_waits_for_a_pipe(name):
    folder = trained()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert main(["train", f"resume={folder}", "steps=2"]) == (2 if name == "config.yaml" else 0)
    if name == "config.yaml":
        assert main(["train", "activation=relu", *TINY, "seed=1", f"hydra.run.dir={folder}"]) == 2
        with pytest.raises(ValueError, match=r"config\.yaml: is no file"):
            load_population(folder)


OTHER_TYPES = [
    ("manifest.json", {"resumed": 5}, 0),
    ("manifest.json", {"resumed": {ESCAPE: 1}, "start": [ESCAPE]}, 0),
    ("manifest.json", {"group": 5}, 2),
    ("manifest.json", {"group": {"jobs": ESCAPE}}, 2),
    ("manifest.json", {"command": [ESCAPE]}, 2),
    ("manifest.json", {"device": {ESCAPE: 1}, "threads": ESCAPE, "versions": 5}, 0),
    ("manifest.json", {"files": {ESCAPE: 1, "\0": None, "..": {}}}, 0),
    ("result.json", {"steps": ESCAPE}, 0),
    ("result.json", {"steps": [3]}, 0),
]


@pytest.mark.parametrize(("name", "content", "code"), OTHER_TYPES, ids=lambda value: repr(value)[:40])
def test_what_a_folder_says_of_itself_is_data_of_any_type(name, content, code, capfd):
    folder = trained()
    stored = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(stored | content))
    assert main(["train", f"resume={folder}", "steps=2"]) == code
    out, err = capfd.readouterr()
    assert (out + err).replace("\n", "").isprintable() and "Traceback" not in out + err


@pytest.mark.parametrize("outcomes", [None, 5, {ESCAPE: 1}])
def test_a_stored_result_of_another_type_is_not_what_is_required(outcomes, capfd):
    folder = trained()
    stored = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(stored | {"outcomes": outcomes}))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": {}}))
    assert main(["train", "activation=relu", *TINY, "require=trained"]) == 3
    assert "".join(capfd.readouterr()).replace("\n", "").isprintable()


class Payload:
    """What unpickling would run."""

    def __reduce__(self):
        return open, ("owned", "w")


@pytest.mark.parametrize(
    "damage", ["pickle", "zip of a pickle", "empty", "cut", "no theta", "other sizes", "missing", "pipe"]
)
def test_weights_are_data(damage):
    folder = trained()
    assert load_population(folder).members == 1
    weights = folder / "weights.pt"
    saved = torch.load(weights, weights_only=True)
    if damage == "pickle":
        weights.write_bytes(pickle.dumps({"theta": Payload(), "sizes": [1]}, 2))
    elif damage == "zip of a pickle":
        torch.save({"theta": Payload(), "sizes": [1]}, weights)
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "no theta":
        torch.save([1, 2], weights)
    elif damage == "other sizes":
        torch.save(saved | {"sizes": [64, 4, 10]}, weights)
    else:
        weights.unlink()
        if damage == "pipe":
            os.mkfifo(weights)
    with pytest.raises(ValueError, match=r"weights\.pt: ") as caught:
        load_population(folder)
    assert "\n" not in str(caught.value) and not Path("owned").exists()


@pytest.mark.parametrize(("text", "needle"), [(OWN, "trust=True"), (LAUGHS, "alias"), ("", "no keys")])
def test_networks_are_not_loaded_by_a_foreign_config(text, needle):
    folder = trained()
    Path("mine.py").write_text("open('owned', 'w')\n")
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml: holds \d+ of \d+ bytes"):
        load_population(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=needle):
        load_population(folder)
    assert not Path("owned").exists()


def test_modules_that_lie_in_the_working_directory_are_not_imported():
    for name in ("torch", "numpy", "yaml", "json", "matplotlib", "tensorboard", "repu_lab", "tqdm", "multiprocessing"):
        Path(f"{name}.py").write_text("open('owned', 'w')\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    line = ["train", "-m", *TINY, "statistics=true", "seed=1,2"]
    done = subprocess.run([REPU_LAB, *line], capture_output=True, check=False, env=environment)
    assert done.returncode == 0 and not Path("owned").exists(), done.stderr


@pytest.mark.parametrize(
    "line",
    [
        [f"hydra.run.dir='{ESCAPE}'"],
        ["-m", f"hydra.sweep.dir='{ESCAPE}'"],
        [f"resume='{ESCAPE}'"],
        [f"task.target='{ESCAPE}'"],
        ["activation=custom", f"activation._target_='mine.{ESCAPE}'"],
        ["activation=custom", "activation._target_=raising.Mine"],
        [ESCAPE],
    ],
    ids=repr,
)
def test_no_name_speaks_to_the_terminal(line, capfd):
    Path("raising.py").write_text(f"raise RuntimeError({ESCAPE!r})\n")
    assert r"\x1b]0;owned\x07" in refused(["train", *TINY, *line], capfd)


def test_what_a_folder_holds_speaks_to_no_terminal(tmp_path, monkeypatch, capfd):
    (tmp_path / ESCAPE).mkdir()
    monkeypatch.chdir(tmp_path / ESCAPE)
    folder = trained()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"verdict": ESCAPE, "outcomes": {ESCAPE: 1}}))
    assert main(["train", "activation=relu", *TINY]) == 0
    Path("mine.py").write_text(
        "import torch\nclass Mine(torch.nn.Tanh):\n  def __init__(self, a): super().__init__()\n"
    )
    custom = ["activation=custom", "activation._target_=mine.Mine", f"+activation.a='{ESCAPE}',b"]
    assert main(["train", "-m", *TINY, *custom]) == 0
    assert main(["train", *TINY, "activation=custom", "activation._target_=no.Thing"]) == 2
    assert main(["results", str(tmp_path)]) == 0
    assert main(["results", str(tmp_path / ESCAPE / "not_there")]) == 2
    out, err = capfd.readouterr()
    assert (out + err).replace("\n", "").isprintable(), (out, err)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.text(max_size=12) | st.text("\\'\"${},[]=#\n a", max_size=12))
def test_text_given_back_is_the_same_text(text):
    (override,) = OverridesParser.create().parse_overrides([f"sweep={literal(text)}"])
    assert OmegaConf.create({"sweep": override.value()}).sweep == text  # what the command gets
