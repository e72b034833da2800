"""Type thousands of command lines, right and wrong, over all keys, options and commands but compare, and over files.

Each runs in this process in a folder of its own, beside run folders, config and points files that are whole, cut or
made up. It must end with exit code 0, 2 or 3 (or 1 where it says in one line what the system refused), without a
traceback, and with 2 as one line that any terminal can show.

    scripts/fuzz.py [--lines 10000] [--seed 0] [--first 0]

What would take long is left out: a sweep runs two of its jobs, in this process, a reproduction ends before its first
claim, a plan before its probe. --first goes on from a line; each line depends on seed and number alone. Exit code 1 if
a line fails.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import contextlib
import io
import json
import random
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import command_lines as words  # pyright: ignore[reportMissingImports]
from repu_lab import cli
from repu_lab.claims import command as claims_command
from repu_lab.configs.command import job_commands
from repu_lab.configs.composition import Composer
from repu_lab.runs import analysis, manifest
from repu_lab.sweeps import launching

SECONDS = 120  # that a line may take
NOT_RUN = 0
KEYS = {command: [*words.keys_of(each.config), *words.OF_ACTIVATIONS] for command, each in job_commands().items()}
# What is read may be anything; what is written stays in the line's folder.
FILES = [
    "files", "files/run", "files/run/config.yaml", "files/cut", "files/made_up", "files/empty", "files/bytes",
    "files/link", "files/points.csv", "files/odd.csv", "files/long.csv", "files/nothing", "files/snow☃",
    "files/half\udcff",
    "files/broken.yaml", "files/alias.yaml", "files/deep.yaml", "files/number.yaml", "files/list.yaml", "files/run/",
    "..", "/dev/null", "/proc/self/mem", "/etc", "n" * 300, "", "~", "~/x", "./files/../files/run", "a\nb",
]  # fmt: skip
OUTPUTS = [
    "x.csv", "x.html", "-", "files", "files/run/x.html", "no/x.html", "n" * 300 + ".html", "~/x.html", "", "☃.htm",
    "files/run/result.json", "files/link.html", "half\udcff.html", "\x1b[2J.html", "files/bytes/x.csv",
]  # fmt: skip
FOLDERS = [path for path in FILES if path != "/etc"]  # a walk through which takes long
COLUMNS = ["activation", "depth", "outcome", "metric", "state", "seed", "folder", "note", "share", "nothing", "", "-x"]
SIGNS = ["=", "!=", "~", "<", "<=", ">", ">=", "==", "", " = ", "=~", "<>"]
DOORS = ["", "--help", "-h", "--version", "-m", "train", "trian", "depth=3", "-x", "resume", "\x1b[2J", "help", "-sc"]
DOORS += ["-c", "compare", "TRAIN", "--", "-", "results", "report", "reproduce", "☃", "\udcff", "=", "a" * 100_000]
COMPLETION = ["install=bash", "install=zsh", "install=fish", "install=x", "query=bash", "uninstall=fish", "", "x", "="]


class TooLong(BaseException):
    """A line has not ended."""


def line_of(seed: int, number: int) -> list[str]:
    """Return a command line."""
    draw = random.Random(f"{seed} {number}")
    command = draw.choice(["train"] * 8 + ["propagate", "theory", "reproduce", "results", "report"] * 2 + ["door"])
    if command == "door":
        rest = draw.choice([[], [draw.choice(COMPLETION)], [value(draw)], ["--help"], [value(draw), value(draw)]])
        return [draw.choice(DOORS), *rest]
    if command in ("results", "report"):
        return [command, *path_arguments(draw, command)]
    typed = [text for _ in range(draw.choice([1, 1, 1, 2, 3])) for text in override(draw, command)]
    typed += [draw.choice([*words.OPTIONS, value(draw)])] if draw.random() < 0.1 else []
    sweep = draw.choice([[], [], [], words.SWEEP, words.SWEEP])
    return [command, *words.SMALL.get(command, []), *sweep, *typed, *words.LAST.get(command, [])]


def path_arguments(draw: random.Random, command: str) -> list[str]:
    """Return a folder, or none, or two, and options."""
    condition = f"{draw.choice(COLUMNS)}{draw.choice(SIGNS)}{draw.choice([value(draw), draw.choice(words.NUMBERS)])}"
    options = {
        "--by": draw.choice(["member", "run", "config", "x", "", value(draw)]),
        "--filter": draw.choice([condition, f"{condition} depth>1", value(draw)]),
        "--sort": draw.choice([draw.choice(COLUMNS), f"-{draw.choice(COLUMNS)},depth", value(draw)]),
        "--csv": draw.choice(OUTPUTS),
        "--json": draw.choice(OUTPUTS),
        "--output": draw.choice(OUTPUTS),
    }
    folders = [draw.choice(FOLDERS) for _ in range(draw.choice([0, 1, 1, 1, 1, 1, 2]))]
    chosen = draw.sample(sorted(options), draw.choice([0, 1, 1, 2]))
    if command == "report" and draw.random() < 0.8:
        chosen = [name for name in chosen if name == "--output"]
    typed = [text for name in chosen for text in draw.choice([[name, options[name]], [f"{name}={options[name]}"]])]
    return [*folders, *typed, *draw.choice([[], [], ["--all"], ["--help"], [draw.choice(words.OPTIONS)], ["-m"]])]


def override(draw: random.Random, command: str) -> list[str]:
    """Return an override, right or wrong, with those it needs."""
    kind, key = draw.choice([*words.KINDS, "file", "file"]), draw.choice(KEYS[command])
    if kind == "extreme":
        template = draw.choice(words.EXTREMES + (words.TRAINING if command == "train" else []))
        return template.format(draw.choice([draw.choice(words.NUMBERS), repr(draw.lognormvariate(0, 50))])).split()
    if kind == "group":
        group = draw.choice(sorted(words.GROUPS))
        return [f"{group}={draw.choice([draw.choice(words.GROUPS[group]), value(draw)])}"]
    if kind == "hydra":
        return [draw.choice(words.HYDRAS)]
    if kind == "place":
        key = draw.choice(["run.dir", "run.dir", "sweep.dir", "sweep.subdir"])
        return [f"hydra.{key}={draw.choice(words.PLACES if key == 'run.dir' else words.PLACES[1:])}"]
    if kind == "raw":
        return [value(draw)]
    if kind == "file":
        key = draw.choice(
            ["config", "config", "resume", "resume", "points", "points", "task=mnist task.cache", "claim"]
        )
        return f"{key}={draw.choice(['', chr(39)])}{draw.choice(FILES)}".split(" ", 1)
    if kind == "misspelt":
        at = draw.randint(0, len(key))
        key = key[:at] + draw.choice(["", "x", ".", "/", "@", "_", "[0]", " ", "\n", "é"]) + key[at + 1 :]
    mark = draw.choice(["+", "++", "~", "~~"]) if kind == "mark" else ""
    return [f"{mark}{key}={value(draw)}"]


def value(draw: random.Random) -> str:
    """Return a value of any kind; no whole number between 4 and 10^6, which may be a valid wish that takes long."""
    whole = draw.choice([draw.randint(-4, 4), 10 ** draw.randint(6, 30), -(10 ** draw.randint(1, 30))])
    noise = "".join(
        chr(draw.choice([draw.randint(32, 126), draw.randint(0, 0x2FFF)])) for _ in range(draw.randint(0, 9))
    )
    noise = noise if not noise.isdigit() else "x"
    pools = (words.SHORT, words.NUMBERS, words.NUMBERS, words.WORDS, words.PATHS, words.TEXTS, words.NESTS, words.LONG)
    return draw.choice([*map(draw.choice, pools), str(whole), repr(draw.lognormvariate(0, 50)), noise])


def make_files(place: Path) -> None:
    """Write the files that lines name: a finished run, and what is none."""
    place.mkdir(parents=True)
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(["train", *words.SMALL["train"], f"hydra.run.dir={place / 'run'}"]) == 0
    shutil.copytree(place / "run", place / "cut")
    for file in (path for path in (place / "cut").iterdir() if path.is_file()):
        os.truncate(file, file.stat().st_size // 2)
    shutil.copytree(place / "run", place / "made_up")
    (place / "made_up/manifest.json").write_text('{"status": [], "command": {}, "files": 3}', encoding="utf-8")
    (place / "made_up/result.json").write_text(json.dumps({"members": [{"seed": "x"}, {}]}), encoding="utf-8")
    (place / "made_up/config.yaml").write_text("? [a, b]\n: 1\n1: 2\n2024-01-01: x\n", encoding="utf-8")
    for name, content in {
        "empty": b"",
        "bytes": bytes(range(256)),
        "broken.yaml": b"a: [1\nb: }",
        "alias.yaml": b"a: &x [1]\nb: *x\n",
        "deep.yaml": b"a: " + b"[" * 500,
        "number.yaml": b"depth: " + b"9" * 5000,
        "list.yaml": b"- 1\n- 2\n",
        "points.csv": b"depth,seed\n1,2\n2,1\n",
        "odd.csv": b'depth,\x00,"x\n1,2\n',
        "long.csv": b"depth\n" + b"9" * 9999,
    }.items():
        (place / name).write_bytes(content)
    (place / "link").symlink_to("nowhere")
    (place / "link.html").symlink_to("nowhere")


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Compose once what lines share, and leave out what takes long and is not the matter here."""
    kept: dict[str, tuple[Any, ...]] = {}
    original = Composer.__init__

    def shared(self: Composer, command: str, loader: Any, searchpath: Any = ()) -> None:
        original(self, command, loader, searchpath)
        if not searchpath:
            self._bases, self._parsed, self.groups = kept.setdefault(command, (self._bases, self._parsed, self.groups))

    drawn = Figure.savefig

    def blank(self: Figure, target: Any, *, format: str, **settings: Any) -> None:  # a PNG takes 0.3 s
        if format == "png":
            target.write(bytes(24)) if hasattr(target, "write") else Path(target).write_bytes(bytes(24))
        else:
            drawn(self, target, format=format, **settings)

    patches: list[tuple[Any, str, Callable[..., Any]]] = [
        (Composer, "__init__", shared),
        (os, "fsync", lambda _: None),
        (manifest, "_git_commit", lambda: None),
        (launching, "launch", words.launch_here),
        (launching, "plan", lambda *_: NOT_RUN),
        (claims_command, "judge_all", lambda *_: []),
        (Figure, "savefig", blank),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    analysis.GRID, grid = 6, analysis.GRID
    for owner, name, instead in patches:
        setattr(owner, name, instead)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        analysis.GRID = grid


def run(line: list[str], here: Path, files: Path) -> tuple[int | None, str]:
    """Type a line in a fresh folder; return its exit code, and what is wrong with how it ended, '' if nothing."""
    here.mkdir(parents=True)
    shutil.copytree(files, here / "files", symlinks=True)
    (here / "taken").mkdir()
    before, out, err = Path.cwd(), Stream(), Stream()
    os.chdir(here)
    signal.alarm(SECONDS)
    code, raised = None, ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(line)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raised = traceback.format_exc()
    finally:
        signal.alarm(0)
        os.chdir(before)
        torch.set_num_threads(1)
        shutil.rmtree(here.parent)
    return code, raised or complaint(code, out.text, err.text)


class Stream(io.TextIOWrapper):
    """A stream that is no terminal and no file, and takes any sign."""

    def __init__(self) -> None:
        """Make an empty one."""
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace")

    @property
    def text(self) -> str:
        """What was written."""
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def complaint(code: int | None, out: str, err: str) -> str:
    """Say what is wrong with how a line ended, '' if nothing."""
    if "Traceback" in out + err:
        return f"a traceback: {out}{err}"
    if not (out + err).replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return f"signs that a terminal may obey: {out + err!r}"
    if code == 2 and (out or err.count("\n") != 1 or len(err) > 2000):
        return f"not one line: {out!r} {err[:3000]!r}"
    if code not in (0, 2, 3) and not (code == 1 and (err or out).strip()):
        return f"exit code {code}: {out}{err}"
    return f"failed: {out[-1000:]}{err}" if code == 1 and "failed: " in out else ""


def fuzz(numbers: range, seed: int, place: Path) -> tuple[Counter[int | None], list[tuple[int, list[str], str]]]:
    """Type the lines of these numbers; return how often which exit code came, and what failed."""
    os.environ.pop("NOT_THERE", None)
    signal.signal(signal.SIGALRM, _too_long)
    codes: Counter[int | None] = Counter()
    failed = []
    with quick():
        make_files(place / "files")
        home = place / "home"
        for number in numbers:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            os.environ["HOME"] = str(home)
            line = line_of(seed, number)
            code, what = run(line, place / "parent/here", place / "files")
            if code is not None and code > 128:  # the signal was meant for this script
                raise KeyboardInterrupt
            codes[code] += 1
            if what:
                failed.append((number, line, what))
                print(f"line {number}: repu-lab {shlex.join(text[:300] for text in line)!a}\n{what}\n", flush=True)
            if number % 100 == 99:
                print(f"{codes.total()} lines, {len(failed)} failed", end="\r", file=sys.stderr, flush=True)
    return codes, failed


def _too_long(*_: object) -> None:
    raise TooLong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        codes, failed = fuzz(range(chosen.first, chosen.first + chosen.lines), chosen.seed, Path(place))
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items(), key=str))
    tracebacks = sum("Traceback" in what for _, _, what in failed)
    print(f"{codes.total()} command lines: {ended}; {tracebacks} tracebacks, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
