"""Run commands with streams, signals, locales and places of every kind, and count what holds.

    scripts/torture_streams.py [--cases 200] [--seed 0] [--folder DIR]

A case is a process of its own (forked from this one, which has imported what they need) that trains, fails, reads
folders or is told a mistake, with standard output and error closed, full, broken, read-only or left after a few bytes,
in UTF-8, Latin-1 or ASCII, in a working directory with a strange name; four of five that train are sent one to three of
the signals that ask for an end, at random times. Nothing may end in a traceback; each must end with its code (128 + n
if a signal came in time); a run's folder says finished, interrupted or failed, and the same command again ends with the
bits of the run that nothing disturbed. Exit code 1 if one does not.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: what is forked must have one thread

import argparse
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torture
from matplotlib.figure import Figure

from repu_lab import cli, figures
from repu_lab.catalogue import command as results_command  # noqa: F401
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs import training  # noqa: F401
from repu_lab.runs.interruption import SIGNALS

RUN = ["train", "activation=tanh", "depth=3", *torture.TINY, "steps=300", "hydra.run.dir=run"]
FAILING = ["train", "activation=custom", "activation._target_=fails.Fails", "depth=3", *torture.TINY]
FAILS = """
import os, torch

class Fails(torch.nn.Tanh):
    def forward(self, z):
        if os.path.exists("run/manifest.json"):
            raise RuntimeError("größer als 雪 \\udcff")
        return super().forward(z)
