"""Damage and swap what lies in run and sweep folders at random, look at them and go on with them, count what happens.

    scripts/torture_folders.py [--cases 1000] [--seed 0]

A case is a copy of a tree with three finished runs, of which one is harmed in one to three ways: bits flipped, cut,
removed, swapped for pipes, links, devices and folders, or filled with texts that a reader may choke on. Then `results`
(by network, run and config, as CSV and JSON) and `report` must end with 0 or one line, in seconds and with little
memory; the two others must be shown as finished, and the harmed one as damaged if a file that it has written is not as
it was. Every eighth case is a sweep that is typed again, with rerun=true or without, over odd or linked groups. What
lies outside of the tree must be as before. Exit code 1 if anything else is seen.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: what is forked must have one thread

import argparse
import csv
import hashlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from repu_lab import cli, figures
from repu_lab.catalogue import command  # noqa: F401
from repu_lab.configs.config import ConfigError
from repu_lab.report import reproduction, run, sweep  # noqa: F401
from repu_lab.runs import training  # noqa: F401
from repu_lab.sweeps import sweep as sweeping
from repu_lab.sweeps.workers import Event

TINY = ("width=4", "steps=3", "batch_size=8", "probe=4", "initialization=he", "checkpoint.every_seconds=0")
RUNS = {name: ("train", f"activation={name}", "depth=2", *TINY) for name in ("tanh", "relu", "gelu")}
SWEEP = ("train", "-m", "activation=tanh", "depth=1,2", "seed=0,1", "sweep=s", *TINY)
SECONDS, MEMORY = 60, 6 << 30  # of a case; address space, most of which torch has taken
SEEN_DAMAGED, STRANGE = 81, 82  # exit codes of a case

DEEP, DIGITS = "[" * 30_000, "9" * 5000
TEXTS = [
    "", "\0", "null", "[]", "{}", "3", "\ud800", DEEP, DEEP + "]" * 30_000,
    "- " * 30_000, "{a: " * 10_000, DIGITS, f"a: {DIGITS}", "a: 0x" + "f" * 4000, f'{{"a": {DIGITS}}}', "1: 2\na: 3\n",
    "? {1: 2, a: 3}\n: 1\n", "a: {1: x, b: y, 2020-01-01: z, null: 1, .nan: 2}\n", "d: 2020-01-01\n",
    '"a\\0b": "\\ud800"\n',
    '"a\\0b": "\\x1b[2J"\n', "a: &a [*a]\n", "a: !!int ''\n", "a: !!bool x\n", "a: !!timestamp x\n", "a: 1:1:1:1\n",
    "<<: [{a: 1}]\n", "a: !!set {1, b}\n", "seed: [1]\ndepth: {x: [1, {2: 3}]}\n", '{"members": [{}, {}]}',
    '{"members": [{"outcome": "\\ud800", "seed": "\\u0000", "layer": 1e308, "metric": NaN, "loss": -1e999}]}',
    f'{{"members": [{{"outcome": [], "seed": {"9" * 309}, "loss": {"8" * 309}, "metric": {"7" * 308}}}]}}',
    f'{{"members": [{{"metric": -{"9" * 308}}}, {{"metric": {"9" * 308}}}, {{"metric": {"8" * 308}, "layer": -1.5}}]}}',
    '{"outcomes": {"a": 1e300, "b": -1}}', '{"outcomes": {"\\ud800": 2, "b": true, "c": null, "d": 0.5}}',
    '{"fate": "\\u001b[2J"}', '{"members": [' + "{}," * 300_000 + "{}]}",
]  # fmt: skip
# What a manifest may say instead: whatever the key, of whatever type.
VALUES: list[Any] = [
    None, 5, -1e300, True, "", "\ud800", "\0", "x" * 10_000, [], [[]], {}, {"": {}}, {"\0": {"bytes": 1}}, {"..": {}},
    {"/etc/passwd": {"bytes": 1, "sha256": 5}}, {"result.json": {"bytes": 10**400, "sha256": []}}, {"\ud800": {}},
    {"weights.pt": 3}, "running", "finished", "theory", "reproduce", [{"a": None}], {"a": {"b": ["\ud800"]}},
]  # fmt: skip
KEYS = ("status", "command", "files", "start", "end", "versions", "command_line", "config_hash", "group", "resumed")
GROUPS: list[Any] = [
    [], None, 5, "abc", {"a": 1}, [None], [5, 6], [["a"], {"b": 1}], [{}], ["a" * 16] * 2, "self", "twice", "others",
]  # fmt: skip


class Inline:
    """A pool that does its tasks in this process, which has imported what they need."""

    def __init__(self, slots: Any):
        """Have nothing to do."""
        self.waiting: list[tuple[Any, Any]] = []

    @property
    def busy(self) -> bool:
        """Whether a task waits."""
        return bool(self.waiting)

    def submit(self, task: Any, argument: Any, *, alone: bool = False) -> None:
        """Let a task wait."""
        self.waiting.append((task, argument))

    def events(self, seconds: float) -> Iterator[Event]:
        """Do the next task."""
        task, argument = self.waiting.pop(0)
        try:
            yield Event("done", argument, task(argument, lambda share: None))
        except ConfigError as error:
            yield Event("mistake", argument, str(error))
        except Exception as error:
            yield Event("raised", argument, f"{type(error).__name__}: {error}")

    def ask(self, task: Any, argument: Any) -> Any:
        """Return what a task gives."""
        return task(argument, lambda share: None)

    def interrupt(self) -> None:
        """Forget what waits."""
        self.waiting.clear()

    leave = interrupt

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return torture(Path(temporary), chosen.cases, chosen.seed)


def torture(place: Path, cases: int, seed: int) -> int:
    """Look at so many harmed trees, print the counts and return the exit code."""
    made = place / "made"
    made.mkdir()
    os.chdir(made)
    figures.signal_propagation = lambda *_, **__: Figure()  # half a second each
    sweeping.Pool = Inline
    for name, line in RUNS.items():
        assert forked(lambda line=line, name=name: cli.main([*line, f"hydra.run.dir=tree/{name}"])) == 0, said()
    assert forked(lambda: cli.main(list(SWEEP))) == 0, said()
    outside = place / "outside"
    precious(outside)
    counts, harms, bad = Counter[str](), Counter[str](), 0
    for number in range(cases):
        draw = random.Random(f"{seed} {number}")
        case = place / f"case_{number}"
        shutil.copytree(made, case)
        before = fingerprint(outside)
        os.chdir(case)
        kind = again if number % 8 == 7 else look
        description, check = kind(draw, outside, harms)
        code = forked(check)
        after = fingerprint(outside)
        os.chdir(place)
        if code in (0, SEEN_DAMAGED) and before == after:
            counts["marked damaged" if code == SEEN_DAMAGED else "typed again" if kind is again else "harmless"] += 1
            shutil.rmtree(case)
            continue
        bad += 1
        changed = "" if before == after else "; OUTSIDE CHANGED"
        print(f"{case.name}: {description}: ended with {code}{changed}\n{said(case)}")
        precious(outside)
    done = ", ".join(f"{n} {name}" for name, n in harms.most_common())
    seen = ", ".join(f"{n} {name}" for name, n in counts.most_common())
    print(f"{cases} cases: {seen}; {bad} as they must not end; {harms.total()} harms: {done}")
    return 1 if bad else 0


def look(draw: random.Random, outside: Path, harms: "Counter[str]") -> tuple[str, Callable[[], int]]:
    """Harm one of the runs; return what was done, and what looks at the tree."""
    folder = Path("tree") / draw.choice(list(RUNS))
    written = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    description = [harm(folder, draw, outside, harms) for _ in range(draw.choice((1, 1, 2, 3)))]
    small = [name for name, entry in written.items() if entry["bytes"] <= 1 << 16]
    changed = [name for name in small if digest(folder / name) != written[name]["sha256"]]
    listed = manifest_of(folder).get("status") == "finished" and manifest_of(folder).get("files") == written
    return f"{folder.name}: {', '.join(description)}", lambda: shown(folder, bool(changed) and listed)


def shown(folder: Path, must_be_marked: bool) -> int:
    """Show the tree in every form; the exit code says what was seen."""
    for by in ("member", "run", "config"):
        expect(cli.main(["results", "tree", "--by", by, "--json", f"{by}.json", "--csv", f"{by}.csv"]) == 0, by)
    with open("run.csv", encoding="utf-8", newline="") as file:
        states = {row["folder"]: row["state"] for row in csv.DictReader(file)}
    for name in RUNS:
        expect(name == folder.name or states[name] == "finished", f"{name} is shown as {states.get(name)}")
    state = states.get(folder.name)
    expect(not must_be_marked or state == "damaged", f"shown as {state}")
    expect(cli.main(["report", "tree"]) == 0, "report of the tree")
    expect(cli.main(["report", str(folder)]) in (0, 2), "report of the run")
    line = [*RUNS[folder.name], f"hydra.run.dir={folder}"]
    expect(cli.main(line) in (0, 2), "typed again")
    return SEEN_DAMAGED if state == "damaged" else 0


def again(draw: random.Random, outside: Path, harms: "Counter[str]") -> tuple[str, Callable[[], int]]:
    """Put odd groups into the sweep, forget a job, and return what types it again."""
    home = Path("outputs/sweeps/s")
    groups = home / ".groups"
    jobs = sorted(path for path in home.iterdir() if not path.name.startswith("."))
    hashes = [manifest_of(job)["config_hash"] for job in jobs]
    description = draw.choice(
        ("linked", "linked group", "linked checkpoints", "odd", "odd", "odd", "a file", "linked job")
    )
    harms[f"groups: {description}"] += 1
    place = groups / "".join(draw.choices("0123456789abcdef", k=16))
    shutil.rmtree(jobs[0])
    if description == "linked":
        shutil.rmtree(groups)
        groups.symlink_to(outside)
    elif description == "linked group":
        place.symlink_to(outside / "0123456789abcdef")
    elif description == "linked checkpoints":
        place.mkdir()
        (place / "checkpoints").symlink_to(outside)
        (place / "group.json").write_text("{}", encoding="utf-8")
    elif description == "a file":
        shutil.rmtree(groups)
        groups.write_text("mine", encoding="utf-8")
    elif description == "linked job":
        jobs[0].symlink_to(outside)
    else:
        value = draw.choice(GROUPS)
        odd = {"self": hashes, "twice": [hashes[0]] * 2, "others": [hashes[0], hashes[-1]]}.get(str(value), value)
        if value in ("self", "twice", "others"):
            place = groups / hashlib.sha256("".join(odd or []).encode()).hexdigest()[:16]
        (place / "checkpoints").mkdir(parents=True)
        (place / "checkpoints" / "step_0000000001.ckpt").write_text(
            draw.choice(TEXTS), errors="replace", encoding="utf-8"
        )
        (place / ".notes.2024").write_text("mine", encoding="utf-8")
        (place / "group.json").write_text(draw.choice([*TEXTS[:8], json.dumps({"jobs": odd})]), "utf-8", "replace")
    rerun = draw.random() < 0.5

    def typed() -> int:
        code = cli.main([*SWEEP, *(["rerun=true"] if rerun else [])])
        expect(
            code in ((2,) if description.startswith("linked") or description == "a file" else (0,))
            or description in SILENT,
            f"code {code}",
        )
        expect(not (place / "group.json").is_symlink(), "the group's file")
        mine = place / ".notes.2024"
        expect(description != "odd" or mine.read_text(encoding="utf-8") == "mine", "somebody's file is gone")
        return 0

    return f"groups: {description}{', rerun' * rerun}", typed


SILENT = ("linked group", "linked checkpoints")  # passed over, unless a group of this very name is made


def harm(folder: Path, draw: random.Random, outside: Path, harms: "Counter[str]") -> str:
    """Do one harm to one file of a run's folder and say which."""
    names = [path.name for path in folder.iterdir() if path.is_file() or path.is_symlink()] or ["manifest.json"]
    name = draw.choice([*names, "manifest.json", "config.yaml", "result.json", "lock", "traceback.txt", "report.html"])
    path = folder / name
    kind = draw.choice((*HARMS, "text", "key", "key"))
    if kind == "key":
        said = manifest_of(folder)
        said[draw.choice(KEYS)] = draw.choice(VALUES)
        if not (folder / "manifest.json").is_dir() and not (folder / "manifest.json").is_fifo():
            replace(folder / "manifest.json").write_text(json.dumps(said), encoding="utf-8")
        name = "manifest.json"
    elif kind == "text":
        replace(path).write_bytes(draw.choice(TEXTS).encode("utf-8", "surrogatepass"))
    else:
        content = path.read_bytes() if path.is_file() and os.stat(path).st_size < 1 << 20 else b"nothing"
        HARMS[kind](replace(path), content or b"-", draw, outside)
    harms[kind] += 1
    return f"{kind} {name}"


