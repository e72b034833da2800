"""The picture that tells the story: K by layer of RePU, MRePU and spline RePU, measured and by theory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from repu_lab.claims.base import Picture
from repu_lab.claims.lab import Lab
from repu_lab.claims.signal.measuring import log10_kernel, sphere
from repu_lab.figures.kernels import KernelCurves, kernels_by_layer
from repu_lab.figures.looks import LOOKS
from repu_lab.theory.forecast import forecast_law

DEPTH, WIDTH, INPUTS = 50, 256, 8
CRITICAL = ("initialization=critical",)


class Drawn(NamedTuple):
    """Networks of the picture: whose colour they have, their overrides, whether they leave float32."""

    look: str
    overrides: Sequence[str]
    leaves: bool = False


def _custom(k1: float) -> tuple[str, ...]:
    return ("initialization=custom", "initialization.c_w=1", f"initialization.k1={k1:g}")


DRAWN = {
    "RePU 2, $K^1 = 1$": Drawn("RePU 2", ("activation=repu", *_custom(1.0)), leaves=True),
    "RePU 2, $K^1 = 0.4$": Drawn("RePU 3", ("activation=repu", *_custom(0.4)), leaves=True),
    "MRePU 1, $K^1 = 1$": Drawn("MRePU 2", ("activation=mrepu", "activation.p=1", *_custom(1.0)), leaves=True),
    "ReLU": Drawn("ReLU", ("activation=relu", *CRITICAL)),
    "spline RePU 2\n(falls as $1/l$)": Drawn("spline RePU 2", ("activation=spline_repu", "activation.p=2", *CRITICAL)),
    "MRePU 1, small $K^1$": Drawn("MRePU 1", ("activation=mrepu", "activation.p=1", *CRITICAL)),
}


def story(lab: Lab) -> Picture:
    """Measure K at initialization, in float64, and draw it up to where float32 would end."""
    members = lab.choose(smoke=10, full=40)
    curves, shape = {}, (f"depth={DEPTH}", f"width={WIDTH}", f"members={members}", "dtype=float64")
    for name, case in DRAWN.items():
        experiment = lab.build(*case.overrides, *shape)
        log10_K = log10_kernel(experiment.population(), sphere(INPUTS, experiment.sizes[0]))
        expected = forecast_law(experiment.law)
        ranked = np.where(np.isnan(log10_K), np.inf, log10_K).reshape(len(log10_K), -1)  # NaN comes behind an overflow
        quantiles = np.quantile(ranked, (0.05, 0.5, 0.95), axis=1, method="nearest")
        colour, theory = LOOKS[case.look][0], expected.log10_K_quantiles[[0, 2, 4]]
        curves[name] = KernelCurves(quantiles, theory, colour, case.leaves)
    return Picture(
        name="story",
        caption=f"log10 K against the layer in {members} fresh networks of width {WIDTH}, {INPUTS} inputs each, and "
        "theory for the typical network of that width. Float32 ends at the dotted lines.",
        alt="K of RePU leaves float32 within some ten layers, upwards or downwards; so does that of MRePU with inputs "
        "of ordinary size. Critical ReLU and MRePU keep theirs over 50 layers on average, that of spline RePU falls as "
        "1 over the layer, to 10^-2.2. Theory runs through the points.",
        figure=kernels_by_layer(curves),
    )
