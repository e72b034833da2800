"""All per-layer numbers of a run in one table with named axes: statistics.npz."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.networks.statistics import AXES, HISTOGRAM_EDGES, Histogram, LayerStatistics

COUNTED = ("histogram", "zeros")  # counts, on profiled steps only


def precision(dtype: torch.dtype) -> type[np.floating]:
    """Return the format in which numbers of networks of this dtype are kept: they are logarithms or of order one."""
    return np.float64 if dtype == torch.float64 else np.float32


class StatisticsTable:
    """Rows are measured steps. Saved, each array has a leading axis `step`; `axes` (JSON) names the axes of each.

    Coordinates: step (updates done), layer (1..L+1), member (its seed), histogram_edges (log10|z|). Losses and metric
    have the axes (step, member) and are in float64: a loss may leave float32.
    """

    def __init__(self, seeds: list[int], precision: type[np.floating]):
        """Take one seed a member, and the format of what is measured of the layers."""
        self.seeds = seeds
        self.precision = precision
        self.steps: list[int] = []
        self.values: dict[str, list[NDArray[Any]]] = {}
        self.axes: dict[str, tuple[str, ...]] = {}
        self.histogram_steps: list[int] = []
        self.profiles: dict[int, dict[str, NDArray[np.float64]]] = {}  # profiled step -> what is drawn against depth

    def add(
        self,
        step: int,
        stats: LayerStatistics | None,
        by_member: dict[str, NDArray[Any]],
        histogram: Histogram | None = None,
    ) -> None:
        """Append what was measured after `step` updates."""
        self.steps.append(step)
        rows: dict[str, tuple[NDArray[Any], tuple[str, ...]]] = {}
        rows |= {name.replace("/", "_"): (value, ("member",)) for name, value in by_member.items()}
        if stats is not None:
            for name, axes in AXES.items():
                value = getattr(stats, name)
                if name not in COUNTED:
                    rows[name] = (value.astype(self.precision) if value.dtype == np.float64 else value, axes)
        if histogram is not None:
            rows |= {"histogram": (histogram.counts_DB, ("layer", "bin")), "zeros": (histogram.zeros_D, ("layer",))}
            self.histogram_steps.append(step)
        for name, (value, axes) in rows.items():
            self.values.setdefault(name, []).append(value)
            self.axes[name] = ("profiled_step" if name in COUNTED else "step", *axes)

    def content(self) -> dict[str, Any]:
        """Return what was added so far as tensors and plain values, for `restore`."""
        return {
            "steps": list(self.steps),
            "histogram_steps": list(self.histogram_steps),
            "axes": {name: list(axes) for name, axes in self.axes.items()},
            "values": {name: torch.from_numpy(np.stack(rows)) for name, rows in self.values.items()},
            "profiles": {
                step: {name: torch.from_numpy(value) for name, value in profile.items()}
                for step, profile in self.profiles.items()
            },
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Take back what `content` gave."""
        self.steps = list(content["steps"])
        self.histogram_steps = list(content["histogram_steps"])
        self.axes = {name: tuple(axes) for name, axes in content["axes"].items()}
        self.values = {name: list(rows.cpu().numpy()) for name, rows in content["values"].items()}
        self.profiles = {
            step: {name: value.cpu().numpy() for name, value in profile.items()}
            for step, profile in content["profiles"].items()
        }

    def save(self, path: Path) -> None:
        """Write the table as an npz file without pickles."""
        arrays = {name: np.stack(rows) for name, rows in self.values.items()}
        layers = arrays["log10_K"].shape[1] if "log10_K" in arrays else 0
        coordinates = {
            "step": np.array(self.steps),
            "profiled_step": np.array(self.histogram_steps),
            "layer": np.arange(1, layers + 1),
            "member": np.array(self.seeds),
            "histogram_edges": HISTOGRAM_EDGES,
            "axes": np.array(json.dumps(self.axes)),
        }
        with open(path, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **coordinates)
