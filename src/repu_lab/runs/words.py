"""What a run says of itself in words first and symbols second; four digits, since result files have them all."""

import math
from collections.abc import Mapping
from typing import Any

from repu_lab.activations import Activation, Tailored
from repu_lab.networks.initialization import Rule

SHAPES = {
    "gaussian": "",
    "uniform": "uniform ",
    "orthogonal": "orthogonal, of ",
    "centred": "centred (not in the first layer), of ",
}


def weights(C_W: float, C_b: float, kind: str = "gaussian") -> str:
    """Return variances as the standard deviations that a program sets, and the symbols behind.

    C_W = Var(W) fan_in and C_b = Var(b).
    """
    shape = SHAPES[kind]
    biases = f"that of biases {math.sqrt(C_b):.4g}" if C_b else "no biases"
    return f"{shape}standard deviation sqrt({C_W:.4g}/fan_in), {biases} (C_W={C_W:.4g}, C_b={C_b:.4g})"


def start(rule: Rule, activation: Activation | None = None) -> str:
    """Return why a run starts as it does, with what weights and what around a tailored activation; a line each."""
    if len(set(rule.C_W[1:])) > 1 or len(set(rule.C_b[1:])) > 1:
        low, high = (f"sqrt({end(rule.C_W[1:]):.4g}/fan_in)" for end in (min, max))
        text = f"{SHAPES[rule.weights]}standard deviation from {low} to {high}, as {rule.name} has them (C_W by layer)"
    else:
        text = weights(rule.C_W[-1], rule.C_b[-1], rule.weights)
        if rule.C_W[0] != rule.C_W[-1]:
            text += f"; sqrt({rule.C_W[0]:.4g}/fan_in) in the first layer"
    lines = [f"start:    {rule.note}"] * bool(rule.note) + [f"weights:  {text}"]
    if isinstance(activation, Tailored):
        maps = f"gamma (s(alpha u + beta) + delta), {activation.extra_repr()}"
        lines += [f"tailor:   {line}" for line in (maps, *activation.notes)]
    return "\n".join(lines)


def tailor_record(activation: Activation) -> dict[str, Any]:
    """Return what a result says of a tailored activation, as a part of it; nothing of any other."""
    if not isinstance(activation, Tailored):
        return {}
    return {"tailor": {"activation": activation.title, **activation.numbers(), "notes": list(activation.notes)}}


def duration(seconds: float) -> str:
    """Return a time to two digits in the unit that a person would use."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


def memory(count: float) -> str:
    """Return bytes as MiB or GiB."""
    return f"{count / 2**30:.2g} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def closing_lines(result: Mapping[str, Any]) -> str:
    """Return what came of a training run and how long it took; a line each."""
    return f"{result['verdict']}\ntime:     {time_taken(result)}"


def time_taken(result: Mapping[str, Any]) -> str:
    """Return how long a training run took, and what for."""
    if not result["steps"]:
        return f"{duration(result['seconds'])}, no step was taken"
    rate = result["steps_per_second"]
    speed = f"{rate:.3g} a second" if rate >= 1 else f"{duration(1 / rate)} each" if rate else "slowly"
    share = result["statistics_share"]
    measuring = f"; measuring the layers took {share:.0%} of it" if share >= 0.1 else ""
    return f"{duration(result['seconds'])} for {result['steps']} step{'s' * (result['steps'] != 1)}, {speed}{measuring}"
