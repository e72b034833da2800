"""`repu-lab theory`: what effective theory says of an activation, without building a network."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from repu_lab.blocks import PLAIN
from repu_lab.configs.code import activation_name
from repu_lab.configs.config import ConfigError, config_hash, result_fields
from repu_lab.configs.schema import TheoryConfig
from repu_lab.networks.initialization import Rule
from repu_lab.runs.building import build_block, build_rule, build_tailored, law_of
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.outcome import json_number
from repu_lab.runs.words import start, tailor_record, weights
from repu_lab.theory import (
    PHASES,
    Criticality,
    Law,
    analyse,
    fate_map,
    fixed_points,
    mean_square_slope,
    stein,
    tangent_layers,
)
from repu_lab.theory.criticality import HALF_STABLE, CriticalPoint
from repu_lab.theory.forecast import Forecast
from repu_lab.theory.patience import waiting

INPUTS = 64  # n_0 and outputs of the network meant: they matter to rules that look at both sides of a layer only
GRID = 200  # points a side of the phase diagram
K_RANGE = (1e-4, 1e4)
SHOWN = 6  # layers in the printed table
MARGINAL = 1e-9  # a chi_parallel this close to 1 is 1: what happens is decided beyond first order


@dataclass(frozen=True)
class Question:
    """What theory is asked about: a law, and the rule it follows from. Nothing is trained, so the rate is 0."""

    config: TheoryConfig
    law: Law
    rule: Rule
    lr: float = 0.0


def check_theory(config: TheoryConfig) -> Question:
    """Return the question that a config asks; ConfigError if theory has no answer."""
    activation = build_tailored(config.activation, config.tailor, config.depth, config.dtype)
    sizes = (INPUTS, *[config.width] * config.depth, INPUTS)
    with waiting(activation.title, print):
        rule = build_rule(config, sizes, activation)
    try:
        mean_square_slope(activation, rule.k1 or 1.0)
    except ValueError as error:
        raise ConfigError(f"activation={activation_name(config.activation)}: {error}") from error
    if rule.k1 <= 0:
        raise ConfigError("initialization.k1=0: a signal of size 0 stays 0; choose k1 > 0")
    law = Law.of(
        activation,
        rule.C_W[1:],
        rule.C_b[1:],
        rule.k1,
        config.depth,
        config.width,
        block=build_block(config),
        dtype=config.dtype,
        weights=law_of(rule.weights),
    )
    return Question(config, law, rule)


def analyse_activation(question: Question, expected: Forecast, folder: RunFolder) -> dict[str, Any]:
    """Write theory.json's figures and return what theory.json holds, with the answer in words under `text`."""
    config, law, rule = question.config, question.law, question.rule
    C_W, C_b = law.C_W[-1], law.C_b[-1]
    criticality = analyse(law.activation)
    ntk = tangent_layers(law).log10_H
    points = [
        {"K": p.K, "C_W": p.C_W, "C_b": p.C_b, "universality_class": p.universality_class} for p in criticality.points
    ]
    _draw(law, rule.name, points, expected, folder)
    fixed = [asdict(point) for point in fixed_points(law.activation, C_W, C_b)] if _plain(law) else []
    return {
        "activation": expected.activation,
        "critical_points": points,
        "certificate": criticality.certificate,
        "a_1": criticality.a_1,
        "b_1": criticality.b_1,
        "c_w": C_W,
        "c_b": C_b,
        "k1": law.k1,
        "initialization": rule.name,
        "weights": rule.weights,
        "fixed_points": [point | {"chi_perp": json_number(point["chi_perp"])} for point in fixed],
        "layers": [
            {
                "layer": int(layer),
                "log10_K": json_number(expected.log10_K[i]),
                "log10_K_quantiles": [json_number(value) for value in expected.log10_K_quantiles[:, i]],
                "chi_parallel": _power(expected.log10_chi_parallel[i]),
                "chi_perp": _power(expected.log10_chi_perp[i]),
                "log10_chi_parallel": json_number(expected.log10_chi_parallel[i]),
                "log10_chi_perp": json_number(expected.log10_chi_perp[i]),
                "log10_gradient": json_number(expected.log10_gradient[i]),
                "log10_gain": None if i == law.depth else json_number(expected.log10_gain[i]),
                "correlation": json_number(expected.correlation[i]),
                "ntk": _power(ntk[i]),
                "log10_ntk": json_number(ntk[i]),
            }
            for i, layer in enumerate(expected.layers)
        ],
        "fate": expected.fate,
        "members": [{"outcome": expected.fate, "layer": expected.layer}],  # for tables of runs
        "probabilities": expected.probabilities,
        "overflow_layer": expected.overflow_layer,
        "underflow_layer": expected.underflow_layer,
        "survival_depth": expected.survival_depth,
        "advice": expected.advice,
        **tailor_record(law.activation),
        "text": _answer(criticality, rule, fixed, expected, config),
        "config_hash": config_hash("theory", config),
    }


