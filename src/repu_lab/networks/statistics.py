"""The per-layer numbers of one forward and one backward pass of a population over a probe batch.

Shapes: L hidden layers, D = L + 1 affine maps (layers z^1 .. z^{L+1}), M members, P probe inputs, N units.
Everything is computed in float64 from z itself, rows scaled by their largest entry, so that K of a float32 network is
right up to the last layer whose z is finite, where a mean square in float32 would already have overflowed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.networks.population import Affine, Population

Array = NDArray[np.float64]

# Half-decade bins of log10|z| that cover float32 and bfloat16 with their subnormals; zeros and the values outside
# (float64 only) are counted apart by TensorBoard's first and last bins.
HISTOGRAM_EDGES = np.arange(-46.0, 39.5, 0.5)
# Members are measured in chunks of at most this many float64 preactivations (2 MiB), which a processor's cache holds:
# twice as fast as 32 MiB at once. A GPU is asked as seldom as its memory allows: some twenty such tensors, 4 GiB.
CHUNK, CHUNK_ON_GPU = 250_000, 25_000_000


@dataclass(frozen=True, kw_only=True)
class LayerStatistics:
    """What was measured at one step. log10_K: +inf beyond the dtype's range, -inf exactly 0, NaN undefined.

    log10_K (D, M, P): K^l(x) = mean_i z_i^2. correlation (D, M, P//2): sum_i z_i(x) z_i(x') / norms, inputs (0, 1),
    (2, 3), ... log10_chi_parallel, log10_chi_perp (L, M, P): C_W mean(z s s') / K and C_W mean(s'^2) over the units,
    C_W = fan-in times the mean square weight of the next map, or what the block says instead. log10_gradient
    (D, M, P): mean square over the units of dL_x/dz^l, L_x the loss of one input. mean, log10_max_abs, excess_kurtosis
    (D, M): of z over units, the kurtosis as median over inputs. dead (L, M): share of units with s' = 0 on the whole
    probe. nan, plus_inf, minus_inf (D, M): counts of entries. histogram (D, M, bins): counts of log10|z| over inputs
    and units; zeros (D, M): exact zeros.

    `measure_there` leaves tensors on their device, whose bits `on_host` brings as the arrays that are named here.
    """

    log10_K: Array
    correlation: Array
    log10_chi_parallel: Array
    log10_chi_perp: Array
    log10_gradient: Array
    mean: Array
    log10_max_abs: Array
    excess_kurtosis: Array
    dead: Array
    nan: NDArray[np.int64]
    plus_inf: NDArray[np.int64]
    minus_inf: NDArray[np.int64]
    histogram: NDArray[np.int64] | None = None
    zeros: NDArray[np.int64] | None = None

    def members(self, rows: slice) -> "LayerStatistics":
        """Return what was measured on some of the members."""
        return LayerStatistics(**{name: value[:, rows] for name, value in self.measured()})

    def on_host(self, precision: torch.dtype = torch.float64) -> "LayerStatistics":
        """Return the same as arrays, of tensors that may lie on a GPU, real numbers in this precision."""

        def array(value: Any) -> NDArray[Any]:
            tensor = torch.as_tensor(value)
            return tensor.to(precision if tensor.is_floating_point() else tensor.dtype).cpu().numpy()

        return LayerStatistics(**{name: array(value) for name, value in self.measured()})

    def measured(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and values of what was measured: no histogram, mostly."""
        values = ((spec.name, getattr(self, spec.name)) for spec in fields(self))
        return ((name, value) for name, value in values if value is not None)

    def first_bad_layer(self) -> NDArray[np.int64]:
        """Return the first layer (from 1) with a non-finite entry, 0 where there is none; shape (M,)."""
        bad_DM = (self.nan + self.plus_inf + self.minus_inf) > 0
        return np.where(bad_DM.any(axis=0), bad_DM.argmax(axis=0) + 1, 0)


AXES: dict[str, tuple[str, ...]] = {
    "log10_K": ("layer", "member", "input"),
    "correlation": ("layer", "member", "pair"),
    "log10_chi_parallel": ("layer", "member", "input"),
    "log10_chi_perp": ("layer", "member", "input"),
    "log10_gradient": ("layer", "member", "input"),
    "histogram": ("layer", "member", "bin"),
}
AXES |= {spec.name: ("layer", "member") for spec in fields(LayerStatistics) if spec.name not in AXES}


def measure(
    population: Population, x_PI: Tensor, loss: Callable[[Tensor], Tensor], *, histogram: bool = False,
    theta_MP: Tensor | None = None,
) -> LayerStatistics:  # fmt: skip
    """Run the probe inputs forward and backward and return the statistics of every layer.

    Of the given rows, if a theta of fewer members is given. `loss` maps the outputs (M, P, C) to the mean loss of each
    member over the probe, shape (M,).
    """
    return measure_there(population, x_PI, loss, histogram=histogram, theta_MP=theta_MP).on_host()


def measure_there(
    population: Population, x_PI: Tensor, loss: Callable[[Tensor], Tensor], *, histogram: bool = False,
    theta_MP: Tensor | None = None,
) -> LayerStatistics:  # fmt: skip
    """Return what `measure` does as tensors where the network is; on a GPU without waiting for it."""
    per_member = sum(population.sizes[1:]) * x_PI.shape[0]
    chunk = max(1, (CHUNK if x_PI.device.type == "cpu" else CHUNK_ON_GPU) // per_member)
    parts = [
        _measure_members(population, theta_MP, x_PI, loss, histogram)
        for theta_MP in (population.theta if theta_MP is None else theta_MP).detach().split(chunk)
    ]
    return join_members(parts)


def join_members(parts: list[dict[str, Tensor]]) -> LayerStatistics:
    """Put together what was measured on groups of members, along the members' axis."""
    joined: dict[str, Any] = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
    return LayerStatistics(**joined)


def _measure_members(
    population: Population, theta_MP: Tensor, x_PI: Tensor, loss: Callable[[Tensor], Tensor], histogram: bool
) -> dict[str, Tensor]:
    theta_MP = theta_MP.requires_grad_()
    z_D = population.preactivations(x_PI, theta_MP)
    gradient_D = torch.autograd.grad(loss(z_D[-1]).sum(), z_D)
    with torch.no_grad():
        maps = population.affine_maps(theta_MP)
        parts = []
        for layers in _equal_widths(z_D):
            z_DMPN = torch.stack(z_D[layers]).double()
            parts.append(moments(z_DMPN) | _counts(z_DMPN, histogram))
            grad_DMPN = torch.stack(gradient_D[layers]).double() * x_PI.shape[0]  # of one input's loss, not the mean's
            parts[-1]["log10_gradient"] = _log10_mean_square(grad_DMPN)
            if layers.start < population.depth:
                parallel, perp, dead = branch_susceptibilities(population, maps, layers.start + 1, z_DMPN)
                # Numbers that the device itself writes: what is sent to it cannot be captured.
                skips = (population.skips(l + 1) for l in range(layers.start, layers.stop))
                skips_D11 = torch.stack([parallel.new_full((1, 1), float(skip)) for skip in skips])
                parts[-1] |= {
                    "log10_chi_parallel": (skips_D11 + parallel).log10(),  # NaN where it is negative
                    "log10_chi_perp": (skips_D11 + perp).log10(),
                    "dead": dead,
                }
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: torch.cat([part[name] for part in parts if name in part]) for name in names}


def _equal_widths(z_D: list[Tensor]) -> Iterator[slice]:
    """Slices of consecutive hidden layers of one width, which are measured as one tensor, then the output layer."""
    start, hidden = 0, len(z_D) - 1
    for stop in range(1, hidden + 1):
        if stop == hidden or z_D[stop].shape != z_D[start].shape:
            yield slice(start, stop)
            start = stop
    yield slice(hidden, hidden + 1)


def moments(z_DMPN: Tensor) -> dict[str, Tensor]:
    """Return log10_K, correlation, mean, log10_max_abs and excess_kurtosis of layers of one width, in float64."""
    largest = z_DMPN.abs().amax(-1, keepdim=True)
    unit = z_DMPN / torch.where(largest == 0, 1.0, largest)
    K = unit.square().mean(-1)
    log10_K = 2 * largest.squeeze(-1).log10() + torch.where(largest.squeeze(-1) == 0, 1.0, K).log10()
    log10_K = torch.where(largest.squeeze(-1) == torch.inf, torch.inf, log10_K)
    deviation = unit - unit.mean(-1, keepdim=True)
    variance = deviation.square().mean(-1)
    kurtosis = deviation.square().square().mean(-1) / variance.square() - 3
    pairs = z_DMPN.shape[2] // 2
    a, b = unit[:, :, 0 : 2 * pairs : 2], unit[:, :, 1 : 2 * pairs : 2]
    overlap = (a * b).mean(-1) / (K[:, :, 0 : 2 * pairs : 2] * K[:, :, 1 : 2 * pairs : 2]).sqrt()
    return {
        "log10_K": log10_K,
        "correlation": overlap,
        "mean": z_DMPN.mean((-1, -2)),
        "log10_max_abs": largest.amax((-1, -2)).log10(),
        "excess_kurtosis": _median(kurtosis),
    }


def _median(values: Tensor) -> Tensor:
    """Return the median along the last axis: the mean of the middle two (torch's is the lower one), NaN if any is."""
    count = values.shape[-1]
    ordered = values.sort(-1).values  # NaN last
    middle = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2
    return torch.where(ordered[..., -1].isnan(), torch.nan, middle)


def _counts(z_DMPN: Tensor, histogram: bool) -> dict[str, Tensor]:
    # On a GPU the question would wait for the answer, and counting costs less than that.
    finite = z_DMPN.device.type == "cpu" and bool(z_DMPN.isfinite().all())
    none = torch.zeros(z_DMPN.shape[:2], dtype=torch.int64, device=z_DMPN.device)
    counts = {
        "nan": none if finite else z_DMPN.isnan().sum((-1, -2)),
        "plus_inf": none if finite else z_DMPN.isposinf().sum((-1, -2)),
        "minus_inf": none if finite else z_DMPN.isneginf().sum((-1, -2)),
    }
    if histogram:
        bins = len(HISTOGRAM_EDGES) - 1
        size = z_DMPN.flatten(2).abs()
        counted = size.isfinite() & (size > 0)
        place = ((size.log10() - HISTOGRAM_EDGES[0]) * 2).nan_to_num(0, 0, 0).floor().clamp(0, bins - 1).long()
        counts["histogram"] = torch.zeros(*size.shape[:2], bins, dtype=torch.int64, device=size.device)
        counts["histogram"].scatter_add_(2, place, counted.long())
        counts["zeros"] = (size == 0).sum(2)
    return counts


def branch_susceptibilities(
    population: Population, maps: list[Affine], first: int, z_DMPN: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return chi_parallel, chi_perp, without what is skipped, and `dead` of layers of one width from `first` on."""
    here, behind = (maps[first - 1 + moved : first - 1 + moved + len(z_DMPN)] for moved in (0, 1))
    shares = [population.share(l, affine) for l, affine in enumerate(behind, first)]
    C_W_DM1 = torch.stack(
        [W.shape[1] * _mean_square(W) * share for (W, *_), share in zip(behind, shares, strict=True)]
    ).unsqueeze(2)
    own_DMA = torch.stack([affine.activation_MA for affine in here]).double()
    scales = [affine.scale_M11 for affine in here if affine.scale_M11 is not None]

    def by_member(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: torch.stack([function(z_MPN, own) for z_MPN, own in zip(z, own_DMA, strict=True)])

    shared, activation = own_DMA.shape[-1] == 0, population.activation
    s, slope = (
        (activation, activation.derivative) if shared else map(by_member, (population.activate, population.slope))
    )
    parallel, perp, slopes = population.block.susceptibilities(
        z_DMPN, C_W_DM1, s, slope, torch.stack(scales).double() if scales else None
    )
    return parallel, perp, (slopes == 0).all(2).double().mean(-1)


def _mean_square(W_MIO: Tensor) -> Tensor:
    return W_MIO.double().square().mean((-1, -2))


def _log10_mean_square(values: Tensor) -> Tensor:
    largest = values.abs().amax(-1, keepdim=True)
    unit = values / torch.where(largest == 0, 1.0, largest)
    return (
        2 * largest.squeeze(-1).log10()
        + torch.where(largest == 0, 1.0, unit.square().mean(-1, keepdim=True)).squeeze(-1).log10()
    )
