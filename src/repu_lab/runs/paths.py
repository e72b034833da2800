"""The names of the files of runs and groups, and the one place that deletes: only what has such a name."""

import os
import re
import shlex
from contextlib import suppress
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from repu_lab.configs.config import ConfigError

EVENTS = "events.out.tfevents.*"
CHARTS, MOST_CHARTED = "#custom_scalars&_smoothingWeight=0", 40  # the lab's charts in TensorBoard, unsmoothed
CHECKPOINTS = "checkpoints"
GROUPS = ".groups"  # in a sweep's folder: what its groups of jobs share
# What is written into, or removed, where it stands; all else takes its name in one step.
IN_PLACE = re.compile(r"lock|run\.log|events\.out\.tfevents\..*|.*\.ckpt|.*\.part")
# Every name that the lab gives to a file of a run or a group.
OWN = re.compile(
    r"lock|run\.log|traceback\.txt|table\.csv|config\.yaml|statistics\.npz|weights\.pt|events\.out\.tfevents\..*|"
    r"(manifest|result|theory|group|slurm|claim)\.json|(propagation|solution|kernel|susceptibilities|phase_diagram)\.png|"
    r"step_[0-9]{10}\.ckpt(\.damaged)?|newton\.part"
)


def where_to_look(logdir: Path, run: str = "") -> str:
    """Return the line that opens TensorBoard at charts that show something: of all runs in a folder, or of this one.

    Of more than 40 runs Custom Scalars draws none, until a filter leaves as many; Time Series draws all.
    """
    several = (path for depth in ("*", "*/*/*") for path in logdir.glob(f"{depth}/{EVENTS}"))  # alone, and in sweeps/
    many = len(list(islice(several, MOST_CHARTED + 1))) > MOST_CHARTED
    tab = "?smoothing=0#timeseries" if many and not run else CHARTS + f"&regexInput={quote(run)}" * many
    return f"look:     tensorboard --logdir {shlex.quote(str(logdir))}, then http://localhost:6006/{tab}"


def is_own(name: str) -> bool:
    """Whether a file is called as the lab calls one of a run or a group."""
    return OWN.fullmatch(name) is not None


def temporary_name(name: str) -> str:
    """Return what a file is called while it is written."""
    return f".{name}.{os.getpid()}"


def check_inside(path: Path, root: Path) -> None:
    """Raise ConfigError if a folder on the way from `root`, itself left out, to `path` is a link, or is none."""
    inside = path.relative_to(root).parts
    for number in range(len(inside)):
        part = root.joinpath(*inside[: number + 1])
        if part.is_symlink() or (part.exists() and not part.is_dir()):
            raise ConfigError(f"{part}: is a link or no folder, and a sweep writes into its own folders; remove it")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a process that was killed."""
    for path in folder.glob(".*"):
        match = re.fullmatch(r"\.(.+)\.[0-9]+", path.name)
        if match and is_own(match[1]) and (path.is_symlink() or not path.is_dir()):
            path.unlink()


def remove_group(place: Path, sweep: Path) -> None:
    """Remove what the lab has written of a group, and the folder itself unless files of others are left in it."""
    check_inside(place / CHECKPOINTS, sweep)
    for folder in (place / CHECKPOINTS, place):
        remove_leftovers(folder)
        for path in folder.glob("*"):
            if is_own(path.name) and (path.is_symlink() or not path.is_dir()):
                path.unlink()
        with suppress(OSError):  # not there, or not empty
            folder.rmdir()
