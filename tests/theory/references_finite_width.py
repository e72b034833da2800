"""Rows of the reference table that finite_width, chain and fate compute: {quantity: function(row) -> value}."""

from typing import Any

import numpy as np
from finite_width_oracles import blow_up_probability_log_diffusion, breakdown_layer, corrections, log_law

from repu_lab.activations import Activation, MRePU, ReLU, RePU
from repu_lab.theory import kernel
from repu_lab.theory.chain import chain
from repu_lab.theory.finite_width import blow_up_probability
from repu_lab.theory.formats import overflow_layers, underflow_layers
from repu_lab.theory.law import Law

Row = dict[str, Any]


def _activation(row: Row) -> Activation:
    name, p = row["activation"].lower(), row["p"]
    return {"repu": lambda: RePU(p), "mrepu": lambda: MRePU(p), "relu": ReLU}[name]()


def _corrections(row: Row):
    args = row["args"]
    return corrections(
        _activation(row), C_W=args["C_W"], C_b=args.get("C_b", 0.0), k1=args["K1"], depth=int(args["l"]) - 1
    )


def _log_diffusion(row: Row) -> float:
    n, x, p = row["args"]["n"], row["args"]["n*a1*K1"], row["p"]
    a_1 = 6 * p**2 - 3 * p
    return blow_up_probability_log_diffusion(_activation(row), width=n, k1=x / (n * a_1))


def _explodes_at_K_star(row: Row) -> float:
    # K_* = 1 by the choice of C_W = 1 / c_p; ten layers decide (p^10 standard deviations apart).
    activation, n = _activation(row), row["args"]["n"]
    c_p = float(kernel.moments(activation).mean_square(np.ones(1))[0])
    samples = chain(Law.of(activation, 1 / c_p, 0.0, 1.0, 8, n), 2000, seed=1)
    return float((samples[:, -1] > 0).mean())


def _range_layer(row: Row) -> float:
    args = row["args"]
    log10_K = kernel.layers(_activation(row), args.get("C_W", 1.0), 0.0, args["K1"], 60).log10_K
    table = underflow_layers if "underflows" in row["quantity"] else overflow_layers
    layer = table(log10_K, args["dtype"])["z" if "rms" in row["quantity"] else "K"]
    return float("nan") if layer is None else float(layer)


REFERENCES = {
    "V/K^2": lambda row: _corrections(row).V_over_K2[-1],
    "G1/K (NLO metric)": lambda row: _corrections(row).G1_over_K[-1],
    "layer where V/(n K^2)=1": lambda row: breakdown_layer(_activation(row), row["args"]["n"]),
    "E[log Y_n]-log c_p (finite-width bias of log K per layer)": lambda row: (
        log_law(_activation(row), row["args"]["n"]).bias
    ),
    "std[log Y_n]": lambda row: log_law(_activation(row), row["args"]["n"]).std,
    "K_typ/K_star": lambda row: log_law(_activation(row), row["args"]["n"]).K_typ_over_K_star,
    "P(blow-up) finite width C_W=1 (diffusion)": lambda row: float(blow_up_probability(row["args"]["n*a1*K1"])),
    "P(blow-up) finite width C_W=1 (log-diffusion, exact g,E[s^4])": _log_diffusion,
    "P(blow-up | K1=K_*)": _explodes_at_K_star,
    "first layer l where K overflows": _range_layer,
    "first layer l where rms(z) overflows": _range_layer,
    "first layer l where K underflows": _range_layer,
    "first layer l where rms(z) underflows": _range_layer,
    "first layer l where K overflows (C_W=1,C_b=0)": _range_layer,
}

# Relative tolerances other than the table's 12 digits, with the reason.
TOLERANCES = {
    "E[log Y_n]-log c_p (finite-width bias of log K per layer)": (
        3e-11,
        "the rows are off by 2e-13, absolute; ours equals a 22-digit quadrature to 1e-15 at n=1024",
    ),
    "std[log Y_n]": (
        1e-9,
        "the row p=3, n=16 stops short in the tail t^(-1/6); ours equals a 22-digit quadrature to 1e-15 there",
    ),
    "P(blow-up) finite width C_W=1 (log-diffusion, exact g,E[s^4])": (
        2e-5,
        "another grid of the scale function; the model itself is good to .02",
    ),
    "P(blow-up | K1=K_*)": (0.13, "Monte Carlo on both sides: 4 standard errors of 2,000 and 20,000 chains"),
}
