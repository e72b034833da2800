"""Whether a forecast stated with probability p comes true in a share p of the networks: the reliability diagram.

Draws configurations as `repu-lab train` composes them (every task that needs no download, dtype, kind of activation,
initialization; widths 8 to 512, depths 1 to 150, batches 2 to 512, plain and residual), forecasts each before a network
is built, and measures 64 networks of each here, in plain torch: the first batch through the low-precision weights and
through the same weights in float64, and back. Only weights, data and the elementwise activation are the lab's own
(and, on Burgers' equation, the loss).

Exploded: some z^l is not finite. Vanished: the outputs spread over the inputs by less than fate.DOUBTFUL eps and
their correlation with the exact ones is below fate.KNOWN, or no entry of dL/dW^1 is a normal number. Collapsed: half
of the pairs of inputs have 1 - c below fate.COLLAPSE at the output, given the last hidden layer. Survived: the rest.

All four probabilities of each configuration go into the diagram. Members of a configuration share what theory does not
know of it, so configurations are the unit: the 95 % band about the mean stated is that of the mean over as many
configurations, drawn with replacement, of what came true less what was stated, less its own mean. The band of members
beside it takes every network as an independent draw with the probability stated; it decides nothing.
Measurements are kept in --store, one line a configuration, and never made twice: a later call goes on with the next.
Usage: OMP_NUM_THREADS=1 scripts/forecast_agreement.py [--seed 0] [--configurations 200] [--members 64] [--store FILE]
[--first 0] [--all]; exit code 1 if a bin leaves the band, or a fate stated at 95 % or more came true in under 85 %.
"""

import argparse
import json
import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from repu_lab.configs.composition import compose_jobs
from repu_lab.networks.initialization import Rule
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.forecasting import forecast_run
from repu_lab.theory.fate import COLLAPSE, DOUBTFUL, FATES, KNOWN
from repu_lab.theory.forecast import Forecast

ACTIVATIONS = (
    *(f"repu activation.p={p}" for p in (1.5, 2, 3)),
    *(f"mrepu activation.p={p}" for p in (1, 2, 3)), "mrepu activation.p=2 activation.scale=10",
    *(f"spline_repu activation.p={p}" for p in (2, 3)), "spline_repu activation.plateau=8 activation.shift=-2",
    *(f"monomial activation.p={p}" for p in (2, 3)),
    *("relu", "leaky_relu", "identity", "gelu", "gelu_tanh", "silu", "mish", "hardswish"),
    *("tanh", "erf", "sin", "elu", "selu", "softplus", "sigmoid"),
    *(f"custom activation._target_=torch.nn.{name}" for name in ("Softsign", "LogSigmoid", "Tanhshrink", "CELU")),
)  # fmt: skip
NAMED = ("critical", "he", "lecun", "xavier", "pytorch")
TASKS = (
    "digits", "digits", "digits", "burgers", "polynomial task.target=all", "polynomial task.target=legendre",
    "polynomial task.target=random task.dimension=10", "function task.target=sin", "function task.target=franke",
)  # fmt: skip
DTYPES = ("float32", "float32", "bfloat16", "float16", "float64")
# Multiplications of a forward pass of all members: with the twin and the way back about a second on one core.
WORK = 1.5e9
CHUNK = 2e7  # preactivations held at once
EDGES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
STATED, REQUIRED = 0.95, 0.85
RESAMPLINGS = 4000
MEASURED = ("layer", "known", "clear", "gradient", "distance")


