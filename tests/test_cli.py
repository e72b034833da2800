"""The command line as users meet it: answers, exit codes, and one line for every mistake."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from repu_lab import __version__
from repu_lab.cli import SPINS, main
from repu_lab.configs.groups import conf_dir
from repu_lab.runs import training
from repu_lab.tasks import images

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
TINY = ["depth=2", "width=8", "steps=2", "batch_size=16", "probe=4", "initialization=he", "statistics=false"]
# A user's activation that goes wrong on its first forward pass in a worker, in the way its argument names.
FAULTY = """
import multiprocessing, os, signal, torch
class Faulty(torch.nn.Tanh):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault
    def forward(self, z):
        if z.dim() == 3 and z.dtype == torch.float32 and self.fault == "raise":
            raise RuntimeError("boom")
        if z.dim() == 3 and z.dtype == torch.float32 and self.fault == "interrupt":
            os.kill(multiprocessing.parent_process().pid, signal.SIGINT)
            self.fault = "none"
        return super().forward(z)
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(folder: Path) -> dict:
    (path,) = folder.rglob("result.json")
    return json.loads(path.read_text())


def manifest(folder: Path) -> dict:
    (path,) = folder.rglob("manifest.json")
    return json.loads(path.read_text())


# What is typed after `repu-lab`, and what the one line must hold: the key, and the nearest match or the valid values.
MISTAKES = [
    (["trian"], ["trian", "did you mean train?"]),
    (["depth=5"], ["repu-lab train depth=5"]),
    (["--verison"], ["--verison", "did you mean --version?"]),
    (["train", "--multrun"], ["--multrun", "did you mean --multirun?"]),
    (["train", "--cfg", "jobs"], ["--cfg jobs", "job, hydra or all"]),
    (["train", "--cfg"], ["--cfg", "job, hydra or all"]),
    (["train", "--cfg", "job", "-m"], ["--cfg", "leave out -m"]),
    (["train", "--resolve"], ["--resolve", "--cfg job"]),
    (["train", "dpth=3"], ["dpth=3", "did you mean depth?", "width"]),
    (["train", "optimizer.lrr=1"], ["optimizer.lrr", "did you mean optimizer.lr?", "weight_decay"]),
    (["train", "optimzer.lr=1"], ["optimzer.lr", "did you mean optimizer.lr?"]),
    (["train", "lr=1e-3"], ["lr=1e-3", "did you mean optimizer.lr?"]),
    (["train", "activation=rep"], ["activation=rep", "did you mean repu?", "mrepu"]),
    (["train", "-m", "activation=relu,rep"], ["activation=rep", "did you mean repu?"]),
    (["train", "hydra/launcher=foo"], ["hydra/launcher=foo", "valid options: cluster, lab, slurm\n"]),
    (["train", "hydra/launcher=basic"], ["hydra/launcher=basic", "valid options: cluster, lab, slurm\n"]),
    (["train", "hydra/launchr=lab"], ["hydra/launchr", "did you mean hydra/launcher?"]),
    (["train", "experiment=repu_explode"], ["experiment=repu_explode", "did you mean repu_explodes?", "relu_trains"]),
    (["train", "depth=ten"], ["depth=ten", "whole number"]),
    (["train", "depth=2.5"], ["depth=2.5", "whole number"]),
    (["train", "statistics=maybe"], ["statistics=maybe", "true or false"]),
    (["train", "depth=0"], ["depth=0", "whole number from 1"]),
    (["train", "width=-1"], ["width=-1", "whole number from 1"]),
    (["train", "members=0"], ["members=0", "whole number from 1"]),
    (["train", "-m", "depth=5,0,3"], ["depth=0", "job 2 of 3"]),
    (["train", "dtype=int8"], ["dtype=int8", "float32"]),
    (["train", "dtype=flaot32"], ["dtype=flaot32", "did you mean float32?"]),
    (["train", "checkpoint=${width}"], ["checkpoint=128", "checkpoint.every_seconds"]),  # the fuzz's line 2,452
    (["train", "checkpoint=0"], ["checkpoint=0: is a group of keys", "write checkpoint.every_seconds=0, a finite num"]),
    (["train", "checkpoint=null"], ["write checkpoint.every_seconds=VALUE"]),
    (["train", "checkpoint={every: 5}"], ["write checkpoint.every_seconds=VALUE"]),
    (["train", "optimizer=[adam,sgd]"], ["valid options: adam, adamw, sgd", "-m optimizer=A,B"]),
    (["train", "sweep=[a,b]"], ["sweep=[a,b]: must be text (name of the sweep's folder"]),
    (["train", "plan=3"], ["plan=3: must be true or false"]),
    (["train", "activation={name: relu, slope: 2}"], ["one by one, activation=relu activation.slope=2"]),
    (["train", "experiment=null"], ["experiment=null: no such option", "leave it out"]),
    (["train", "hydra=3"], ["hydra=3: is set by the lab", "hydra.run.dir"]),
    (["train", "hydra.run.dir=null"], ["hydra.run.dir=null: must be text"]),
    (["train", "hydra.searchpath=3"], ["hydra.searchpath=3: must be a list of folders"]),
    (["train", "-m", "hydra.launcher.workers=x"], ["hydra.launcher.workers=x: must be a whole number"]),
    (["train", "-m", "hydra.launcher.devices=0"], ["hydra.launcher.devices=0: must be a list, [A,B]"]),
    (["train", "task=file", "task.path=a${x}.csv"], ["task.path=a${x}.csv: ", "'x' not found", "\\${...}"]),
    (["train", "resume=3"], ["resume=3: must be the text of one path, the folder of a run"]),
    (["train", "require=train"], ["require=train", "did you mean trained?"]),
    (["theory", "optimizer=sgd"], ["optimizer=sgd", "no such key"]),
    (["propagate", "steps=5"], ["steps=5", "no such key"]),
    (["train", "optimizer.lr=fast"], ["optimizer.lr=fast", "auto"]),
    (["train", "optimizer.lr=1" + "0" * 400], ["optimizer.lr=100", "auto or a finite number"]),  # no float holds it
    (["train", "task.criterion=-1" + "0" * 400], ["task.criterion=-100", "a finite number"]),
    (["train", "initialization.c_w=1"], ["initialization.c_w", "initialization=custom"]),
    (["train", "initialization=custom"], ["initialization.c_w"]),
    (["train", "initialization.name=he"], ["initialization.name", "initialization=he"]),
    (["train", "activation._target_=a.B"], ["activation._target_", "activation=custom"]),
    (["train", "activation={p: 3}"], ["activation", "one by one"]),
    (["train", "depth"], ["depth: has no value", "key=value"]),
    (["train", "relu"], ["relu", "did you mean activation=relu?"]),
    (["train", ""], ["''", "key=value"]),
    (["train", "=5"], ["=5", "key is missing"]),
    (["train", "depth==5"], ["depth==5", "cannot be read"]),
    (["train", "depth=[1,2"], ["depth=[1,2", "cannot be read"]),
    (["train", "depth='5"], ["depth='5", "cannot be read"]),
    (["train", "1=3"], ["1=3", "key"]),
    (["train", "depth=\n\n5"], ["depth=\\n\\n5", "cannot be read"]),
    (["train", "depth=" + "[" * 3000], ["depth=[", "cannot be read"]),
    (["train", "depth=5,10"], ["depth=5,10", "-m"]),
    (["train", "-m", "depth=interval(1,2)"], ["interval", "range("]),
    (["train", "-m", "depth=range(5,5)"], ["depth=range(5,5)", "no value"]),
    (["train", "-m", "depth=range(5,1,0)"], ["depth=range(5,1,0)", "zero"]),
    (["train", "-m", "depth=range(200000,1,-1)"], ["depth=range(200000,1,-1)", "more than 100000 jobs"]),
    (["train", "-m", "activation=glob(x*)"], ["activation=glob(x*)", "no value", "relu"]),
    (["train", "-m", "depth=rnge(1,5)"], ["rnge", "range"]),
    (["train", "-m", "depth=5,5"], ["same run", "depth=5"]),
    (["train", "+new=3"], ["new=3", "no such key", "depth"]),
    (["train", "+dpth=3"], ["dpth=3", "did you mean depth?"]),
    (["train", "+depth=3"], ["+depth=3", "leave out the +"]),
    (["train", "+activation=relu"], ["+activation=relu", "leave out the +"]),
    (["train", "~depth"], ["~depth", "depth="]),
    (["train", "~optimizer"], ["~optimizer", "optimizer="]),
    (["train", "activation@other=relu"], ["activation@other", "leave out"]),
    (["train", "+activation.slope=1"], ["activation.slope", "valid in activation: p"]),
    (["train", "activation=custom"], ["activation._target_", "my_module.MyActivation"]),
    (["train", "activation=custom", "activation.a=1"], ["+activation.a=1"]),
    (["train", "width=${foo}"], ["width", "foo"]),
    (["theory", "activation=formula", "activation.formula=abs(z)**.4", "initialization=he"], ["formula", "than 1/2"]),
    (["train", "hydra.run.dir=${foo}"], ["hydra.run.dir", "foo"]),
    (["train", "-m", "seed=1,2", "hydra.sweeper.max_batch_size=2"], ["max_batch_size=2", "you may set"]),
    (["train", "hydra.run.dr=x"], ["hydra.run.dr", "did you mean hydra.run.dir?"]),
    (["train", "hydra.mode=MULTIRUN"], ["hydra.mode", "-m"]),
    (["train", "hydra.searchpath=[file:///not/there]"], ["hydra.searchpath", "/not/there"]),
    (["train", "hydra.run.dir=/dev/null/x"], ["hydra.run.dir=/dev/null/x", "is a file"]),
    (["train", "config=nowhere.yaml"], ["config=nowhere.yaml", "cannot be read"]),
    # These need torch, the data or the machine to be found.
    (["train", "activation.p=0.3"], ["activation.p=0.3", "greater than 1/2"]),
    (["train", "-m", "activation.p=2,0.3"], ["activation.p=0.3", "greater than 1/2"]),
    (["train", "batch_size=100000"], ["batch_size=100000", "at most"]),
    (["train", "device=cuda:99"], ["device=cuda:99", "cpu"]),
    (["train", "activation=custom", "activation._target_=no.Thing"], ["activation._target_=no.Thing", "No module"]),
    (["train", "activation=custom", "activation._target_=torch.nn.Thing"], ["activation._target_", "has no Thing"]),
    (
        ["train", "activation=custom", "activation._target_=torch.nn.ELU", "+activation.alhpa=2"],
        ["activation.alhpa=2: ELU takes no alhpa, did you mean alpha?; valid: alpha, inplace"],
    ),
    (
        ["train", "activation=custom", "activation._target_=torch.nn.functional.elu", "+activation.input=2"],
        ["activation.input=2: elu takes no input; valid: alpha, inplace"],
    ),
    (
        ["train", "activation=custom", "activation._target_=torch.nn.Threshold", "+activation.value=2"],
        ["activation: Threshold needs threshold; add +activation.threshold=VALUE"],
    ),
    (["train", "activation=custom", "activation._target_=math.pi"], ["activation._target_", "torch.nn.Module"]),
    (["train", "width=100000", "members=1000"], ["width=100000", "GiB free"]),
]


