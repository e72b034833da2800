"""How often the forecast of a run and its first pass agree: 100 configurations drawn at random, disagreements listed.

Each is composed as `repu-lab train` composes it: an activation (all that ship, with several p), an initialization (the
named rules, critical among them, or custom C_W, C_b and k1), a depth of 3 to 60, a width of 32 to 256; digits, float32,
batch 128. The forecast is made before any network is built; then members networks see one batch, forward and backward.

They agree if the fate forecast is that of most members (survives and collapses correlations: neither exploded nor
vanished) and the median layer at which those ended is within one of the forecast's 5 to 95 % range. The last columns of
the summary count the stricter rule too: within one of the forecast's median layer.
Usage: scripts/forecast_agreement.py [--seed 0] [--configurations 100] [--members 8] [--all]; exit code 1 below 95 %.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import build
from repu_lab.runs.forecasting import forecast_run
from repu_lab.runs.outcome import first_pass

ACTIVATIONS = (
    *(f"repu activation.p={p}" for p in (1.5, 2, 3)),
    *(f"mrepu activation.p={p}" for p in (1, 2, 3)),
    *(f"spline_repu activation.p={p}" for p in (2, 3)),
    *(f"monomial activation.p={p}" for p in (2, 3)),
    *("relu", "leaky_relu", "identity", "gelu", "gelu_tanh", "silu", "mish", "hardswish"),
    *("tanh", "erf", "sin", "elu", "selu", "softplus", "sigmoid"),
)
NAMED = ("critical", "he", "lecun", "xavier", "pytorch")
MEASURED = {"explodes": "exploded", "vanishes": "vanished"}
REQUIRED = 0.95


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One configuration: its overrides, what was forecast and what the members did."""

    overrides: str
    forecast: str
    measured: str
    fate: bool  # the fate forecast is the majority's
    in_range: bool  # and the median layer is within one of the forecast's range
    at_median: bool  # and within one of the forecast's median


def draw(generator: Generator) -> list[str]:
    """Return the overrides of one configuration."""

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    name, *details = str(generator.choice(ACTIVATIONS)).split()
    overrides = [f"activation={name}", *details]
    overrides += [f"depth={round(log_uniform(3, 60))}", f"width={round(log_uniform(32, 256))}"]
    if generator.random() < 0.5:
        return [*overrides, f"initialization={generator.choice(NAMED)}"]
    C_b = 0.0 if generator.random() < 0.5 else log_uniform(1e-3, 1.0)
    overrides += ["initialization=custom", f"initialization.c_w={log_uniform(0.1, 5):.4g}"]
    overrides += [f"initialization.c_b={C_b:.4g}"]
    if generator.random() < 0.5:
        overrides.append(f"initialization.k1={C_b * 1.001 + log_uniform(1e-3, 3):.4g}")
    return overrides


def compare(overrides: list[str], members: int, seed: int) -> Comparison:
    """Forecast and measure one configuration."""
    (job,) = compose_jobs("train", [*overrides, f"members={members}", f"seed={seed}", "threads=1", "device=cpu"])
    experiment = build(job.config)
    expected = forecast_run(experiment)
    first = first_pass(experiment.population(), experiment.task, experiment.task.batch(0, job.config.batch_size))
    layers = {"exploded": first.exploded[first.exploded > 0], "vanished": first.vanished[first.vanished > 0]}
    counts = Counter({name: len(found) for name, found in layers.items()})
    counts["survived"] = members - counts.total()
    (majority, _), *_ = counts.most_common()
    fate = MEASURED.get(expected.fate, "survived") == majority
    in_range = at_median = fate
    if fate and majority != "survived":
        median = float(np.median(layers[majority]))
        assert expected.layer is not None and expected.layer_range is not None
        low, high = expected.layer_range
        in_range = low - 1 <= median <= high + 1
        at_median = abs(median - expected.layer) <= 1
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    for found in layers.values():
        if len(found):
            told += f" (layer {found.min()}-{found.max()}, median {np.median(found):g})"
    return Comparison(
        overrides=" ".join(overrides).replace("initialization", "init").replace("activation", "act"),
        forecast=f"{expected.summary()} [{expected.layer}]" if expected.layer else expected.summary(),
        measured=told, fate=fate, in_range=in_range, at_median=at_median,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--configurations", type=int, default=100)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--all", action="store_true", help="list the agreements too")
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    drawn = [draw(generator) for _ in range(arguments.configurations)]
    done = [
        compare(overrides, arguments.members, 1000 * arguments.seed + arguments.members * i)
        for i, overrides in enumerate(drawn)
    ]
    print("| configuration | forecast [median layer] | measured | fate | layer |")
    print("|---|---|---|---|---|")
    for result in done:
        if arguments.all or not result.at_median:
            layer = "median" if result.at_median else "range" if result.in_range else "no"
            fate = "yes" if result.fate else "no"
            print(f"| {result.overrides} | {result.forecast} | {result.measured} | {fate} | {layer} |")
    total, agreed = len(done), sum(result.in_range for result in done)
    print(Counter(result.measured.split(",")[0].split("(")[0].split()[-1] for result in done).most_common())
    print(
        f"agree: {agreed} of {total} (fate alone {sum(result.fate for result in done)}; layer within one of the "
        f"forecast's median {sum(result.at_median for result in done)})"
    )
    return 0 if agreed >= REQUIRED * total else 1


if __name__ == "__main__":
    sys.exit(main())