def draw(generator: Generator, members: int) -> list[str]:
    """Return the overrides of one configuration."""

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    overrides = [f"activation={generator.choice(ACTIVATIONS)}", f"task={generator.choice(TASKS)}"]
    overrides = [part for group in overrides for part in group.split()]
    width, batch = round(log_uniform(8, 512)), round(log_uniform(2, 512))
    deepest = min(150.0, max(2.0, WORK / (members * batch * width**2)))
    depth = log_uniform(1, deepest) if generator.random() < 0.5 else generator.uniform(1, deepest)
    overrides += [f"width={width}", f"batch_size={batch}", f"depth={max(1, round(depth))}"]
    overrides += [f"dtype={generator.choice(DTYPES)}"]
    overrides += ["residual=true"] * (generator.random() < 0.15)
    if generator.random() < 0.5:
        return [*overrides, f"initialization={generator.choice(NAMED)}"]
    C_b = 0.0 if generator.random() < 0.4 else log_uniform(1e-3, 1.0)
    overrides += ["initialization=custom", f"initialization.c_w={log_uniform(0.3, 4):.4g}"]
    overrides += [f"initialization.c_b={C_b:.4g}"]
    if generator.random() < 0.5:
        overrides.append(f"initialization.k1={C_b * 1.001 + log_uniform(1e-3, 3):.4g}")
    return overrides


def measure(experiment: Experiment, members: int) -> dict[str, list[float]]:
    """Return, member by member, `layer` of the first non-finite z (0: none), `known`, `gradient`, `distance`.

    known: correlation of the outputs with the exact ones, centred over the inputs (in float64, with outputs that
    have other rounding errors, drawn at random: the root); clear: their spread over the inputs, over eps of their
    size; gradient: log10 of the largest entry of dL/dW^1 over the smallest normal number; distance: log10 of the
    median 1 - c.
    """
    config = experiment.config
    per_member = config.batch_size * sum(experiment.sizes) * (4 if experiment.task.equation is not None else 1)
    chunk = max(1, int(CHUNK / max(per_member, sum(i * o for i, o in pairwise(experiment.sizes)))))
    numbers: dict[str, list[float]] = {name: [] for name in MEASURED}
    for start in range(0, members, chunk):
        part = replace(config, members=min(chunk, members - start), seed=config.seed + start)
        for name, values in _measure(replace(experiment, config=part)).items():
            numbers[name] += [float(value) for value in values]
    return numbers


def _measure(experiment: Experiment) -> dict[str, Tensor]:
    task, config = experiment.task, experiment.config
    torch.manual_seed(config.seed)  # of the jitter
    batch = task.batch(0, config.batch_size)
    population = experiment.population()
    maps = [(W.detach(), b.detach()) for W, b, *_ in population.affine_maps()]
    for W, _ in maps[:1]:
        W.requires_grad_()
    z_D, _ = forward(experiment, batch.x, maps)
    if task.equation is None:
        loss_M = task.objective.losses(z_D[-1], batch.y).mean(-1)
        (gradient_M,) = torch.autograd.grad(loss_M.sum(), maps[0][0])
    else:
        loss_M = task.losses(population, batch)
        (theta_MP,) = torch.autograd.grad(loss_M.sum(), population.theta)
        gradient_M = population.affine_maps(theta_MP)[0].W_MIO
    with torch.no_grad():
        jitter = torch.finfo(torch.float64).eps if experiment.dtype == torch.float64 else 0.0
        exact_D, h_MBN = forward(experiment, batch.x.double(), [(W.double(), b.double()) for W, b in maps], jitter)
        bad_DM = torch.stack([~z.isfinite().all(-1).all(-1) for z in z_D])
        clear = spread(z_D[-1].double()) / torch.finfo(experiment.dtype).eps
        a, b = (centred(z) for z in (z_D[-1].double(), exact_D[-1]))
        a, b = (z / z.abs().amax((1, 2), keepdim=True).clamp(min=1e-300) for z in (a, b))
        known = (a * b).sum((1, 2)) / (a.square().sum((1, 2)) * b.square().sum((1, 2))).sqrt()
        known = known.clamp(min=0).sqrt() if experiment.dtype == torch.float64 else known
        largest = gradient_M.double().abs().amax((1, 2)).log10() - math.log10(torch.finfo(experiment.dtype).tiny)
        return {
            "layer": torch.where(bad_DM.any(0), bad_DM.int().argmax(0) + 1, 0),
            "known": known.nan_to_num(0.0),
            "clear": clear.nan_to_num(0.0),
            "gradient": largest.nan_to_num(nan=99, neginf=-99, posinf=99),
            "distance": distance(h_MBN, experiment.rule).log10().nan_to_num(9, 9, -99),
        }


