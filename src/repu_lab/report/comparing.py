"""Runs side by side: the table of their rows, and one picture of what each measured and of its theory."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from repu_lab.catalogue.arguments import split
from repu_lab.catalogue.command import find_runs
from repu_lab.catalogue.printing import as_table, next_of, notes
from repu_lab.catalogue.rows import metric_name, rows
from repu_lab.catalogue.scanning import Run
from repu_lab.configs.code import with_tailor
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged
from repu_lab.configs.text import printable
from repu_lab.figures.comparison import MOST, RunCurves, comparison
from repu_lab.report.stored import Statistics, theory_of_events, theory_of_rows
from repu_lab.runs.output import check_output, write_output
from repu_lab.runs.reading import Contents
from repu_lab.sweeps.job_table import own_overrides

OPTIONS = {"--picture": None}
FORMATS = (".png", ".svg", ".pdf")
LONGEST = 24  # characters of a curve's name


def command(arguments: Sequence[str]) -> int:
    """Print the table of the runs below some folders and draw them; exit code 0. ConfigError for what can be mended."""
    folders, options = split(arguments, OPTIONS)
    if not folders:
        raise ConfigError("DIR: none was given; name runs or sweeps, as in repu-lab compare outputs/A outputs/B")
    picture = Path(options.get("--picture", ["comparison.png"])[-1])
    if picture.suffix not in FORMATS:
        raise ConfigError(f"--picture {printable(str(picture))}: must end in one of {', '.join(FORMATS)}")
    check_output("--picture", picture)
    runs = told_apart({run.path.resolve(): run for folder in folders for run in find_runs(folder)})
    table = rows(runs, "run")
    letters = ascii_uppercase[: len(runs)] if len(runs) <= MOST else ""
    print("\n".join([as_table(table, "run", names=letters), *notes(runs), *next_of(runs)]))
    names = [f"{letter} {name_of(run)}" for run, letter in zip(runs, letters, strict=False)]
    print(f"picture:  {_draw(runs, names, metric_name(table), picture)}")
    return 0


def draw_sweep(jobs: Sequence[Job]) -> str:
    """Draw the finished jobs of a sweep into its folder and return where, or why not."""
    sweep = jobs[0].places[0]
    typed = dict(zip([job.folder.resolve() for job in jobs], own_overrides(jobs), strict=True))
    runs = {run.path.resolve(): run for run in find_runs(str(sweep))}
    names = [printable(typed[path].replace("activation=", ""), LONGEST) for path in runs if path in typed]
    return _draw([runs[path] for path in runs if path in typed], names, "metric", sweep / "comparison.png")


def _draw(runs: Sequence[Run], names: Sequence[str], metric: str, picture: Path) -> str:
    if len(runs) > MOST:
        return f"none, since {len(runs)} runs cannot be told apart (at most {MOST}); name fewer"
    curves = [curve_of(run, name) for run, name in zip(runs, names, strict=True)]
    stream = io.BytesIO()
    comparison(curves, metric).savefig(stream, format=picture.suffix[1:], dpi=200)
    write_output("--picture", picture, stream.getvalue())
    return printable(str(picture))


def told_apart(runs: Mapping[Path, Run]) -> list[Run]:
    """Return runs by their absolute paths, their folders named from the innermost one that holds them all."""
    home = os.path.commonpath([path.parent for path in runs])
    return [replace(run, folder=os.path.relpath(path, home)) for path, run in runs.items()]


def name_of(run: Run) -> str:
    """Return the name of a run's activation."""
    name = str(run.config.get("activation.formula") or run.config.get("activation", ""))
    return printable(with_tailor(name, run.config.get("tailor")), LONGEST)


def curve_of(run: Run, name: str) -> RunCurves:
    """Return what a run's folder holds of log10 K by layer, at its first look, and of its metric."""
    measured, metric, steps = np.empty(0), np.empty((0, 0)), []
    if run.command != "theory":
        try:
            statistics = Statistics(run.path)
            profiles = statistics.profiles()
            measured = profiles[min(profiles)]["log10_K"][1] if profiles else measured
            if run.command == "train":
                metric, steps = statistics.losses().get("test_metric", metric), statistics.steps
        except Damaged:  # the table says so
            pass
    depth = run.config.get("depth")
    layers = max(measured.size, depth + 1 if isinstance(depth, int) else 0)
    return RunCurves(name, layers, measured, _theory(run), steps, metric)


def _theory(run: Run) -> NDArray[np.float64]:
    """Return theory's log10 K by layer in the typical network: from the result of theory or propagate, or events."""
    file = job_command(run.command).result
    try:
        layers = Contents(run.path).json(file).get("layers") if file else None
    except Damaged:
        return np.empty(0)
    if run.command == "theory":
        spread = [row.get("log10_K_quantiles") if isinstance(row, dict) else None for row in layers or ()]
        column = [each[len(each) // 2] if isinstance(each, list) and each else None for each in spread]
        return np.array([value if isinstance(value, (int, float)) else np.nan for value in column], np.float64)
    return (theory_of_rows(layers) or theory_of_events(run.path)).get("log10_K", np.empty(0))