@pytest.mark.parametrize(("arguments", "needles"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, needles, empty_folder, capfd):
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and len(err) < 700, err
    for needle in needles:
        assert needle in err
    assert "append" not in err and "Traceback" not in err
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["train", "dpth=3"], ["train", "-m", "depth=3,0"], ["train", "activation.p=0.3"], ["nothing"]]
)
def test_a_mistake_as_a_real_command(arguments, empty_folder):
    done = subprocess.run([REPU_LAB, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert list(empty_folder.iterdir()) == []


def test_an_unwritable_folder_is_a_mistake(empty_folder, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)  # chmod does not stop root
    assert main(["train", *TINY]) == 2
    assert "not writable" in capsys.readouterr().err
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_spin_briefly_unless_the_user_says_how_they_wait(monkeypatch, given, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = "import os; from repu_lab.cli import main; main(['--version']); print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(spins)


def test_help_and_version(capsys):
    assert main([]) == main(["--help"]) == 0
    assert "train networks" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"repu-lab {__version__}\n"


def test_help_imports_nothing_heavy():
    code = "import sys; from repu_lab.cli import main; main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module in ("torch", "hydra", "omegaconf", "numpy", "yaml", "argparse"):
        assert f"'{module}'" not in done.stdout, module


@pytest.mark.parametrize("arguments", [["train", "--help"], ["train", "dpth=3"], ["train", "--cfg", "job"]])
def test_checks_and_help_do_without_torch(arguments):
    code = f"import sys; from repu_lab.cli import main; main({arguments!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_help_of_train_names_every_key_group_and_option(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for needle in ("depth=10", "optimizer.lr=auto", "activation.p=2", "one of float16", "repu_explodes", "polynomial"):
        assert needle in text
    formula = " max(0, z + shift)^p, real p > 1/2\n"
    assert f"p=2              p in{formula}" in text and f"shift=0          shift in{formula}" in text


def test_cfg_shows_the_config_and_runs_nothing(empty_folder, capsys):
    assert main(["train", "depth=7", "--cfg", "job"]) == 0
    assert "depth: 7\n" in capsys.readouterr().out
    assert list(empty_folder.iterdir()) == []


def test_train_writes_one_folder_and_returns_the_stored_result_next_time(empty_folder, capsys):
    assert main(["train", "activation=relu", *TINY]) == 0
    first = capsys.readouterr().out
    (folder,) = (empty_folder / "outputs").iterdir()
    assert f"outputs/{folder.name}" in first and result(folder)["steps"] == 2
    assert manifest(folder)["command_line"][1:] == ["train", "activation=relu", *TINY]
    stamp = (folder / "result.json").stat().st_mtime_ns
    assert main(["train", "activation=relu", *TINY]) == 0
    assert "stored result" in capsys.readouterr().out
    assert (folder / "result.json").stat().st_mtime_ns == stamp


def test_config_yaml_can_be_given_back(empty_folder, capsys):
    assert main(["train", "activation=leaky_relu", "activation.slope=0.2", "optimizer=sgd", *TINY]) == 0
    (folder,) = (empty_folder / "outputs").iterdir()
    assert main(["train", f"config={folder / 'config.yaml'}"]) == 0
    assert "stored result" in capsys.readouterr().out
    assert main(["train", f"config={folder}", "activation=tanh", "steps=1"]) == 0
    (other,) = set((empty_folder / "outputs").iterdir()) - {folder}
    assert "tanh" in other.name and "name: sgd" in (other / "config.yaml").read_text()


def test_config_yaml_runs_no_foreign_code_unasked(empty_folder, capsys):
    (empty_folder / "mine.py").write_text("import torch\nclass Mine(torch.nn.Tanh): pass\n")
    (empty_folder / "c.yaml").write_text("activation: {name: custom, _target_: mine.Mine}\n")
    assert main(["train", "config=c.yaml", *TINY]) == 2
    assert "trust=true" in capsys.readouterr().err
    assert not (empty_folder / "outputs").exists()
    assert main(["train", "config=c.yaml", "trust=true", *TINY]) == 0


@pytest.mark.parametrize("place", range(4))
def test_multirun_may_stand_anywhere(place, empty_folder, capsys):
    arguments = ["train", "activation=relu,tanh", *TINY]
    arguments.insert(min(place * 2, len(arguments)), ["-m", "--multirun"][place % 2])
    assert main(arguments) == 0
    assert "2 jobs in outputs/sweeps/" in capsys.readouterr().out
    assert len({path.parent.parent for path in empty_folder.rglob("result.json")}) == 1
    assert len(list(empty_folder.rglob("result.json"))) == 2


def test_sweep_names_and_places_its_folder(empty_folder):
    assert main(["train", "-m", "sweep=mine", "seed=1,2", *TINY]) == 0
    assert len(list((empty_folder / "outputs/sweeps/mine").glob("*/result.json"))) == 2


def test_require(empty_folder, capsys):
    repu = ["train", "activation=repu", "initialization=he", *TINY, "members=2", "depth=20"]
    assert main([*repu, "require=trained"]) == 3
    line = "require=trained: not met, of 2 networks: 2 exploded"
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert main([*repu, "require=trained"]) == 3  # stored
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert main(["train", "activation=repu", "initialization=he", "require=exploded", *TINY, "depth=20"]) == 0
    assert (
        main(["train", "-m", "activation=repu,relu", "initialization=he", "require=exploded", *TINY, "depth=20"]) == 3
    )


def test_a_bug_in_a_run_is_one_line_and_a_traceback_in_its_folder(empty_folder, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr(training, "train", broken)
    assert main(["train", *TINY]) == 1
    out, err = capsys.readouterr()
    last = (out + err).splitlines()[-1]
    assert "boom" in last and "traceback.txt" in last and "Traceback" not in out + err
    (trace,) = empty_folder.rglob("traceback.txt")
    assert "RuntimeError: boom" in trace.read_text()
    assert manifest(empty_folder)["status"] == "failed"


def test_a_failed_job_leaves_the_rest_of_the_sweep_running(empty_folder, capsys):
    (empty_folder / "mine.py").write_text(FAULTY)
    arguments = ["activation=custom", "activation._target_=mine.Faulty", "+activation.fault=none,raise", "seed=0,1"]
    assert main(["train", "-m", *arguments, *TINY]) == 1
    assert len(list(empty_folder.rglob("result.json"))) == 2
    table = capsys.readouterr().out.partition("4 jobs in")[2].splitlines()
    assert ["failed" in line for line in table[1:5]] == [False, False, True, True]
    assert table[6].startswith("failed: RuntimeError: boom (in 2); see outputs/sweeps/")


def test_ctrl_c_ends_the_sweep_with_130(empty_folder, capsys):
    (empty_folder / "mine.py").write_text(FAULTY)
    arguments = ["activation=custom", "activation._target_=mine.Faulty", "+activation.fault=interrupt", "seed=0,1"]
    assert main(["train", "-m", *arguments, *TINY]) == 130
    manifests = [json.loads(path.read_text()) for path in empty_folder.rglob("manifest.json")]
    assert [manifest["status"] for manifest in manifests] == ["interrupted", "interrupted"]
    out, err = capsys.readouterr()
    assert "the same command goes on" in out and "Traceback" not in err


def test_argv_and_environment_are_left_alone(empty_folder, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    before = list(sys.argv)
    assert main(["train", *TINY]) == 0
    assert sys.argv == before and "HYDRA_FULL_ERROR" not in os.environ


def few_images(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a few made-up images where those of a data set are kept, so that nothing has to be fetched."""
    dataset = replace(getattr(images, name.upper()), examples=60, test=20, validation=10, counts=(6,) * 10)
    monkeypatch.setattr(images, name.upper(), dataset)
    monkeypatch.setenv("REPU_LAB_DATA", str(folder))
    x = np.random.default_rng(0).integers(0, 256, (dataset.examples, dataset.pixels), np.uint8)
    np.savez(folder / f"{name}.npz", x=x, y=np.arange(dataset.examples, dtype=np.uint8) % 10)


@pytest.mark.parametrize(
    "path", sorted(conf_dir().glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_shipped_option_runs(path, empty_folder, monkeypatch):
    (empty_folder / "mine.py").write_text("import torch\nclass Mine(torch.nn.Tanh): pass\n")
    extra = {
        ("activation", "custom"): ["activation._target_=mine.Mine"],
        ("activation", "formula"): ["activation.formula=z * relu(1 + z)**2"],
        ("initialization", "custom"): ["initialization.c_w=1"],
    }.get((path.parent.name, path.stem), [])
    tiny = [text for text in TINY if text != "initialization=he" or path.parent.name in ("activation", "task")]
    if path.parent.name == "task" and path.stem in ("mnist", "fashion_mnist", "cifar10"):
        few_images(path.stem, empty_folder, monkeypatch)
        extra = [f"task.folder={empty_folder}"]
    if (path.parent.name, path.stem) == ("task", "file"):
        random = np.random.default_rng(0)
        np.savez(empty_folder / "data.npz", x=random.standard_normal((100, 5)), y=random.integers(0, 2, 100))
        extra = ["task.path=data.npz"]
    assert main(["train", *tiny, f"{path.parent.name}={path.stem}", *extra]) == 0
    assert sum(result(empty_folder)["outcomes"].values()) == 1


@pytest.mark.parametrize(("preset", "outcome"), [("repu_explodes", "exploded"), ("repu_vanishes", "vanished")])
def test_presets_do_what_their_name_says(preset, outcome):
    assert main(["train", f"experiment={preset}", f"require={outcome}", "members=2"]) == 0


COMPLETIONS = [
    ("repu-lab tr", ["train "]),
    ("repu-lab train act", ["activation=", "activation.p=", "activation.shift="]),
    ("repu-lab train activation=re", ["relu", "repu"]),
    ("repu-lab train -m activation=tanh,re", ["tanh,relu", "tanh,repu"]),
    ("repu-lab train activation=leaky_relu activation.", ["activation.slope="]),
    ("repu-lab train dtype=fl", ["float16", "float32", "float64"]),
    ("repu-lab train dpth=3 wi", ["width="]),
    ("repu-lab nothing act", [""]),
    ("repu-lab reproduce claim=", [""]),
    ("repu-lab train resume=", [""]),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
def test_completion_in_bash(line, expected):
    session = """
        eval "$(repu-lab -sc install=bash)"
        COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        "$(complete -p repu-lab | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "--norc", "-c", session, "bash", line],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    assert sorted(done.stdout.split("\n")[:-1]) == sorted(expected)


ZSH = """
compdef() { :; }
compadd() { while [[ $1 != -- ]]; do [[ $1 == -S ]] && shift; shift; done; shift; for word; print -r -- $word; }
compset() { :; }
_files() { print FILES; }
eval "$(repu-lab -sc install=zsh)"
words=(${(z)1}); CURRENT=$#words; PREFIX=$words[-1]
_repu_lab_completion
"""
FISH = "repu-lab -sc install=fish | source; complete -C $argv[1]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("repu-lab tr", ["train"]),
        ("repu-lab train act", ["activation.p=", "activation.shift=", "activation="]),
        ("repu-lab train -m activation=tanh,re", ["activation=tanh,relu", "activation=tanh,repu"]),
        ("repu-lab train resume=ru", ["FILES"]),
    ],
)
@pytest.mark.parametrize("shell", [["zsh", "-f", "-c", ZSH, "zsh"], ["fish", "-N", "-c", FISH]], ids=["zsh", "fish"])
def test_completion_in_other_shells(shell, line, expected, empty_folder):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} on this machine")
    (empty_folder / "run").mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HOME": str(empty_folder)}
    done = subprocess.run([*shell, line], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    completed = [line.partition("\t")[0] for line in done.stdout.splitlines()]  # fish adds what kind of file it is
    assert sorted(completed) == sorted("resume=run/" if e == "FILES" and shell[0] == "fish" else e for e in expected)


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "repu_lab", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"repu-lab {__version__}\n"
