"""Time and memory of a step against members, depth, width and batch, one at a time, the others at 1, 10, 128 and 128.

Members are of width and batch 32.
A step that is linear in one of them has the exponent 1 in it; below, what a launch costs hides the work. Usage:
scripts/bench_scale.py FOLDER [--axes members depth] [--device cpu] [--threads 2] [--seconds 60] [--beside FILE]. FOLDER
gets scale.json and scale.png; what a scale.json of another machine holds is taken over, and drawn beside it.
"""

import argparse
import gc
import json
import math
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

import bench_training as bench
import torch
from bench_training import Case
from check_gpu import timed
from matplotlib.figure import Figure

SMALL, ONE = Case(1, 10, 32, 32), Case(1, 10, 128, 128)
AXES: dict[str, tuple[Case, list[int]]] = {
    "members": (SMALL, [1, 10, 100, 1_000, 10_000, 100_000]),
    "depth": (ONE, [2, 10, 50, 200, 1_000, 2_000]),
    "width": (ONE, [16, 64, 256, 1_024, 4_096]),
    "batch": (ONE, [16, 64, 256, 1_024, 4_096]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--axes", nargs="+", default=[*AXES], choices=[*AXES])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="after so many an axis goes no further")
    parser.add_argument("--beside", type=Path, help="a scale.json of another machine")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    points = {}
    for axis in arguments.axes:  # each in a process of its own, whose memory never falls
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            points[axis] = pool.submit(measured, axis, arguments.device, arguments.threads, arguments.seconds).result()
    of = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, threads={arguments.threads}"
    machines = {} if arguments.beside is None else json.loads(arguments.beside.read_text(encoding="utf-8"))
    machines[of] = {**machines.get(of, {}), **points}
    (arguments.folder / "scale.json").write_text(json.dumps(machines) + "\n", encoding="utf-8")
    draw(machines).savefig(arguments.folder / "scale.png", dpi=150)


def measured(axis: str, device: str, threads: int, seconds: float) -> list[dict[str, Any]]:
    """Return size, milliseconds a step, GiB at most, and the chunk of members that pass at once, while time is left."""
    torch.set_num_threads(threads)
    case, sizes = AXES[axis]
    start, points = monotonic(), []
    for size in sizes:
        if monotonic() - start > seconds:
            print(f"{axis} {size}: not measured, its axis took {seconds:g} s", flush=True)
            break
        peak = peak_memory(device)
        _, state, step = bench.ours(replace(case, **{axis: size}), device)
        ms = 1e3 * timed(step, device)
        point = {"size": size, "ms": round(ms, 4), "GiB": round(peak(), 3), "chunk": state.chunk}
        print(axis, *point.values(), state.stepping, flush=True)
        points.append(point)
        del state, step
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    return points


def peak_memory(device: str) -> Callable[[], float]:
    """Return what tells the most memory used from now on, in GiB: of a CPU the process's, which never falls."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return lambda: torch.cuda.max_memory_allocated() / 2**30
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def draw(machines: dict[str, dict[str, list[dict[str, Any]]]]) -> Figure:
    """Draw milliseconds and GiB against each size, and print the exponents between neighbouring points."""
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    panels = figure.subplots(2, len(AXES), sharey="row")
    for column, (axis, (case, _)) in enumerate(AXES.items()):
        held = ", ".join(f"{name} {getattr(case, name)}" for name in AXES if name not in (axis, "members"))
        for row, (quantity, label) in enumerate((("ms", "ms a step"), ("GiB", "GiB at most"))):
            axes = panels[row, column]
            for of, points in machines.items():
                sizes = [point["size"] for point in points.get(axis, [])]
                axes.loglog(sizes, [point[quantity] for point in points.get(axis, [])], "o-", label=of)
            ends = [point["size"] for points in machines.values() for point in points.get(axis, [])]
            most = [point[quantity] for points in machines.values() for point in points.get(axis, [])]
            if ends:  # a line of exponent 1
                top = max(most)
                axes.loglog([max(ends) / 30, max(ends)], [top / 30, top], ":", color="gray", label="linear")
            axes.set(xlabel=f"{axis} ({held})" if row else "", ylabel="" if column else label)
    handles = dict(zip(*reversed(panels[0, 0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    for of, points in machines.items():
        for axis, row in points.items():
            slopes = [math.log(b["ms"] / a["ms"]) / math.log(b["size"] / a["size"]) for a, b in pairwise(row)]
            print(f"{of}, {axis}: time grows as its power", *(f"{slope:.2f}" for slope in slopes))
    return figure


if __name__ == "__main__":
    main()
