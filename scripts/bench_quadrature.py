"""Compare the averages of 60 nasty activations with a rule of 4 million points.

For every function the worst relative error of g, g' and E[s'^2] over K = 1e-4, 1e-3, ..., 1e3, where the lab answers,
and what it says where it does not. The rule is the midpoint rule in t on every piece z = a + (b - a) B(t) between the
places named, B the polynomial with B' ~ t^7 (1 - t)^7: it draws points to the pieces' ends, where a power such as
|z|^0.75 or a bump of width 0.004 needs them. g' is compared with E[s^2 (z^2/K - 1)] / (2K) where s jumps; its error is
relative to the mean size of what is averaged, since positive and negative parts may cancel. 5 s of CPU each.

Run in the project's environment: .venv/bin/python scripts/bench_quadrature.py [NAME ...]
"""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from repu_lab.activations import as_activation
from repu_lab.theory import gaussian
from repu_lab.theory.closed_forms import moments

Function = Callable[[Tensor], Tensor]
POINTS, CHUNK = 4_000_000, 250_000
KERNELS = 10.0 ** np.arange(-4, 4)
WINDOW = 14.0  # standard deviations
# B(t) = sum over k of (-1)^k binom(7, k) t^(8+k) / (8+k), over its value at 1.
POWERS = np.array([1, -7, 21, -35, 35, -21, 7, -1]) / np.arange(8, 16)

# Name: function, and the places at which it bends, jumps or changes fast.
NASTY: dict[str, tuple[Function, tuple[float, ...]]] = {
    "sin 50z": (lambda z: torch.sin(50 * z), ()),
    "cos 20z + z/2": (lambda z: torch.cos(20 * z) + z / 2, ()),
    "tanh + 1e-6 sin 1000z": (lambda z: torch.tanh(z) + 1e-6 * torch.sin(1000 * z), ()),
    "tanh + 1e-3 sin 300z": (lambda z: torch.tanh(z) + 1e-3 * torch.sin(300 * z), ()),
    "ReLU + sin(100z)/100": (lambda z: F.relu(z) + torch.sin(100 * z) / 100, (0,)),
    "Snake": (lambda z: z + torch.sin(z) ** 2, ()),
    "Snake of 10z": (lambda z: z + torch.sin(10 * z) ** 2 / 10, ()),
    "z sin z": (lambda z: z * torch.sin(z), ()),
    "tanh(5 sin 4z + z)": (lambda z: torch.tanh(5 * torch.sin(4 * z) + z), ()),
    "chirp": (lambda z: torch.sin(z * z) * torch.exp(-z * z / 50), ()),
    "sin of z^2": (lambda z: torch.sin(z * z), ()),
    "sin of z^3": (lambda z: torch.sin(z**3), ()),
    "sin of e^z, clamped": (lambda z: torch.sin(torch.exp(z.clamp(-8, 4))), (-8, 4)),
    "sinc of 30z": (lambda z: torch.sinc(30 * z / torch.pi), ()),
    "wavelet": (lambda z: torch.exp(-((z - 1) ** 2) * 50) * torch.cos(200 * (z - 1)), (1,)),
    "sigmoid 200(z-.3)": (lambda z: torch.sigmoid(200 * (z - 0.3)), (0.3,)),
    "tanh 1000z": (lambda z: torch.tanh(1000 * z), (0,)),
    "tanh 1e5 z": (lambda z: torch.tanh(1e5 * z), (0,)),
    "atan 300(z+2)": (lambda z: torch.atan(300 * (z + 2)), (-2,)),
    "softplus of 1000z": (lambda z: F.softplus(1000 * z) / 1000, (0, 0.02)),
    "logsumexp": (lambda z: torch.log(1 + z.clamp(max=30).exp()), (30,)),
    "erf 500(z-1)": (lambda z: torch.erf(500 * (z - 1)), (1,)),
    "bump of .004": (lambda z: torch.exp(-(((z - 0.7) / 0.004) ** 2)), (0.7,)),
    "bump of .001, far": (lambda z: torch.exp(-(((z - 12) / 0.001) ** 2)) + z / 30, (12,)),
    "parabola at 3.5": (lambda z: z / 9 + F.relu(1 - (20 * z - 70) ** 2), (3.45, 3.55)),
    "two bumps": (lambda z: torch.exp(-(((z.abs() - 9) / 0.05) ** 2)) + z / 100, (-9, 0, 9)),
    "pole near 2": (lambda z: 1 / (1 + ((z - 2) / 0.01) ** 2), (2,)),
    "pole near 0": (lambda z: z / (z * z + 1e-4), (0,)),
    "sqrt(z^2+1e-6)": (lambda z: (z * z + 1e-6).sqrt(), (0,)),
    "sqrt(z^2+1e-12)": (lambda z: (z * z + 1e-12).sqrt(), (0,)),
    "log(1+1e6 z^2)": (lambda z: torch.log1p(1e6 * z * z), (0,)),
    "z log|z|": (lambda z: torch.xlogy(z, z.abs() + 1e-3), (0,)),
    "kink at 25": (lambda z: F.relu(z - 25) + 1, (25,)),
    "kink at .5": (lambda z: F.relu(z - 0.5), (0.5,)),
    "kinks at -1/3, 7/3": (lambda z: torch.clamp(z, -1 / 3, 7 / 3), (-1 / 3, 7 / 3)),
    "kinks .001 apart": (lambda z: torch.clamp(1000 * z, 300, 301), (0.3, 0.301)),
    "triangle wave": (lambda z: (torch.remainder(z, 2) - 1).abs() * (z.abs() < 9), tuple(range(-9, 10))),
    "Softshrink": (F.softshrink, (-0.5, 0.5)),
    "Hardsigmoid": (F.hardsigmoid, (-3, 3)),
    "Hardswish": (F.hardswish, (-3, 3)),
    "Hardtanh": (F.hardtanh, (-1, 1)),
    "ReLU6": (F.relu6, (0, 6)),
    "CELU of .01": (lambda z: F.celu(z, 0.01), (0,)),
    "SELU": (F.selu, (0,)),
    "leaky of .3": (lambda z: F.leaky_relu(z - 0.3, 0.1), (0.3,)),
    "ReLU of sin 3z": (lambda z: F.relu(torch.sin(3 * z)) * (-z * z / 9).exp(), tuple(np.pi / 3 * np.arange(-15, 16))),
    "max(z, z^2-1)": (lambda z: torch.maximum(z, z * z - 1), ((1 - 5**0.5) / 2, (1 + 5**0.5) / 2)),
    "|z|^.75": (lambda z: z.abs() ** 0.75, (0,)),
    "|z-.3|^.8": (lambda z: (z - 0.3).abs() ** 0.8, (0.3,)),
    "|z-.2|^.4": (lambda z: (z - 0.2).abs() ** 0.4, (0.2,)),
    "(z+1)_+^1.5": (lambda z: F.relu(z + 1) ** 1.5, (-1,)),
    "(z-2)_+^2.5": (lambda z: F.relu(z - 2) ** 2.5, (2,)),
    "dome": (lambda z: F.relu(1 - z * z), (-1, 1)),
    "sqrt of a dome": (lambda z: (F.relu(1 - z * z) + 1e-6).sqrt(), (-1, 1)),
    "z^6": (lambda z: z**6, ()),
    "z^2 e^-z^2 z^3": (lambda z: z**5 * torch.exp(-z * z), ()),
    "exp(z/3)": (lambda z: torch.exp(z / 3), ()),
    "Hardshrink": (F.hardshrink, (-0.5, 0.5)),
    "stairs": (lambda z: torch.round(z.clamp(-4, 4)) + 0.3 * z, (-4, *(np.arange(-4, 4) + 0.5), 4)),
    "one step": (lambda z: torch.where(z > 0.3, z, z / 10 - 1), (0.3,)),
}  # fmt: skip


