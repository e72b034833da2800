"""Activations made for a depth: with them plain networks keep their signal at C_W = 1, C_b = 0 and K = 1.

s_hat(u) = gamma (s(alpha u + beta) + delta); for the maps Q and C see `affine_maps`. Deep kernel shaping (Martens et
al. 2021, arXiv:2110.01765) asks for Q(1) = 1, Q'(1) = 1, C(0) = 0, C'(1) = zeta^(1/L); tailored activation
transformations (Zhang et al. 2022, arXiv:2203.08120) for Q(1) = Q'(1) = C'(1) = 1, C''(1) = tau / L, and of the ReLU
family for the slope of the negative side with which L layers take the correlation 0 to eta. A shift has alpha = 1, and
leaves Q'(1) free.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from repu_lab.activations import Activation, LeakyReLU, RePU, Tailored, as_activation
from repu_lab.theory.affine_maps import Conditions
from repu_lab.theory.closed_forms import moments
from repu_lab.theory.law import check_depth
from repu_lab.theory.power_law import leading_power
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.roots import root_between

KINDS = ("shift", "dks", "tat")
ZETA, TAU, ETA = 1.5, 0.3, 0.9  # those of the papers
LINEAR = 1e-12  # of C'(1) - 1, which rounding leaves
UNMET = 1e-8
TINY = 1e-15
# Q''(1) from which K = 1 is said to be half-stable: K - 1 = .2, as some layers of width 128 leave, is felt after 50.
HALF_STABLE = 0.1
FELT = 0.1  # the same of ln Q'(1) times the depth


def tailor(
    activation: Activation, depth: int, kind: str = "dks", *, zeta: float = ZETA, tau: float = TAU, eta: float = ETA
) -> Tailored:
    """Return an activation made for plain networks of `depth` hidden layers with C_W = 1, C_b = 0 and K^1 = 1.

    kind: shift, dks or tat. zeta is of shift and dks, tau of tat, eta of tat for the ReLU family. Where a condition
    cannot be met, `notes` says which, and the nearest is returned; of several solutions that of the smallest shift
    beta. Costs .1 to 1 s. ValueError for a linear activation, for one whose slope has no
    average, and under tat for one whose slope jumps.
    """
    check_depth(depth)
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(KINDS)}")
    for name, value, low, high in (("zeta", zeta, 1, math.inf), ("tau", tau, 0, math.inf), ("eta", eta, 0, 1)):
        if not low < value < high:
            raise ValueError(f"{name}={value} must be a number above {low}" + (" and below 1" if high == 1 else ""))
    s = as_activation(activation)
    if isinstance(s, Tailored):
        raise ValueError(f"{s.title}, is tailored already")
    # A power around another place than 0 is a power for what stands around it.
    moved = s.shift if isinstance(s, RePU) else 0.0
    power = RePU(s.p) if isinstance(s, RePU) and s.shift else s
    moments(power)  # says what is wrong with a degree
    curved, free = kind == "tat", kind != "shift" and power.degree is None
    conditions = Conditions(power, tau / depth if curved else zeta ** (1 / depth), curved, free)
    _check(conditions)
    if curved and power.degree == 1:
        return _leaky(s, depth, eta)
    alpha, beta, side = conditions.solve()
    gamma, delta, parallel, perp, curvature = (float(part[0]) for part in conditions.maps(alpha, beta, side))
    known = {"chi_parallel": parallel, "chi_perp": perp}
    if curved and _jump(conditions.form) is not None:  # of a power
        curvature = math.inf
    elif curved:
        known["curvature"] = curvature
    delta = delta if abs(delta) > TINY else 0.0  # of an odd s
    made = Tailored(s, alpha, beta - moved, gamma, delta, kind=kind, depth=depth, known=known)
    made.notes = tuple(_notes(made, conditions, parallel, perp, curvature))
    return made


def _check(conditions: Conditions) -> None:
    activation, form = conditions.activation, conditions.form
    if form.rough is not None:
        raise ValueError(f"{activation.title} cannot be tailored, since {form.rough}: E[s'^2] is infinite")
    centred = replace(conditions, curved=False)
    if all(abs(float(centred.maps(1.0, place).chi_perp[0]) - 1) < LINEAR for place in (0.0, *form.kinks)):
        raise ValueError(f"{activation.title} cannot be tailored, since it is linear: every s_hat is the identity")
    if conditions.curved and activation.degree is None and (place := _jump(form)) is not None:
        raise ValueError(
            f"the slope of {activation.title} jumps or is too steep at z={place:.4g}, so that C''(1) is infinite; "
            "choose shift or dks"
        )


def _jump(form: QuadratureMoments) -> float | None:
    """Return where s'' is not square integrable, None if it is."""
    for kink in form.kinks:
        near = kink + np.array([-1e-4, 1e-4, -1e-8, 1e-8])
        slopes, bends = form.slope(near), form.curvature(near) ** 2 * np.abs(near - kink)
        jumps = abs(slopes[3] - slopes[2]) > 0.5 * abs(slopes[1] - slopes[0]) > 1e-9
        if jumps or max(bends[2:]) > 0.5 * max(bends[:2]) > 1e-12:
            return kink
    return None


def _leaky(activation: Activation, depth: int, eta: float) -> Tailored:
    """Return sqrt(2 / (1 + a^2)) times the leaky ReLU of slope a: Q(q) = q, C'(1) = 1.

    C(c) = c + (1 - a)^2 / (1 + a^2) (sqrt(1 - c^2) - c arccos c) / pi.
    """

    def reached(a: float) -> float:
        bent, c = (1 - a) ** 2 / (1 + a**2) / math.pi, 0.0
        for _ in range(depth):
            c = min(1.0, c + bent * (math.sqrt(1 - c * c) - c * math.acos(c)))
        return c - eta

    slope = 0.0  # ReLU, where even that leaves less
    if reached(0.0) > 0:
        slope = root_between(reached, 0.0, 1.0, xtol=1e-14)
    gamma = math.sqrt(2 / (1 + slope**2))
    known = {"chi_parallel": 1.0, "chi_perp": 1.0}
    s = LeakyReLU(slope)
    made = Tailored(s, 1.0, 0.0, gamma, 0.0, kind="tat", depth=depth, name=activation.described, known=known)
    if reached(slope) < -UNMET:
        reach = f"it is {eta + reached(slope):.4g} with the ReLU itself"
        made.notes = (f"a correlation of eta = {eta:g} at the output cannot be met, {reach}",)
    return made


def _notes(made: Tailored, conditions: Conditions, parallel: float, perp: float, curvature: float) -> Iterator[str]:
    """Yield what cannot be met, and what then becomes of K = 1."""
    wanted = {"Q'(1)": (parallel, 1.0), "C'(1)": (perp, 1.0 if conditions.curved else conditions.target)}
    if conditions.curved:
        wanted["C''(1)"] = curvature, conditions.target
    if made.kind == "shift":
        del wanted["Q'(1)"]
    degree = conditions.activation.degree
    power = f": alpha and gamma are one freedom of s, of degree {degree:g}" if degree is not None else ""
    for name, (value, target) in wanted.items():
        if not abs(value - target) < UNMET * target:
            reached = "infinite" if math.isinf(value) else f"{value:.6g}"
            yield f"{name} = {target:.6g} cannot be met, it is {reached}{power}"
    growth = made.depth * math.log(parallel) if parallel > 0 else -math.inf
    if growth > FELT:
        yield f"K = 1 repels: a K beside it goes {math.exp(growth):.3g} times as far from it over the depth"
    elif leading_power(made) > 1 and float(moments(made).second_variation(np.ones(1))[0]) > HALF_STABLE:
        yield "K = 1 is half-stable: a K that finite width lifts above it runs away"