def flip(path: Path, content: bytes, draw: random.Random, outside: Path) -> None:
    at = draw.randrange(len(content))
    path.write_bytes(content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :])


HARMS: dict[str, Callable[[Path, bytes, random.Random, Path], Any]] = {
    "flip": flip,
    "cut": lambda path, content, draw, outside: path.write_bytes(content[: draw.randrange(len(content))]),
    "noise": lambda path, content, draw, outside: path.write_bytes(draw.randbytes(draw.randint(1, 5000))),
    "remove": lambda path, content, draw, outside: None,
    "pipe": lambda path, content, draw, outside: os.mkfifo(path),
    "folder": lambda path, content, draw, outside: (path / "x").mkdir(parents=True),
    "endless": lambda path, content, draw, outside: path.symlink_to("/dev/zero"),
    "nowhere": lambda path, content, draw, outside: path.symlink_to(outside / "not_there"),
    "loop": lambda path, content, draw, outside: path.symlink_to(path.name),
    "link": lambda path, content, draw, outside: path.symlink_to(outside / "precious.txt"),
    "hard link": lambda path, content, draw, outside: os.link(outside / "precious.txt", path),
    "sparse": lambda path, content, draw, outside: os.truncate(os.open(path, os.O_WRONLY | os.O_CREAT), 1 << 40),
    "odd name": lambda path, content, draw, outside: os.mkdir(os.fsencode(path.parent) + b"/\xff\n\x1b[2J.json"),
    "somebody's": lambda path, content, draw, outside: path.with_name(".notes.2024").write_bytes(b"mine"),
}  # fmt: skip


