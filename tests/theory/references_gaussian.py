"""Rows of the reference table that gaussian, kernel, criticality and tangent compute.

REFERENCES: {quantity: function(row) -> value}.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from laws import mean_fourth, pair_ratio
from oracles import mrepu
from scipy.optimize import brentq

from repu_lab.activations import ACTIVATIONS, Activation
from repu_lab.theory import (
    FixedPoint,
    Law,
    TangentLayers,
    criticality,
    fixed_correlation,
    fixed_points,
    gaussian,
    kernel,
    tangent_layers,
)
from repu_lab.theory.closed_forms import c, rectified_pair

Row = dict[str, Any]


def activation_of(row: Row) -> Activation:
    name = row["activation"].lower()
    if row["p"] is not None:
        return ACTIVATIONS[name](row["p"])  # pyright: ignore[reportCallIssue]
    return ACTIVATIONS[name](**{key: value for key, value in row["args"].items() if key == "slope"})


def _number(value: Any) -> float:
    return float(Fraction(value)) if isinstance(value, str) else float(value)


def _at_K(function):
    return lambda row: float(function(activation_of(row), row["args"].get("K", 1.0)))


def _at_zero(row: Row) -> criticality.CriticalPoint:
    return next(point for point in criticality.analyse(activation_of(row)).points if point.K == 0)


def _half_stable(row: Row) -> criticality.CriticalPoint:
    points = criticality.analyse(activation_of(row)).points
    return next(point for point in points if point.universality_class in ("half-stable", "scale-invariant"))


def _K_star(row: Row) -> float:
    C_W = row["args"].get("C_W", 1.0)
    return _power_point(row, C_W).K or 0.0


def _power_point(row: Row, C_W: float) -> FixedPoint:
    return next(point for point in fixed_points(activation_of(row), C_W, 0.0) if point.K)


def _saddle_node(row: Row) -> tuple[float, float]:
    """(C_b, K) at which RePU's two fixed points merge: chi_parallel = 1."""
    activation, C_W = activation_of(row), row["args"]["C_W"]
    K = brentq(lambda x: np.log(C_W * gaussian.stein(activation, np.exp(x))), -20, 20, xtol=1e-15)
    K = float(np.exp(K))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return K - C_W * float(gaussian.mean_square(activation, K)), K


def _beside_saddle_node(row: Row, index: int) -> float:
    C_b = row["args"]["C_b/C_b_crit"] * _saddle_node(row)[0]
    return fixed_points(activation_of(row), row["args"]["C_W"], C_b)[index].K or 0.0


def _unstable(row: Row) -> FixedPoint:
    points = fixed_points(activation_of(row), _number(row["args"]["C_W"]), 0.0)
    return next(point for point in points if not point.stable)


def _line(row: Row) -> tuple[float, float, float]:
    """(C_W, C_b, chi_perp) on the line chi_parallel = 1."""
    activation, K = activation_of(row), row["args"]["K"]
    C_W = 1 / float(gaussian.stein(activation, K))
    # C_b = K - C_W g = C_W (K g' - g): both differ from K by about a_1 K^2, taken without their common part.
    extra = K * (float(gaussian.stein(activation, K)) - 1) - float(mrepu(row["p"]).averages(K)["excess"])
    return C_W, C_W * extra, C_W * float(gaussian.mean_square_slope(activation, K))


def _layers(row: Row, depth: int, **over: Any) -> kernel.KernelLayers:
    args = {"C_W": 1.0, "C_b": 0.0, "K1": 1.0, **row["args"], **over}
    return kernel.layers(activation_of(row), args["C_W"], args["C_b"], args["K1"], depth)


def _first_layer(row: Row, threshold: float, **over: Any) -> float:
    depth = 32
    while not (above := threshold < _layers(row, depth, **over).K).any():
        depth *= 2
    return float(np.argmax(above) + 1)


