"""E[s(u) s(v)] and E[s'(u) s'(v)] by quadrature, for (u, v) normal with covariance (K11, K12; K12, K22).

With r = |K12| / sqrt(K11 K22) both inputs share a part w: u = sqrt(r K11) w + sqrt((1 - r) K11) x and, if K12 > 0,
v = sqrt(r K22) w + sqrt((1 - r) K22) y, else with -w; w, x, y are independent N(0, 1). So with the smoothed
S(m) = E_x[s(m + d x)], d^2 = (1 - r) K, and the same D of s', the averages are E_w[S_1 S_2] and E_w[D_1 D_2]: 10^4
points instead of 10^5 to 10^6 of the plane.

S is entire whatever the kinks of s. Over w the trapezoidal rule errs by exp(-2 pi^2 / (h^2 A)), A = (1 + r) / (1 - r),
so h = STEP / sqrt(A) gives all digits; where that takes more points, for r near 1, Gauss-Legendre panels cut where s
changes and around its kinks. S(m) itself comes from Gauss-Hermite nodes where s is smooth as far as x reaches, else
from panels that neighbouring m share: s is evaluated on them once.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from repu_lab.theory.angles import Array, angle

if TYPE_CHECKING:
    from repu_lab.theory.quadrature import QuadratureMoments

WINDOW = 10.0  # exp(-10^2/2) = 2e-22: what lies outside is lost even for s with s ~ z^6
STEP = 0.7  # 2 exp(-2 pi^2 / STEP^2) = 6e-18
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
SPREAD = np.array([-WINDOW, -4.5, -2.0, 0.0, 2.0, 4.5, WINDOW])
# Gauss-Hermite rules of n nodes for panels that are so many times as wide as d: n! / width^(2n) < 1e-16 but for the
# last, which counts on singularities a panel's width away.
HERMITE = tuple(
    (width, *np.polynomial.hermite_e.hermegauss(n)) for width, n in ((1000.0, 3), (50.0, 6), (16.0, 12), (8.0, 24))
)
MESH = 5.0  # the widest of shared panels, in units of d: the density is resolved to 1e-16
ROWS = 128  # values of m that share panels
MOST_CUTS = 1000  # of a user's own function within the window: some 10^7 points


def pair_average(form: "QuadratureMoments", K11: float, K22: float, K12: float) -> tuple[float, float]:
    """Return (E[s(u) s(v)], E[s'(u) s'(v)]), to about 1e-14 of sqrt(g(K11) g(K22)); NaN where s changes too fast."""
    own = float(2 * np.sin(angle(np.asarray(K11), np.asarray(K22), np.asarray(abs(K12))) / 2) ** 2)  # 1 - r
    spreads = np.sqrt(own * np.array([K11, K22]))
    slopes = np.sqrt((1 - own) * np.array([K11, K22])) * np.array([1.0, -1.0 if K12 < 0 else 1.0])
    with np.errstate(all="ignore"):
        many = np.count_nonzero(np.abs(form.cuts) < WINDOW * np.sqrt(max(K11, K22))) > MOST_CUTS
        if many or np.isnan(own):
            return np.nan, np.nan
        w, weights = _shared_part(form, slopes, spreads, own)
        smoothed = [_smoothed(form, slope * w, spread) for slope, spread in _distinct(slopes, spreads)]
        value, gain = (float(np.sum(one * two * weights)) for one, two in zip(smoothed[0], smoothed[-1], strict=True))
        return value, np.inf if form.rough and own == 0 else gain


def _distinct(slopes: Array, spreads: Array) -> list[tuple[float, float]]:
    """Return slope and spread of each input, once if they are the same."""
    return list(dict.fromkeys(zip(slopes.tolist(), spreads.tolist(), strict=True)))


def _shared_part(form: "QuadratureMoments", slopes: Array, spreads: Array, own: float) -> tuple[Array, Array]:
    """Return nodes and weights of w."""
    kinks = np.array(form.kinks)
    cuts = [SPREAD]
    for slope, spread in _distinct(slopes, spreads):
        places = np.sort(np.concatenate((form.cuts, np.add.outer(kinks, spread * SPREAD).ravel())))
        places = places[np.abs(places) < WINDOW * abs(slope)]
        if spread > 0:  # what is closer together than S can change is one cut
            places = places[np.unique(np.floor(places / spread), return_index=True)[1]]
        cuts.append(places / slope)
    panels = np.unique(np.concatenate(cuts))
    step = STEP * np.sqrt(own / (2 - own))
    if step * NODES.size * (panels.size - 1) > 2 * WINDOW:
        end = np.ceil(WINDOW / step)
        w = step * np.arange(-end, end + 1)
        weights = np.exp(-(w**2) / 2)
        return w, weights / weights.sum()
    w, weights = composite(panels[None, :])
    return w[0], weights[0] * np.exp(-(w[0] ** 2) / 2) / np.sqrt(2 * np.pi)


def _smoothed(form: "QuadratureMoments", means: Array, spread: float) -> Array:
    """Return E[s(m + spread x)] and E[s'(m + spread x)] for m in rising or falling order, x ~ N(0, 1)."""
    if spread == 0:
        return form.s_and_slope(means)
    rows, z, averaging = zip(*_nodes(form, means, spread), strict=True)
    ends = np.cumsum([part.size for part in z])[:-1]
    all_z = np.concatenate([part.ravel() for part in z])
    result = np.empty((2, means.size))
    for smooth, values in zip(result, form.s_and_slope(all_z), strict=True):
        for at, part, weights in zip(rows, np.split(values, ends), averaging, strict=True):
            smooth[at] = part.reshape(-1, len(weights)) @ weights if weights.ndim == 1 else weights @ part
    for place, height in form.jumps:
        result[1] += height * np.exp(-(((place - means) / spread) ** 2) / 2) / (np.sqrt(2 * np.pi) * spread)
    return result


def _nodes(form: "QuadratureMoments", means: Array, spread: float) -> Iterator[tuple[Array, Array, Array]]:
    """Yield indices of means, the z that serve them, and weights: of each mean's own z, or a matrix where all share."""
    room, most = _room(form, means, spread), np.inf
    for least, x, weights in HERMITE:
        if (rows := np.nonzero((room >= least) & (room < most))[0]).size:
            yield rows, means[rows, None] + spread * x, weights / np.sqrt(2 * np.pi)
        most = least
    rows = np.nonzero(room < most)[0]
    for near in np.split(rows, np.nonzero(np.abs(np.diff(means[rows])) > 2 * spread)[0] + 1):
        for start in range(0, near.size, ROWS):
            some = near[start : start + ROWS]
            low, high = np.sort(means[some[[0, -1]]]) + WINDOW * spread * np.array([-1, 1])
            inside = form.cuts[(form.cuts > low) & (form.cuts < high)]
            even = np.linspace(low, high, int(np.ceil((high - low) / (MESH * spread))) + 1)
            z, weights = (part[0] for part in form.panels(np.unique(np.concatenate((even, inside)))[None, :]))
            density = np.exp(-(((z - means[some, None]) / spread) ** 2) / 2)
            yield some, z, density * (weights / (np.sqrt(2 * np.pi) * spread))


def _room(form: "QuadratureMoments", means: Array, spread: float) -> Array:
    """Return the width of the narrowest panel within the reach of each mean, in units of spread; 0 if a kink is."""
    cuts = np.sort(np.concatenate((form.cuts, form.kinks)))  # a kink is a cut already: between its two is no room
    width = np.concatenate(([np.inf], np.diff(cuts), [np.inf, np.inf])) / spread
    first, last = (np.searchsorted(cuts, means + sign * WINDOW * spread) for sign in (-1, 1))
    return np.minimum.reduceat(width, np.stack((first, last + 1), axis=1).ravel())[::2]


def composite(cuts: Array) -> tuple[Array, Array]:
    """Return the nodes and weights of panels between cuts, row by row; those empty in all rows are left out."""
    half = np.diff(cuts, axis=1) / 2
    used = (half > 0).any(axis=0)
    half, left = half[:, used], cuts[:, :-1][:, used]
    z = (left + half)[:, :, None] + half[:, :, None] * NODES
    return z.reshape(len(cuts), -1), (half[:, :, None] * WEIGHTS).reshape(len(cuts), -1)
