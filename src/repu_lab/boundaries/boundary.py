"""Where training, or the first pass, turns from failing to working along one axis, and where theory puts the turn.

Each network is a job of its own value and seed, built as `repu-lab train` builds it: a learning rate of auto is that of
its own initialization. Networks of one width train together as one population.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from repu_lab.boundaries.bisection import Boundary, Flags, Floats, trace
from repu_lab.configs.config import ConfigError
from repu_lab.configs.schema import OUTCOMES, InitializationConfig, TrainConfig
from repu_lab.networks.initialization import uniform_depth
from repu_lab.runs.building import build, build_group
from repu_lab.runs.forecasting import forecast_run
from repu_lab.runs.observation import evaluate
from repu_lab.runs.outcome import judge
from repu_lab.runs.state import State
from repu_lab.runs.stepping import stepper
from repu_lab.runs.training import END_CHECK

AXES = ("c_w", "c_b", "k1", "lr", "width")
TRAINED = frozenset({"trained"})
LEARNT = frozenset({"trained", "learning"})
# The first pass is finite; it is all that has to be computed.
SURVIVED = frozenset(OUTCOMES) - {"exploded"}
# A width is a population of its own, so a round has few of them, with several networks each.
WIDTHS = 4


def trace_boundary(
    config: TrainConfig, axis: str, low: float, high: float, *, succeeds: Collection[str] = TRAINED, **options: Any
) -> Boundary:
    """Return the value of `axis` at which half of the networks end with an outcome of `succeeds`.

    `config` is that of `repu-lab train` and gives all but the axis, one of AXES; c_w, c_b and k1 vary alone, the other
    two staying as its initialization has them (k1 = c_w + c_b where a custom one leaves k1 out). Each network has a
    seed of its own, from config.seed on, and `members` of them train side by side. Options (precision, members, most,
    watch) and errors: see `bisection.trace`; ConfigError for an axis that cannot vary.
    """
    config = _with_axis(config, axis)
    steps = 0 if frozenset(succeeds) == SURVIVED else config.steps
    seeds = iter(range(config.seed, 2**62))

    def trial(values_M: Floats) -> Flags:
        jobs = [_at(config, axis, value, next(seeds)) for value in values_M.tolist()]
        populations = [list(jobs) for _, jobs in groupby(jobs, key=lambda job: job.width)]
        ends = [end for jobs in populations for end in outcomes(jobs, steps)]
        return np.array([end in succeeds for end in ends])

    if axis == "width":
        options |= {"whole": True, "distinct": WIDTHS}
    return trace(trial, low, high, **options)


def theory_boundary(
    config: TrainConfig,
    axis: str,
    low: float,
    high: float,
    *,
    succeeds: Collection[str] = TRAINED,
    precision: float = 0.005,
) -> float | None:
    """Return the value of `axis` at which theory gives half of the networks a signal, within a factor 1 +- precision.

    Theory knows the first pass alone: a network fails if it explodes or vanishes, or only the one of the two that is no
    success. None if it says the same at both ends. ValueError if the activation has no averages.
    """
    config = _with_axis(config, axis)

    def works(u: float) -> bool:
        probabilities = forecast_run(build(_at(config, axis, math.exp(u), config.seed))).probabilities
        exploded = 0.0 if "exploded" in succeeds else probabilities["explodes"]
        vanished = 0.0 if "vanished" in succeeds else probabilities["vanishes"]
        return exploded + vanished < 0.5

    start, stop = math.log(low), math.log(high)
    at_start = works(start)
    if works(stop) == at_start:
        return None
    while stop - start > 2 * math.log1p(precision):
        middle = (start + stop) / 2
        start, stop = (middle, stop) if works(middle) == at_start else (start, middle)
    return math.exp((start + stop) / 2)


def typed_at(config: TrainConfig, axis: str, value: float) -> list[str]:
    """Return the overrides that put a config at a place of the axis; a named initialization becomes numbers."""
    if axis == "width":
        return [f"width={round(value)}"]
    if axis == "lr":
        return [f"optimizer.lr={value:.3g}"]
    start = _at(_with_axis(config, axis), axis, value, config.seed).initialization
    sizes = {"c_w": start.c_w, "c_b": start.c_b, "k1": start.k1}
    typed = [f"initialization.{key}={size:.4g}" for key, size in sizes.items() if size is not None]
    weights = [f"initialization.weights={start.weights}"] * (start.weights != "gaussian")
    return ["initialization=custom", *typed, *weights]


def outcomes(configs: Sequence[TrainConfig], steps: int) -> list[str]:
    """Return the outcomes of jobs of one network each and of one shape, trained as one population.

    Those that explode on the first pass are done with it: only the others are trained.
    """
    experiments = build_group(configs)
    task, state = experiments[0].task, State.start(experiments)
    lost = state.first.exploded > 0
    if steps and lost.any() and not lost.all():
        ends = np.full(len(configs), "exploded", object)
        ends[~lost] = outcomes([config for config, gone in zip(configs, lost, strict=True) if not gone], steps)
        return ends.tolist()
    advance, _ = stepper(state, task, configs[0].batch_size, steps)
    step = 0
    while step < steps and not (step % END_CHECK == 0 and state.settled(slice(None))):
        advance(step)
        step += 1
    evaluation = evaluate(state.population, task, state.population.theta.detach())
    seeds = [config.seed for config in configs]
    records = judge(state.progress, state.first, evaluation, task, seeds, step, lambda member: 0)
    return [record["outcome"] for record in records]


def _with_axis(config: TrainConfig, axis: str) -> TrainConfig:
    """Return the config with numbers in place of a named initialization where the axis is one of them."""
    if axis not in AXES:
        raise ConfigError(f"axis={axis}: must be one of {', '.join(AXES)}")
    if axis in ("lr", "width") or config.initialization.name == "custom":
        return config
    experiment = build(config)
    rule = experiment.rule
    C_W, C_b, k1 = rule.C_W[1], rule.C_b[1], rule.k1
    weights = config.initialization.weights
    uniform = uniform_depth(rule.name, experiment.sizes, C_W=C_W, C_b=C_b, k1=k1, note=rule.note, weights=weights)
    if rule != uniform:
        raise ConfigError(
            f"axis={axis}: initialization={rule.name} differs from layer to layer, so that {axis} is not one number; "
            "choose critical, he, lecun or custom"
        )
    return replace(config, initialization=InitializationConfig(name="custom", c_w=C_W, c_b=C_b, k1=k1, weights=weights))


def _at(config: TrainConfig, axis: str, value: float, seed: int) -> TrainConfig:
    """Return the config of one network at a place of the axis."""
    changed: dict[str, Any]
    if axis == "width":
        changed = {"width": round(value)}
    elif axis == "lr":
        changed = {"optimizer": replace(config.optimizer, lr=value)}
    else:
        changed = {"initialization": replace(config.initialization, **{axis: value})}
    return replace(config, members=1, seed=seed, **changed)
