"""The next command to type after a run that failed: its own config with one change that theory expects to help."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from repu_lab.activations import SplineRePU
from repu_lab.configs.schema import InitializationConfig, TrainConfig
from repu_lab.configs.untrusted import OWN_PACKAGE
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.forecasting import forecast_run
from repu_lab.theory.forecast import NEAR, Forecast
from repu_lab.theory.rates import SAFE

FAILED = ("exploded", "vanished", "diverged", "stalled")
# A change is named if this share of the networks then keeps its signal.
LIKELY = 0.9
# A rate that diverged without theory knowing a limit.
SLOWER = 10.0


def next_command(
    experiment: Experiment, expected: Forecast | None, records: Sequence[Mapping[str, Any]], config_file: Path
) -> str | None:
    """Return what happened, where, and the command that changes it; None unless half of the members failed.

    After divergence a smaller rate. After explosion, vanishing or a stall under a first pass that loses its signal: the
    first of another number format, the critical initialization, a smaller k1, skip connections, spline_repu whose
    forecast is that at least LIKELY of the networks survive. Each try costs a forecast.
    """
    kind, count = Counter(record["outcome"] for record in records).most_common(1)[0]
    if kind not in FAILED or 2 * count < len(records):
        return None
    where = _where(experiment, kind, [record for record in records if record["outcome"] == kind])
    base = ["repu-lab", "train", f"config={config_file}"]
    if not str(experiment.config.activation.get("_target_", "")).startswith(OWN_PACKAGE):
        base.append("trust=true")
    limit = 0.0 if expected is None else expected.stable_rate
    if kind == "diverged" and limit != 0:
        known = limit is not None and limit < NEAR * SAFE * experiment.lr
        change = [f"optimizer.lr={(limit if known and limit else experiment.lr * SAFE / SLOWER) / SAFE:.2g}"]
        about = f"; the largest stable one is {limit:.2g}" if known else ""
        return f"{where}{about}: {shlex.join([*base, *change])}"
    if kind == "stalled" and (expected is None or expected.fate == "survives"):
        return None
    for change, config in _changes(experiment):
        if (chance := _survival(config)) >= LIKELY:
            return f"{where}; {chance:.0%} would survive with {' '.join(change)}: {shlex.join([*base, *change])}"
    return None


def _where(experiment: Experiment, kind: str, records: Sequence[Mapping[str, Any]]) -> str:
    layers = [record["layer"] for record in records if record["layer"] is not None]
    layer = f" at layer {median(layers):.0f}" if layers else ""
    if kind != "diverged":
        return f"{kind}{layer}"
    return f"{kind} at step {median(record['step'] for record in records):.0f}{layer}, at rate {experiment.lr:.2g}"


def _changes(experiment: Experiment) -> Iterator[tuple[list[str], TrainConfig]]:
    """Yield what may help, as it is typed and as the config it makes; the smallest change first."""
    config, rule = experiment.config, experiment.rule
    critical = InitializationConfig(name="critical")
    if config.dtype not in ("float32", "float64"):
        yield ["dtype=float32"], replace(config, dtype="float32")
    if rule.name != "critical":
        yield ["initialization=critical"], replace(config, initialization=critical)
    C_W, C_b = f"{rule.C_W[-1]:.6g}", f"{rule.C_b[-1]:.6g}"
    for k1 in (f"{rule.k1 / part:.3g}" for part in (10, 100)):
        if float(k1) > float(C_b):
            own = InitializationConfig(name="custom", c_w=float(C_W), c_b=float(C_b), k1=float(k1))
            typed = {"c_w": C_W, "c_b": C_b, "k1": k1}
            parts = [f"initialization.{key}={value}" for key, value in typed.items()]
            yield ["initialization=custom", *parts], replace(config, initialization=own)
    if not config.residual:
        yield ["residual=true", "initialization=critical"], replace(config, residual=True, initialization=critical)
    spline = {"name": "spline_repu", "_target_": f"{SplineRePU.__module__}.{SplineRePU.__name__}"}
    yield (
        ["activation=spline_repu", "initialization=critical"],
        replace(config, activation=spline, initialization=critical),
    )


def _survival(config: TrainConfig) -> float:
    """Return the probability with which a network of a changed config survives its first pass, 0 if it cannot run."""
    try:
        return forecast_run(build(config)).probabilities["survives"]
    except ValueError:  # ConfigError too: the change does not go with this activation, or theory has no forecast
        return 0.0
