"""The picture of a boundary shows every network, the curve's half at the boundary, and theory's line."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from repu_lab.figures import boundary


@pytest.mark.parametrize("rising", [True, False])
def test_every_network_is_a_stroke_and_the_curve_halves_at_the_boundary(rising):
    values = np.geomspace(0.01, 100, 41)
    successes = (values > 3) == rising
    figure = boundary(
        values, successes, value=3.0, low=2.5, high=3.6, spread=0.2, rising=rising, theory=4.0, axis="c_w", heading="x"
    )
    (axes,) = figure.axes
    strokes = [line for line in axes.collections if isinstance(line, LineCollection)]
    left, right = axes.get_xlim()
    near = (values >= left) & (values <= right)
    assert [len(line.get_segments()) for line in strokes] == [(successes & near).sum(), (~successes & near).sum()]
    good, all_ = successes[values < left].sum(), (values < left).sum()
    assert 0 < all_ < 41 and f"on the left: {good} of {all_} succeed" in axes.get_title(loc="left")
    curve, theory = axes.lines
    x, share = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert np.interp(np.log(3.0), np.log(x), share) == pytest.approx(0.5, abs=1e-3)
    assert (share[-1] > share[0]) == rising
    assert np.asarray(theory.get_xdata())[0] == 4.0
    assert axes.get_xlabel() == "variance of the weights times fan-in, $C_W$"
    assert "41 networks" in axes.get_title(loc="left") and "theory 4" in axes.texts[0].get_text()
