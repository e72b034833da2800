"""`repu-lab propagate`: networks at initialization, forward and backward once, every layer beside its theory."""

import csv
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repu_lab.configs.config import config_hash
from repu_lab.networks.log_domain import has_log_domain, measure_in_logs
from repu_lab.networks.quantities import over_depth
from repu_lab.networks.statistics import measure
from repu_lab.runs.building import Experiment
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.forecasting import Profile, as_record, heading_of, theory_profile, verdict
from repu_lab.runs.outcome import FirstPass, first_pass
from repu_lab.runs.words import tailor_record
from repu_lab.tasks import Split
from repu_lab.theory.forecast import Forecast
from repu_lab.tracking.digest import digest
from repu_lab.tracking.table import StatisticsTable
from repu_lab.tracking.tracker import Tracker

ROWS = 12  # layers printed; table.csv has them all


def propagate(experiment: Experiment, folder: RunFolder, expected: Forecast | None) -> dict[str, Any]:
    """Measure, compare, write table.csv, statistics.npz, the figure and the events; return what result.json holds.

    The backward pass starts from a random sign at each output instead of a loss, so that it exists where the loss does
    not. Homogeneous networks without biases are measured in the logarithm: their curves end at no dtype's limit.
    """
    config, task = experiment.config, experiment.task
    population = experiment.population()
    probe = Split(task.test.x[: config.probe], task.test.y[: config.probe])
    first = first_pass(population, task, probe)
    sign_C = torch.randint(0, 2, (task.outputs,), generator=torch.Generator().manual_seed(config.seed)) * 2.0 - 1
    sign_C = sign_C.to(experiment.device, experiment.dtype)
    in_logs = has_log_domain(population)
    if in_logs:
        stats = measure_in_logs(population, probe.x, sign_C)
    else:
        stats = measure(population, probe.x, lambda z_MBC: (z_MBC @ sign_C).mean(-1), histogram=True)
    digested = digest(stats)
    measured = digested.profile or {}
    theory = None if expected is None else theory_profile(experiment, expected, measured)
    from repu_lab.figures import signal_propagation  # matplotlib, which workers that train do not wait for

    figure = signal_propagation({0: measured}, theory, dtype=config.dtype, heading=heading_of(experiment))
    table = StatisticsTable(experiment.seeds, np.float64)
    table.add(0, stats, {}, stats.histogram_of())
    with Tracker(folder.path, depth=config.depth, members=config.members) as tracker:
        tracker.layout()
        tracker.statistics(0, digested)
        tracker.profiles(0, measured)
        tracker.histograms(0, stats.histogram_of())
        if theory is not None:
            tracker.theory(theory, within=None)  # measured in the logarithm, to the end
    with folder.writing("propagation.png") as path:
        figure.savefig(path, format="png", dpi=200)
    with folder.writing("statistics.npz") as path:
        table.save(path)
    # Of the largest input of any network by layer, +inf behind an overflow.
    largest = np.where(np.isnan(stats.log10_K), np.inf, stats.log10_K).astype(np.float64).max(axis=(1, 2))
    rows = _rows(measured, theory, largest)
    with folder.writing("table.csv") as path, open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    records = _records(experiment.seeds, first)
    return {
        "verdict": verdict(expected, _summary(first.exploded, first.vanished, len(probe))),
        "table": _printed(rows),
        "outcomes": dict(Counter(record["outcome"] for record in records)),
        "members": records,
        "forecast": None if expected is None else as_record(expected),
        **tailor_record(experiment.activation),
        "log_domain": in_logs,
        "layers": rows,
        "config_hash": config_hash("propagate", config),
    }


def _records(seeds: Sequence[int], first: FirstPass) -> list[dict[str, Any]]:
    """Return what became of each network, and the layer at which it was lost."""
    records = []
    for seed, exploded, vanished in zip(seeds, first.exploded, first.vanished, strict=True):
        outcome = "exploded" if exploded else "vanished" if vanished else "survived"
        records.append({"seed": seed, "outcome": outcome, "layer": int(exploded or vanished) or None})
    return records


def _summary(exploded: NDArray[np.int64], vanished: NDArray[np.int64], inputs: int) -> str:
    parts = []
    decides = {"exploded": f" (the largest of {inputs} inputs decides)" if inputs > 1 else "", "vanished": ""}
    for name, layers in (("exploded", exploded), ("vanished", vanished)):
        at = ", ".join(f"{layer} ({count})" for layer, count in sorted(Counter(layers[layers > 0].tolist()).items()))
        if at:
            parts.append(f"{int((layers > 0).sum())} of {len(layers)} {name}, at layer {at}{decides[name]}")
    alive = int(((exploded == 0) & (vanished == 0)).sum())
    return "; ".join(parts + ([f"{alive} of {len(exploded)} survived"] if alive else []))


def _rows(measured: Profile, theory: Profile | None, largest: NDArray[np.float64]) -> list[dict[str, Any]]:
    """One row a layer: each quantity's measured 5, 50 and 95 % quantile and theory's value; None where undefined.

    log10_K_largest is that of the one input of all networks that is largest there, by which a network explodes.
    """
    layers = measured["log10_K"].shape[1]

    def at(values: NDArray[np.float64] | None, l: int) -> float | None:
        known = values is not None and l < len(values) and np.isfinite(values[l])
        return float(values[l]) if known and values is not None else None

    rows = []
    for l in range(layers):
        row: dict[str, Any] = {"layer": l + 1}
        for name in (quantity.name for quantity in over_depth()):
            low, median, high = measured[name]
            row |= {f"{name}_q05": at(low, l), name: at(median, l), f"{name}_q95": at(high, l)}
            row[f"{name}_theory"] = None if theory is None else at(theory.get(name), l)
        row["log10_K_largest"] = at(largest, l)
        if theory is not None:
            row["log10_K_theory_q05"] = at(theory["log10_K_quantiles"][0], l)
            row["log10_K_theory_q95"] = at(theory["log10_K_quantiles"][-1], l)
        rows.append(row)
    return rows


def _printed(rows: list[dict[str, Any]]) -> str:
    """Return at most ROWS layers, spread over the depth, as text that says how many it leaves out."""
    titles = {quantity.name: quantity.short for quantity in over_depth()}
    shown = np.unique(np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).round().astype(int))

    def text(value: float | None) -> str:
        return f"{'-' if value is None else f'{value if abs(value) > 1e-9 else 0:.4g}':>11}"

    # Behind the medians of log10 K, that of the largest input, whose overflow ends a network.
    parts = {name: (("", "_largest") if name == "log10_K" else ("",)) + ("_theory",) for name in titles}
    heads = {"": "measured", "_largest": "largest", "_theory": "theory"}
    lines = ["layer" + "".join(f"{title:>{11 * len(parts[name])}}" for name, title in titles.items())]
    lines.append("     " + "".join(f"{heads[part]:>11}" for name in titles for part in parts[name]))
    for i in shown:
        cells = (text(rows[i][name + part]) for name in titles for part in parts[name])
        lines.append(f"{rows[i]['layer']:5}" + "".join(cells))
    if len(shown) < len(rows):
        lines.append(f"{len(shown)} of {len(rows)} layers; table.csv has all")
    return "\n".join(lines)
