"""Theory's forecast of a run, and its numbers in the shape of the measured ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from repu_lab.networks.initialization import Initialization
from repu_lab.runs.building import Experiment
from repu_lab.tasks import Task
from repu_lab.theory.forecast import Forecast, forecast

Profile = dict[str, NDArray[np.float64]]


def forecast_run(experiment: Experiment) -> Forecast:
    """Forecast the first pass of a run's networks over one batch; ValueError if the activation has no averages."""
    config, rule, task = experiment.config, experiment.rule, experiment.task
    k1, correlation = first_kernel(rule, task)
    return forecast(
        experiment.activation, C_W=rule.C_W[1:], C_b=rule.C_b[1:], k1=k1, depth=config.depth, width=config.width,
        dtype=config.dtype, inputs=getattr(config, "batch_size", config.probe), correlation=correlation,
    )  # fmt: skip


def first_kernel(rule: Initialization, task: Task) -> tuple[float, float]:
    """Return K^1 of a typical input, and the typical correlation of two inputs' first preactivations (the median)."""
    x = task.test.x.double()
    overlap = (x[0:-1:2] * x[1::2]).mean(-1).median().item()
    k1 = rule.C_b[0] + rule.C_W[0] * task.input_mean_square
    return k1, float(np.clip((rule.C_b[0] + rule.C_W[0] * overlap) / k1, -1.0, 1.0)) if k1 > 0 else 1.0


def theory_profile(expected: Forecast, measured: Profile | None = None) -> Profile:
    """Return theory's numbers by layer under the names of the measured ones.

    Theory knows how the gradient grows from layer to layer, not the loss: its curve is moved to the measured median at
    the output, where there is one.
    """
    at_output = 0.0
    if measured is not None and np.isfinite(measured["log10_gradient"][1, -1]):
        at_output = measured["log10_gradient"][1, -1]
    return {
        "log10_K": expected.log10_K,
        "log10_K_quantiles": expected.log10_K_quantiles,
        "log10_chi_parallel": expected.log10_chi_parallel[:-1],
        "log10_chi_perp": expected.log10_chi_perp[:-1],
        "log10_gradient": expected.log10_gradient + at_output,
        "correlation": expected.correlation,
    }


def as_record(expected: Forecast) -> dict[str, Any]:
    """Return what result.json says of the forecast."""
    return {
        "summary": expected.summary(),
        "fate": expected.fate,
        "probability": round(expected.probability, 4),
        "layers": None if expected.layer_range is None else list(expected.layer_range),
    }


def title(experiment: Experiment) -> str:
    """Return the run in a few words, for the head of a figure."""
    config, rule = experiment.config, experiment.rule
    details = ", ".join(f"{k}={v}" for k, v in config.activation.items() if k not in ("name", "_target_"))
    name = config.activation["name"] + (f"({details})" if details else "")
    return f"{name}, depth {config.depth}, width {config.width}, {rule.name}: C_W={rule.C_W[-1]:.4g}, k1={rule.k1:.4g}"
