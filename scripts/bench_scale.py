"""Time and memory of a step against members, depth, width and batch, one at a time, the others at 1, 10, 128 and 128.

Members are of width and batch 32.
A step that is linear in one of them has the exponent 1 in it; below, what a launch costs hides the work. Usage:
scripts/bench_scale.py FOLDER [--axes members depth] [--device cpu] [--threads 2] [--seconds 60]. FOLDER gets
scale.json and scale.png.
"""

import argparse
import gc
import json
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
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    points = {}
    for axis in arguments.axes:  # each in a process of its own, whose memory never falls
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            points[axis] = pool.submit(measured, axis, arguments.device, arguments.threads, arguments.seconds).result()
    of = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {arguments.threads} threads"
    (arguments.folder / "scale.json").write_text(
        json.dumps({"of": of, "points": points}, indent=1) + "\n", encoding="utf-8"
    )
    draw(points, of).savefig(arguments.folder / "scale.png", dpi=150)


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


def draw(points: dict[str, list[dict[str, Any]]], of: str) -> Figure:
    """Draw milliseconds and GiB against each size, and print the exponents between the last two points."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for axes, quantity, label in ((times, "ms", "ms a step"), (memory, "GiB", "GiB at most")):
        for axis, row in points.items():
            axes.loglog([p["size"] for p in row], [p[quantity] for p in row], "o-", label=axis)
        axes.set(xlabel="size", ylabel=label)
    figure.legend(*times.get_legend_handles_labels(), loc="outside right upper")
    figure.suptitle(of, fontsize=10)
    for axis, row in points.items():
        slopes = [
            torch.tensor(b["ms"] / a["ms"]).log() / torch.tensor(b["size"] / a["size"]).log() for a, b in pairwise(row)
        ]
        print(f"{axis}: time grows as its power", *(f"{slope:.2f}" for slope in slopes))
    return figure


if __name__ == "__main__":
    main()
