"""Claim 9: RePU and MRePU networks represent x, x^2, xy and xyz exactly."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from repu_lab.claims.approximation.constructions import TARGETS, Construction, constructions
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Array
from repu_lab.claims.verdicts import Verdict, together
from repu_lab.figures.rows import exact_networks

DTYPES = {"float64": torch.float64, "float32": torch.float32}
# An identity leaves the rounding of about a dozen additions; an approximation leaves the same error in every format.
EXACT, INEXACT = 16.0, 1000.0


def examine(lab: Lab) -> Evidence:
    """Evaluate every construction on random points and corners of the box, and of one twice as large."""
    count = lab.choose(smoke=100_000, full=1_000_000)
    networks = constructions()
    table, errors = evaluate(networks, count, lab.progress)
    worst = max(errors)
    beyond = max(float(row[-1] or 0) for network, row in zip(networks, table.rows, strict=True) if network.everywhere)
    return Evidence(
        setup=f"""Weights in closed form, no training; {count:,} random points of [-1, 1]^3 and its corners, against the
            polynomial in extended precision.""",
        verdict=judge(errors),
        reason=f"""{len(networks)} networks of up to {max(network.neurons for network in networks)} neurons: the largest
            error is {worst:.2g} eps in float64 and float32. On [-2, 2]^3 RePU stays exact (at most {beyond:.2g} eps of
            the largest value), MRePU does not: its identities hold for arguments of at most 1 in size""",
        seeds=1,
        numbers={"largest error in eps": worst},
        tables=[table],
        pictures=[_picture(table, networks)],
    )


def evaluate(
    networks: Sequence[Construction], count: int, progress: Callable[[float], None] = lambda share: None
) -> tuple[Table, list[float]]:
    """Return a row for each network, and its errors on the box in float64 and float32 in units of eps."""
    rows: list[list[Any]] = []
    for i, network in enumerate(networks):
        inside = [error_in_eps(network, dtype, box(count, 1.0)) for dtype in DTYPES]
        beyond = error_in_eps(network, "float64", box(count, 2.0))
        rows.append([network.kind, network.target, network.neurons, len(network.layers), *inside, beyond])
        progress((i + 1) / len(networks))
    table = Table(
        caption="""Exact networks: largest absolute error on [-1, 1]^3 in units of eps, and on [-2, 2]^3 in units of eps
            times the polynomial's largest value there.""",
        columns=("activation", "polynomial", "neurons", "hidden layers", *DTYPES, "float64, [-2, 2]^3"),
        rows=rows,
    )
    return table, [error for row in rows for error in row[4:6]]


def judge(errors: Sequence[float]) -> Verdict:
    """Apply the rule to errors in units of eps: each at most EXACT; refuted by one beyond INEXACT."""
    return together(
        Verdict.SUPPORTED if error <= EXACT else Verdict.REFUTED if error > INEXACT else Verdict.INCONCLUSIVE
        for error in errors
    )


def box(count: int, half: float) -> Array:
    """Return random points of [-half, half]^3, its corners, the middles of its sides and its centre."""
    random = np.random.default_rng(0).uniform(-half, half, (count, 3))
    return np.concatenate([random, np.array(list(product((-half, 0.0, half), repeat=3)))])


@torch.no_grad()
def error_in_eps(network: Construction, dtype: str, points: Array) -> float:
    """Return the largest error at the points, rounded to the format, over eps times max(1, the largest value)."""
    x = torch.from_numpy(points).to(DTYPES[dtype])
    computed = network.network(DTYPES[dtype])(x)[:, 0]
    # Extended where numpy has it: in float64 the polynomial's own value would be off by about one eps.
    exact = TARGETS[network.target](x.numpy().astype(np.longdouble))
    scale = max(1.0, float(np.abs(exact).max()))
    return float(np.abs(computed.numpy() - exact).max()) / (torch.finfo(DTYPES[dtype]).eps * scale)


def _picture(table: Table, networks: Sequence[Construction]) -> Picture:
    t = np.linspace(-1.6, 1.6, 321)
    points = torch.from_numpy(np.stack([t, 0 * t, 0 * t], axis=1))
    with torch.no_grad():
        squares = {
            network.kind: network.network(torch.float64)(points)[:, 0].numpy() - t**2
            for network in networks
            if network.target == "x^2"
        }
    errors = [(f"{row[0]}: {row[1]}", float(row[4] or 0), float(row[5] or 0)) for row in table.rows]
    return Picture(
        name="exact",
        caption="""a: largest error of each network on [-1, 1]^3, in units of eps. b: error of the networks for x^2
            beyond the box: RePU's is exact everywhere, MRePU's where |x| <= 1.""",
        alt=f"""Errors in eps, at most {max(max(pair) for _, *pair in errors):.2g} in float64 and float32; outside
            [-1, 1] the error of MRePU's square grows.""",
        figure=exact_networks(errors, t, squares, EXACT),
    )


CLAIM = Claim(
    number=9,
    slug="exact",
    family="approximation",
    title="RePU and MRePU networks represent polynomials exactly",
    statement="""x, x^2, xy and xyz are networks of RePU and of MRePU with a few neurons, without any error: those of
        RePU everywhere, those of MRePU on [-1, 1]^3.""",
    reference="Kim & Kang, arXiv:2408.02697: polynomial approximation; past the paper: the weights for MRePU",
    rule=f"Supported if each network's largest error is at most {EXACT:g} eps, in float64 and in float32. Refuted if "
    f"one exceeds {INEXACT:g} eps. Else inconclusive.",
    cost={"smoke": 1, "full": 4},
    examine=examine,
)