def _largest_k1(row: Row) -> float:
    activation, depth = activation_of(row), int(row["args"]["L"]) - 1

    def excess(k1: float) -> float:
        return kernel.layers(activation, 1.0, 0.0, k1, depth).K[-1] / k1 - 2

    return float(brentq(excess, 1e-6, 0.05, xtol=1e-18, rtol=1e-14))  # pyright: ignore[reportArgumentType]


def _pair(row: Row) -> tuple[Law, float, float]:
    args = row["args"]
    law = Law.of(activation_of(row), args["C_W"], args["C_b"], args["K11_1"], max(1, int(args["layer"]) - 1))
    return law, args["K22_1"], args["K12_1"]


def _pair_tangent(row: Row) -> float:
    kernels, l = kernel.correlations(*_pair(row)), row["args"]["layer"] - 1
    return float(pair_ratio(*_pair(row))[l] * np.sqrt(kernels.K11[l] * kernels.K22[l]))


def _two_inputs(row: Row) -> tuple[float, float]:
    args = row["args"]
    value, gain = gaussian.pair_mean(activation_of(row), args["K11"], args["K22"], args["K12"])
    return float(value), float(gain)


def _tangent(row: Row, **over: Any) -> TangentLayers:
    args = {"C_W": 1.0, "C_b": 0.0, "K1": 1.0, **row["args"], **over}
    return tangent_layers(Law.of(activation_of(row), args["C_W"], args["C_b"], args["K1"], max(1, int(args["l"]) - 1)))


def _second_order(row: Row) -> float:
    """a_2 = (g - K - a_1 K^2) / K^3 for K -> 0; g of MRePU is a polynomial of K there, so K = 1e-2 is small enough."""
    K = np.array([2e-3, 4e-3])
    a_1 = criticality.analyse(activation_of(row)).a_1 or 0.0
    rest = (np.array([float(mrepu(row["p"]).averages(k)["excess"]) for k in K]) - a_1 * K**2) / K**3
    return float(2 * rest[0] - rest[1])