def forward(
    experiment: Experiment, x_BI: Tensor, maps: list[tuple[Tensor, Tensor]], jitter: float = 0.0
) -> tuple[list[Tensor], Tensor]:
    """Return z^1 .. z^{L+1} and h^L, in the dtype of x; every h off by up to half of `jitter` at random, if asked."""
    activation = experiment.activation.to(x_BI.dtype)
    z_D: list[Tensor] = []
    h = x_BI.expand(len(maps[0][0]), -1, -1)
    for l, (W, b) in enumerate(maps):
        branch = product(h, W) + b
        skips = experiment.config.residual and 0 < l < len(maps) - 1
        z_D.append(z_D[-1] + branch if skips else branch)
        if l < len(maps) - 1:
            h = activation(z_D[-1])
            h = h * (1 + jitter * (torch.rand_like(h) - 0.5)) if jitter else h
    return z_D, h


def product(h: Tensor, W: Tensor) -> Tensor:
    """Return h W; of half precision its sums are added up in float32 and rounded once, as processors do, back too."""
    return (h.float() @ W.float()).to(h.dtype) if h.dtype in (torch.float16, torch.bfloat16) else h @ W


def spread(z_MBC: Tensor) -> Tensor:
    """Return the root mean square of z, centred over the inputs, over that of z."""
    z = z_MBC / z_MBC.abs().amax((1, 2), keepdim=True).clamp(min=1e-300)
    return (centred(z).square().sum((1, 2)) / z.square().sum((1, 2))).sqrt()


def centred(z_MBC: Tensor) -> Tensor:
    """Return z less its mean over the inputs: exactly 0 where they are equal, whose mean need not be their number."""
    z = z_MBC - z_MBC[:, :1]
    return z - z.mean(1, keepdim=True)


def distance(h_MBN: Tensor, rule: Rule) -> Tensor:
    """Return the (lower) median over pairs of inputs of 1 - c of the output's covariance C_b + (C_W / n) h h'."""
    C_W, C_b = rule.C_W[-1], rule.C_b[-1]
    # Each input on a scale of its own: where K grows fast one may be 1e-200 of another.
    scale = h_MBN.abs().amax(2, keepdim=True).clamp(min=max(math.sqrt(C_b), 1e-300))
    bias = torch.full_like(h_MBN[..., :1], math.sqrt(C_b)) / scale
    unit = torch.cat([h_MBN / scale * math.sqrt(C_W / h_MBN.shape[2]), bias], 2)
    unit = unit / torch.linalg.vector_norm(unit, dim=2, keepdim=True)
    pairs = unit.shape[1] // 2
    apart = (unit[:, 0 : 2 * pairs : 2] - unit[:, 1 : 2 * pairs : 2]).square().sum(-1) / 2
    return apart.nanmedian(1).values  # an input whose h is 0 has no angle


def shares(measured: dict[str, list[float]]) -> dict[str, float]:
    """Return the share of the members that met each fate."""
    by_name = {name: np.array(values) for name, values in measured.items()}
    exploded = by_name["layer"] > 0
    vanished = ~exploded & (((by_name["known"] < KNOWN) & (by_name["clear"] < DOUBTFUL)) | (by_name["gradient"] < 0))
    collapsed = ~exploded & ~vanished & (by_name["distance"] < math.log10(COLLAPSE))
    survived = ~(exploded | vanished | collapsed)
    return dict(zip(FATES, (float(v.mean()) for v in (exploded, vanished, collapsed, survived)), strict=True))