"""
LINES = {
    "train": RUN, "a failing run": [*FAILING, "hydra.run.dir=run"], "results": ["results", "../reference"],
    "results --csv -": ["results", "../reference", "--csv", "-"], "a mistake": ["train", "dpth=3"],
    "help": ["train", "--help"],
}  # fmt: skip
CODES = {"train": 0, "a failing run": 1, "results": 0, "results --csv -": 0, "a mistake": 2, "help": 0}
STREAMS = ("file", "closed", "full", "broken", "read-only", "left after 20 bytes")
ENCODINGS = ("utf-8", "ascii", "latin-1")
PLACES = ("plain", "a${b}", "snow☃", "half\udcff", "two\nlines", " ", "$(touch x)", "x" * 200)
COMPLAINED = ("full", "read-only")  # where standard output cannot be written, which a command says with exit code 1


def stream(kind: str, place: Path, number: int) -> None:
    """Make a stream of this process one of a kind."""
    if kind == "closed":
        os.close(number)
        return
    if kind in ("broken", "left after 20 bytes"):
        reading, writing = os.pipe()
        if kind != "broken" and not os.fork():
            os.close(writing)
            os.read(reading, 20)
            os._exit(0)
        os.close(reading)
    elif kind == "file":
        writing = os.open(place / f"stream{number}", os.O_WRONLY | os.O_CREAT)
    else:
        writing = os.open("/dev/full" if kind == "full" else os.devnull, os.O_WRONLY if kind == "full" else os.O_RDONLY)
    os.dup2(writing, number)
    os.close(writing)


def python_stream(kind: str, number: int, encoding: str) -> io.TextIOWrapper | None:
    """Return what Python makes of a stream when it starts."""
    if kind == "closed":
        return None
    return open(number, "w", encoding=encoding, errors="strict" if number == 1 else "backslashreplace", closefd=False)


def start(line: Sequence[str], place: Path, streams: tuple[str, str], encoding: str) -> int:
    """Start a process that runs a command line; return its id."""
    process = os.fork()
    if process:
        return process
    code = torture.CRASHED
    try:
        os.chdir(place)
        for number, kind in zip((1, 2), streams, strict=True):
            stream(kind, place.parent / f"{place.parent.name}.streams", number)
        sys.stdout, sys.stderr = (python_stream(kind, n, encoding) for n, kind in zip((1, 2), streams, strict=True))
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        figures.signal_propagation = lambda *_, **__: Figure()
        code = cli.main(line)
    except BaseException:
        (place.parent / "traceback").write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
    finally:
        os._exit(code)


def case(place: Path, draw: random.Random, seconds: float, count: Counter[str]) -> list[str]:
    """Run a case; return what is wrong with it."""
    what = draw.choice(["train", *LINES])
    kinds, encoding = (draw.choice(STREAMS), draw.choice(STREAMS)), draw.choice(ENCODINGS)
    here = place / draw.choice(PLACES)
    here.mkdir(parents=True)
    (place / f"{place.name}.streams").mkdir()
    (place / "reference").symlink_to("../reference")
    process = start(LINES[what], here, kinds, encoding)
    sent = draw.sample(SIGNALS, draw.choice([0, 1, 1, 2, 3]) if what == "train" else 0)
    for number in sent:
        time.sleep(draw.uniform(0, seconds / len(sent)))
        os.kill(process, number)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    expected = {CODES[what], *(1 for kind in COMPLAINED if kind == kinds[0] and CODES[what] == 0)}
    expected |= {128 + number for number in sent} | {-number for number in sent}  # before it listens, or after
    count[f"output {kinds[0]}"] += 1
    count[f"errors {kinds[1]}"] += 1
    count[f"encoding {encoding}"] += 1
    count["in a strange place"] += here.name != "plain"
    for number in sent:
        count[number.name] += 1
    problems = [f"{what}, {kinds}, {encoding}, {sent}, {here.name!r}: exit code {code}"] if code not in expected else []
    if (place / "traceback").exists():
        problems.append((place / "traceback").read_text(encoding="utf-8"))
    for file in (place / f"{place.name}.streams").iterdir():
        said = file.read_bytes().decode(encoding, "replace")
        problems += [f"{what}: {said}"] if "Traceback" in said else []
    return problems + (_run_of(here, what, code) if what in ("train", "a failing run") else [])


def _run_of(here: Path, what: str, code: int) -> list[str]:
    """Return what is wrong with the run that a case leaves: its status, what it ends with when it is typed again."""
    manifest = here / "run/manifest.json"
    status = json.loads(manifest.read_text(encoding="utf-8"))["status"] if manifest.exists() else "not begun"
    allowed = {"train": {0: ["finished"], 1: ["finished"]}, "a failing run": {1: ["failed"]}}[what]
    problems = (
        []
        if status in allowed.get(code, ["interrupted", "finished", "not begun"]) or code < 0
        else [f"{what} is {status} after exit code {code}"]
    )
    if what == "a failing run":
        file = here / "run/traceback.txt"
        kept = file.exists() and "größer als 雪 \\udcff" in file.read_text(encoding="utf-8")
        return problems + ([] if kept else ["the error is not in traceback.txt"])
    again = start(RUN, here, ("file", "file"), "utf-8")
    if code := os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]):
        return [*problems, f"typed again: exit code {code}"]
    return problems + torture.differences(here.parent.parent / "reference", here / "run")


def torture_streams(place: Path, cases: int, draw: random.Random) -> int:
    """Run the cases; print what came of them and return the exit code."""
    sys.path.insert(0, str(place))
    (place / "fails.py").write_text(FAILS, encoding="utf-8", errors="surrogatepass")
    compose_jobs("train", RUN[1:])  # imports what every case needs
    (place / "first/reference.streams").mkdir(parents=True)
    (place / "first/first.streams").mkdir()
    (place / "first/here").mkdir()
    begun = time.monotonic()
    process = start(RUN, place / "first/here", ("file", "file"), "utf-8")
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise RuntimeError((place / "first/first.streams/stream2").read_text(encoding="utf-8"))
    seconds = time.monotonic() - begun
    shutil.move(place / "first/here/run", place / "reference")
    count: Counter[str] = Counter()
    held = 0
    for number in range(cases):
        folder = place / f"case_{number:04d}"
        folder.mkdir()
        problems = case(folder, draw, seconds, count)
        held += not problems
        if problems:
            print(f"{folder.name}: {'; '.join(problems)}", flush=True)
        else:
            shutil.rmtree(folder)
        print(f"{held} of {number + 1} cases held", end="\r", file=sys.stderr, flush=True)
    print(f"{held} of {cases} cases held: {', '.join(f'{number} {name}' for name, number in count.most_common())}")
    return 0 if held == cases else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where cases that failed are kept; left out: a temporary folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.folder or Path(temporary)
        place.mkdir(exist_ok=True)
        return torture_streams(place.absolute(), chosen.cases, random.Random(chosen.seed))


if __name__ == "__main__":
    sys.exit(main())
