"""`repu-lab theory`, `repu-lab propagate` and the ends of a run that only a real process meets."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repu_lab.cli import main
from repu_lab.configs.composition import conf_dir
from repu_lab.runs import analysis
from repu_lab.runs.paths import CHARTS, where_to_look

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
TINY = ["depth=2", "width=8"]
SAMPLE = ["members=2", "probe=4"]
OWN = """
import torch
class Softmax(torch.nn.Softmax):
    def __init__(self): super().__init__(dim=-1)
class Summed(torch.nn.Module):
    def forward(self, z): return z.sum()
class Log(torch.nn.Module):
    def forward(self, z): return torch.log(z)
class Root(torch.nn.Module):
    def forward(self, z): return torch.sqrt(100 - z * z)
class Fast(torch.nn.Module):
    def forward(self, z): return torch.exp(z * z)
class Mine(torch.nn.Module):
    def forward(self, z): return torch.tanh(z) + 0.1 * z
"""
# Keys of theory.json that readers may rely on.
KEYS = {"activation", "critical_points", "a_1", "c_w", "c_b", "k1", "layers", "fate", "overflow_layer"}
LAYER_KEYS = {"layer", "log10_K", "chi_parallel", "chi_perp", "ntk"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder but for own.py, a user's own activations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analysis, "GRID", 6)  # a small phase diagram
    monkeypatch.delitem(sys.modules, "own", raising=False)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("own.py", "__pycache__"))


def own(name: str) -> list[str]:
    return ["activation=custom", f"activation._target_=own.{name}"]


MISTAKES = [
    (["activation.p=0.5"], ["activation.p=0.5", "greater than 1/2", "infinite"]),
    (["initialization=custom", "initialization.c_w=-1"], ["initialization.c_w=-1", "at least 0"]),
    (
        ["initialization=custom", "initialization.c_w=1", "initialization.c_b=2", "initialization.k1=1"],
        ["initialization.k1=1", "at least c_b=2"],
    ),
    (["depth=0"], ["depth=0", "whole number from 1"]),
    (["width=0"], ["width=0", "whole number from 1"]),
    (own("Softmax"), ["activation", "Softmax is not elementwise"]),
    (own("Summed"), ["activation", "Summed is not elementwise"]),
    (own("Log"), ["activation", "Log is not finite", "z=-8"]),
    (own("Root"), ["Root", "not finite at z="]),
    (own("Fast"), ["Fast grows faster than z^20"]),
]


@pytest.mark.parametrize("command", ["theory", "propagate", "train"])
@pytest.mark.parametrize(("arguments", "needles"), MISTAKES, ids=lambda value: " ".join(value)[-40:])
def test_what_theory_cannot_speak_of_is_one_line(command, arguments, needles, folder, capfd):
    assert main([command, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"repu-lab {command}: "), err
    for needle in needles:
        assert needle in err
    assert written(folder) == []


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        (["initialization=he", *own("Fast")], ["Fast grows faster than z^20"]),
        (["initialization=he", *own("Root")], ["Root", "not finite at z="]),
        (["initialization=custom", "initialization.c_w=0"], ["k1=0", "choose k1 > 0"]),
        (["-m", "activation=relu,gelu", "depth=3,0"], ["depth=0", "job 2 of 4"]),
        (["inputs=0"], ["inputs=0", "whole number from 1"]),
        (["steps=3"], ["steps=3", "no such key"]),
        (["task=digits"], ["task=digits", "no such"]),
    ],
    ids=lambda value: " ".join(value)[-40:],
)
def test_mistakes_of_theory(arguments, needles, folder, capfd):
    assert main(["theory", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1, err
    for needle in needles:
        assert needle in err
    assert written(folder) == []


@pytest.mark.parametrize(
    ("command", "needles"),
    [
        ("theory", ["activation=repu", "gelu", "depth=10", "inputs=1", "repu-lab theory "]),
        ("propagate", ["task=digits", "members=32", "probe=32", "repu-lab propagate "]),
    ],
)
def test_help(command, needles, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    for needle in [*needles, "initialization=critical", "examples:\n  repu-lab"]:
        assert needle in text


def test_theory_answers_in_words_numbers_and_pictures(folder, capsys):
    assert main(["theory", "activation=gelu", *TINY]) == 0
    out = capsys.readouterr().out
    assert "half-stable" in out and "forecast:" in out and "advice:" in out
    (run,) = (folder / "outputs").iterdir()
    result = json.loads((run / "theory.json").read_text())
    assert result.keys() >= KEYS and result["critical_points"][0]["universality_class"]
    assert [layer["layer"] for layer in result["layers"]] == [1, 2, 3]
    assert all(layer.keys() >= LAYER_KEYS for layer in result["layers"])
    assert {"susceptibilities.png", "kernel.png", "phase_diagram.png"} <= {path.name for path in run.iterdir()}
    assert main(["theory", "activation=gelu", *TINY]) == 0
    again = capsys.readouterr().out
    assert again.startswith("stored result") and "half-stable" in again


def test_theory_of_blocks_and_other_weights_tells_layers(folder, capsys):
    """RePU_2, residual with RMSNorm: K^l = 1 + (l - 1) / L at infinite width, chi_perp = 1 + 4/3 / (L K)."""
    block = ["activation=repu", "block=residual", "block.norm=rms", "block.branch=auto", "depth=10", "width=256"]
    assert main(["theory", *block, "initialization.weights=orthogonal"]) == 0
    out = capsys.readouterr().out
    assert (
        "networks of residual=true, block.norm=rms, block.branch=auto, initialization.weights=orthogonal, width" in out
    )
    assert "no critical point, in plain layers with gaussian weights" in out and "fixed point" not in out
    (run,) = (folder / "outputs").iterdir()
    result = json.loads((run / "theory.json").read_text())
    assert result["weights"] == "orthogonal" and not (run / "phase_diagram.png").exists()
    for row in result["layers"][:9]:
        K = 1 + (row["layer"] - 1) / 10
        assert row["log10_K"] == pytest.approx(math.log10(K), abs=1e-9)
        assert row["chi_perp"] == pytest.approx(1 + 4 / 3 / 10 / K, rel=1e-9)
        assert 10 ** row["log10_gain"] == pytest.approx(row["chi_perp"], rel=0.02)


def test_propagate_measures_beside_theory(folder, capsys):
    assert main(["propagate", "activation=gelu", *TINY, *SAMPLE]) == 0
    out = capsys.readouterr().out
    assert "measured     theory" in out and "forecast:" in out
    (run,) = (folder / "outputs").iterdir()
    result = json.loads((run / "result.json").read_text())
    assert sum(result["outcomes"].values()) == 2 and "layers; table.csv" not in out  # all three are shown
    assert [row["layer"] for row in result["layers"]] == [1, 2, 3]
    assert (run / "propagation.png").exists() and (run / "table.csv").exists()


def test_propagate_shows_the_input_by_which_a_network_explodes(folder, capsys):
    """The median K of RePU vanishes while the largest input of the same networks overflows."""
    assert main(["propagate", "activation=repu", "depth=12", "width=32", "members=4"]) == 0
    out = capsys.readouterr().out
    assert "4 of 4 exploded" in out and "(the largest of 32 inputs decides)" in out and "largest" in out
    (run,) = (folder / "outputs").iterdir()
    assert "\n12 of 13 layers; table.csv has all\n" in out
    last = json.loads((run / "result.json").read_text())["layers"][-1]
    assert last["log10_K"] < -77 and last["log10_K_largest"] > 77
    with np.load(run / "statistics.npz") as table:
        np.testing.assert_allclose(last["log10_K_largest"], table["log10_K"][0, -1].max(), rtol=1e-12)


@pytest.mark.parametrize(
    ("command", "sample", "total"), [("theory", [], "2 done"), ("propagate", SAMPLE, "4 survived")]
)
def test_sweeps(command, sample, total, folder, capsys):
    assert main([command, "-m", "activation=gelu,relu", *TINY, *sample]) == 0
    table = capsys.readouterr().out.partition("2 jobs in outputs/sweeps/")[2].splitlines()
    jobs = [line for line in table if "activation=" in line]
    assert [line.split("activation=")[1].split()[0] for line in jobs] == ["gelu", "relu"]
    if command == "theory":
        assert table[1].split() == ["forecast", "class", "C_W", "C_b", "K*", "a_1", "folder"]
        assert jobs[0].split()[:7] == ["survives", "half-stable,", "K*=0", "unstable", "1.983", "0.1729", "3.562"]
        assert jobs[1].split()[:6] == ["survives", "scale-invariant", "2", "0", "any", "0"]
    assert [line for line in table if not line.startswith(("look:", "picture:"))][-1] == f"total: {total}"
    assert any("--logdir outputs/sweeps/" in line for line in table) == (command == "propagate")
    assert len(list(folder.rglob("manifest.json"))) == 2


@pytest.mark.parametrize("command", ["theory", "propagate"])
@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "activation").glob("*.yaml")))
def test_every_activation(command, name, folder):
    written = ["activation.formula=z * relu(1 + z)**2"] if name == "formula" else []
    chosen = own("Mine") if name == "custom" else [f"activation={name}", *written]
    sample = SAMPLE if command == "propagate" else []
    assert main([command, *chosen, *TINY, *sample]) == 0
    (manifest,) = folder.rglob("manifest.json")
    assert json.loads(manifest.read_text())["status"] == "finished"


def test_ctrl_c_ends_a_real_run_with_130(folder):
    arguments = ["train", "activation=relu", *TINY, "steps=1000000000"]
    with subprocess.Popen(
        [REPU_LAB, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("start:")  # the folder is there, and what follows is the run
            (manifest,) = folder.rglob("manifest.json")
            assert json.loads(manifest.read_text())["status"] == "running"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "interrupted" in out and "Traceback" not in out + err
    assert json.loads(manifest.read_text())["status"] == "interrupted"


@pytest.mark.parametrize("arguments", [["train", *TINY, "steps=2", "batch_size=16", "probe=4"], ["theory", *TINY]])
def test_a_reader_that_goes_away_does_not_end_the_run(arguments, folder):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([REPU_LAB, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.stderr, done.returncode) == ("", 0)
    (manifest,) = folder.rglob("manifest.json")
    assert json.loads(manifest.read_text())["status"] == "finished"


def test_of_more_than_forty_runs_tensorboard_is_opened_where_it_draws_some(tmp_path):
    """Custom Scalars draws 40 at most: beyond, the run's own are filtered out, and Time Series shows a sweep."""
    for i in range(40):
        place = tmp_path / ("" if i < 20 else "sweeps/s") / f"run{i}"
        place.mkdir(parents=True)
        (place / "events.out.tfevents.0.repu-lab").touch()
    assert where_to_look(tmp_path, "run 1").endswith(f"{tmp_path}, then http://localhost:6006/{CHARTS}")
    (tmp_path / "sweeps/s/more").mkdir()
    (tmp_path / "sweeps/s/more/events.out.tfevents.0.repu-lab").touch()
    assert where_to_look(tmp_path, "run 1").endswith(f"/{CHARTS}&regexInput=run%201")
    assert where_to_look(tmp_path).endswith("/?smoothing=0#timeseries")
    assert where_to_look(tmp_path / "sweeps/s").endswith(f"/{CHARTS}")
