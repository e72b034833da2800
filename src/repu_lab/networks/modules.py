"""Networks of the user's own, in plain torch: initialize and forecast them as the lab does its populations.

Any nn.Module will do that `as_perceptron` knows for a multilayer perceptron of nn.Linear layers and one activation.
"""

import math
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from repu_lab.activations import Activation
from repu_lab.networks import initialization
from repu_lab.networks.observing import Perceptron, as_perceptron
from repu_lab.networks.passing import Pass, pass_batch, recognise
from repu_lab.networks.population import Population
from repu_lab.theory import Initialization, Law, tailor
from repu_lab.theory.fate import COLLAPSE, FATES, LOG10_WEIGHT_GRADIENT, collapsed_layer, first_ends
from repu_lab.theory.forecast import LIKELY, QUANTILES, Forecast, forecast_law
from repu_lab.theory.formats import limits

DRAWN = {
    "gaussian": "independent, of mean 0",
    "orthogonal": "matrices are orthogonal",
    "centred": "rows have no mean, and are independent otherwise",
}


def initialize_(
    network: nn.Module,
    activation: nn.Module | None = None,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    input_mean_square: float = 1.0,
    weights: str = "gaussian",
) -> Initialization:
    """Draw weights and biases in place, critically for the network's activation and depth; return which, and why.

    W^l_ij ~ N(0, C_W / fan_in), b^l_i ~ N(0, C_b), l >= 2, as `critical_initialization` says; `weights` "orthogonal",
    or "centred" (no mean in a row), are others of that mean square. The first map gives K^1 = k1 for an input with
    |x|^2/n_0 = input_mean_square. Without biases in the hidden layers C_b is 0, and C_W = k1 / g(k1) keeps the kernel
    instead. Residual networks without normalization: C_W and C_b of a branch are a share 1/(L-1) of those.

    The weights are those of the lab's own network with this seed; left out, the seed is drawn from the generator, else
    from torch's global one. The activation is found, unless forward calls a function: then name it, as MRePU(1). Its
    own parameters stay. ValueError, before anything is written, for a network that theory does not know.
    """
    if seed is not None and generator is not None:
        raise ValueError(f"seed={seed} and a generator: give one of them")
    _check_input(input_mean_square)
    perceptron = as_perceptron(network, activation)
    rule = _critical(perceptron, perceptron.activation, weights)
    start = Initialization(rule.C_W[-1], rule.C_b[-1], rule.k1, rule.note)
    rule = replace(rule, C_W=(rule.C_W[0] / input_mean_square, *rule.C_W[1:]))
    if seed is None:
        where = "cpu" if generator is None else generator.device
        seed = int(torch.randint(2**63 - 1, (), generator=generator, device=where))
    drawn = Population(perceptron.activation, perceptron.sizes, block=perceptron.block, dtype=perceptron.dtype)
    initialization.draw_(drawn, rule, [seed])
    with torch.no_grad():
        for linear, affine in zip(perceptron.linears, drawn.affine_maps(), strict=True):
            linear.weight.copy_(affine.W_MIO[0].T)
            if linear.bias is not None:
                linear.bias.copy_(affine.b_M1O[0, 0])
    return start


def forecast_network(
    network: nn.Module,
    activation: nn.Module | None = None,
    *,
    inputs: int = 1,
    input_mean_square: float = 1.0,
    correlation: float | None = None,
    seed: int = 0,
) -> Forecast:
    """Forecast what a network, as it is initialized now, does to a batch of `inputs` inputs in its dtype.

    The fate, K by layer over the inputs, the gradient and the correlation are measured: Gaussian inputs with |x|^2/n_0
    = input_mean_square go through its own weights, so they hold whatever drew those. The curves of the infinitely wide
    network are theory's, for variances C_W^l = fan_in mean(W^l_ij^2), C_b^l = mean(b^l_i^2); they speak of
    independent weights of mean 0, of orthogonal ones and of such whose rows have no mean, as it finds them to be, and
    advice says if these are none of them, and what to write where the signal is lost. `correlation` of two inputs'
    first preactivations, for theory; left out: that of orthogonal inputs. Hidden layers of several widths count with
    their harmonic mean. See `forecast`, also for its errors; ValueError as for `initialize_`.
    """
    _check_input(input_mean_square)
    perceptron = as_perceptron(network, activation)
    C_W = tuple(linear.in_features * _mean_square(linear.weight) for linear in perceptron.linears)
    C_b = tuple(0.0 if linear.bias is None else _mean_square(linear.bias) for linear in perceptron.linears)
    k1 = C_b[0] + C_W[0] * input_mean_square
    if correlation is None and k1 > 0:
        correlation = C_b[0] / k1
    dtype, (weights, departures) = limits(perceptron.dtype).name, recognise(perceptron)
    law = Law(perceptron.activation, C_W[1:], C_b[1:], k1, perceptron.sizes, perceptron.block, dtype, weights)
    expected = forecast_law(law, inputs, correlation=correlation, seed=seed)
    seen = pass_batch(perceptron.population(), inputs=inputs, mean_square=input_mean_square, seed=seed)
    measured = _measured(expected, departures, seen)
    return (
        measured
        if measured.fate == "survives"
        else replace(measured, advice=measured.advice + _next(perceptron, inputs))
    )