def replace(path: Path) -> Path:
    """Return the path with nothing there any more."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return what a manifest says, {} if it cannot be read."""
    path = folder / "manifest.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() and path.stat().st_size < 1 << 20 else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a regular file of ordinary size, None for anything else."""
    if not path.is_file() or path.stat().st_size > 1 << 24:
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def precious(outside: Path) -> None:
    """Make the files that no case may touch."""
    shutil.rmtree(outside, ignore_errors=True)
    group = outside / "0123456789abcdef"
    (group / "checkpoints").mkdir(parents=True)
    for path in (
        outside / "precious.txt",
        outside / "lock",
        group / "group.json",
        group / "checkpoints" / "step_0000000001.ckpt",
    ):
        path.write_text("{}\nprecious\n", encoding="utf-8")


def fingerprint(folder: Path) -> dict[str, str | None]:
    """Return what lies in a folder."""
    return {str(path): digest(path) if path.is_file() else None for path in sorted(folder.rglob("*"))}


def expect(true: bool, message: str) -> None:
    """End the case if something is not as it must be."""
    if not true:
        print(f"NOT AS IT MUST BE: {message}", flush=True)
        raise SystemExit(STRANGE)


def said(place: Path = Path()) -> str:
    """Return the end of what the processes in a folder printed."""
    return (place / "output").read_text(encoding="utf-8", errors="replace")[-1500:]


def forked(check: Callable[[], int]) -> int:
    """Return what a function gives in a process of its own, bounded in time and memory; minus its signal."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = STRANGE
    try:
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = check()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else STRANGE
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
