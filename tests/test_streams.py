"""The standard streams closed, full, non-blocking or left by their reader; locales; working directories of any kind.

Most commands here read folders or print help, which needs no torch.
"""

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from repu_lab.cli import main
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.streams import standard_streams

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
TINY = ["depth=2", "width=8", "steps=2", "batch_size=16", "probe=4", "initialization=he", "statistics=false"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with one finished run, as `results` reads it."""
    monkeypatch.chdir(tmp_path)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_json("manifest.json", {"command": "theory", "status": "finished"})
    run.write_text("config.yaml", "depth: 2\n")
    run.write_json("theory.json", {"fate": "survives"})
    return tmp_path


def shell(line: str, **environment: str) -> tuple[int, str, str]:
    command = ["bash", "-c", line, REPU_LAB]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


FULL = "repu-lab: standard output cannot be written (No space left on device)\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('"$0" --version >/dev/full', (1, "", FULL)),
        ('"$0" results . --csv - >/dev/full', (1, "", "1 row; 1 run: survives 1\n" + FULL)),
        ('"$0" --version >&-', (0, "", "")),
        ('"$0" --version 2>&-', (0, "repu-lab 0.2.0\n", "")),
        ('"$0" trian 2>&-', (2, "", "")),
        ('"$0" trian >&- 2>&- <&-', (2, "", "")),
        ('"$0" trian 2>/dev/full', (2, "", "")),
        ('"$0" --version 1</dev/null', (1, "", FULL.replace("No space left on device", "Bad file descriptor"))),
        ('"$0" --help | read; echo "${PIPESTATUS[0]}"', (0, "0\n", "")),
        ('"$0" train --help | head -c 1; echo "${PIPESTATUS[0]}"', (0, "u0\n", "")),
    ],
)
def test_a_stream_that_takes_nothing(line, expected):
    assert shell(line) == expected


def test_what_is_printed_into_a_closed_stream_ends_up_in_no_file(folder):
    assert shell('"$0" results . --csv table.csv >&-') == (0, "", "")
    text = (folder / "table.csv").read_text()
    assert "survives" in text and "1 row" not in text


def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_everything(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    taken: list[bytes] = []

    def take() -> None:
        while select.select([], [writing], [], 0)[1]:  # until the pipe is full
            pass
        with open(reading, "rb") as file:
            taken.append(file.read())

    reader = threading.Thread(target=take)
    reader.start()
    with open(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with standard_streams() as lost:
            print("x" * 1_000_000)
            assert lost() is None
    reader.join()
    assert taken == [b"x" * 1_000_000 + b"\n"]


def test_a_locale_without_a_sign_gets_its_code(folder):
    """Both words and files: what the locale cannot say is spelt out, and files are UTF-8."""
    (folder / "snow☃").mkdir()
    (folder / "run").rename("snow☃/run")
    latin = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, err = shell('"$0" results . --filter "folder~snow"; echo $?', **latin, PYTHONIOENCODING="ascii")
    assert out.endswith("0\n") and "1 row" in out and not err
    code, out, err = shell('"$0" report .', **latin)
    assert (code, err) == (0, "") and "snow" in (folder / "report.html").read_text(encoding="utf-8")


FAILING = """
import os, torch
class Failing(torch.nn.Tanh):
    def forward(self, z):
        if os.path.exists("failed/manifest.json"):
            raise RuntimeError("größer \\udcff 雪")
        return super().forward(z)
"""


def test_a_failure_reaches_the_manifest_in_a_locale_that_cannot_say_it(folder):
    (folder / "mine.py").write_text(FAILING, encoding="utf-8")
    own = "activation=custom activation._target_=mine.Failing hydra.run.dir=failed"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, err = shell(f'"$0" train {own} {" ".join(TINY)}', **locale)
    assert code == 1 and "RuntimeError: gr" in out and "Traceback" not in out + err
    assert json.loads((folder / "failed/manifest.json").read_text())["status"] == "failed"
    assert "RuntimeError: größer \\udcff 雪" in (folder / "failed/traceback.txt").read_text(encoding="utf-8")


# --- places


def test_a_working_directory_that_was_removed_is_one_line(folder):
    message = "repu-lab {}: the working directory was removed; go to another one\n"
    for command in ("train", "results", "theory"):
        line = f'mkdir gone && cd gone && rmdir ../gone && "$0" {command} run'
        assert shell(line) == (2, "", message.format(command))
    assert shell('mkdir gone && cd gone && rmdir ../gone && "$0" --version') == (0, "repu-lab 0.2.0\n", "")


@pytest.mark.parametrize("extra", [[], ["-m", "sweep=s"], ["hydra.run.dir=there"]])
def test_a_dollar_in_the_working_directory_refers_to_nothing(extra, folder, monkeypatch, capsys):
    (folder / "a${b}").mkdir()
    monkeypatch.chdir("a${b}")
    assert main(["theory", "activation=relu", *extra]) == 0
    assert len(list(Path().rglob("theory.json"))) == 1
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (["theory"], "outputs is a link to nothing"),
        (["theory", "hydra.run.dir=.", "rerun=true"], "would move the working directory aside"),
        (["theory", "hydra.run.dir=..", "rerun=true"], "would move the working directory aside"),
        (["train", "resume=" + "n" * 300], "File name too long"),
        (["train", "config=" + "n" * 300], "File name too long"),
        (["train", "points=" + "n" * 300], "File name too long"),
        (["theory", "hydra.run.dir=" + "n" * 300], "too long a name"),
        (["results", "n" * 300], "is not a folder"),
        (["report", "n" * 300], "n"),
        (["results", ".", "--csv", "n" * 300], "n"),
        (["report", ".", "--output", "n" * 300 + ".html"], "n"),
        (["train", "task=mnist", "task.cache=" + "n" * 300], "n"),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_a_place_that_cannot_be_is_one_line(arguments, needle, folder, capsys):
    (folder / "outputs").symlink_to("nowhere")
    before = sorted(folder.rglob("*"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and needle in err
    assert sorted(folder.rglob("*")) == before


def test_the_home_folder_in_every_option_that_takes_a_path(folder, monkeypatch, capsys):
    home = folder / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MPLCONFIGDIR", str(folder / "matplotlib"))  # whose own files would lie there too
    for place in ("~/x", "'~/x'"):
        assert main(["theory", "activation=relu", f"hydra.run.dir={place}"]) == 0
    assert "stored result" in capsys.readouterr().out
    assert main(["theory", "config=~/x", "depth=3", "hydra.run.dir=~/y"]) == 0
    assert main(["theory", "-m", "activation=relu,tanh", "hydra.sweep.dir=~/s"]) == 0
    (home / "points.csv").write_text("depth\n4\n5\n")
    assert main(["theory", "points=~/points.csv", "plan=true"]) == 0
    assert main(["results", "~/x", "--csv=~/x.csv", "--json", "~/x.json"]) == 0
    assert main(["report", "~/x", "--output", "~/x.html"]) == 0
    assert main(["train", "resume=~/none"]) == main(["train", "task=mnist", "task.cache=~/points.csv"]) == 2
    assert str(home) in capsys.readouterr().err
    made = {"points.csv", "s", "x", "x.csv", "x.html", "x.json", "y"}
    assert {path.name for path in home.iterdir()} == made and not (folder / "~").exists()