def _critical(perceptron: Perceptron, activation: Activation, weights: str) -> initialization.Rule:
    biases = all(linear.bias is not None for linear in perceptron.linears[:-1])
    return initialization.critical(activation, perceptron.sizes, perceptron.block, biases=biases, weights=weights)


def _next(perceptron: Perceptron, inputs: int) -> str:
    """Return what to write so that such a network survives its first pass, as theory has it."""
    activation, depth = perceptron.activation, len(perceptron.sizes) - 2
    dtype, drawn = limits(perceptron.dtype).name, 'initialize_(network, weights="orthogonal")'
    for text, change, weights in (
        ("initialize_(network)", lambda: activation, "gaussian"),
        (
            f"tailor(s, depth={depth}) in place of the activation s, then {drawn}",
            lambda: tailor(activation, depth),
            "orthogonal",
        ),
    ):
        with suppress(ValueError):  # there are no such weights, or no such tailoring
            changed = change()
            start = _critical(perceptron, changed, weights)
            law = Law(
                changed, start.C_W[1:], start.C_b[1:], start.k1, perceptron.sizes, perceptron.block, dtype, weights
            )
            if (chance := forecast_law(law, inputs).probabilities["survives"]) >= LIKELY:
                return f" Next: {text}: {chance:.0%} of such networks survive."
    return " Next: normalise in front of each layer and put a skip around it: new weights alone do not keep the signal."


def _measured(expected: Forecast, departures: list[str], seen: Pass) -> Forecast:
    """Return theory's forecast with the fate that the network itself has."""
    law, dtype = expected.law, limits(expected.law.dtype)
    ends = first_ends(seen.log10_z[None], seen.log10_h[None], dtype)
    collapsed = collapsed_layer(law, seen.log10_spread) if expected.inputs > 1 else 0
    log10_gradient = seen.log10_gradient + np.log10(np.array(law.sizes[1:]) / law.sizes[-1])  # of squared norms
    lost = (log10_gradient[0] - math.log10(law.sizes[1])) / 2 + LOG10_WEIGHT_GRADIENT < dtype.smallest_normal
    exploded, died = int(ends.exploded[0]), int(ends.died[0])
    if exploded:
        fate, layer = "explodes", exploded
    elif died or collapsed or lost:
        fate, layer = "vanishes", died or collapsed or 1
    else:
        collapses = expected.inputs > 1 and seen.log10_distance[-1] < math.log10(COLLAPSE)
        fate, layer = ("collapses correlations" if collapses else "survives"), None
    drawn = f"a known law: {DRAWN[law.weights]}"
    if departures:
        drawn = f"no known law, since {' and '.join(departures)}: theory's curves do not hold"
    K = np.quantile(seen.log10_K, QUANTILES, axis=0, method="inverted_cdf")
    text = f"Measured on this network with {len(seen.log10_K)} inputs: {fate}" + (f" at layer {layer}" if layer else "")
    return replace(
        expected,
        fate=fate,
        probability=1.0,
        probabilities={name: float(name == fate) for name in FATES},
        networks=1,
        layer=layer,
        layer_range=None if layer is None else (layer, layer),
        survival_depth=law.depth if layer is None else max(0, layer - 2),
        log10_K_quantiles=K,
        log10_gradient=log10_gradient,
        log10_one_minus_correlation=seen.log10_distance,
        advice=f"{text}. Its weights are of {drawn}.",
    )


def _mean_square(weights: Tensor) -> float:
    return weights.detach().cpu().double().square().mean().item()


def _check_input(mean_square: float) -> None:
    if not 0 < mean_square < math.inf:
        raise ValueError(f"input_mean_square={mean_square!r} must be a positive finite number: |x|^2/n_0 of an input")