def _draw(law: Law, rule: str, points: Sequence[dict[str, Any]], expected: Forecast, folder: RunFolder) -> None:
    # matplotlib: .4 s, which no first step waits for
    from repu_lab.figures import kernel_by_layer, phase_diagram, susceptibilities

    C_W, C_b, activation = law.C_W[-1], law.C_b[-1], law.activation
    kind = "" if law.weights == "gaussian" else f" {law.weights}"
    figures = {
        "kernel": kernel_by_layer(
            expected.log10_K,
            expected.log10_K_quantiles,
            heading=f"{expected.activation}, width {law.width}, {rule}{kind}",
        )
    }
    if _plain(law):
        K = np.geomspace(*K_RANGE, 161)
        figures["susceptibilities"] = susceptibilities(
            K,
            C_W * stein(activation, K),
            C_W * mean_square_slope(activation, K),
            points,
            heading=f"{expected.activation} at $C_W$ = {C_W:.4g}",
        )
        top_W = max(2.5, 1.5 * C_W, *(1.5 * point["C_W"] for point in points))
        top_b = max(0.5, 1.5 * C_b, *(1.5 * point["C_b"] for point in points))
        grid = fate_map(law, np.linspace(0, top_W, GRID), np.linspace(0, top_b, GRID))
        figures["phase_diagram"] = phase_diagram(
            grid.C_b,
            grid.C_W,
            grid.phase.T,
            PHASES,
            points,
            initialization=(C_b, C_W),
            heading=f"{expected.activation} after {law.depth} layers from $K^1$ = {law.k1:.3g}",
        )
    for name, figure in figures.items():
        with folder.writing(f"{name}.png") as path:
            figure.savefig(path, format="png", dpi=200)


def _plain(law: Law) -> bool:
    """Whether layers are what criticality is about: s(z) and weights that see all of it."""
    return law.block == PLAIN


def _answer(
    criticality: Criticality, rule: Rule, fixed: list[dict[str, Any]], expected: Forecast, config: TheoryConfig
) -> str:
    law = expected.law
    lines = [
        f"{expected.activation}: "
        + (", ".join(p.universality_class for p in criticality.points) or "no critical point")
        + ("" if _plain(law) else ", in plain layers with gaussian weights"),
        "  K is the mean square of a layer's preactivations; K* is a K that a critical network keeps",
    ]
    for point in criticality.points:
        lines.append(
            f"  critical at {_place(point.K)} ({_explained(point)}): weights with {weights(point.C_W, point.C_b)}"
        )
        lines += [
            f"    its companion fixed point, the other K that these weights keep: K={other.K:.4g}, "
            f"chi_parallel={other.chi_parallel:.4g}; what K* repels ends there"
            for other in point.companions
            if other.K is not None
        ]
    for point in criticality.near:
        off = f"{_explained(point)}, |ln chi| up to {point.distance:.2g} a layer"
        lines.append(f"  nearly critical at {_place(point.K)} ({off}): weights with {weights(point.C_W, point.C_b)}")
    if criticality.certificate:
        lines.append(f"  why none: {criticality.certificate}")
    if criticality.a_1 is not None and all(point.K is not None for point in criticality.points):
        lines.append(
            f"  near K=0 a critical layer makes of K: K + a_1 K^2, a_1={criticality.a_1:.4g}; "
            f"chi_perp = 1 + b_1 K, b_1={criticality.b_1:.4g}"
        )
    lines += [
        f"initialization {rule.name}, k1={rule.k1:.4g}:",
        *(f"  {line}" for line in start(rule, law.activation).splitlines()),
    ]
    for point in fixed:
        place = "every K" if point["K"] is None else f"K={point['K']:.4g}"
        kind = "stable" if point["stable"] else "repels"
        if abs(point["chi_parallel"] - 1) < MARGINAL:
            kind = "marginal"
        lines.append(
            f"  fixed point {place}: chi_parallel={point['chi_parallel']:.4g}, chi_perp={point['chi_perp']:.4g}, {kind}"
        )
    if _plain(law) and not fixed:
        lines.append("  no fixed point: K moves for ever")
    if not _plain(law) or law.weights != "gaussian":
        kept = ["residual=true"] * config.residual
        kept += [f"block.{key}={value}" for key, value in result_fields(config.block).items()]
        kept += [f"initialization.weights={law.weights}"] * (law.weights != "gaussian")
        lines += [f"networks of {', '.join(kept)}, width {law.width}; chi is that of infinitely wide ones:"]
        lines += _by_layer(expected)
    for name, table in (("overflows", expected.overflow_layer), ("underflows", expected.underflow_layer)):
        if text := ", ".join(f"{dtype} at layer {first['z']}" for dtype, first in table.items() if first["z"]):
            lines.append(f"  infinitely wide, a typical preactivation {name} {text}")
    lines.append(f"forecast: {expected.summary()}")
    lines.append(f"advice:   {expected.advice}")
    return "\n".join(lines)


def _by_layer(expected: Forecast) -> list[str]:
    """Return a table of some layers, the first and the last among them: K, what changes gradients, and angles."""
    heads = ("layer", "K (5 %", "50 %", "95 %)", "chi_parallel", "chi_perp", "gradient back", "correlation")
    lines = ["  " + "".join(f"{head:>14}" for head in heads)]
    for l in np.unique(np.linspace(1, expected.law.depth, SHOWN).round().astype(int)):
        logs = expected.log10_chi_parallel, expected.log10_chi_perp, expected.log10_gain
        exponents = *expected.log10_K_quantiles[::2, l - 1], *(log[l - 1] for log in logs)
        cells = *(_power_text(float(x)) for x in exponents), f"{expected.correlation[l - 1]:.4g}"
        lines.append("  " + "".join(f"{cell:>14}" for cell in (l, *cells)))
    return lines


def _place(K: float | None) -> str:
    return "every K" if K is None else f"K*={K:.4g}"


def _explained(point: CriticalPoint) -> str:
    """Return what becomes of a K beside a critical point, with the name of it."""
    if point.universality_class == HALF_STABLE:
        return f"half-stable: it {point.stability}"
    return point.stability


def _power_text(exponent: float) -> str:
    """Return 10^exponent to four digits, as that power where it leaves float64."""
    number = _power(exponent)
    return f"10^{exponent:.4g}" if number is None or number == 0 > exponent > -math.inf else f"{number:.4g}"


def _power(exponent: float) -> float | None:
    """10^exponent, None where that leaves float64."""
    return 10.0 ** float(exponent) if -300 < exponent < 300 else (0.0 if exponent <= -300 else None)