def pieces(K: float, places: tuple[float, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield points and weights, density included, a chunk at a time."""
    end = WINDOW * K**0.5
    cuts = np.unique(np.clip([-end, *places, end], -end, end))
    count = POINTS // (len(cuts) - 1)
    for a, b in pairwise(cuts):
        for start in range(0, count, CHUNK):
            t = (np.arange(start, min(start + CHUNK, count)) + 0.5) / count
            # By the distance to the nearer end, which 1 - t would cancel.
            near = np.minimum(t, 1 - t)
            part = np.polynomial.polynomial.polyval(near, POWERS) * near**8 / POWERS.sum()
            z = np.where(t < 0.5, a + (b - a) * part, b - (b - a) * part)
            weight = (b - a) * (t * (1 - t)) ** 7 / POWERS.sum() / count
            weight = weight * np.exp(-z * z / (2 * K)) / np.sqrt(2 * np.pi * K)
            yield torch.from_numpy(z), torch.from_numpy(weight)


def brute(function: Function, K: float, places: tuple[float, ...], jumps: bool) -> tuple[float, ...]:
    """Return g, g', E[s'^2], and the mean size of what g' averages."""
    sums = np.zeros(4)
    for z, weight in pieces(K, places):
        z.requires_grad_()
        s = function(z)
        (slope,) = torch.autograd.grad(s.sum(), z)
        with torch.no_grad():
            stein = s * s * (z * z / K - 1) / (2 * K) if jumps else z * s * slope / K
            sums += [float((x * weight).sum()) for x in (s * s, stein, slope * slope, stein.abs())]
    return tuple(sums)


def compare(name: str) -> str:
    """Return a line of the table."""
    function, places = NASTY[name]
    try:
        activation = as_activation(function)
    except ValueError as error:
        return f"refused: {error}"
    form = moments(activation)
    errors, why, answers = np.zeros(3), "", 0
    for K in KERNELS:
        one = np.array([K])
        averages = np.array([form.mean_square(one)[0], form.stein(one)[0], form.mean_square_slope(one)[0]])
        if not np.isfinite(averages[:2]).all():
            try:
                gaussian.mean_square(activation, K)
                gaussian.stein(activation, K)
            except ValueError as error:
                why = why or f"; refused from K={K:g}: {error}"
            continue
        answers += 1
        g, stein, slope, size = brute(function, K, places, bool(getattr(form, "jumps", ())))
        with np.errstate(all="ignore"):
            off = np.abs(averages - [g, stein, slope]) / [g, size, slope]
        tiny = np.array([g, size, slope]) < 1e-250  # what the window reaches of a far kink
        errors = np.fmax(errors, np.where(np.isinf(averages) | tiny, 0.0, off))
    infinite = f"; E[s'^2] is infinite: {form.rough}" if form.rough else ""
    return f"{errors[0]:8.0e} {errors[1]:8.0e} {errors[2]:8.0e}  at {answers} of {KERNELS.size} K{infinite}{why}"


def main(names: list[str]) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{'':24} {'g':>8} {'g_':>8} {'E s_^2':>8}".replace("_", "'"))
    for name in names or NASTY:
        print(f"{name:24} {compare(name)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