def diagram(stated: list[Forecast], measured: list[dict[str, float]], members: int) -> tuple[list[str], bool]:
    """Return the rows of the reliability diagram and whether every bin lies within its band of configurations."""
    p = np.array([[f.probabilities[name] for name in FATES] for f in stated])
    observed = np.array([[shares[name] for name in FATES] for shares in measured])
    generator = np.random.default_rng(0)
    rows, fits = [], True
    for low, high in pairwise(EDGES):
        here = (p >= low) & ((p < high) | (high == 1))
        if here.any():
            error, share = (observed - p)[here], observed[here].mean()
            resampled = generator.choice(error - error.mean(), (RESAMPLINGS, len(error))).mean(1)
            low_95, high_95 = np.clip(p[here].mean() + np.quantile(resampled, [0.025, 0.975]), 0, 1)
            fits &= (inside := bool(low_95 <= share <= high_95))
            scatter = 1.96 * math.sqrt((p * (1 - p))[here].sum() / members) / here.sum()
            narrow = np.clip(p[here].mean() + np.array([-scatter, scatter]), 0, 1)
            rows.append(
                f"| {low:.2f}-{high:.2f} | {here.sum()} | {p[here].mean():.3f} | {share:.3f} | "
                f"{low_95:.3f}-{high_95:.3f} | {'yes' if inside else 'NO'} | {narrow[0]:.3f}-{narrow[1]:.3f} |"
            )
    return rows, fits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--configurations", type=int, default=200)
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--store", type=Path, default=Path("outputs/forecast_agreement.jsonl"))
    parser.add_argument("--all", action="store_true", help="list every configuration, not only those that disagree")
    arguments = parser.parse_args()
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    if arguments.store.exists():
        lines = map(json.loads, arguments.store.read_text(encoding="utf-8").splitlines())
        kept = {(line["seed"], line["index"], line["members"]): line for line in lines}
    arguments.store.parent.mkdir(parents=True, exist_ok=True)
    stated, measured, table, broken = [], [], [], []
    for index in range(arguments.first, arguments.first + arguments.configurations):
        overrides = draw(np.random.default_rng([arguments.seed, index]), arguments.members)
        (job,) = compose_jobs("train", [*overrides, f"seed={1000 * index}", "threads=1", "device=cpu"])
        experiment = build(job.config)
        expected = forecast_run(experiment)
        key = (arguments.seed, index, arguments.members)
        if key not in kept or kept[key]["overrides"] != overrides:
            kept[key] = {"seed": arguments.seed, "index": index, "members": arguments.members, "overrides": overrides}
            kept[key] |= measure(experiment, arguments.members)
            with open(arguments.store, "a", encoding="utf-8") as file:
                file.write(json.dumps(kept[key]) + "\n")
        share_of = shares({name: kept[key][name] for name in MEASURED})
        stated.append(expected)
        measured.append(share_of)
        agree = share_of[expected.fate]
        bad = expected.probability >= STATED and agree < REQUIRED
        broken += [index] * bad
        if arguments.all or abs(agree - expected.probability) > 0.15:
            happened = ", ".join(f"{share:.2f} {name}" for name, share in share_of.items() if share)
            table.append(
                f"| {index} | {' '.join(overrides)} | {expected.fate} {expected.probability:.2f} | {happened} | "
                f"known {np.median(kept[key]['known']):.2g}, gradient {np.median(kept[key]['gradient']):.1f}, "
                f"distance {np.median(kept[key]['distance']):.1f} |{' BROKEN' * bad}"
            )
            print(table[-1], flush=True)
    rows, fits = diagram(stated, measured, arguments.members)
    print("| stated | forecasts | mean stated | came true | 95 % band | within | band of members |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    sure = sum(f.probability >= STATED for f in stated)
    print(f"stated at {STATED:.0%} or more: {sure}; with under {REQUIRED:.0%} of the members: {len(broken)} {broken}")
    return 0 if fits and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
