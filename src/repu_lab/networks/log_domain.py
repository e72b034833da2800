"""Signal propagation in the logarithm, for homogeneous activations without biases.

If s(a z) = a^p s(z) and b = 0, the preactivations can be kept as z^l = exp(r^l) u^l with mean_i (u^l_i)^2 = 1:
u' = W s(u) / |.|, r' = p r + log|W s(u)|_rms. Nothing overflows, so the double exponential of RePU networks can be
measured at any depth: log K^l = 2 r^l reaches 10^14 at layer 50, and K itself 10^(10^14). Everything is float64.

Shapes: L hidden layers, M members, P inputs, N units, C outputs.
"""

import math

import torch
from torch import Tensor

from repu_lab.networks.population import Population
from repu_lab.networks.statistics import CHUNK, LayerStatistics, join_members, moments

LN10 = math.log(10)


def has_log_domain(population: Population) -> bool:
    """Whether layers are plain, the activation homogeneous, without parameters of its own, and every bias zero."""
    if population.residual or population.own or population.activation.degree is None:
        return False
    return not any(bool(affine.b_M1O.any()) for affine in population.affine_maps())


@torch.no_grad()
def measure_in_logs(population: Population, x_PI: Tensor, cotangent_C: Tensor) -> LayerStatistics:
    """Return the statistics of every layer, as `measure` would for the loss f_x = cotangent . z^{L+1}(x).

    Counts of non-finite entries are zero: there are none in the logarithm. ValueError unless `has_log_domain`.
    """
    if not has_log_domain(population):
        raise ValueError("needs a homogeneous activation without parameters, and biases of zero")
    chunk = max(1, CHUNK // (sum(population.sizes[1:]) * len(x_PI)))
    x_PI, cotangent_C = x_PI.double(), cotangent_C.double()
    parts = [
        _measure_members(population, theta_MP.double(), x_PI, cotangent_C)
        for theta_MP in population.theta.detach().split(chunk)
    ]
    return join_members(parts).on_host()


def _measure_members(population: Population, theta_MP: Tensor, x_PI: Tensor, cotangent_C: Tensor) -> dict[str, Tensor]:
    weights = [affine.W_MIO for affine in population.affine_maps(theta_MP)]
    p = population.activation.degree
    assert p is not None
    h = x_PI.expand(len(theta_MP), -1, -1)
    unit, log_rms = [], []
    r = torch.zeros(h.shape[:2], dtype=torch.float64, device=h.device)
    for l, W in enumerate(weights):
        u, growth = _normalized(h @ W)
        r = (p * r if l else r) + growth
        unit.append(u)
        log_rms.append(r)
        h = population.activation(u)
    g, r_g = _normalized(cotangent_C.expand_as(unit[-1]))
    log_gradient = [r_g]
    for l in range(population.depth - 1, -1, -1):
        g, growth = _normalized((g @ weights[l + 1].mT) * population.activation.derivative(unit[l]))
        r_g = r_g + growth + (p - 1) * log_rms[l]
        log_gradient.insert(0, r_g)
    rows = [
        _layer(population, u, r, g, None if l == population.depth else weights[l + 1])
        for l, (u, r, g) in enumerate(zip(unit, log_rms, log_gradient, strict=True))
    ]
    return {name: torch.stack([row[name] for row in rows if name in row]) for name in rows[0]}


def _normalized(z_MPN: Tensor) -> tuple[Tensor, Tensor]:
    rms = z_MPN.square().mean(-1).sqrt()
    return z_MPN / torch.where(rms > 0, rms, 1.0).unsqueeze(-1), rms.log()


def _layer(population: Population, u: Tensor, r: Tensor, r_g: Tensor, next_W: Tensor | None) -> dict[str, Tensor]:
    row = {name: value.squeeze(0) for name, value in moments(u.unsqueeze(0)).items()}
    none = torch.zeros(len(u), dtype=torch.int64, device=u.device)
    row |= {"nan": none, "plus_inf": none, "minus_inf": none}
    row["log10_K"] = 2 * r / LN10
    row["mean"] = (u.mean(-1) * r.exp()).mean(-1)
    row["log10_max_abs"] = (u.abs().amax(-1).log10() + r / LN10).amax(-1)
    row["log10_gradient"] = 2 * r_g / LN10
    if next_W is not None:
        p = population.activation.degree or 0.0
        C_W = (next_W.shape[1] * next_W.square().mean((-1, -2))).unsqueeze(-1)
        s, slope = population.activation(u), population.activation.derivative(u)
        gain = 2 * (p - 1) * r / LN10
        row["log10_chi_parallel"] = (C_W * (u * s * slope).mean(-1)).log10() + gain
        row["log10_chi_perp"] = (C_W * slope.square().mean(-1)).log10() + gain
        row["dead"] = (slope == 0).all(1).double().mean(-1)
    return row