REFERENCES = {
    "g": _at_K(gaussian.mean_square),
    "g'=chi_par/C_W": _at_K(gaussian.stein),
    "E[s'^2]=chi_perp/C_W": _at_K(gaussian.mean_square_slope),
    "E[s^4]": _at_K(mean_fourth),
    "c_p": lambda row: c(row["p"]),
    "chi_perp/chi_par": lambda row: _at_K(gaussian.mean_square_slope)(row) / _at_K(gaussian.stein)(row),
    "w_p=E[s^4]/E[s^2]^2-1": lambda row: _at_K(mean_fourth)(row) / _at_K(gaussian.mean_square)(row) ** 2 - 1,
    "chi_perp(K=1,C_W=1)": _at_K(gaussian.mean_square_slope),
    "K_star (C_b=0)": _K_star,
    "chi_perp(K_star)": lambda row: _power_point(row, 1.0).chi_perp,
    "C_b critical (saddle-node)": lambda row: _saddle_node(row)[0],
    "K at saddle-node": lambda row: _saddle_node(row)[1],
    "K_low (stable)": lambda row: _beside_saddle_node(row, 0),
    "K_up (unstable)": lambda row: _beside_saddle_node(row, 1),
    "rho_star (stable correlation, C_b=0)": lambda row: fixed_correlation(activation_of(row))[0],
    "slope at rho_star": lambda row: fixed_correlation(activation_of(row))[1],
    "slope at rho=1": lambda row: kernel.correlations(Law.of(activation_of(row), 1.0, 0.0, 1.0, 1), 1.0, 1.0).gain[0],
    "J_p(theta)": lambda row: float(2 * np.pi * rectified_pair(row["p"], row["args"]["theta"])),
    "E[s(u)s(v)] unit variance": lambda row: float(rectified_pair(row["p"], row["args"]["theta"])),
    "two-input E[s(u)s(v)]": lambda row: _two_inputs(row)[0],
    "two-input E[s'(u)s'(v)]": lambda row: _two_inputs(row)[1],
    "a_1": lambda row: criticality.analyse(activation_of(row)).a_1,
    "b_1": lambda row: criticality.analyse(activation_of(row)).b_1,
    "b_1 (chi_perp=1+b_1 K)": lambda row: criticality.analyse(activation_of(row)).b_1,
    "a_2": _second_order,
    "b_1/a_1 exponent of delta_perp": lambda row: (
        (criticality.analyse(activation_of(row)).b_1 or 0.0) / (criticality.analyse(activation_of(row)).a_1 or 1.0)
    ),
    "C_W at K*=0": lambda row: _at_zero(row).C_W,
    "K^{3/2} coefficient of C_W g(K)": lambda row: _at_zero(row).coefficient,
    "K_star": lambda row: _half_stable(row).K,
    "C_b critical": lambda row: _half_stable(row).C_b,
    "C_W critical": lambda row: _half_stable(row).C_W,
    "half C_W g''(K_star)": lambda row: _half_stable(row).coefficient,
    "companion fixed point (mp)": lambda row: _half_stable(row).companions[-1].K,
    "companion fixed point at critical (C_b,C_W)": lambda row: _half_stable(row).companions[-1].K,
    "chi_perp at companion": lambda row: _half_stable(row).companions[-1].chi_perp,
    "K_u unstable fixed point (C_b=0)": lambda row: _unstable(row).K,
    "chi_par(K_u)": lambda row: _unstable(row).chi_parallel,
    "C_W on saddle-node line chi_par=1": lambda row: _line(row)[0],
    "C_b on saddle-node line": lambda row: _line(row)[1],
    "chi_perp on saddle-node line": lambda row: _line(row)[2],
    "first layer l with K>=1 (C_W=1,C_b=0)": lambda row: _first_layer(row, 1.0),
    "first layer l with K>2K1 (C_W=1,C_b=0)": lambda row: _first_layer(row, 2 * row["args"]["K1"]),
    "first layer with K>=1, C_W=1, K1=C_b": lambda row: _first_layer(row, 1.0, K1=row["args"]["C_b"]),
    "largest K1 with K within factor 2 for L layers (C_W=1,C_b=0)": _largest_k1,
    "K (C_W=1,C_b=0,K1=1)": lambda row: _layers(row, 10).K[row["args"]["l"] - 1],
    "K^l": lambda row: _layers(row, 10).K[row["args"]["l"] - 1],
    "rho (C_W=1,C_b=0,K1=1,rho1=0.5)": lambda row: kernel.correlations(
        Law.of(activation_of(row), 1.0, 0.0, 1.0, 10), 1.0, 0.5
    ).correlation[row["args"]["l"] - 1],
    "NNGP K12": lambda row: kernel.correlations(*_pair(row)).K12[row["args"]["layer"] - 1],
    "NTK H11": lambda row: tangent_layers(_pair(row)[0]).H[row["args"]["layer"] - 1],
    "NTK H12 (lambda_b=C_b,lambda_W=C_W)": _pair_tangent,
    "H^l (NTK)": lambda row: _tangent(row).H[row["args"]["l"] - 1],
    "H^l/K^l single input (lambda_b=0,lambda_W=C_W,C_b=0)": lambda row: (
        10 ** _tangent(row).log10_ratio[row["args"]["l"] - 1]
    ),
}

# Relative tolerances other than the table's 12 digits, with the reason.
TOLERANCES: dict[str, tuple[float, str]] = {}

EXCLUDED = {
    **dict.fromkeys(
        (
            "max abs error on [-1,1]^3 in units of eps: x^2",
            "max abs error on [-1,1]^3 in units of eps: x",
            "max abs error on [-1,1]^3 in units of eps: xy",
            "max abs error on [-1,1]^3 in units of eps: xyz (1 hidden layer, linear parts cancel)",
            "sum|c_j| of exact x^2 construction (a_j=2^-j)",
            "sum|c_j| of exact x^1 construction (a_j=2^-j)",
        ),
        "exact constructions of polynomials by a trained network's weights, no part of signal propagation",
    ),
}
