"""Whatever is typed ends as a run or as one line and exit code 2, and touches nothing outside the folder it names.

500 command lines are drawn (tests/command_lines.py) and run in one process, small and one step long; twenty fixed ones
run as real commands.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  makes its cache when it is first imported
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

from command_lines import SMALL, command_lines, launch_here
from repu_lab.cli import main
from repu_lab.configs.composition import Composer
from repu_lab.runs import manifest
from repu_lab.sweeps import launching

REPU_LAB = str(Path(sys.executable).with_name("repu-lab"))
EXAMPLES = int(os.environ.get("REPU_LAB_EXAMPLES", "500"))  # another number draws others every time
MOVING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")


class Written:
    """What this process opens for writing, makes, moves or removes, by Python's own audit events."""

    def __init__(self):
        self.paths: list[str] = []
        self.on = False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            paths = [path] if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else []
        else:
            paths = arguments[:2] if event in MOVING else []
            if event == "os.mkdir" and os.path.isdir(paths[0]):  # mkdir -p makes sure of the parents
                paths = []
        self.paths += [os.path.abspath(os.fsdecode(path)) for path in paths if isinstance(path, (str, bytes))]


WRITTEN = Written()


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Compose once what lines share, and leave out what takes time and is not the matter here."""
    kept: dict[str, tuple] = {}
    original = Composer.__init__

    def shared(self: Composer, command, loader, searchpath=()):
        original(self, command, loader, searchpath)
        if not searchpath:
            self._bases, self._parsed, self.groups = kept.setdefault(command, (self._bases, self._parsed, self.groups))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Composer, "__init__", shared)
        patch.setattr(launching, "launch", launch_here)
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(manifest, "_git_commit", lambda: None)
        patch.delenv("NOT_THERE", raising=False)
        yield
    torch.set_num_threads(1)


def places(line: list[str], here: Path) -> list[Path]:
    """Folders that a command line names: outputs/, and what Hydra's keys say."""
    named = [text.partition("=")[2] for text in line if text.startswith(("hydra.run.dir=", "hydra.sweep."))]
    named = [name.replace("${hydra:runtime.cwd}", str(here)).strip("'") for name in named if "\0" not in name]
    return [here / "outputs", *(Path(os.path.abspath(here / name)) for name in named)]


def check(code: int, out: str, err: str) -> None:
    """A run, or one line that any terminal can show."""
    assert code in (0, 2, 3), (code, out, err)
    assert "Traceback" not in out + err
    assert (out + err).replace("\n", "").replace("\r", "").isprintable(), (out, err)
    if code == 2:
        assert err.count("\n") == 1 and err.endswith("\n") and len(err) < 2000, err
        assert not out, out


@settings(
    max_examples=EXAMPLES, derandomize="REPU_LAB_EXAMPLES" not in os.environ, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], phases=[Phase.generate],
)  # fmt: skip
@given(line=command_lines())
def test_a_command_line_is_a_run_or_one_line(line, quick, tmp_path_factory, capfd):
    here = tmp_path_factory.mktemp("parent") / "here"
    (here / "taken").mkdir(parents=True)
    (here / "taken/file").write_text("mine")
    torch.set_num_threads(1)
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        WRITTEN.paths, WRITTEN.on = [], True
        try:
            code = main(line)
        finally:
            WRITTEN.on = False
    check(code, *capfd.readouterr())
    mine = [here, here / "taken", here / "taken/file"]
    for text in [*WRITTEN.paths, *map(str, here.parent.rglob("*"))]:
        inside = Path(text) in mine or any(Path(text).is_relative_to(place) for place in places(line, here))
        assert inside or "__pycache__" in text or text == os.devnull, text
    assert (here / "taken/file").read_text() == "mine"


TINY = ["train", *SMALL["train"]]
COMMANDS = [
    ([*TINY, "sweep='雪😀'", "hydra.run.dir='../beside/$(touch x)'"], 0),
    ([*TINY, "sweep=${oc.env:HOME}", "require=trained"], 3),
    ([*TINY, "-m", "seed=1,2", "sweep='$(touch x)`touch x`; touch x'"], 0),
    ([*TINY, "depth=1\n2"], 2),
    ([*TINY, "sweep=$(touch x)"], 2),
    ([*TINY, "~activation"], 2),
    ([*TINY, "++x=1"], 2),
    ([*TINY, "+activation.p=1e999"], 2),
    ([*TINY, "activation.p=1e999"], 2),
    ([*TINY, "x" * 100_000], 2),
    ([*TINY, "width=" + "9" * 5000], 2),
    ([*TINY, "width=1000000", "depth=100000"], 2),
    ([*TINY, "hydra.run.dir=/proc/self/x"], 2),
    ([*TINY, "-m", "seed=range(0,1e12)"], 2),
    ([*TINY, "--cfg", "job", "-p", "\x1b[2J"], 2),
    (["train", b"\xff\xfe=1"], 2),
    (["propagate", "dtype=\u202efloat32"], 2),
    (["theory", "inputs=-9223372036854775809"], 2),
    (["results", "\x1b[2J\nx"], 2),
    (["trâin; touch x"], 2),
]


@pytest.mark.parametrize(("line", "expected"), COMMANDS, ids=lambda value: ascii(value)[-40:])
def test_real_commands(line, expected, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run([REPU_LAB, *line], capture_output=True, check=False, cwd=here)
    assert done.returncode == expected, done.stderr
    errors = "" if expected != 2 else done.stderr.decode()
    check(done.returncode, done.stdout.decode(), errors)
    assert b"Traceback" not in done.stderr
    allowed = [tmp_path / "beside", *places([str(text) for text in line], here)] if expected != 2 else []
    for path in tmp_path.rglob("*"):
        assert path == here or any(path.is_relative_to(place) for place in allowed), path
