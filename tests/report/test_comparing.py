"""`repu-lab compare`: runs of several commands in one table and one picture."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from repu_lab.catalogue.scanning import scan
from repu_lab.cli import main
from repu_lab.report.comparing import curve_of

TINY = ("width=16", "threads=1", "depth=3")


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with a run of theory, one of propagate and one of train."""
    monkeypatch.chdir(tmp_path)
    assert main(["theory", "activation=tanh", "width=16", "depth=3"]) == 0
    assert main(["propagate", "activation=relu", "members=4", *TINY]) == 0
    assert main(["train", "activation=repu", "steps=3", "batch_size=16", *TINY]) == 0
    return tmp_path


def test_runs_of_three_commands_are_one_table_and_one_picture(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["compare", "outputs", "--picture", "side.svg"]) == 0
    *table, advice, last = capsys.readouterr().out.splitlines()
    (run,) = outputs.glob("outputs/train*")
    assert advice.startswith(f"next:     of {run.name}: stalled, at rate ")
    assert advice.endswith(f": repu-lab train config=outputs/{run.name}/config.yaml steps=1000")
    assert main(["results", "outputs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == advice
    rows = [line for line in table if line[:3] in ("A  ", "B  ", "C  ")]
    for word, row in zip(("propagate", "theory", "train"), rows, strict=True):
        assert f" {word} " in row
    assert last == "picture:  side.svg"
    assert (outputs / "side.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert max(map(len, table[:-1])) <= 120

    propagate, theory, train = (curve_of(run, "") for run in scan("outputs"))
    with np.load(next(outputs.glob("outputs/propagate*/statistics.npz"))) as statistics:  # (step, layer, ...)
        medians = np.median(statistics["log10_K"][0].reshape(4, -1), axis=1)
    assert propagate.measured == pytest.approx(medians, abs=1e-5)
    (result,) = outputs.glob("outputs/propagate*/result.json")
    by_layer = json.loads(result.read_text(encoding="utf-8"))["layers"]
    assert propagate.theory.tolist() == [layer["log10_K_theory"] for layer in by_layer]
    assert (theory.measured.size, theory.layers) == (0, 4)
    (result,) = outputs.glob("outputs/theory*/theory.json")
    spread = [layer["log10_K_quantiles"] for layer in json.loads(result.read_text(encoding="utf-8"))["layers"]]
    assert theory.theory.tolist() == [median for _, _, median, _, _ in spread]
    assert (train.metric.shape, train.steps[-1]) == ((len(train.steps), 1), 3)


def test_runs_that_are_named_themselves_are_told_apart(
    outputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = sorted((outputs / "outputs").iterdir())
    for place, names in ((outputs, [f"outputs/{first.name}", f"outputs/{second.name}"]), (first, [".", str(second)])):
        monkeypatch.chdir(place)
        capsys.readouterr()
        assert main(["compare", *names]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines() if line[:3] in ("A  ", "B  ")]
        assert [words[-1] for words in lines] == [first.name, second.name]
    monkeypatch.chdir(outputs)
    other = outputs / "elsewhere" / third.name
    shutil.copytree(third, other)
    capsys.readouterr()
    assert main(["compare", f"outputs/{third.name}", "elsewhere"]) == 0
    shown = capsys.readouterr().out
    assert f" outputs/{third.name}" in shown and f" elsewhere/{third.name}" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "compare: DIR: none was given; name runs or sweeps, as in repu-lab compare outputs/A outputs/B"),
        (["."], "compare: .: has no run in it"),
        ([".", "--picture", "a.gif"], "compare: --picture a.gif: must end in one of .png, .svg, .pdf"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"repu-lab {message}")
