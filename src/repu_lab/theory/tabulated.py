"""g, g' and E[s'^2] of one activation along a recursion: quadrature at Chebyshev nodes in log K, interpolated between.

E over N(0, K) is analytic in K for |arg K| < pi/2 whatever the kinks of s, so in x = log K the singularities are pi/2
away: over a cell of width 1 the 24 coefficients fall by 6.4 each. A cell is used if its last coefficients are below
TAIL of its smallest value, else (averages about to cease to exist, sines, a zero) the quadrature itself answers.
"""

import numpy as np

from repu_lab.theory.angles import Array
from repu_lab.theory.own_moments import ONE_INPUT, OwnMoments
from repu_lab.theory.quadrature import QuadratureMoments
from repu_lab.theory.scaled import TailoredMoments

NODES = 24
TAIL = 2e-14
ANGLES = (np.arange(NODES) + 0.5) * np.pi / NODES
POINTS = np.cos(ANGLES)  # in [-1, 1]; a cell is [n, n + 1] in log K
BARYCENTRIC = (-1.0) ** np.arange(NODES) * np.sin(ANGLES)
LAST_COEFFICIENTS = 2 / NODES * np.cos(np.arange(NODES - 3, NODES)[:, None] * ANGLES)


class Tabulated:
    """The averages of one form for one recursion; a cell is tabulated when it is visited the second time."""

    def __init__(self, form: QuadratureMoments):
        """Take the form; closed forms are asked directly."""
        self.form = form
        self.worthwhile = type(form) in (QuadratureMoments, OwnMoments, TailoredMoments)
        self._visits: dict[int, int] = {}
        self._cells: dict[int, tuple[Array, Array]] = {}

    def mean_square(self, K: float) -> float:
        """E[s^2] at one K."""
        if self.worthwhile and K > 0:
            x = float(np.log(K))
            cell = int(np.floor(x))
            self._visits[cell] = self._visits.get(cell, 0) + 1
            if self._visits[cell] > 1:
                values, good = self._cell(cell)
                if good[0]:
                    return float(_interpolate(values[:1], np.array([2 * (x - cell) - 1]))[0, 0])
        return float(self.form.mean_square(np.array([K]))[0])

    def stein(self, K: Array) -> Array:
        """E[z s s'] / K at many K."""
        return self._many(K, 1)

    def mean_square_slope(self, K: Array) -> Array:
        """E[s'^2] at many K."""
        return self._many(K, 2)

    def _many(self, K: Array, which: int) -> Array:
        result, direct = np.empty(K.shape), np.ones(K.shape, dtype=bool)
        if self._cells:
            x = np.log(K)
            cells = np.floor(x)
            for cell, (values, good) in self._cells.items():
                here = cells == cell
                if good[which] and here.any():
                    result[here] = _interpolate(values[which : which + 1], 2 * (x[here] - cell) - 1)[0]
                    direct &= ~here
        if direct.any():
            result[direct] = getattr(self.form, ONE_INPUT[which])(K[direct])
        return result

    def _cell(self, cell: int) -> tuple[Array, Array]:
        if cell not in self._cells:
            every = self.form.one_input(np.exp(cell + (np.append(POINTS, (-1.0, 1.0)) + 1) / 2))
            values = every[:, :NODES]
            tail = np.abs(values @ LAST_COEFFICIENTS.T).max(axis=1)
            # The averages must exist at the ends of the cell too, beyond its last nodes.
            good = (tail <= TAIL * np.abs(values).min(axis=1)) & np.isfinite(every).all(axis=1)
            self._cells[cell] = values, good
        return self._cells[cell]


def _interpolate(values: Array, t: Array) -> Array:
    """Return the interpolants of values (quantities x NODES) at points t of the cell, by the barycentric formula."""
    distance = t[:, None] - POINTS
    distance[distance == 0] = 1e-300
    weights = BARYCENTRIC / distance
    return (values @ weights.T) / weights.sum(axis=1)
