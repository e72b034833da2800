"""Theory's forecast of a run, and its numbers in the shape of the measured ones."""

from dataclasses import replace
from textwrap import wrap
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.configs.code import described
from repu_lab.configs.schema import TrainConfig
from repu_lab.networks.initialization import Rule
from repu_lab.runs.building import Experiment
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.outcome import json_number
from repu_lab.runs.words import start
from repu_lab.theory.forecast import Forecast, forecast_law
from repu_lab.theory.patience import waiting
from repu_lab.theory.rates import adam_rate, risk, safety, stable_rate
from repu_lab.tracking.digest import Profile

LINE = 100  # characters above a figure


def forecast_run(experiment: Experiment) -> Forecast:
    """Forecast the first pass of a run's networks over one batch; ValueError if theory has none, with the reason."""
    config, task = experiment.config, experiment.task
    size = getattr(config, "batch_size", config.probe)
    batch = task.batch(0, size) if hasattr(config, "batch_size") else task.test
    covariance = first_covariance(experiment.rule, batch.x[:size])
    first = forecast_law(experiment.law, size, covariance=covariance)
    return with_rate(first, experiment)


def with_rate(first: Forecast, experiment: Experiment) -> Forecast:
    """Return the forecast with what the run's rate does: Adam's; of plain gradient descent theory knows no limit."""
    config = experiment.config
    if not isinstance(config, TrainConfig) or config.steps == 0 or config.optimizer.name == "sgd":
        return first
    if first.rate == experiment.lr:
        return first
    mean_abs = float(experiment.task.train.x.abs().double().mean())
    K = 10 ** min(float(first.log10_K[-1]), 300.0)  # of the outputs
    safe = safety(experiment.activation, K)
    limit = stable_rate(experiment.law, mean_abs, beyond=1.08 * safe * experiment.lr)  # it is found to 7 %
    danger = risk(experiment.activation, K, config.depth, config.width)
    automatic = None if danger is None else adam_rate(experiment.law, mean_abs)
    return replace(first, rate=experiment.lr, stable_rate=limit, safety=safe, risk=danger, automatic=automatic)


def announce(experiment: Experiment, folder: RunFolder, known: Forecast | None = None) -> Forecast | None:
    """Say in the run's log how it starts and what theory advises; return the forecast (that of a twin, if known)."""
    if experiment.analysis:
        folder.log(experiment.analysis)
    if experiment.task.source:
        folder.log(f"data:     {experiment.task.source}")
    z = torch.linspace(-5.003, 5.001, 1001, dtype=torch.float64)  # no round numbers
    if experiment.task.equation is not None and not experiment.activation.second_derivative(z).any():
        title = experiment.activation.title
        folder.log(f"warning:  s'' of {title} is 0 between its kinks: the equation's second derivatives never reach it")
    folder.log(start(experiment.rule, experiment.activation))
    try:
        with waiting(experiment.activation.title, folder.log) as watch:
            expected = forecast_run(experiment) if known is None else with_rate(known, experiment)
    except ValueError as error:
        folder.log(f"forecast: none, since {error}")
        return None
    if watch.cost:
        folder.log(watch.cost)
    folder.log(f"advice:   {expected.advice}")
    return expected


def first_covariance(rule: Rule, x_BI: Tensor) -> NDArray[np.float64]:
    """Return the covariance of the first preactivations of some inputs, C_b + C_W x.x' / n_0, shape (B, B)."""
    x = x_BI.double().cpu().numpy()
    return rule.C_b[0] + rule.C_W[0] * (x @ x.T) / x.shape[1]


def theory_profile(experiment: Experiment, expected: Forecast, measured: Profile) -> Profile:
    """Return theory's numbers by layer for the typical network, under the names of the measured ones.

    K is the median over networks of this width, and chi_parallel, chi_perp are taken there: where K is unstable (RePU)
    no real network is like the infinitely wide one. The gradient grows backwards by chi_perp n_{l+1}/n_l a layer, from
    the measured median at the output, since theory does not know the loss; where layers normalise, by the median at
    this width, which is 10/n a layer less for RePU_2 behind RMSNorm (2 decades at depth 50, width 128).
    """
    parallel, perp = expected.susceptibilities
    into_output = np.log10(experiment.sizes[-1] / experiment.sizes[-2])
    gains = expected.log10_gain if experiment.law.block.normal else perp
    gains = gains + np.append(np.zeros(len(perp) - 1), into_output)
    at_output = measured["log10_gradient"][1, -1]
    growth = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
    return {
        "log10_K": expected.log10_K_quantiles[2],
        "log10_K_quantiles": expected.log10_K_quantiles,
        "log10_chi_parallel": parallel,
        "log10_chi_perp": perp,
        "log10_gradient": growth + (at_output if np.isfinite(at_output) else 0.0),
        "correlation": expected.correlation,
    }


def as_record(expected: Forecast) -> dict[str, Any]:
    """Return what result.json says of the forecast."""
    return {
        "summary": expected.summary(),
        "fate": expected.fate,
        "probability": round(expected.probability, 4),
        "stable_rate": None if expected.stable_rate is None else json_number(expected.stable_rate),
        "layers": None if expected.layer_range is None else list(expected.layer_range),
    }


def verdict(expected: Forecast | None, measured: str) -> str:
    """Return what theory forecast and what happened, side by side."""
    return f"forecast: {'none' if expected is None else expected.summary()} | measured: {measured}"


def heading_of(experiment: Experiment) -> str:
    """Return the run in a few words, for the head of a figure, and below why it starts with these variances."""
    config, rule = experiment.config, experiment.rule
    numbers = f"C_W={rule.C_W[-1]:.4g}, C_b={rule.C_b[-1]:.4g}, k1={rule.k1:.4g}"
    if config.initialization.weights != "gaussian":
        numbers += f", {rule.weights} weights"
    # The note instead of "critical": that is what the rule looks for, and RePU, among others, has no such point.
    sizes = f"depth {config.depth}, width {config.width}{'' if rule.note else f', {rule.name}'}"
    return "\n".join([f"{described(config)}, {sizes}: {numbers}", *wrap(rule.note, LINE)])
